//! The functions that Go's `text/template` brings itself. `and` and `or` are in `exec`, because
//! they do not evaluate all of their arguments.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::printf::printf;
use super::value::{Bounded, Value};
use super::{Param, Signature};

/// `None` when there is no such function.
pub(super) fn signature(name: &str) -> Option<Signature> {
    const ANY: Param = Param::Any;
    Some(match name {
        "and" | "or" | "eq" | "index" | "slice" => Signature::variadic(&[ANY], ANY),
        "not" | "len" => Signature::new(&[ANY]),
        "ne" | "lt" | "le" | "gt" | "ge" => Signature::new(&[ANY, ANY]),
        "html" | "js" | "urlquery" | "print" | "println" => Signature::variadic(&[], ANY),
        "printf" => Signature::variadic(&[Param::Text], ANY),
        _ => return None,
    })
}

/// Calls a function that [`signature`] knows. No text of the result is longer than `limit`.
///
/// # Errors
/// What the function complains about.
pub(super) fn call(name: &str, args: &[Value], limit: usize) -> Result<Value, String> {
    match (name, args) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => len(value),
        ("index", [value, keys @ ..]) => index(value, keys),
        ("slice", [value, ends @ ..]) => slice(value, ends),
        ("eq", [first, others @ ..]) => eq(first, others),
        ("ne", [a, b]) => Ok(Value::Bool(!equal(a, b)?)),
        ("lt", [a, b]) => Ok(Value::Bool(less(a, b)?)),
        ("le", [a, b]) => Ok(Value::Bool(less(a, b)? || equal(a, b)?)),
        ("gt", [a, b]) => Ok(Value::Bool(!(less(a, b)? || equal(a, b)?))),
        ("ge", [a, b]) => Ok(Value::Bool(!less(a, b)?)),
        ("print", args) => sprint(args, limit).map(|text| Value::text(&text)),
        ("println", args) => sprintln(args, limit),
        ("printf", [Value::Text(format), args @ ..]) => printf(format, args, limit),
        ("html", args) => bounded(&html(&sprint(args, limit)?), limit),
        ("js", args) => bounded(&js(&sprint(args, limit)?), limit),
        ("urlquery", args) => bounded(&query_escape(&sprint(args, limit)?), limit),
        _ => Err("cannot be called like this".to_owned()),
    }
}

/// A text that may be too long.
pub(super) fn bounded(text: &str, limit: usize) -> Result<Value, String> {
    if text.len() > limit { Err(too_long(limit)) } else { Ok(Value::text(text)) }
}

pub(super) fn too_long(limit: usize) -> String {
    format!("the text gets longer than {limit} bytes")
}

/// `fmt.Sprint`: a space between two operands when neither is a string.
fn sprint(args: &[Value], limit: usize) -> Result<String, String> {
    let mut out = Bounded::new(limit);
    for (i, value) in args.iter().enumerate() {
        let spaced = i > 0 && value.as_text().is_none() && args[i - 1].as_text().is_none();
        let written = if spaced { out.write_str(" ") } else { Ok(()) };
        written.and_then(|()| value.print(&mut out)).map_err(|_| too_long(limit))?;
    }
    Ok(out.text)
}

fn sprintln(args: &[Value], limit: usize) -> Result<Value, String> {
    let mut out = Bounded::new(limit);
    for (i, value) in args.iter().enumerate() {
        let written = if i > 0 { out.write_str(" ") } else { Ok(()) };
        written.and_then(|()| value.print(&mut out)).map_err(|_| too_long(limit))?;
    }
    out.write_str("\n").map_err(|_| too_long(limit))?;
    Ok(Value::text(&out.text))
}

