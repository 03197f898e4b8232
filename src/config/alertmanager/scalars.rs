//! Single values as Go's YAML 1.1 reads them into what a field wants.

use std::time::Duration;

use super::super::reader::Reader;
use super::super::yaml::{Kind, Node};
use super::plain;

/// Text; nothing and no characters count as absent.
pub(super) fn filled<'n>(node: &'n Node, what: &str, reader: &mut Reader<'_>) -> Option<&'n str> {
    plain(node, what, reader).filter(|text| !text.is_empty())
}

/// Text that must have characters, be it blanks.
pub(super) fn some_text<'n>(
    node: &'n Node,
    what: &str,
    reader: &mut Reader<'_>,
) -> Option<&'n str> {
    match plain(node, what, reader)? {
        "" => reader.expected(node, what, "a text"),
        text => Some(text),
    }
}

/// `true`, `yes`, `on`, `y` and their opposites, in small letters, capitals, or with one.
pub(super) fn flag(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<bool> {
    let Kind::Scalar { text, plain: true } = &node.kind else {
        return reader.boolean(node, what);
    };
    let fits = |word: &str| {
        let (first, rest) = word.split_at(1);
        let shapes = [word.to_owned(), word.to_uppercase(), first.to_uppercase() + rest];
        shapes.contains(text)
    };
    match text.as_str() {
        _ if ["true", "yes", "on", "y"].into_iter().any(fits) => Some(true),
        _ if ["false", "no", "off", "n"].into_iter().any(fits) => Some(false),
        _ => reader.boolean(node, what),
    }
}

/// A whole number: `10`, `1_000`, `0x10`, `0b11`, `0o17` and `017`; of others what is before the
/// point.
pub(super) fn whole(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<u64> {
    let number = match &node.kind {
        Kind::Scalar { text, plain: true } => number(text).filter(|number| *number >= 0.0),
        _ => None,
    };
    match number {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates.
        Some(number) => Some(number as u64),
        None => reader.expected(node, what, "a whole number"),
    }
}

fn number(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let radix = |prefix: &str, radix| u64::from_str_radix(digits.strip_prefix(prefix)?, radix).ok();
    let whole = radix("0x", 16).or_else(|| radix("0b", 2)).or_else(|| radix("0o", 8));
    let whole = whole.or_else(|| radix("0", 8));
    #[allow(clippy::cast_precision_loss)]
    let number = whole.map(|whole| whole as f64).or_else(|| digits.parse().ok())?;
    Some(if negative { -number } else { number })
}

/// Go's `time.Duration`: `1h30m`, `1.5h`, `100us`; a number alone is nanoseconds. What is not more
/// than nothing is zero.
pub(super) fn go_duration(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Duration> {
    let nanos = match &node.kind {
        Kind::Scalar { text, plain } => {
            plain.then(|| number(text)).flatten().or_else(|| nanoseconds(text))
        }
        _ => None,
    };
    // As far as Go's 64 bits reach.
    let nanos = nanos.filter(|nanos| nanos.abs() < 9.2e18);
    match nanos {
        Some(nanos) => Some(Duration::from_secs_f64(nanos.max(0.0) / 1e9)),
        None => reader.expected(node, what, "a time such as `30s`, `5m` or `1h30m`"),
    }
}

fn nanoseconds(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1.0),
        ("us", 1e3),
        ("\u{b5}s", 1e3),
        ("\u{3bc}s", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 6e10),
        ("h", 3.6e12),
    ];
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0.0);
    }
    let mut all = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let of_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, behind) = rest.split_at(rest.find(|c| !of_number(c))?);
        let (unit, behind) = behind.split_at(behind.find(of_number).unwrap_or(behind.len()));
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        all += number.parse::<f64>().ok()? * nanos;
        rest = behind;
    }
    Some(if negative { -all } else { all })
}

/// Whether Go's `url.Parse` refuses it, which takes nearly every text for a relative address.
pub(super) fn is_no_url_at_all(text: &str) -> bool {
    if text.chars().any(|c| c.is_ascii_control()) {
        return true;
    }
    let text = text.split('#').next().unwrap_or("");
    let in_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    match scheme {
        Some("") => true,
        Some(scheme)
            if scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.chars().all(in_scheme) =>
        {
            false
        }
        _ => {
            let first = text.split(['/', '?']).next().unwrap_or("");
            first.contains(':')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_go_reads_them() {
        let read = |text| number(text);
        assert_eq!(read("1_000"), Some(1000.0));
        assert_eq!(
            (read("0x10"), read("0b11"), read("0o17"), read("017")),
            (Some(16.0), Some(3.0), Some(15.0), Some(15.0))
        );
        assert_eq!((read("1e3"), read("9.5"), read("-1")), (Some(1000.0), Some(9.5), Some(-1.0)));
        assert!([".inf", "nan", "", "x", "1h"].into_iter().all(|text| read(text).is_none()));
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(nanoseconds("1.5h"), Some(5.4e12));
        assert_eq!((nanoseconds("30m1h"), nanoseconds("1h1h")), (Some(5.4e12), Some(7.2e12)));
        assert_eq!((nanoseconds("-5m"), nanoseconds("0")), (Some(-3e11), Some(0.0)));
        assert!(
            ["", "1d", "1y", "5", "h", "1 h"].into_iter().all(|text| nanoseconds(text).is_none())
        );
    }

    #[test]
    fn addresses_that_go_refuses() {
        let refused = ["12:30", ":x", "a\nb", "190:20:30", "1a:b/c"];
        assert!(refused.into_iter().all(is_no_url_at_all));
        let taken = ["x", "http://x", "a:b", "x/12:30", "", "?a:b"];
        assert!(!taken.into_iter().any(is_no_url_at_all));
    }
}
