use super::Reason;
use super::handshake::Handshake;
use crate::model::{MetricMeta, MetricType, Timestamp};
use crate::probe::Reading;

/// What a handshake says.
pub static METRICS: &[MetricMeta] = &[
    gauge(
        "probe_ssl_earliest_cert_expiry",
        "seconds",
        "The earliest end of all certificates that the server sent, also unneeded ones; Unix time.",
    ),
    gauge(
        "probe_ssl_last_chain_expiry_timestamp_seconds",
        "seconds",
        "Until when the best path to a trust anchor holds; absent when the chain is not trusted.",
    ),
    info("probe_tls_version_info", "TLS version that was agreed on."),
    info("probe_tls_cipher_info", "Cipher suite that was agreed on."),
    gauge(
        "tls_certificate_not_before_timestamp_seconds",
        "seconds",
        "Begin of each certificate by its position in the chain (0 is the server's own).",
    ),
    gauge(
        "tls_certificate_not_after_timestamp_seconds",
        "seconds",
        "End of each certificate by its position in the chain (0 is the server's own).",
    ),
    gauge(
        "tls_certificate_verified",
        "",
        "Whether the chain is trusted for the name (1) or not (0).",
    ),
    info("tls_certificate_verify_failure_info", "Why the chain is not trusted."),
];

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> MetricMeta {
    MetricMeta { name, kind: MetricType::Gauge, unit, help }
}

/// Shown as a gauge that is 1: the text format 0.0.4 knows no info.
const fn info(name: &'static str, help: &'static str) -> MetricMeta {
    gauge(name, "", help)
}

const POSITIONS: [&str; super::chain::LONGEST] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// Adds the values of a handshake; nothing when the server presented no certificate.
pub(in crate::probe) fn push_readings(shaken: &Handshake, into: &mut Vec<Reading>) {
    let Some(judgement) = &shaken.judgement else { return };
    let at = Timestamp::seconds;
    if let Some(end) = judgement.earliest_end() {
        into.push(Reading::new("probe_ssl_earliest_cert_expiry", at(end)));
    }
    if let Some(end) = judgement.path_ends {
        into.push(Reading::new("probe_ssl_last_chain_expiry_timestamp_seconds", at(end)));
    }
    if let Some(version) = shaken.version {
        into.push(Reading::new("probe_tls_version_info", 1.0).with("version", version));
    }
    if let Some(cipher) = shaken.cipher {
        into.push(Reading::new("probe_tls_cipher_info", 1.0).with("cipher", cipher));
    }
    for (position, dates) in POSITIONS.iter().zip(&judgement.dates) {
        let Some(dates) = dates else { continue };
        let before = "tls_certificate_not_before_timestamp_seconds";
        into.push(Reading::new(before, at(dates.not_before)).with("position", *position));
        let after = "tls_certificate_not_after_timestamp_seconds";
        into.push(Reading::new(after, at(dates.not_after)).with("position", *position));
    }
    let verified = f64::from(u8::from(judgement.reasons.is_empty()));
    into.push(Reading::new("tls_certificate_verified", verified));
    for reason in judgement.reasons.iter().copied().map(Reason::name) {
        let info = Reading::new("tls_certificate_verify_failure_info", 1.0);
        into.push(info.with("reason", reason));
    }
}
