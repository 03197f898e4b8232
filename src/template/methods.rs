//! Methods of values: what `.Name` means when it is no field.

use super::text::quote;
use super::value::{ListKind, MapKind, Value};
use super::{Param, Signature};

const NONE: Signature = Signature::new(&[]);

/// The shape of a method; `None` when the value has none of that name.
pub(super) fn signature(value: &Value, name: &str) -> Option<Signature> {
    match value {
        Value::Map(map) if map.kind == MapKind::Kv => match name {
            "SortedPairs" | "Names" | "Values" | "String" => Some(NONE),
            "Remove" => Some(Signature::new(&[Param::Texts])),
            _ => None,
        },
        Value::List(list) => match (list.kind, name) {
            (ListKind::Pairs, "Names" | "Values" | "String")
            | (ListKind::Alerts, "Firing" | "Resolved") => Some(NONE),
            _ => None,
        },
        Value::Time(_) => match name {
            "Format" => Some(Signature::new(&[Param::Text])),
            "Unix" | "UnixMilli" | "UnixNano" | "Year" | "Month" | "Day" | "Hour" | "Minute"
            | "Second" | "Nanosecond" | "YearDay" | "Weekday" | "IsZero" | "UTC" | "String"
            | "Local" => Some(NONE),
            "Add" => Some(Signature::new(&[Param::Any])),
            "Sub" | "Before" | "After" | "Equal" => Some(Signature::new(&[Param::Time])),
            _ => None,
        },
        Value::Duration(_) => match name {
            "Seconds" | "Minutes" | "Hours" | "Milliseconds" | "Microseconds" | "Nanoseconds"
            | "String" | "Abs" => Some(NONE),
            _ => None,
        },
        _ => None,
    }
}

/// Calls a method that [`signature`] knows.
///
/// # Errors
/// What the method complains about.
#[allow(clippy::cast_precision_loss)]
pub(super) fn call(
    value: &Value,
    name: &str,
    args: &[Value],
    limit: usize,
) -> Result<Value, String> {
    match value {
        Value::Map(_) => label_set(value, name, args, limit),
        Value::List(_) => list(value, name, limit),
        Value::Time(_) => instant(value, name, args, limit),
        Value::Duration(nanos) => Ok(match name {
            "Seconds" => Value::Float(*nanos as f64 / 1e9),
            "Minutes" => Value::Float(*nanos as f64 / 6e10),
            "Hours" => Value::Float(*nanos as f64 / 3.6e12),
            "Milliseconds" => Value::Int(nanos / 1_000_000),
            "Microseconds" => Value::Int(nanos / 1_000),
            "Nanoseconds" => Value::Int(*nanos),
            "Abs" => Value::Duration(nanos.saturating_abs()),
            _ => printed(value, limit)?,
        }),
        _ => Err(format!("no method {}", quote(name))),
    }
}

/// The `%v` form as a string.
fn printed(value: &Value, limit: usize) -> Result<Value, String> {
    let mut out = super::value::Bounded::new(limit);
    value.print(&mut out).map_err(|_| "the text gets too long".to_owned())?;
    Ok(Value::text(&out.text))
}

fn label_set(value: &Value, name: &str, args: &[Value], limit: usize) -> Result<Value, String> {
    let Value::Map(map) = value else {
        return Ok(Value::Nothing);
    };
    match name {
        "SortedPairs" => {
            let pairs = map.sorted_pairs().map(|(name, value)| {
                let fields = vec![("Name", Value::Text(name.clone())), ("Value", value.clone())];
                Value::record("template.Pair", fields)
            });
            Value::list(ListKind::Pairs, pairs.collect())
        }
        "Names" => Ok(Value::texts(map.sorted_pairs().map(|(name, _)| &**name))),
        "Values" => {
            Ok(Value::texts(map.sorted_pairs().filter_map(|(_, v)| v.as_text()).map(|v| &**v)))
        }
        "Remove" => {
            let removed: Vec<&str> = match args {
                [Value::List(list)] => {
                    list.items.iter().filter_map(Value::as_text).map(|text| &**text).collect()
                }
                _ => Vec::new(),
            };
            let kept = map.entries.iter().filter(|(name, _)| !removed.contains(&&***name));
            let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
            Value::map(MapKind::Kv, kept.collect())
        }
        _ => printed(value, limit),
    }
}

fn list(value: &Value, name: &str, limit: usize) -> Result<Value, String> {
    let Value::List(list) = value else {
        return Ok(Value::Nothing);
    };
    let fields = |field: &str| -> Vec<Value> {
        let records = list.items.iter().filter_map(|item| match item {
            Value::Record(record) => Some(record.field(field)),
            _ => None,
        });
        records.collect()
    };
    match name {
        "Names" => Value::list(ListKind::Texts, fields("Name")),
        "Values" => Value::list(ListKind::Texts, fields("Value")),
        "Firing" | "Resolved" => {
            let wanted = if name == "Firing" { "firing" } else { "resolved" };
            let alerts = list.items.iter().filter(|item| match item {
                Value::Record(record) => {
                    record.field("Status").as_text().is_some_and(|text| **text == *wanted)
                }
                _ => false,
            });
            Value::list(ListKind::Alerts, alerts.cloned().collect())
        }
        _ => printed(value, limit),
    }
}

fn instant(value: &Value, name: &str, args: &[Value], limit: usize) -> Result<Value, String> {
    let Value::Time(time) = value else {
        return Ok(Value::Nothing);
    };
    let civil = time.civil();
    let int = |number: i8| Ok(Value::Int(i64::from(number)));
    match (name, args) {
        ("Format", [Value::Text(layout)]) => {
            // A layout grows by a small factor only, but its length is the template's choice.
            if layout.len() > limit / 8 {
                return Err("the layout is too long".to_owned());
            }
            Ok(Value::text(&time.format(layout)))
        }
        ("Unix", _) => Ok(Value::Int(time.unix())),
        ("UnixMilli", _) => Ok(Value::Int(i64::try_from(time.nanos() / 1_000_000).unwrap_or(0))),
        ("UnixNano", _) => Ok(Value::Int(i64::try_from(time.nanos()).unwrap_or(0))),
        ("Year", _) => Ok(Value::Int(i64::from(civil.year()))),
        ("Month", _) => Ok(Value::text(time.month_name())),
        ("Weekday", _) => Ok(Value::text(time.weekday_name())),
        ("Day", _) => int(civil.day()),
        ("Hour", _) => int(civil.hour()),
        ("Minute", _) => int(civil.minute()),
        ("Second", _) => int(civil.second()),
        ("Nanosecond", _) => Ok(Value::Int(i64::from(civil.subsec_nanosecond()))),
        ("YearDay", _) => Ok(Value::Int(i64::from(civil.day_of_year()))),
        ("IsZero", _) => Ok(Value::Bool(time.is_zero())),
        // The machine's zone is no part of a text: local time is UTC here.
        ("UTC" | "Local", _) => Ok(Value::Time(time.utc())),
        ("Add", [Value::Duration(nanos)]) => Ok(Value::Time(time.add(*nanos))),
        ("Sub", [Value::Time(other)]) => Ok(Value::Duration(time.since(other))),
        ("Before", [Value::Time(other)]) => Ok(Value::Bool(time.nanos() < other.nanos())),
        ("After", [Value::Time(other)]) => Ok(Value::Bool(time.nanos() > other.nanos())),
        ("Equal", [Value::Time(other)]) => Ok(Value::Bool(time.nanos() == other.nanos())),
        ("String", _) => printed(value, limit),
        (name, _) => Err(format!("wrong type for an argument of {name}")),
    }
}
