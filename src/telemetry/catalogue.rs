use prometheus_client::metrics::{MetricType as Kind, TypedMetric};
use prometheus_client::registry::{Metric, Registry as Metrics, Unit};

use crate::model::MetricType;

/// Where the rooms announce their metrics. It remembers the names of the series, as a metric with
/// labels shows nothing of itself before it has its first value.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) metrics: Metrics,
    /// The room's part of the names.
    room: &'static str,
    pub(super) series: Vec<(String, MetricType)>,
}

impl Registry {
    pub(super) fn new() -> Self {
        Self { metrics: Metrics::with_prefix("augenmass"), room: "", series: Vec::new() }
    }

    /// The same for the metrics of a room.
    pub(super) fn of(&mut self, room: &'static str) -> &mut Self {
        self.room = room;
        self
    }

    pub(super) fn register<M: Metric + TypedMetric>(&mut self, name: &str, help: &str, metric: M) {
        self.note(name, M::TYPE);
        self.metrics.sub_registry_with_prefix(self.room).register(name, help, metric);
    }

    pub(super) fn register_with_unit<M: Metric + TypedMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Unit,
        metric: M,
    ) {
        self.note(&format!("{name}_{}", unit.as_str()), M::TYPE);
        let metrics = self.metrics.sub_registry_with_prefix(self.room);
        metrics.register_with_unit(name, help, unit, metric);
    }

    fn note(&mut self, name: &str, kind: Kind) {
        let name = format!("augenmass_{}_{name}", self.room);
        match kind {
            Kind::Counter => self.series.push((format!("{name}_total"), MetricType::Counter)),
            Kind::Gauge => self.series.push((name, MetricType::Gauge)),
            Kind::Histogram => {
                for part in ["bucket", "sum", "count"] {
                    self.series.push((format!("{name}_{part}"), MetricType::Counter));
                }
            }
            Kind::Info | Kind::Unknown => self.series.push((name, MetricType::Unknown)),
        }
    }
}
