use prometheus_client::metrics::gauge::Gauge;

use super::catalogue::Registry;

/// Loading the configuration.
#[derive(Debug)]
pub struct ConfigTelemetry {
    /// 1 when the last (re)load was accepted, 0 when it was refused and the running one kept.
    pub last_reload_successful: Gauge,
    /// Unix time of the last accepted load.
    pub last_reload_success_timestamp_seconds: Gauge,
}

impl ConfigTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            last_reload_successful: Gauge::default(),
            last_reload_success_timestamp_seconds: Gauge::default(),
        };
        registry.register(
            "last_reload_successful",
            "Whether the last attempt to load the configuration was accepted",
            new.last_reload_successful.clone(),
        );
        registry.register(
            "last_reload_success_timestamp_seconds",
            "Unix time of the last configuration that was accepted",
            new.last_reload_success_timestamp_seconds.clone(),
        );
        new
    }
}
