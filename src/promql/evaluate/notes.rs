use std::collections::BTreeSet;

use super::super::syntax::quoted;
use super::super::{Annotation, Span, format_float_general};
use crate::model::Labels;

/// Warnings and infos of one evaluation, each once.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub warnings: BTreeSet<Annotation>,
    pub infos: BTreeSet<Annotation>,
    /// The metric and the place of the last [`Note::PossiblyNoCounter`].
    suspected: Option<(String, Span)>,
}

/// What histograms were being combined for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    Addition,
    Subtraction,
    Aggregation,
}

impl Doing {
    fn word(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// What there is to say. The words are Prometheus', because its tests and people's searches
/// rely on them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Note<'a> {
    Quantile(f64),
    Ratio(f64, f64),
    BucketLabel(&'a Labels, &'a str),
    MixedFloatsHistograms(&'a Labels),
    MixedFloatsHistogramsAggregation,
    MixedClassicNative(&'a Labels),
    NotCounter(&'a Labels),
    NotGauge(&'a Labels),
    MixedExponentialCustom(&'a Labels),
    MixedExponentialCustomAggregation,
    IncompatibleLayout(&'a str),
    ResetsCollide(Doing),
    StartOverlap(&'a Labels),
    SortIneffective,
    // infos
    PossiblyNoCounter(&'a Labels),
    ForcedMonotonicity(&'a Labels),
    IncompatibleTypes(&'a str, &'a str, &'a str),
    HistogramIgnored(&'a str),
    HistogramIgnoredInRange(&'a Labels),
    QuantileNanResult(&'a Labels),
    QuantileNanSkew(&'a Labels),
    FractionNan(&'a Labels),
    CustomBordersReconciled(Doing),
}

fn named(text: &str, labels: &Labels) -> String {
    let name = labels.metric_name();
    if name.is_empty() {
        text.to_owned()
    } else {
        format!("{text} for metric name {}", quoted(name))
    }
}

fn with_name(text: &str, labels: &Labels) -> String {
    format!("{text} {}", quoted(labels.metric_name()))
}

impl Note<'_> {
    fn is_info(self) -> bool {
        matches!(
            self,
            Self::PossiblyNoCounter(_)
                | Self::ForcedMonotonicity(_)
                | Self::IncompatibleTypes(..)
                | Self::HistogramIgnored(_)
                | Self::HistogramIgnoredInRange(_)
                | Self::QuantileNanResult(_)
                | Self::QuantileNanSkew(_)
                | Self::FractionNan(_)
                | Self::CustomBordersReconciled(_)
        )
    }

    #[allow(clippy::too_many_lines)] // one sentence for each thing there is to say
    fn text(self) -> String {
        match self {
            Self::Quantile(q) => format!(
                "quantile value should be between 0 and 1, got {}",
                format_float_general(q)
            ),
            Self::Ratio(given, used) => format!(
                "ratio value should be between -1 and 1, got {}, capping to {}",
                format_float_general(given),
                format_float_general(used)
            ),
            Self::BucketLabel(labels, value) => named(
                &format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(value)),
                labels,
            ),
            Self::MixedFloatsHistograms(labels) => {
                with_name("encountered a mix of histograms and floats for metric name", labels)
            }
            Self::MixedFloatsHistogramsAggregation => {
                "encountered a mix of histograms and floats for aggregation".to_owned()
            }
            Self::MixedClassicNative(labels) => {
                named("vector contains a mix of classic and native histograms", labels)
            }
            Self::NotCounter(labels) => {
                with_name("this native histogram metric is not a counter:", labels)
            }
            Self::NotGauge(labels) => {
                with_name("this native histogram metric is not a gauge:", labels)
            }
            Self::MixedExponentialCustom(labels) => with_name(
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name",
                labels,
            ),
            Self::MixedExponentialCustomAggregation => {
                "vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"\"".to_owned()
            }
            Self::IncompatibleLayout(operator) => {
                format!("incompatible bucket layout encountered for binary operator {operator}")
            }
            Self::ResetsCollide(doing) => {
                format!("conflicting counter resets during histogram {}", doing.word())
            }
            Self::StartOverlap(labels) => with_name(
                "sample has start time that overlaps with previous sample timestamp for metric",
                labels,
            ),
            Self::SortIneffective => {
                "sort is ineffective for range queries since results are always ordered by labels".to_owned()
            }
            Self::PossiblyNoCounter(labels) => with_name(
                "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:",
                labels,
            ),
            Self::ForcedMonotonicity(labels) => named(
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                labels,
            ),
            Self::IncompatibleTypes(left, operator, right) => format!(
                "incompatible sample types encountered for binary operator \"{operator}\": {left} {operator} {right}"
            ),
            Self::HistogramIgnored(aggregation) => {
                format!("ignored histogram in {aggregation} aggregation")
            }
            Self::HistogramIgnoredInRange(labels) => with_name(
                "ignored histograms in a range containing both floats and histograms for metric name",
                labels,
            ),
            Self::QuantileNanResult(labels) => {
                named("input to histogram_quantile has NaN observations, result is NaN", labels)
            }
            Self::QuantileNanSkew(labels) => named(
                "input to histogram_quantile has NaN observations, result is skewed higher",
                labels,
            ),
            Self::FractionNan(labels) => named(
                "input to histogram_fraction has NaN observations, which are excluded from all fractions",
                labels,
            ),
            Self::CustomBordersReconciled(doing) => {
                format!("mismatched custom buckets were reconciled during {}", doing.word())
            }
        }
    }
}

/// Enough for any reader; more of the same would only cost memory.
const MOST: usize = 1_000;

impl Notes {
    pub fn add(&mut self, note: Note<'_>, span: Span) {
        // Said of each series of a metric, and worth to be worded for the first one.
        if let Note::PossiblyNoCounter(labels) = note {
            let name = labels.metric_name();
            if self.suspected.as_ref().is_some_and(|(n, s)| n == name && *s == span) {
                return;
            }
            self.suspected = Some((name.to_owned(), span));
        }
        let (set, kind) = if note.is_info() {
            (&mut self.infos, "info")
        } else {
            (&mut self.warnings, "warning")
        };
        if set.len() < MOST {
            set.insert(Annotation {
                message: format!("PromQL {kind}: {}", note.text()),
                span: Some(span),
            });
        }
    }
}
