//! The messages of the remote-write protocol, 1.0 (`prometheus.WriteRequest`) and 2.0
//! (`io.prometheus.write.v2.Request`): <https://prometheus.io/docs/specs/prw/>.

pub mod histogram;
pub mod wire;

use crate::model::MetricType;

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// 1.0: understood by everybody.
    #[default]
    One,
    /// 2.0: smaller, with metadata.
    Two,
}

impl Protocol {
    /// The request's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Protocol::One => "application/x-protobuf",
            Protocol::Two => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The request's `X-Prometheus-Remote-Write-Version`.
    pub fn version(self) -> &'static str {
        match self {
            Protocol::One => "0.1.0",
            Protocol::Two => "2.0.0",
        }
    }

    /// What a `Content-Type` asks for; `None` when it is something else.
    pub fn from_content_type(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        for part in parts {
            let Some((name, value)) = part.split_once('=') else { continue };
            if name.trim().eq_ignore_ascii_case("proto") {
                return match value.trim().trim_matches('"') {
                    "prometheus.WriteRequest" => Some(Protocol::One),
                    "io.prometheus.write.v2.Request" => Some(Protocol::Two),
                    _ => None,
                };
            }
        }
        Some(Protocol::One)
    }
}

/// The kind of a metric by its number, the same in both versions.
pub fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

/// The inverse of [`metric_type`].
pub fn metric_number(kind: MetricType) -> u64 {
    match kind {
        MetricType::Unknown => 0,
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::GaugeHistogram => 4,
        MetricType::Summary => 5,
        MetricType::Info => 6,
        MetricType::StateSet => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let check =
            |text: &str, want| assert_eq!(Protocol::from_content_type(text), want, "{text}");
        check("application/x-protobuf", Some(Protocol::One));
        check("application/x-protobuf;proto=prometheus.WriteRequest", Some(Protocol::One));
        check("application/x-protobuf; proto=io.prometheus.write.v2.Request", Some(Protocol::Two));
        check(Protocol::Two.content_type(), Some(Protocol::Two));
        check("application/x-protobuf;proto=io.prometheus.write.v3.Request", None);
        check("application/json", None);
        check("", None);
        for number in 0..8 {
            assert_eq!(metric_number(metric_type(number)), number);
        }
    }
}
