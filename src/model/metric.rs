/// The kind of a metric, as exposition formats name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MetricType {
    /// Only grows, or starts again at zero.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
    /// Quantiles, sum and count.
    Summary,
    /// Constant 1 with facts as labels.
    Info,
    /// One series for each state.
    StateSet,
    /// A histogram that is no counter.
    GaugeHistogram,
    /// Not told.
    Unknown,
}

/// What a metric means: one line in the catalogue of the room that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricMeta {
    /// Name of the family as Prometheus' text format 0.0.4 knows it (a counter with `_total`).
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricType,
    /// Base unit (`seconds`, `bytes`, `ratio` …), empty when it has none.
    pub unit: &'static str,
    /// One sentence for the reader of `/metrics`.
    pub help: &'static str,
}
