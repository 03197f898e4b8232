use prometheus_client::registry::Registry;

/// Evaluating rules.
#[derive(Debug)]
pub struct EvaluateTelemetry {}

impl EvaluateTelemetry {
    pub(super) fn new(_registry: &mut Registry) -> Self {
        Self {}
    }
}
