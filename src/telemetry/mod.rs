//! Our own metrics: names, help and units in one place, one file per room that reports. Metric
//! names are `augenmass_<room>_<noun>_<unit>[_total]`; label values come from closed sets or from
//! the configuration, never from the outside.

mod config;
mod evaluate;
mod notify;
mod probe;
mod remote;
mod storage;
mod web;

use std::sync::Arc;

use prometheus_client::registry::Registry;

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
        let mut registry = Registry::with_prefix("augenmass");
        let config = ConfigTelemetry::new(registry.sub_registry_with_prefix("config"));
        let probe = ProbeTelemetry::new(registry.sub_registry_with_prefix("probe"));
        let storage = StorageTelemetry::new(registry.sub_registry_with_prefix("storage"));
        let evaluate = EvaluateTelemetry::new(registry.sub_registry_with_prefix("evaluate"));
        let notify = NotifyTelemetry::new(registry.sub_registry_with_prefix("notify"));
        let web = WebTelemetry::new(registry.sub_registry_with_prefix("web"));
        let remote = RemoteTelemetry::new(registry.sub_registry_with_prefix("remote_write"));
        Arc::new(Self { registry, config, probe, storage, evaluate, notify, remote, web })
    }

    /// All metrics as OpenMetrics 1.0 text; `exposition` reads it and writes what was asked for.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; an encoder that fails leaves what it wrote so far.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
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
}
