use prometheus_client::registry::Registry;

/// Probing.
#[derive(Debug)]
pub struct ProbeTelemetry {}

impl ProbeTelemetry {
    pub(super) fn new(_registry: &mut Registry) -> Self {
        Self {}
    }
}
