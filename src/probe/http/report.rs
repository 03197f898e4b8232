use std::net::IpAddr;
use std::time::Duration;

use http::Version;
use http::header::LAST_MODIFIED;

use super::Findings;
use crate::model::{MetricMeta, MetricType};
use crate::probe::failure::{Failure, human};
use crate::probe::tls::push_readings;
use crate::probe::{Observation, Outcome, Reading, seconds};

/// What a look at a web page says: the names of blackbox_exporter.
pub static METRICS: &[MetricMeta] = &[
    gauge("probe_dns_lookup_time_seconds", "seconds", "How long resolving the name took."),
    gauge("probe_ip_protocol", "", "IP version that was connected to (4 or 6)."),
    gauge(
        "probe_ip_addr_hash",
        "",
        "Hash of the server's address (FNV-1a, 32 bits): tells that it changed.",
    ),
    gauge(
        "probe_http_duration_seconds",
        "seconds",
        "How long each phase took, all redirects together; phases that were not reached are absent.",
    ),
    gauge("probe_http_status_code", "", "Status of the last answer, 0 without one."),
    gauge(
        "probe_http_content_length",
        "bytes",
        "Length that the server announced, -1 when it did not.",
    ),
    gauge("probe_http_uncompressed_body_length", "bytes", "Length of the body that was read."),
    gauge("probe_http_redirects", "", "How many redirects were followed."),
    gauge("probe_http_ssl", "", "Whether the last page was encrypted (1) or not (0)."),
    gauge("probe_http_version", "", "Version of HTTP that the server answered with."),
    gauge(
        "probe_http_last_modified_timestamp_seconds",
        "seconds",
        "The answer's Last-Modified; Unix time.",
    ),
    gauge(
        "probe_failed_due_to_regex",
        "",
        "Whether the body was the reason of a failure (1) or not (0).",
    ),
];

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> MetricMeta {
    MetricMeta { name, kind: MetricType::Gauge, unit, help }
}

pub(super) fn outcome(
    findings: &Findings,
    verdict: Result<(), Failure>,
    took: Duration,
) -> Outcome {
    match verdict {
        Ok(()) => Observation::up(human(took), readings(findings)).into(),
        Err(Failure::Theirs(cause)) => Observation::down(cause, readings(findings)).into(),
        Err(Failure::Ours(obstacle)) => obstacle.into(),
    }
}

fn readings(findings: &Findings) -> Vec<Reading> {
    let mut all = Vec::with_capacity(32);
    let phases = &findings.phases;
    if let Some(took) = phases.resolve {
        all.push(Reading::new("probe_dns_lookup_time_seconds", seconds(took)));
    }
    if let Some(peer) = findings.peer {
        let version = if peer.is_ipv4() { 4.0 } else { 6.0 };
        all.push(Reading::new("probe_ip_protocol", version));
        all.push(Reading::new("probe_ip_addr_hash", f64::from(fnv(peer))));
    }
    let named = [
        ("resolve", phases.resolve),
        ("connect", phases.connect),
        ("tls", phases.tls),
        ("processing", phases.processing),
        ("transfer", phases.transfer),
    ];
    for (phase, took) in named {
        let Some(took) = took else { continue };
        let reading = Reading::new("probe_http_duration_seconds", seconds(took));
        all.push(reading.with("phase", phase));
    }
    let answer = findings.answer.as_ref();
    let status = answer.map_or(0, |answer| answer.status.as_u16());
    all.push(Reading::new("probe_http_status_code", f64::from(status)));
    let flag = |is: bool| f64::from(u8::from(is));
    #[allow(clippy::cast_precision_loss)] // exact up to 9 PB
    let bytes = |length: u64| length as f64;
    if let Some(answer) = answer {
        let announced = answer.announced.map_or(-1.0, bytes);
        all.push(Reading::new("probe_http_content_length", announced));
        all.push(Reading::new("probe_http_uncompressed_body_length", bytes(answer.length)));
        all.push(Reading::new("probe_http_version", version(answer.version)));
    }
    all.push(Reading::new("probe_http_redirects", f64::from(findings.redirects)));
    all.push(Reading::new("probe_http_ssl", flag(findings.https)));
    let modified = answer.and_then(|answer| answer.headers.get(LAST_MODIFIED));
    if let Some(at) = modified.and_then(|value| http_date(value.to_str().ok()?)) {
        all.push(Reading::new("probe_http_last_modified_timestamp_seconds", at));
    }
    all.push(Reading::new("probe_failed_due_to_regex", flag(findings.regex_failed)));
    if let Some(shaken) = &findings.shaken {
        push_readings(shaken, &mut all);
    }
    all
}

fn version(version: Version) -> f64 {
    match version {
        Version::HTTP_10 => 1.0,
        Version::HTTP_2 => 2.0,
        _ => 1.1,
    }
}

/// Unix time of an HTTP date (RFC 9110 §5.6.7, the one form that servers send).
fn http_date(text: &str) -> Option<f64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    #[allow(clippy::cast_precision_loss)] // whole seconds within the calendar
    Some(time.as_second() as f64)
}

/// FNV-1a over the address' octets, as blackbox_exporter does.
fn fnv(address: IpAddr) -> u32 {
    let octets: &[u8] = match &address {
        IpAddr::V4(four) => &four.octets(),
        IpAddr::V6(six) => &six.octets(),
    };
    octets
        .iter()
        .fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_of_http_is_unix_time() {
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777.0));
        assert_eq!(http_date("yesterday"), None);
    }
}
