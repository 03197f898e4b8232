//! Numbers for people, as Prometheus and Alertmanager write them.

use super::text::general;
use super::time::GoTime;
use super::value::Value;

/// What Prometheus accepts as a number.
///
/// # Errors
/// It is none.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Float(value) => Ok(*value),
        Value::Int(value) => Ok(*value as f64),
        Value::Duration(nanos) => Ok(*nanos as f64 / 1e9),
        Value::Text(text) => parse_float(text)
            .ok_or_else(|| format!("strconv.ParseFloat: parsing {text:?}: invalid syntax")),
        other => Err(format!("can't convert {} to float", other.type_name())),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let bare = lower.trim_start_matches(['+', '-']);
    if lower.len() - bare.len() > 1 {
        return None;
    }
    let named = matches!(bare, "inf" | "infinity" | "nan");
    let digits = bare.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    (named || digits).then(|| lower.parse().ok()).flatten()
}

fn four(value: f64) -> String {
    general(value, Some(4), false)
}

/// SI prefixes.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || value.is_nan() || value.is_infinite() {
        return four(value);
    }
    let (mut value, mut prefix) = (value, "");
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1000.0 {
                break;
            }
            prefix = next;
            value /= 1000.0;
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            prefix = next;
            value *= 1000.0;
        }
    }
    four(value) + prefix
}

/// Binary prefixes.
pub(super) fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || value.is_nan() || value.is_infinite() {
        return four(value);
    }
    let (mut value, mut prefix) = (value, "");
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1024.0 {
            break;
        }
        prefix = next;
        value /= 1024.0;
    }
    four(value) + prefix
}

/// A ratio as per cent.
pub(super) fn percentage(value: f64) -> String {
    format!("{}%", four(value * 100.0))
}

/// Go's conversion saturates on this machine's processor in a particular way: out of range is the
/// smallest integer.
#[allow(clippy::cast_possible_truncation)]
fn to_int(value: f64) -> i64 {
    if value.is_nan() || !(-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&value) {
        i64::MIN
    } else {
        value as i64
    }
}

/// Seconds as days, hours, minutes and seconds.
pub(super) fn duration(value: f64) -> String {
    if value.is_nan() || value.is_infinite() {
        return four(value);
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() >= 1.0 {
        let (sign, size) = if value < 0.0 { ("-", -value) } else { ("", value) };
        let whole = to_int(size);
        let (seconds, minutes) = (whole % 60, (whole / 60) % 60);
        let (hours, days) = ((whole / 60 / 60) % 24, whole / 60 / 60 / 24);
        if days != 0 {
            return format!("{sign}{days}d {hours}h {minutes}m {seconds}s");
        }
        if hours != 0 {
            return format!("{sign}{hours}h {minutes}m {seconds}s");
        }
        if minutes != 0 {
            return format!("{sign}{minutes}m {seconds}s");
        }
        return format!("{sign}{}s", four(size));
    }
    let (mut value, mut prefix) = (value, "");
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    format!("{}{prefix}s", four(value))
}

/// Seconds since 1970 as an instant.
///
/// # Errors
/// No instant.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn to_time(value: f64) -> Result<GoTime, String> {
    if value.is_nan() || value.is_infinite() {
        return Err("value is NaN or Inf".to_owned());
    }
    let nanos = value * 1e9;
    if !(-9.223_372_036_854_776e18..=9.223_372_036_854_776e18).contains(&nanos) {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            super::text::float(value)
        ));
    }
    // Prometheus goes through milliseconds.
    Ok(GoTime::from_nanos(((value * 1000.0) as i64).saturating_mul(1_000_000)))
}

/// `humanizeTimestamp`.
///
/// # Errors
/// No instant.
pub(super) fn timestamp(value: f64) -> Result<String, String> {
    if value.is_nan() || value.is_infinite() {
        return Ok(four(value));
    }
    Ok(to_time(value)?.to_string())
}

/// Prometheus' durations (`1h30m`, `2d`) in seconds.
///
/// # Errors
/// It is none.
pub(super) fn parse_duration(text: &str) -> Result<f64, String> {
    let bad = || format!("not a valid duration string: {text:?}");
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0.0),
        _ => {}
    }
    const UNITS: [(&str, u64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut millis, mut unit_after) = (text, 0u64, 0usize);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let found = UNITS.iter().position(|(unit, _)| *unit == &rest[..letters]);
        let index = found.filter(|index| *index >= unit_after).ok_or_else(bad)?;
        unit_after = index + 1;
        rest = &rest[letters..];
        millis = count
            .checked_mul(UNITS[index].1)
            .and_then(|part| millis.checked_add(part))
            .filter(|sum| *sum <= i64::MAX.unsigned_abs() / 1_000_000)
            .ok_or_else(|| "duration out of range".to_owned())?;
    }
    #[allow(clippy::cast_precision_loss)]
    Ok(millis as f64 / 1000.0)
}
