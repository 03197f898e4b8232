//! `fmt.Sprintf` over template values.

use super::builtins::too_long;
use super::text;
use super::value::{ListKind, MapKind, Value};

/// Wider than this is Go's `%!(BADWIDTH)`; Go allows a million, a message needs less.
const WIDEST: usize = 10_000;

/// One `%…`.
#[derive(Clone, Copy, Default)]
struct Directive {
    minus: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
    /// `[n]` where there is no such argument.
    bad_index: bool,
}

/// Formats; no result is longer than `limit`.
///
/// # Errors
/// The result gets too long.
pub(super) fn printf(format: &str, args: &[Value], limit: usize) -> Result<Value, String> {
    let mut out = String::new();
    let (mut rest, mut next, mut reordered) = (format, 0usize, false);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars().peekable();
        let directive = directive(&mut chars, args, &mut next, &mut reordered, &mut out);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) if directive.bad_index => out.push_str(&format!("%!{verb}(BADINDEX)")),
            Some(verb) => match args.get(next) {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    next += 1;
                    out.push_str(&one(directive, verb, value, limit)?);
                }
            },
        }
        if out.len() > limit {
            return Err(too_long(limit));
        }
        let left: usize = chars.map(char::len_utf8).sum();
        rest = &rest[rest.len() - left..];
    }
    out.push_str(rest);
    if !reordered && next < args.len() {
        let extra: Vec<String> =
            args[next..].iter().map(|v| format!("{}={}", v.type_name(), v.shown())).collect();
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    if out.len() > limit {
        return Err(too_long(limit));
    }
    Ok(Value::text(&out))
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn directive(
    chars: &mut Chars<'_>,
    args: &[Value],
    next: &mut usize,
    reordered: &mut bool,
    out: &mut String,
) -> Directive {
    let mut directive = Directive::default();
    while let Some(c) = chars.peek() {
        match c {
            '-' => directive.minus = true,
            '+' => directive.plus = true,
            '#' => directive.sharp = true,
            ' ' => directive.space = true,
            '0' => directive.zero = true,
            _ => break,
        }
        chars.next();
    }
    let mut index = |chars: &mut Chars<'_>, next: &mut usize, bad: &mut bool| {
        let found = chars.peek() == Some(&'[');
        if found {
            *reordered = true;
            match argument_index(chars).filter(|index| *index < args.len()) {
                Some(index) => *next = index,
                None => *bad = true,
            }
        }
        found
    };
    let mut indexed = index(chars, next, &mut directive.bad_index);
    let star = chars.peek() == Some(&'*');
    directive.width = number(chars, args, next, "%!(BADWIDTH)", &mut directive.minus, out);
    directive.bad_index |= indexed && !star && directive.width.is_some();
    indexed &= !star;
    if chars.peek() == Some(&'.') {
        chars.next();
        directive.bad_index |= indexed;
        indexed = index(chars, next, &mut directive.bad_index);
        let star = chars.peek() == Some(&'*');
        let mut ignored = false;
        let found = number(chars, args, next, "%!(BADPREC)", &mut ignored, out);
        directive.precision = Some(found.unwrap_or(0));
        indexed &= !star;
    }
    if !indexed {
        index(chars, next, &mut directive.bad_index);
    }
    directive
}

/// `[n]`, where the first argument is 1.
fn argument_index(chars: &mut Chars<'_>) -> Option<usize> {
    chars.next();
    if !chars.clone().any(|c| c == ']') {
        return None;
    }
    let digits: String = chars.take_while(|c| *c != ']').collect();
    let fits = digits.bytes().all(|digit| digit.is_ascii_digit());
    fits.then(|| digits.parse::<usize>().ok()).flatten()?.checked_sub(1)
}

