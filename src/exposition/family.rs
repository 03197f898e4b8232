use crate::model::{Labels, MetricType, Timestamp};

/// A metric with everything that a page says about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Name as text format 0.0.4 knows it: a counter with `_total`, an info metric with `_info`,
    /// a histogram without `_bucket`.
    pub name: String,
    /// One sentence; empty when there is none.
    pub help: String,
    /// Its kind.
    pub kind: MetricType,
    /// Base unit; empty when it has none.
    pub unit: String,
    /// Its samples, each with its own metric name (`…_bucket`, `…_sum` …).
    pub samples: Vec<Sample>,
}

/// One line of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Metric name and labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// When, where the page says so.
    pub at: Option<Timestamp>,
    /// An example of what was counted.
    pub exemplar: Option<Exemplar>,
}

/// An example of what was counted (OpenMetrics 1.0, "Exemplars").
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// What names it.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
    /// When it was seen.
    pub at: Option<Timestamp>,
}

impl Sample {
    /// A sample of now.
    pub fn new(labels: Labels, value: f64) -> Self {
        Self { labels, value, at: None, exemplar: None }
    }
}

/// The name of a sample without the ending that its kind gives it; `None` when it cannot be a
/// sample of that kind.
pub(super) fn stem(sample: &str, kind: MetricType) -> Option<&str> {
    let endings: &[&str] = match kind {
        MetricType::Counter => &["_total", "_created"],
        MetricType::Histogram => &["_bucket", "_sum", "_count", "_created"],
        MetricType::GaugeHistogram => &["_bucket", "_gsum", "_gcount"],
        MetricType::Summary => &["_sum", "_count", "_created"],
        MetricType::Info => &["_info"],
        MetricType::Gauge | MetricType::StateSet | MetricType::Unknown => &[],
    };
    endings.iter().find_map(|ending| sample.strip_suffix(ending))
}

/// The words of OpenMetrics 1.0; `untyped` is text 0.0.4's word for `unknown`.
pub(super) fn kind_word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary => "summary",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
        MetricType::GaugeHistogram => "gaugehistogram",
        MetricType::Unknown => "unknown",
    }
}

pub(super) fn kind_from_word(word: &[u8], openmetrics: bool) -> Option<MetricType> {
    Some(match (word, openmetrics) {
        (b"counter", _) => MetricType::Counter,
        (b"gauge", _) => MetricType::Gauge,
        (b"histogram", _) => MetricType::Histogram,
        (b"summary", _) => MetricType::Summary,
        (b"untyped", false) | (b"unknown", true) => MetricType::Unknown,
        (b"info", true) => MetricType::Info,
        (b"stateset", true) => MetricType::StateSet,
        (b"gaugehistogram", true) => MetricType::GaugeHistogram,
        _ => return None,
    })
}
