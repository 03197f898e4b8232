use prometheus_client::registry::Registry;

/// Answering requests.
#[derive(Debug)]
pub struct WebTelemetry {}

impl WebTelemetry {
    pub(super) fn new(_registry: &mut Registry) -> Self {
        Self {}
    }
}
