//! Our own metrics: names, help and units in one place, one file per room that reports. Metric
//! names are `augenmass_<room>_<noun>_<unit>[_total]`; label values come from closed sets or from
//! the configuration, never from the outside.

mod catalogue;
mod config;
mod evaluate;
mod notify;
mod probe;
mod remote;
mod storage;
mod web;

use std::sync::Arc;

use catalogue::Registry;

pub use config::ConfigTelemetry;
pub use evaluate::{EvaluateTelemetry, EvaluationLabels, GroupLabels, StateLabels};
pub use notify::NotifyTelemetry;
pub use probe::{LookOutcome, ProbeTelemetry};
pub use remote::{
    Answered as RemoteAnswered, Refused as RemoteRefused, RemoteTelemetry, To as RemoteTo,
};
pub use storage::StorageTelemetry;
pub use web::{Answered as WebAnswered, Asked as WebAsked, Ended as WebEnded, WebTelemetry};

/// All of our own metrics.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// Loading the configuration.
    pub config: ConfigTelemetry,
    /// Probing.
    pub probe: ProbeTelemetry,
    /// Keeping samples.
    pub storage: StorageTelemetry,
    /// Evaluating rules.
    pub evaluate: EvaluateTelemetry,
    /// Telling people.
    pub notify: NotifyTelemetry,
    /// Remote write.
    pub remote: RemoteTelemetry,
    /// Answering requests.
    pub web: WebTelemetry,
}

impl Telemetry {
    /// A registry with all metrics at zero.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::new();
        let config = ConfigTelemetry::new(registry.of("config"));
        let probe = ProbeTelemetry::new(registry.of("probe"));
        let storage = StorageTelemetry::new(registry.of("storage"));
        let evaluate = EvaluateTelemetry::new(registry.of("evaluate"));
        let notify = NotifyTelemetry::new(registry.of("notify"));
        let web = WebTelemetry::new(registry.of("web"));
        let remote = RemoteTelemetry::new(registry.of("remote_write"));
        Arc::new(Self { registry, config, probe, storage, evaluate, notify, remote, web })
    }

    /// Names of the series of all metrics, also of those that have no value yet.
    pub fn catalogue(&self) -> &[(String, crate::model::MetricType)] {
        &self.registry.series
    }

    /// All metrics as OpenMetrics 1.0 text; `exposition` reads it and writes what was asked for.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; an encoder that fails leaves what it wrote so far.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry.metrics);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_folder() {
        let telemetry = Telemetry::new();
        telemetry.config.last_reload_successful.set(1);
        let text = telemetry.encode();
        assert!(text.contains("augenmass_config_last_reload_successful 1"), "{text}");
    }

    #[test]
    fn the_catalogue_knows_every_series_that_is_written() {
        let telemetry = Telemetry::new();
        telemetry.evaluate.alerts.get_or_create(&StateLabels { state: "firing" }).set(1);
        let known: Vec<&str> = telemetry.catalogue().iter().map(|(name, _)| &**name).collect();
        let text = telemetry.encode();
        let written = text.lines().filter(|line| !line.starts_with('#'));
        for name in written.filter_map(|line| line.split(['{', ' ']).next()) {
            assert!(known.contains(&name), "{name}");
        }
        assert!(known.contains(&"augenmass_evaluate_missed_slots_total"), "has no value yet");
    }
}
