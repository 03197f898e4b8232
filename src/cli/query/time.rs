//! Times as people write them, and as the API wants them.

use std::time::Duration;

use crate::config::parse_duration;
use crate::model::Timestamp;

/// `now`, `now-6h`, `-6h`, `1780272000`, `2026-06-01T08:00:00Z`.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    let rest = text.strip_prefix("now").unwrap_or(text);
    if rest.is_empty() {
        return Ok(now);
    }
    let length = rest.get(1..).and_then(|length| parse_duration(length.trim()));
    match (rest.as_bytes()[0], length) {
        (b'-', Some(length)) => return Ok(earlier(now, length)),
        (b'+', Some(length)) => return Ok(now + length),
        _ => {}
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_seconds(seconds).ok_or_else(|| format!("`{text}` is out of range"));
    }
    let wanted = "expected `now`, a length before now such as `-6h`, seconds since 1970, or \
                  RFC 3339 such as 2026-06-01T08:00:00Z";
    let parsed = text.parse::<jiff::Timestamp>();
    let parsed = parsed.map_err(|_| format!("`{text}` is no time: {wanted}"))?;
    Ok(Timestamp::from_millis(parsed.as_millisecond()))
}

fn earlier(now: Timestamp, length: Duration) -> Timestamp {
    let millis = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.millis().saturating_sub(millis))
}

/// Seconds with three digits: what every server reads.
pub fn for_api(at: Timestamp) -> String {
    let millis = at.millis();
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    format!("{sign}{seconds}.{rest:03}")
}

/// A round step with which a range gives about two values for each column of the terminal.
pub fn step_for(from: Timestamp, to: Timestamp, width: usize) -> Duration {
    const ROUND: [u64; 18] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 21_600, 43_200,
        86_400,
    ];
    let seconds = to.since(from).unwrap_or_default().as_secs();
    let least = seconds.div_ceil(2 * width.max(1) as u64);
    let round = ROUND.iter().find(|step| **step >= least);
    let days = least.div_ceil(86_400).max(1);
    Duration::from_secs(round.copied().unwrap_or(days * 86_400))
}
