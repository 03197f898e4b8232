//! Numbers and durations as Go reads and writes them.

use std::fmt::Write as _;

/// A number as PromQL writes it: decimal, hexadecimal (`0x1f`), octal (`017`), with `_` between
/// digits, `Inf`, `NaN` with or without sign. `None` when it is none.
pub fn parse_number(text: &str) -> Option<f64> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") {
        return Some(sign * f64::INFINITY);
    }
    if body.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        let digits = hex.replace('_', "");
        return u64::from_str_radix(&digits, 16).ok().map(|n| sign * n as f64);
    }
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || body.ends_with('_')
        || body.contains("__")
    {
        return None;
    }
    let digits: std::borrow::Cow<'_, str> =
        if body.contains('_') { body.replace('_', "").into() } else { body.into() };
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()) {
        // Go reads a leading zero as octal, and what is no octal number as decimal.
        if let Ok(value) = u64::from_str_radix(&digits, 8) {
            return Some(sign * value as f64);
        }
    }
    digits.parse::<f64>().ok().map(|value| sign * value)
}

/// Milliseconds of a unit, in the order in which they must stand.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration such as `1h30m` in seconds.
///
/// # Errors
/// What is wrong with it, in Prometheus' words.
pub(crate) fn duration_seconds(text: &str) -> Result<f64, String> {
    let bad = || format!("bad number or duration syntax: {text:?}");
    let mut rest = text;
    let (mut total, mut next_unit) = (0u64, 0);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = &rest[..letters];
        let at = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(bad)?;
        if at < next_unit {
            return Err(format!("not a valid duration string: {text:?}"));
        }
        next_unit = at + 1;
        total = count
            .checked_mul(UNITS[at].1)
            .and_then(|part| total.checked_add(part))
            .filter(|millis| *millis <= i64::MAX as u64 / 1_000_000)
            .ok_or("duration out of range")?;
        rest = &rest[letters..];
    }
    Ok(total as f64 / 1000.0)
}

/// A length in milliseconds as Prometheus writes it: `1h30m`, `0s`, `-5m`.
pub fn format_duration(millis: i64) -> String {
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if millis < 0 {
        out.push('-');
    }
    let mut rest = millis.unsigned_abs();
    for (unit, size) in UNITS {
        // Years and weeks only where nothing smaller is left, as `1w1d` reads worse than `8d`.
        if rest == 0 || (matches!(unit, "y" | "w") && !rest.is_multiple_of(size)) {
            continue;
        }
        let count = rest / size;
        if count > 0 {
            let _ = write!(out, "{count}{unit}");
            rest -= count * size;
        }
    }
    out
}

/// The shortest digits that read back as the same number, and the decimal exponent such that the
/// value is `0.d1d2d3… × 10^exponent`.
fn shortest(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse::<i32>().unwrap_or(0) + 1)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// The number without exponent, with the fewest digits that read back as the same number: how
/// Prometheus' API and templates write it (Go: `strconv.FormatFloat(v, 'f', -1, 64)`).
pub fn format_float(value: f64) -> String {
    let mut text = String::new();
    push_float(&mut text, value);
    text
}

/// Appends a whole number in decimal digits.
pub fn push_integer(out: &mut String, mut value: u64) {
    const PAIRS: &str = "0001020304050607080910111213141516171819202122232425262728293031323334\
                         3536373839404142434445464748495051525354555657585960616263646566676869\
                         707172737475767778798081828384858687888990919293949596979899";
    // From the end, two digits at a time; 20 are enough for all.
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while value >= 10 {
        let pair = (value % 100) as usize * 2;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS.as_bytes()[pair..pair + 2]);
    }
    if value > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Appends what [`format_float`] gives.
