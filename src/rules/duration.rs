use std::time::Duration;

/// A length of time as Prometheus writes it: `1w2d3h4m5s6ms`, each unit at most once and the
/// largest first, whole numbers, or a bare `0`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err("a length of time is missing; write one such as 30s, 5m, 1h30m".to_owned());
    }
    let mut rest = text;
    let mut total = 0u128;
    let mut before = usize::MAX;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() || unit.is_empty() {
            return Err(format!("{text:?} is not a length of time; {EXAMPLE}"));
        }
        let Some(rank) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("unknown unit {unit:?} in the length of time {text:?}; {EXAMPLE}"));
        };
        let rank = UNITS.len() - rank;
        if rank >= before {
            let what = "units stand once each, the largest first";
            return Err(format!("{text:?} is not a length of time: {what}"));
        }
        before = rank;
        let millis = UNITS[UNITS.len() - rank].1;
        let amount: u64 = number.parse().map_err(|_| too_long(text))?;
        total += u128::from(amount) * u128::from(millis);
        rest = tail;
    }
    // Prometheus keeps nanoseconds in 64 bits with a sign: 292 years.
    let most = u128::from(u64::MAX / 2 / 1_000_000);
    u64::try_from(total.min(most + 1))
        .ok()
        .filter(|millis| u128::from(*millis) <= most)
        .map(Duration::from_millis)
        .ok_or_else(|| too_long(text))
}

const EXAMPLE: &str = "write whole numbers with y, w, d, h, m, s or ms, such as 30s, 5m, 1h30m";

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn too_long(text: &str) -> String {
    format!("the length of time {text:?} is too long; at most 292y")
}

/// A length of time as Prometheus prints it: `1h30m`, `0s`, `1500ms`; weeks and years only when
/// nothing else is left.
pub fn format_duration(length: Duration) -> String {
    let mut millis = length.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    let whole = |millis: u128, of: u64| millis.is_multiple_of(u128::from(of));
    for (at, (unit, size)) in UNITS.iter().enumerate() {
        let large = at < 2;
        if large && !whole(millis, *size) {
            continue;
        }
        let count = millis / u128::from(*size);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            millis -= count * u128::from(*size);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_lengths_of_time() {
        let millis = |text: &str| parse_duration(text).unwrap().as_millis();
        assert_eq!(millis("0"), 0);
        assert_eq!(millis("0s"), 0);
        assert_eq!(millis("1h30m"), 5_400_000);
        assert_eq!(millis("1w"), 604_800_000);
        assert_eq!(millis("5m6ms"), 300_006);
        for bad in ["", "5", "5 minutes", "1.5h", "1mo", "-1m", "1m1h", "1m1m", "m", "300y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert!(parse_duration("1mo").unwrap_err().contains("\"mo\""));
        assert!(parse_duration("99999999999999999999s").is_err());
    }

    #[test]
    fn they_print_as_prometheus_prints_them() {
        for text in ["1h30m", "0s", "1s500ms", "1w", "1y", "1d", "5m"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(format_duration(Duration::from_secs(8 * 86_400)), "8d");
    }
}
