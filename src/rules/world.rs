use std::sync::Arc;
use std::time::Duration;

use crate::model::Labels;
use crate::promql;

/// What is the same for all rules.
#[derive(Clone, Debug)]
pub struct World {
    /// `$externalLabels` in templates.
    pub external_labels: Labels,
    /// `$externalURL` in templates, and where links to expressions lead; without a slash at the end.
    pub external_url: Arc<str>,
    /// What the template functions `externalURL` and `pathPrefix` give; `None` only in unit tests.
    pub functions_url: Option<Arc<str>>,
    /// How far back rules look when their group does not say; gives late samples time to arrive.
    pub query_offset: Duration,
    /// A firing alert is told to last for four times this (or the group's interval, if longer)
    /// unless it is told again.
    pub resend: Duration,
    /// Pending clocks from before a restart go on when the last evaluation was at most this long ago.
    pub tolerance: Duration,
    /// What did not come back after two evaluations and this time since the start is over. In
    /// Prometheus it is two evaluations; probes are spread over their interval and need a round.
    pub settle: Duration,
    /// Prometheus' grace period (10 minutes there): rules with a shorter `for` begin anew after a
    /// restart, all others wait at least so long. With zero every clock goes on exactly where it
    /// stood; our own store is as durable as the clock, so that is the default.
    pub grace: Duration,
    /// How far back a selector looks for a sample.
    pub lookback: Duration,
    /// Most samples that one query may hold.
    pub max_samples: usize,
    /// A query that takes longer is given up, and its rule fails.
    pub patience: Duration,
}

impl Default for World {
    fn default() -> Self {
        Self {
            external_labels: Labels::empty(),
            external_url: "".into(),
            functions_url: Some("".into()),
            query_offset: Duration::ZERO,
            resend: Duration::from_secs(60),
            tolerance: Duration::from_secs(3600),
            settle: Duration::from_secs(120),
            grace: Duration::ZERO,
            lookback: Duration::from_secs(300),
            max_samples: 10_000_000,
            patience: Duration::from_secs(30),
        }
    }
}

impl World {
    pub(super) fn options(&self) -> promql::Options<'static> {
        promql::Options {
            lookback: self.lookback,
            max_samples: self.max_samples,
            ..promql::Options::default()
        }
    }

    /// The page that shows an expression.
    pub(super) fn generator(&self, expression: &str) -> Arc<str> {
        let escaped: String =
            percent_encoding::utf8_percent_encode(expression, percent_encoding::NON_ALPHANUMERIC)
                .collect();
        format!("{}/graph?g0.expr={escaped}&g0.tab=1", self.external_url).into()
    }
}