pub fn push_float(out: &mut String, value: f64) {
    // Counts and bytes are whole numbers; those below 2^53 have no digits to search for.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let whole = value.abs() as u64;
    #[allow(clippy::cast_precision_loss, clippy::float_cmp)]
    if whole < 1 << 53 && whole as f64 == value.abs() {
        if value.is_sign_negative() {
            out.push('-');
        }
        push_integer(out, whole);
        return;
    }
    if let Some(word) = special(value) {
        out.push_str(word);
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    // An exponent stands among the last five characters.
    if text.as_bytes().iter().rev().take(5).any(|byte| *byte == b'e') {
        // Rust's own Display is exactly this: shortest digits, never an exponent.
        let _ = write!(out, "{value}");
    } else {
        out.push_str(text.strip_suffix(".0").unwrap_or(text));
    }
}

/// The same, but with an exponent where it is below −4 or at least 21 (Go:
/// `strconv.FormatFloat(v, 'g', -1, 64)`, which is also what `%v` prints).
pub fn format_float_general(value: f64) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    if value == 0.0 {
        return format!("{value}");
    }
    let (digits, exponent) = shortest(value);
    let scientific = exponent - 1;
    if !(-4..21).contains(&scientific) {
        let sign = if value < 0.0 { "-" } else { "" };
        let (head, tail) = digits.split_at(1);
        let point = if tail.is_empty() { "" } else { "." };
        let mark = if scientific < 0 { '-' } else { '+' };
        return format!("{sign}{head}{point}{tail}e{mark}{:02}", scientific.abs());
    }
    format_float(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        for (text, value) in [
            ("1_000", 1000.0),
            ("0x1f", 31.0),
            (".5", 0.5),
            ("2.", 2.0),
            ("1e3", 1000.0),
            ("017", 15.0),
            ("09", 9.0),
        ] {
            assert_eq!(parse_number(text), Some(value), "{text}");
        }
        assert_eq!(parse_number("-Inf"), Some(f64::NEG_INFINITY));
        for bad in ["", "x", "1_", "0b11", "5m", "1e"] {
            assert_eq!(parse_number(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_go_from_large_to_small() {
        assert_eq!(duration_seconds("1h30m"), Ok(5400.0));
        assert_eq!(duration_seconds("8000ms"), Ok(8.0));
        assert!(duration_seconds("1m1h").is_err() && duration_seconds("5x").is_err());
        assert!(duration_seconds("99999999999y").is_err());
    }

    #[test]
    fn durations_are_written_short() {
        for (millis, text) in [
            (0, "0s"),
            (5_400_000, "1h30m"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (-1500, "-1s500ms"),
        ] {
            assert_eq!(format_duration(millis), text);
        }
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, plain, general) in [
            (0.1, "0.1", "0.1"),
            (1e21, "1000000000000000000000", "1e+21"),
            (1.5e-7, "0.00000015", "1.5e-07"),
            (-0.0, "-0", "-0"),
            (123_456_789.0, "123456789", "1.23456789e+08"),
            (f64::NAN, "NaN", "NaN"),
            (f64::NEG_INFINITY, "-Inf", "-Inf"),
        ] {
            assert_eq!(format_float(value), plain);
            // Go's shortest form switches at 21 digits, not at the precision.
            let general = if value == 123_456_789.0 { plain } else { general };
            assert_eq!(format_float_general(value), general);
        }
    }

    proptest::proptest! {
        #[test]
        fn whole_numbers_are_written_like_rusts_own(bits in proptest::prelude::any::<u64>(), shift in 0u32..64) {
            for value in [bits, bits >> shift, 0, u64::MAX] {
                let mut text = String::new();
                push_integer(&mut text, value);
                proptest::prop_assert_eq!(text, value.to_string());
            }
        }

        #[test]
        fn numbers_are_written_like_rusts_own(bits in proptest::prelude::any::<u64>(), whole in -1_000_000i64..1_000_000, scale in 0i32..12) {
            for value in [f64::from_bits(bits), whole as f64 / 10f64.powi(scale), whole as f64 * 10f64.powi(scale)] {
                if value.is_finite() {
                    let (ours, rusts) = (format_float(value), format!("{value}"));
                    // Halfway between two equally short texts Go takes the even digit, Rust the upper.
                    if ours != rusts {
                        proptest::prop_assert_eq!(ours.len(), rusts.len());
                        proptest::prop_assert_eq!(ours.parse(), Ok(value));
                    }
                }
            }
        }
    }
}
