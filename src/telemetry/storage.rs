use prometheus_client::registry::Registry;

/// Keeping samples.
#[derive(Debug)]
pub struct StorageTelemetry {}

impl StorageTelemetry {
    pub(super) fn new(_registry: &mut Registry) -> Self {
        Self {}
    }
}