fn int(length: usize) -> Value {
    Value::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn len(value: &Value) -> Result<Value, String> {
    match value {
        Value::Text(text) => Ok(int(text.len())),
        Value::List(list) => Ok(int(list.items.len())),
        Value::Map(map) => Ok(int(map.entries.len())),
        Value::Nothing => Err("len of nil pointer".to_owned()),
        other => Err(format!("len of type {}", other.type_name())),
    }
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::Nothing, _) => return Err("index of untyped nil".to_owned()),
            (Value::List(list), key) => list.items[position(key, list.items.len(), false)?].clone(),
            (Value::Text(text), key) => {
                Value::Int(i64::from(text.as_bytes()[position(key, text.len(), false)?]))
            }
            (Value::Map(map), Value::Text(key)) => map.get(key),
            (Value::Map(_), Value::Nothing) => {
                return Err("value is nil; should be of type string".to_owned());
            }
            (Value::Map(_), key) => {
                return Err(format!("value has type {}; should be string", key.type_name()));
            }
            (other, _) => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

/// An index below `length`, or up to it at an end.
fn position(key: &Value, length: usize, end: bool) -> Result<usize, String> {
    let at = match key {
        Value::Int(at) => *at,
        Value::Nothing => return Err("cannot index slice/array with nil".to_owned()),
        other => {
            return Err(format!("cannot index slice/array with type {}", other.type_name()));
        }
    };
    match usize::try_from(at) {
        Ok(found) if found < length || (end && found == length) => Ok(found),
        _ => Err(format!("index out of range: {at}")),
    }
}

fn slice(value: &Value, ends: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Nothing => return Err("slice of untyped nil".to_owned()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let (from, to) = match ends {
        [] => (0, length),
        [from] => (position(from, length, true)?, length),
        [from, to] => (position(from, length, true)?, position(to, length, true)?),
        [_, _, _] if matches!(value, Value::Text(_)) => {
            return Err("cannot 3-index slice a string".to_owned());
        }
        [from, to, most] => {
            position(most, length, true)?;
            (position(from, length, true)?, position(to, length, true)?)
        }
        _ => return Err(format!("too many slice indexes: {}", ends.len())),
    };
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match value {
        // Go cuts at bytes; half a character becomes the replacement character here.
        Value::Text(text) => Ok(Value::text(&String::from_utf8_lossy(&text.as_bytes()[from..to]))),
        Value::List(list) => Value::list(list.kind, list.items[from..to].to_vec()),
        _ => Ok(Value::Nothing),
    }
}

/// What can be compared with what.
#[derive(PartialEq, Clone, Copy)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
}

fn basic(value: &Value) -> Option<Basic> {
    match value {
        Value::Bool(_) => Some(Basic::Bool),
        Value::Int(_) | Value::Duration(_) => Some(Basic::Int),
        Value::Float(_) => Some(Basic::Float),
        Value::Text(_) => Some(Basic::Text),
        _ => None,
    }
}

fn eq(first: &Value, others: &[Value]) -> Result<Value, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nothing, b) => return Ok(matches!(b, Value::Nothing)),
        (_, Value::Nothing) => return Ok(false),
        (Value::Time(a), Value::Time(b)) => return Ok(a.nanos() == b.nanos()),
        _ => {}
    }
    for value in [a, b] {
        if matches!(value, Value::List(_) | Value::Map(_) | Value::Record(_)) {
            let (shown, name) = (value.shown(), value.type_name());
            return Err(format!("non-comparable type {shown}: {name}"));
        }
    }
    if basic(a) != basic(b) {
        return Err("incompatible types for comparison".to_owned());
    }
    Ok(compare(a, b) == Some(Ordering::Equal))
}

fn less(a: &Value, b: &Value) -> Result<bool, String> {
    let (Some(left), Some(right)) = (basic(a), basic(b)) else {
        return Err("invalid type for comparison".to_owned());
    };
    if left != right {
        return Err("incompatible types for comparison".to_owned());
    }
    if left == Basic::Bool {
        return Err("invalid type for comparison".to_owned());
    }
    Ok(compare(a, b) == Some(Ordering::Less))
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a) | Value::Duration(a), Value::Int(b) | Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// `template.HTMLEscapeString`.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => escaped.push('\u{fffd}'),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `template.JSEscapeString`.
fn js(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '\'' => escaped.push_str("\\'"),
            '"' => escaped.push_str("\\\""),
            '<' | '>' | '&' | '=' => escaped.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                escaped.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// `url.QueryEscape`.
pub(super) fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}
