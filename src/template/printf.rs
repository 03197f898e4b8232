//! `fmt.Sprintf` over template values.

use super::builtins::too_long;
use super::text;
use super::value::{Bounded, Value};

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
}

/// Formats; no result is longer than `limit`.
///
/// # Errors
/// The result gets too long.
pub(super) fn printf(format: &str, args: &[Value], limit: usize) -> Result<Value, String> {
    let mut out = String::new();
    let (mut rest, mut next) = (format, 0usize);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let mut chars = rest[at + 1..].chars().peekable();
        let directive = directive(&mut chars, args, &mut next, &mut out);
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
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
    if next < args.len() {
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
    directive.width = number(chars, args, next, "%!(BADWIDTH)", &mut directive.minus, out);
    if chars.peek() == Some(&'.') {
        chars.next();
        let mut ignored = false;
        let found = number(chars, args, next, "%!(BADPREC)", &mut ignored, out);
        directive.precision = Some(found.unwrap_or(0));
    }
    directive
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
    match (verb, value) {
        ('v', Value::Nothing) => Ok(padded(d, "<nil>".to_owned(), false)),
        (_, Value::Nothing) => Ok(format!("%!{verb}(<nil>)")),
        ('v' | 't', Value::Bool(value)) => Ok(padded(d, value.to_string(), false)),
        (_, Value::Int(value)) => Ok(integer(d, verb, *value, "int")),
        ('v' | 's' | 'q', Value::Duration(nanos)) => {
            Ok(string(d, verb, &super::time::duration(*nanos)))
        }
        (_, Value::Duration(nanos)) => Ok(integer(d, verb, *nanos, "time.Duration")),
        (_, Value::Float(value)) => Ok(float(d, verb, *value)),
        ('v' | 's' | 'q' | 'x' | 'X', Value::Text(text)) => {
            if text.len() > limit / 10 && matches!(verb, 'q' | 'x' | 'X') {
                return Err(too_long(limit));
            }
            Ok(string(d, verb, text))
        }
        ('v' | 's', value) => {
            let mut out = Bounded::new(limit);
            value.print(&mut out).map_err(|_| too_long(limit))?;
            Ok(padded(d, out.text, false))
        }
        (_, value) => Ok(bad_verb(verb, value.type_name(), &value.shown())),
    }
}

fn bad_verb(verb: char, type_name: &str, shown: &str) -> String {
    format!("%!{verb}({type_name}={shown})")
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
        'x' => cut.bytes().map(|b| format!("{b:02x}")).collect(),
        'X' => cut.bytes().map(|b| format!("{b:02X}")).collect(),
        _ => cut,
    };
    padded(d, shown, false)
}

fn integer(d: Directive, verb: char, value: i64, type_name: &str) -> String {
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
                'q' => format!("'{c}'"),
                _ => format!("U+{:04X}", u32::from(c)),
            };
            return padded(d, shown, false);
        }
        _ => return bad_verb(verb, type_name, &value.to_string()),
    };
    let digits = match d.precision {
        Some(least) => "0".repeat(least.saturating_sub(digits.len())) + &digits,
        None => digits,
    };
    padded(d, signed(d, value < 0, &digits), d.precision.is_none())
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

fn float(d: Directive, verb: char, value: f64) -> String {
    let size = if value.is_sign_negative() && !value.is_nan() { -value } else { value };
    let digits = match verb {
        'v' | 'g' => text::general(size, d.precision, d.sharp),
        'G' => text::general(size, d.precision, d.sharp).to_uppercase(),
        'f' | 'F' => text::fixed(size, d.precision.unwrap_or(6)),
        'e' => text::exponential(size, d.precision.unwrap_or(6)),
        'E' => text::exponential(size, d.precision.unwrap_or(6)).to_uppercase(),
        _ => return bad_verb(verb, "float64", &text::float(value)),
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
        return padded(Directive { zero: false, ..d }, shown.to_owned(), false);
    }
    padded(d, signed(d, negative, &digits), true)
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
    }

    proptest! {
        #[test]
        fn no_format_makes_it_panic(format in "[%a-zA-Z0-9.*+# ü-]{0,30}", int in any::<i64>(), float in any::<f64>()) {
            let args = [Value::Int(int), Value::Float(float), Value::text("ü"), Value::Nothing, Value::Duration(int)];
            let _ = printf(&format, &args, 100_000);
        }
    }
}
