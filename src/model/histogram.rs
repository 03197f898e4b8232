/// A native histogram (Prometheus): exponential buckets (schema −4…8) or custom buckets
/// (schema −53), counts as floats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// What is known about a counter reset before this sample.
    pub reset: CounterReset,
    /// Resolution: bucket borders grow by 2^(2^-schema); [`Histogram::CUSTOM_BUCKETS`] for
    /// custom borders.
    pub schema: i32,
    /// Half width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations.
    pub sum: f64,
    /// Runs of buckets for positive observations.
    pub positive_spans: Vec<Span>,
    /// Absolute counts, one for each bucket of `positive_spans`.
    pub positive: Vec<f64>,
    /// Runs of buckets for negative observations.
    pub negative_spans: Vec<Span>,
    /// Absolute counts, one for each bucket of `negative_spans`.
    pub negative: Vec<f64>,
    /// Upper borders, ascending, without `+Inf`; only with custom buckets.
    pub custom_values: Vec<f64>,
}

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the bucket behind the span before; for the first span the index of its first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What is known about a counter reset between the sample before and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterReset {
    /// Nothing: it must be found by comparison.
    #[default]
    Unknown,
    /// There was one.
    Reset,
    /// There was none.
    NotReset,
    /// It is no counter.
    Gauge,
}

impl Histogram {
    /// The schema of histograms with custom bucket borders.
    pub const CUSTOM_BUCKETS: i32 = -53;

    /// Whether the sum is the staleness marker, which ends a histogram series.
    pub fn is_stale(&self) -> bool {
        super::is_stale(self.sum)
    }
}
