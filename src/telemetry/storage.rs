use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Keeping samples.
#[derive(Debug)]
pub struct StorageTelemetry {
    appended: Counter,
    too_old: Counter,
    series: Gauge,
    sources: Gauge,
    chunks: Gauge,
    samples_bytes: Gauge,
}

impl StorageTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            appended: Counter::default(),
            too_old: Counter::default(),
            series: Gauge::default(),
            sources: Gauge::default(),
            chunks: Gauge::default(),
            samples_bytes: Gauge::default(),
        };
        registry.register("samples_appended", "Samples accepted", new.appended.clone());
        registry.register(
            "samples_too_old",
            "Samples refused because they were older than the out-of-order window",
            new.too_old.clone(),
        );
        registry.register("series", "Series with samples in memory", new.series.clone());
        registry.register("sources", "Sources with samples in memory", new.sources.clone());
        registry.register("chunks", "Compressed runs of rows in memory", new.chunks.clone());
        registry.register_with_unit(
            "memory",
            "Memory taken by samples, without labels and index",
            Unit::Bytes,
            new.samples_bytes.clone(),
        );
        new
    }

    /// So many samples were accepted.
    pub fn appended(&self, samples: usize) {
        self.appended.inc_by(samples as u64);
    }

    /// So many samples were refused as too old.
    pub fn too_old(&self, samples: usize) {
        self.too_old.inc_by(samples as u64);
    }

    /// What is in memory.
    pub fn head(&self, series: usize, sources: usize, chunks: usize, samples_bytes: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.series.set(number(series));
        self.sources.set(number(sources));
        self.chunks.set(number(chunks));
        self.samples_bytes.set(number(samples_bytes));
    }
}
