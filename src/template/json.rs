//! Values as JSON, as Go's `encoding/json` writes them.

use super::value::{Record, Value};

/// The longest JSON; more is an error.
const LONGEST: usize = 1 << 20;

/// Compact JSON with Go's field names.
///
/// # Errors
/// A number that JSON does not have, or too much text.
pub(super) fn write(value: &Value) -> Result<String, String> {
    let mut out = String::new();
    put(value, &mut out)?;
    Ok(out)
}

/// A string; `<`, `>` and `&` are escaped, so that it may stand in HTML.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn put(value: &Value, out: &mut String) -> Result<(), String> {
    if out.len() > LONGEST {
        return Err("the JSON gets too long".to_owned());
    }
    match value {
        Value::Nothing => out.push_str("null"),
        Value::Bool(value) => out.push_str(&value.to_string()),
        Value::Int(value) | Value::Duration(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&number(*value)?),
        Value::Text(value) | Value::Safe(_, value) => out.push_str(&text(value)),
        Value::Time(time) => out.push_str(&text(&time.rfc3339())),
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                put(item, out)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (name, item)) in map.entries.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&text(name));
                out.push(':');
                put(item, out)?;
            }
            out.push('}');
        }
        Value::Record(record) => put_record(record, out)?,
    }
    Ok(())
}

fn put_record(record: &Record, out: &mut String) -> Result<(), String> {
    out.push('{');
    for (index, (name, item)) in record.fields.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let name = match (record.type_name, *name) {
            ("template.Pair", name) => name.to_owned(),
            (_, "NotificationReason") => "notification_reason".to_owned(),
            (_, name) => name[..1].to_lowercase() + &name[1..],
        };
        out.push_str(&text(&name));
        out.push(':');
        put(item, out)?;
    }
    out.push('}');
    Ok(())
}

fn number(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Err(format!("json: unsupported value: {}", super::text::float(value)));
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let written = format!("{value:e}");
        // Go writes 1e+21 and 1e-7.
        return Ok(match written.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => {
                format!("{mantissa}e+{exponent}")
            }
            _ => written,
        });
    }
    Ok(format!("{value}"))
}
