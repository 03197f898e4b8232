//! Time spans and sizes as people write them.

use std::time::Duration;

const SPANS: &[(&str, u64)] = &[
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
    ("y", 31_536_000_000),
];

const MOST_MILLIS: u64 = i64::MAX as u64 / 1_000_000;

/// `500ms`, `15s`, `1h30m`, `7d`: Prometheus' notation, units in falling order, each once.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let (mut millis, mut last_unit) = (0u64, u64::MAX);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (_, unit) = SPANS.iter().find(|(name, _)| *name == &rest[..end])?;
        if *unit >= last_unit {
            return None;
        }
        last_unit = *unit;
        millis = millis.checked_add(number.checked_mul(*unit)?)?;
        rest = &rest[end..];
    }
    // As far as the nanoseconds of Prometheus reach: 292 years.
    (millis <= MOST_MILLIS).then(|| Duration::from_millis(millis))
}

/// The shortest way to write a span.
pub fn show_duration(span: Duration) -> String {
    let mut millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in SPANS.iter().rev().filter(|(name, _)| !matches!(*name, "w" | "y")) {
        if millis >= *unit {
            text.push_str(&format!("{}{name}", millis / unit));
            millis %= unit;
        }
    }
    text
}

/// `1000`, `512KiB`, `10MiB`, `1GiB`, `10MB` in bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_are_read_as_prometheus_reads_them() {
        let millis = |text| parse_duration(text).map(|span| span.as_millis());
        assert_eq!(millis("1h30m"), Some(5_400_000));
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("1d12h"), Some(129_600_000));
        for bad in ["", "5", "5x", "30m1h", "5m5m", "-5s", "1.5h", "99999999999999999999s"] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("10MiB"), Some(10 << 20));
        assert_eq!(parse_size("10 MB"), Some(10_000_000));
        assert_eq!(parse_size("ten"), None);
        assert_eq!(parse_size("99999999999TiB"), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(millis in 0u64..10_000_000_000) {
            let span = Duration::from_millis(millis);
            prop_assert_eq!(parse_duration(&show_duration(span)), Some(span));
        }
    }
}
