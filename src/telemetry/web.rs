use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::catalogue::Registry;

/// Answering requests.
#[derive(Debug)]
pub struct WebTelemetry {
    /// Requests answered.
    pub requests: Family<Answered, Counter>,
    /// Time from the request's head to the answer's head.
    pub request_duration_seconds: Family<Asked, Histogram, fn() -> Histogram>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were closed at once because too many were open.
    pub connections_refused: Counter,
    /// Queries that run now.
    pub queries: Gauge,
    /// Queries that were turned away or given up, by reason.
    pub queries_ended: Family<Ended, Counter>,
}

/// A request and how it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// The route, never the path that was asked for.
    pub handler: Arc<str>,
    /// Status code.
    pub code: u16,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Asked {
    /// The route, never the path that was asked for.
    pub handler: Arc<str>,
}

/// Why a query brought no result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// `busy`, `timeout`, `canceled` or `error`.
    pub reason: &'static str,
}

fn durations() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0])
}

impl WebTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            requests: Family::default(),
            request_duration_seconds: Family::new_with_constructor(durations),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            queries: Gauge::default(),
            queries_ended: Family::default(),
        };
        registry.register("requests", "Requests answered", new.requests.clone());
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to the answer's head",
            Unit::Seconds,
            new.request_duration_seconds.clone(),
        );
        registry.register("connections", "Connections that are open", new.connections.clone());
        registry.register(
            "connections_refused",
            "Connections that were closed at once because too many were open",
            new.connections_refused.clone(),
        );
        registry.register("queries", "Queries that run now", new.queries.clone());
        registry.register(
            "queries_ended",
            "Queries that brought no result, by reason",
            new.queries_ended.clone(),
        );
        new
    }
}