/// Digits, or `*` and an argument.
fn number(
    chars: &mut Chars<'_>,
    args: &[Value],
    next: &mut usize,
    bad: &str,
    minus: &mut bool,
    out: &mut String,
) -> Option<usize> {
    if chars.peek() == Some(&'*') {
        chars.next();
        let value = args.get(*next);
        *next += 1;
        let found = match value {
            Some(Value::Int(width)) => {
                *minus |= *width < 0;
                usize::try_from(width.unsigned_abs()).ok().filter(|width| *width <= WIDEST)
            }
            _ => None,
        };
        if found.is_none() {
            out.push_str(bad);
        }
        return found;
    }
    let mut found: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let digit = usize::try_from(digit).unwrap_or(0);
        found = Some(found.unwrap_or(0).saturating_mul(10).saturating_add(digit));
    }
    if found.is_some_and(|width| width > WIDEST) {
        out.push_str(bad);
        return None;
    }
    found
}

fn one(d: Directive, verb: char, value: &Value, limit: usize) -> Result<String, String> {
    if verb == 'T' {
        return Ok(padded(d, value.type_name().to_owned(), false));
    }
    // `%+v` asks for the names of fields, not for a sign.
    let d = if verb == 'v' { Directive { plus: false, ..d } } else { d };
    formatted(d, verb, value, limit)
}

fn formatted(d: Directive, verb: char, value: &Value, limit: usize) -> Result<String, String> {
    let as_text = matches!(verb, 'v' | 's' | 'q' | 'x' | 'X');
    match (verb, value) {
        ('v', Value::Nothing) => Ok(padded(d, "<nil>".to_owned(), false)),
        (_, Value::Nothing) => Ok(format!("%!{verb}(<nil>)")),
        ('v' | 't', Value::Bool(value)) => Ok(padded(d, value.to_string(), false)),
        (_, Value::Int(number)) => match integer(d, verb, *number) {
            Some(text) => Ok(text),
            None => bad_verb(d, verb, value, limit),
        },
        (_, Value::Duration(nanos)) if as_text => {
            Ok(string(d, verb, &super::time::duration(*nanos)))
        }
        (_, Value::Duration(nanos)) => match integer(d, verb, *nanos) {
            Some(text) => Ok(text),
            None => bad_verb(d, verb, value, limit),
        },
        (_, Value::Float(number)) => match float(d, verb, *number) {
            Some(text) => Ok(text),
            None => bad_verb(d, verb, value, limit),
        },
        (_, Value::Text(text) | Value::Safe(_, text)) if as_text => {
            if text.len() > limit / 20 && matches!(verb, 'q' | 'x' | 'X') {
                return Err(too_long(limit));
            }
            Ok(string(d, verb, text))
        }
        // What has a text form of its own.
        (_, Value::Time(_)) if as_text => spelled(d, verb, value, limit),
        (_, Value::List(list)) if as_text && list.kind == ListKind::Pairs => {
            spelled(d, verb, value, limit)
        }
        (_, Value::Map(map)) if as_text && map.kind == MapKind::Kv => {
            spelled(d, verb, value, limit)
        }
        (_, Value::List(list)) => {
            let items = list.items.iter().map(|item| formatted(d, verb, item, limit));
            Ok(format!("[{}]", joined(items, limit)?))
        }
        (_, Value::Map(map)) => {
            let items = map.entries.iter().map(|(name, value)| {
                let name = formatted(d, verb, &Value::Text(name.clone()), limit)?;
                Ok(format!("{name}:{}", formatted(d, verb, value, limit)?))
            });
            Ok(format!("map[{}]", joined(items, limit)?))
        }
        (_, Value::Record(record)) => {
            let items = record.fields.iter().map(|(_, field)| formatted(d, verb, field, limit));
            Ok(format!("{{{}}}", joined(items, limit)?))
        }
        (_, value) => bad_verb(d, verb, value, limit),
    }
}

/// With a verb for strings, of what has a text form.
fn spelled(d: Directive, verb: char, value: &Value, limit: usize) -> Result<String, String> {
    let text = value.printed(limit / 20).map_err(|_| too_long(limit))?;
    Ok(string(d, verb, &text))
}

