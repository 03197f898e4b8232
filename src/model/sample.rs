use std::sync::Arc;

use super::{Histogram, Labels, Timestamp};

/// The bits of Prometheus' staleness marker: the NaN that says "this series ended here".
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Prometheus' staleness marker as a number. Compare with [`is_stale`], never with `==`.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// Whether a value is the staleness marker, and not any other NaN.
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// What a series holds at one instant.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A number, bit for bit; never the staleness marker.
    Float(f64),
    /// The series ended here.
    Stale,
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One value of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Which series.
    pub labels: Labels,
    /// Its value.
    pub point: Point,
}

/// What one probe, one scrape or one rule group yields: many series at one instant.
///
/// A source that yields the same series in the same order each time (with cheaply cloned
/// [`Labels`]) is recognised by storage and costs no look-up per series.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who measured: `probe/<kind>/<target>`, `rules/<file>;<group>`, `write/<tenant>` …
    /// Storage keeps one frame for each source.
    pub source: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// The series, each once. Where a series stands twice the last one wins.
    pub rows: Vec<Row>,
}

impl Batch {
    /// A batch without rows.
    pub fn new(source: Arc<str>, at: Timestamp) -> Self {
        Self { source, at, rows: Vec::new() }
    }

    /// Adds a row. A float that is the staleness marker becomes [`Point::Stale`].
    pub fn push(&mut self, labels: Labels, value: f64) {
        let point = if is_stale(value) { Point::Stale } else { Point::Float(value) };
        self.rows.push(Row { labels, point });
    }
}

/// Samples of one series in columns: what a query reads. Buffers are reused from series to series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// Instants of `values`, strictly ascending.
    pub times: Vec<Timestamp>,
    /// The numbers; the staleness marker stands in band ([`is_stale`]).
    pub values: Vec<f64>,
    /// Native histograms, instants strictly ascending, none of them in `times`.
    pub histograms: Vec<(Timestamp, Arc<Histogram>)>,
    /// Start timestamps of `values` where the source gave them (remote write 2.0, OpenMetrics
    /// `_created`), either empty or as long as `times`; `Timestamp::MIN` where unset.
    pub starts: Vec<Timestamp>,
    /// The same for `histograms`.
    pub histogram_starts: Vec<Timestamp>,
}

impl Columns {
    /// Empties all columns and keeps their memory.
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.histograms.clear();
        self.starts.clear();
        self.histogram_starts.clear();
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.times.len() + self.histograms.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale(STALE) && STALE.is_nan());
        assert!(!is_stale(f64::NAN));
        let mut batch = Batch::new("test".into(), Timestamp::default());
        batch.push(Labels::empty(), STALE);
        assert_eq!(batch.rows[0].point, Point::Stale);
    }
}
