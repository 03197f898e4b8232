//! Numbers and strings as Go writes and reads them.

/// `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            c => push_escaped(&mut quoted, c),
        }
    }
    quoted.push('"');
    quoted
}

/// One character as it stands between quotes, the quotes themselves left alone.
fn push_escaped(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if u32::from(c) < 0x20 || c == '\u{7f}' => {
            out.push_str(&format!("\\x{:02x}", u32::from(c)))
        }
        // Go quotes what does not print: control characters, other spaces, private use.
        c if c.is_control() || (c != ' ' && c.is_whitespace()) || is_invisible(c) => {
            let code = u32::from(c);
            let escaped =
                if code < 0x1_0000 { format!("\\u{code:04x}") } else { format!("\\U{code:08x}") };
            out.push_str(&escaped);
        }
        c => out.push(c),
    }
}

fn is_invisible(c: char) -> bool {
    matches!(u32::from(c), 0xad | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f | 0xe000..=0xf8ff | 0xfeff)
}

/// `strconv.Unquote` for `"…"`, `` `…` `` and `'…'`. `None` when it is no such literal.
pub(super) fn unquote(literal: &str) -> Option<String> {
    if let Some(raw) = literal.strip_prefix('`') {
        return Some(raw.strip_suffix('`')?.replace('\r', ""));
    }
    let quote = literal.chars().next().filter(|c| ['"', '\''].contains(c))?;
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    let mut bytes = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            push_char(&mut bytes, c);
            continue;
        }
        match chars.next()? {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            c if c == quote => push_char(&mut bytes, c),
            'x' => bytes.push(u8::try_from(digits(&mut chars, 2, 16)?).ok()?),
            'u' => push_char(&mut bytes, char::from_u32(digits(&mut chars, 4, 16)?)?),
            'U' => push_char(&mut bytes, char::from_u32(digits(&mut chars, 8, 16)?)?),
            c @ '0'..='7' => {
                let rest = digits(&mut chars, 2, 8)?;
                bytes.push(u8::try_from(c.to_digit(8)? * 64 + rest).ok()?);
            }
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn digits(chars: &mut std::str::Chars<'_>, count: usize, radix: u32) -> Option<u32> {
    let mut value = 0u32;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(chars.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

/// A float as Go's `%v` prints it: as short as possible, with an exponent (of at least two digits)
/// below 1e-4 and from 1e+06 on.
pub(crate) fn float(value: f64) -> String {
    general(value, None, false)
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        return Some("NaN");
    }
    value.is_infinite().then_some(if value > 0.0 { "+Inf" } else { "-Inf" })
}

/// `%g` with a precision (significant digits) or the shortest form that reads back the same.
pub(crate) fn general(value: f64, precision: Option<usize>, keep_zeros: bool) -> String {
    if let Some(name) = special(value) {
        return name.to_owned();
    }
    let wanted = precision.map(|p| p.max(1));
    let scientific = match wanted {
        Some(p) => format!("{value:.*e}", p - 1),
        None => format!("{value:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.trim_start_matches('-').replace('.', "");
    let significant = digits.trim_end_matches('0').len().max(1);
    // Go writes an exponent from here on: six digits for the shortest form, else the precision,
    // unless the digits already end before the point.
    let limit = match wanted {
        None => 6,
        Some(p) if p > significant && significant > usize::try_from(exponent).unwrap_or(0) => {
            significant
        }
        Some(p) => p,
    };
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let trim = |text: String| {
        if keep_zeros || !text.contains('.') {
            text
        } else {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    if exponent < -4 || exponent >= limit {
        return format!("{}e{}{:02}", trim(mantissa.to_owned()), sign_of(exponent), exponent.abs());
    }
    let decimals = match wanted {
        Some(p) => (i32::try_from(p).unwrap_or(0) - 1 - exponent).max(0),
        None => (i32::try_from(digits.len()).unwrap_or(0) - 1 - exponent).max(0),
    };
    trim(format!("{value:.*}", usize::try_from(decimals).unwrap_or(0)))
}

fn sign_of(exponent: i32) -> char {
    if exponent < 0 { '-' } else { '+' }
}

/// `%e`.
pub(super) fn exponential(value: f64, precision: usize) -> String {
    if let Some(name) = special(value) {
        return name.to_owned();
    }
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", sign_of(exponent), exponent.abs())
}

/// `%f`.
pub(super) fn fixed(value: f64, precision: usize) -> String {
    special(value).map_or_else(|| format!("{value:.precision$}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (1_234_567.891, "1.234567891e+06"),
            (1e21, "1e+21"),
            (0.1, "0.1"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-1.234e-6, "-1.234e-06"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (123_456.0, "123456"),
        ] {
            assert_eq!(float(value), text);
        }
        assert_eq!(general(1_234_567.0, Some(4), false), "1.235e+06");
        assert_eq!(general(999.0, Some(4), false), "999");
        assert_eq!(general(0.00012, Some(4), false), "0.00012");
        assert_eq!(general(1234.0, Some(4), false), "1234");
        assert_eq!(general(100.0, Some(4), false), "100");
    }

    #[test]
    fn quotes_go_both_ways() {
        assert_eq!(quote("a\"b\\c\n\u{1}ü日"), "\"a\\\"b\\\\c\\n\\x01ü日\"");
        assert_eq!(unquote("\"\\u00fc\\n\\x41\\101\"").as_deref(), Some("ü\nAA"));
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(unquote("'\\''").as_deref(), Some("'"));
        assert_eq!(unquote("\"\\q\""), None);
    }
}