fn joined(
    items: impl Iterator<Item = Result<String, String>>,
    limit: usize,
) -> Result<String, String> {
    let mut out = String::new();
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&item?);
        if out.len() > limit {
            return Err(too_long(limit));
        }
    }
    Ok(out)
}

/// The value as `%v` shows it with the same flags, and its type.
fn bad_verb(d: Directive, verb: char, value: &Value, limit: usize) -> Result<String, String> {
    let shown = match value {
        Value::Time(_) => value.shown(),
        value => formatted(d, 'v', value, limit)?,
    };
    Ok(format!("%!{verb}({}={shown})", value.type_name()))
}

fn padded(d: Directive, text: String, numeric: bool) -> String {
    let missing = d.width.unwrap_or(0).saturating_sub(text.chars().count());
    if missing == 0 {
        return text;
    }
    if d.minus {
        return text + &" ".repeat(missing);
    }
    if d.zero && numeric {
        let signed = usize::from(text.starts_with(['+', '-', ' ']));
        return format!("{}{}{}", &text[..signed], "0".repeat(missing), &text[signed..]);
    }
    let fill = if d.zero { "0" } else { " " };
    fill.repeat(missing) + &text
}

fn string(d: Directive, verb: char, text: &str) -> String {
    let cut: String = match d.precision {
        Some(most) => text.chars().take(most).collect(),
        None => text.to_owned(),
    };
    let shown = match verb {
        'q' if d.sharp && !cut.contains('`') => format!("`{cut}`"),
        'q' => text::quote(&cut),
        'x' | 'X' => hexadecimal(d, verb == 'X', &text.as_bytes()[..cut_bytes(d, text)]),
        'v' if d.sharp => text::quote(&cut),
        _ => cut,
    };
    padded(d, shown, false)
}

/// A precision counts bytes here.
fn cut_bytes(d: Directive, text: &str) -> usize {
    d.precision.map_or(text.len(), |most| most.min(text.len()))
}

fn hexadecimal(d: Directive, capital: bool, bytes: &[u8]) -> String {
    let prefix = match (d.sharp, capital) {
        (true, true) => "0X",
        (true, false) => "0x",
        _ => "",
    };
    let mut out = String::with_capacity(bytes.len() * 3);
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && d.space {
            out.push(' ');
        }
        if index == 0 || d.space {
            out.push_str(prefix);
        }
        out.push_str(&if capital { format!("{byte:02X}") } else { format!("{byte:02x}") });
    }
    out
}

/// `None` when the verb is not for numbers of this kind.
fn integer(d: Directive, verb: char, value: i64) -> Option<String> {
    let size = value.unsigned_abs();
    let digits = match verb {
        'v' | 'd' => size.to_string(),
        'b' => format!("{size:b}"),
        'o' if d.sharp => format!("0{size:o}"),
        'o' => format!("{size:o}"),
        'O' => format!("0o{size:o}"),
        'x' if d.sharp => format!("0x{size:x}"),
        'x' => format!("{size:x}"),
        'X' if d.sharp => format!("0X{size:X}"),
        'X' => format!("{size:X}"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
            let shown = match verb {
                'c' => c.to_string(),
                'q' if c == '"' => "'\"'".to_owned(),
                'q' if c == '\'' => "'\\''".to_owned(),
                'q' => format!("'{}'", text::quote(&c.to_string()).trim_matches('"')),
                _ => format!("U+{:04X}", u32::from(c)),
            };
            return Some(padded(d, shown, false));
        }
        _ => return None,
    };
    let digits = match d.precision {
        Some(least) => "0".repeat(least.saturating_sub(digits.len())) + &digits,
        None => digits,
    };
    Some(padded(d, signed(d, value < 0, &digits), d.precision.is_none()))
}

fn signed(d: Directive, negative: bool, digits: &str) -> String {
    let sign = match (negative, d.plus, d.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    format!("{sign}{digits}")
}

fn float(d: Directive, verb: char, value: f64) -> Option<String> {
    let size = if value.is_sign_negative() && !value.is_nan() { -value } else { value };
    let digits = match verb {
        'v' | 'g' => text::general(size, d.precision, d.sharp),
        'G' => text::general(size, d.precision, d.sharp).to_uppercase(),
        'f' | 'F' => text::fixed(size, d.precision.unwrap_or(6)),
        'e' => text::exponential(size, d.precision.unwrap_or(6)),
        'E' => text::exponential(size, d.precision.unwrap_or(6)).to_uppercase(),
        _ => return None,
    };
    let negative = value.is_sign_negative() && !value.is_nan();
    if !value.is_finite() {
        // `+Inf` has its sign; zeros do not fill before it.
        let shown = match (value.is_nan(), negative, d.plus) {
            (true, _, true) => "+NaN",
            (true, ..) => "NaN",
            (_, true, _) => "-Inf",
            _ => "+Inf",
        };
        return Some(padded(Directive { zero: false, ..d }, shown.to_owned(), false));
    }
    Some(padded(d, signed(d, negative, &digits), true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(format: &str, args: &[Value]) -> String {
        printf(format, args, 1_000).unwrap().shown()
    }

    #[test]
    fn it_formats_as_go_does() {
        assert_eq!(
            print(
                "%05.1f %+d %x %q %v",
                &[
                    Value::Float(3.125),
                    Value::Int(5),
                    Value::Int(255),
                    Value::text("ä"),
                    Value::Bool(true),
                ]
            ),
            "003.1 +5 ff \"ä\" true"
        );
        assert_eq!(
            print("%5s|%-5s|%d", &[Value::text("ab"), Value::text("cd"), Value::Int(42)]),
            "   ab|cd   |42"
        );
        assert_eq!(print("%d %d", &[Value::text("x")]), "%!d(string=x) %!d(MISSING)");
        assert_eq!(print("x", &[Value::Int(1)]), "x%!(EXTRA int=1)");
        assert_eq!(
            print("%e %g %.3g", &[Value::Float(1234.5), Value::Float(1e6), Value::Float(1234.5)]),
            "1.234500e+03 1e+06 1.23e+03"
        );
        assert_eq!(print("%", &[]), "%!(NOVERB)");
        assert_eq!(print("%99999999d", &[Value::Int(1)]), "%!(BADWIDTH)1");
        assert_eq!(print("%s", &[Value::Nothing]), "%!s(<nil>)");
        let two = [Value::text("a"), Value::Int(7)];
        assert_eq!(print("%[2]d %[1]q %[2]*[1]s|", &two), "7 \"a\"       a|");
        assert_eq!(print("%[3]d %[x]d %[1]s", &two), "%!d(BADINDEX) %!d(BADINDEX) a");
        assert_eq!(print("% x %# x", &[Value::text("ab"), Value::text("ab")]), "61 62 0x61 0x62");
        assert_eq!(print("%q %q", &[Value::Int(0), Value::Int(39)]), "'\\x00' '\\''");
        assert_eq!(
            print("%.3f|%+d", &[Value::Int(60), Value::Float(1e300)]),
            "%!f(int=060)|%!d(float64=+1e+300)"
        );
        let list = Value::texts(["a", "bc"]);
        assert_eq!(
            print("%q %d", &[list.clone(), list.clone()]),
            "[\"a\" \"bc\"] [%!d(string=a) %!d(string=bc)]"
        );
        assert_eq!(print("%3v|%x", &[list.clone(), list]), "[  a  bc]|[61 6263]");
        let labels = Value::pairs(MapKind::Kv, [("b", "c")]);
        assert_eq!(
            print("%q %x %t", &[labels.clone(), labels.clone(), labels]),
            "\"b=c\" 623d63 map[%!t(string=b):%!t(string=c)]"
        );
    }

    proptest! {
        #[test]
        fn no_format_makes_it_panic(format in "[%a-zA-Z0-9.*+# ü-]{0,30}", int in any::<i64>(), float in any::<f64>()) {
            let args = [Value::Int(int), Value::Float(float), Value::text("ü"), Value::Nothing, Value::Duration(int)];
            let _ = printf(&format, &args, 100_000);
        }
    }
}
