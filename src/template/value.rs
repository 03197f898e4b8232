//! Values of templates, with Go's types, its `%v` and its idea of truth.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use super::text;
use super::time::{GoTime, duration};

/// Nested lists and maps; more is hostile (printing and dropping them is recursive).
const NESTED: usize = 32;

/// What a template computes with.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// No value at all, printed as `<no value>`: Go's zero `reflect.Value`.
    Nothing,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// `time.Time`
    Time(GoTime),
    /// `time.Duration` in nanoseconds.
    Duration(i64),
    /// A string that its author vouches for: `template.HTML`, `template.URL`.
    Safe(Safe, Arc<str>),
    /// A slice.
    List(Arc<List>),
    /// A map with strings as keys.
    Map(Arc<Map>),
    /// A structure.
    Record(Arc<Record>),
}

/// As what a string is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safe {
    Html,
    Url,
}

/// Which slice type of Go a list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    Any,
    Texts,
    /// Result of `query`.
    Vector,
    Alerts,
    Pairs,
}

/// A slice; never nested deeper than [`NESTED`].
#[derive(Debug)]
pub(super) struct List {
    pub(super) kind: ListKind,
    pub(super) items: Vec<Value>,
    depth: usize,
}

/// Which map type of Go a map stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapKind {
    /// `map[string]string`: what is missing is the empty string.
    Texts,
    /// `map[string]interface {}`: what is missing is nothing.
    Any,
    /// Alertmanager's label set, which has methods and a text form of its own.
    Kv,
}

/// A map; never nested deeper than [`NESTED`].
#[derive(Debug)]
pub(super) struct Map {
    pub(super) kind: MapKind,
    pub(super) entries: BTreeMap<Arc<str>, Value>,
    depth: usize,
}

/// A structure with fields in order.
#[derive(Debug)]
pub(super) struct Record {
    /// The name of its Go type.
    pub(super) type_name: &'static str,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// Collects output up to a limit; writing more is an error.
pub(super) struct Bounded {
    pub(super) text: String,
    limit: usize,
}

impl Bounded {
    pub(super) fn new(limit: usize) -> Self {
        Self { text: String::new(), limit }
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len().saturating_add(text.len()) > self.limit {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

impl Value {
    pub(super) fn text(text: &str) -> Self {
        Value::Text(text.into())
    }

    /// # Errors
    /// Nested too deep.
    pub(super) fn list(kind: ListKind, items: Vec<Value>) -> Result<Self, String> {
        let depth = deepest(items.iter())?;
        Ok(Value::List(Arc::new(List { kind, items, depth })))
    }

    pub(super) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> Self {
        let items = items.into_iter().map(Value::text).collect();
        Value::List(Arc::new(List { kind: ListKind::Texts, items, depth: 1 }))
    }

    /// # Errors
    /// Nested too deep.
    pub(super) fn map(kind: MapKind, entries: BTreeMap<Arc<str>, Value>) -> Result<Self, String> {
        let depth = deepest(entries.values())?;
        Ok(Value::Map(Arc::new(Map { kind, entries, depth })))
    }

    /// A map of strings.
    pub(super) fn pairs<'a>(
        kind: MapKind,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let entries = pairs.into_iter().map(|(name, value)| (name.into(), Value::text(value)));
        Value::Map(Arc::new(Map { kind, entries: entries.collect(), depth: 1 }))
    }

    pub(super) fn record(type_name: &'static str, fields: Vec<(&'static str, Value)>) -> Self {
        Value::Record(Arc::new(Record { type_name, fields }))
    }

    /// The text of a string.
    pub(super) fn as_text(&self) -> Option<&Arc<str>> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `%T`.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Nothing => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::Safe(Safe::Html, _) => "template.HTML",
            Value::Safe(Safe::Url, _) => "template.URL",
            Value::Time(_) => "time.Time",
            Value::Duration(_) => "time.Duration",
            Value::List(list) => list.kind.type_name(),
            Value::Map(map) => map.kind.type_name(),
            Value::Record(record) => record.type_name,
        }
    }

    /// What `if` thinks of it.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Nothing => false,
            Value::Bool(value) => *value,
            Value::Int(value) | Value::Duration(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) | Value::Safe(_, text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Time(_) | Value::Record(_) => true,
        }
    }

    /// `%v`.
    pub(super) fn print(&self, out: &mut Bounded) -> fmt::Result {
        match self {
            Value::Nothing => out.write_str("<nil>"),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Int(value) => write!(out, "{value}"),
            Value::Float(value) => out.write_str(&text::float(*value)),
            Value::Text(text) | Value::Safe(_, text) => out.write_str(text),
            Value::Time(time) => write!(out, "{time}"),
            Value::Duration(nanos) => out.write_str(&duration(*nanos)),
            Value::List(list) => list.print(out),
            Value::Map(map) => map.print(out),
            Value::Record(record) => record.print(out),
        }
    }

    /// `%v` in one string; what does not fit into an error message is left out.
    pub(super) fn shown(&self) -> String {
        let mut out = Bounded::new(4_096);
        let _ = self.print(&mut out);
        out.text
    }

    /// `%v` in one string of at most `limit` bytes.
    pub(super) fn printed(&self, limit: usize) -> Result<String, fmt::Error> {
        let mut out = Bounded::new(limit);
        self.print(&mut out)?;
        Ok(out.text)
    }
}

fn depth_of(value: &Value) -> usize {
    match value {
        Value::List(list) => list.depth,
        Value::Map(map) => map.depth,
        Value::Record(record) => {
            1 + record.fields.iter().map(|(_, field)| depth_of(field)).max().unwrap_or(0)
        }
        _ => 0,
    }
}

fn deepest<'a>(values: impl Iterator<Item = &'a Value>) -> Result<usize, String> {
    let depth = 1 + values.map(depth_of).max().unwrap_or(0);
    if depth > NESTED { Err(format!("nested more than {NESTED} deep")) } else { Ok(depth) }
}

impl ListKind {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            ListKind::Any => "[]interface {}",
            ListKind::Texts => "[]string",
            ListKind::Vector => "template.queryResult",
            ListKind::Alerts => "template.Alerts",
            ListKind::Pairs => "template.Pairs",
        }
    }
}

impl List {
    fn print(&self, out: &mut Bounded) -> fmt::Result {
        if self.kind == ListKind::Pairs {
            for (index, pair) in self.items.iter().enumerate() {
                if index > 0 {
                    out.write_str(", ")?;
                }
                if let Value::Record(record) = pair {
                    record.field("Name").print(out)?;
                    out.write_str("=")?;
                    record.field("Value").print(out)?;
                }
            }
            return Ok(());
        }
        out.write_str("[")?;
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.write_str(" ")?;
            }
            item.print(out)?;
        }
        out.write_str("]")
    }
}

impl MapKind {
    pub(super) fn type_name(self) -> &'static str {
        match self {
            MapKind::Texts => "map[string]string",
            MapKind::Any => "map[string]interface {}",
            MapKind::Kv => "template.KV",
        }
    }
}

impl Map {
    /// What stands under a key, or what Go's `missingkey=zero` gives.
    pub(super) fn get(&self, key: &str) -> Value {
        let missing = if self.kind == MapKind::Any { Value::Nothing } else { Value::text("") };
        self.entries.get(key).cloned().unwrap_or(missing)
    }

    /// Pairs in Alertmanager's order: `alertname` first, then by name.
    pub(super) fn sorted_pairs(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        let first = self.entries.get_key_value("alertname");
        first.into_iter().chain(self.entries.iter().filter(|(name, _)| &***name != "alertname"))
    }

    fn print(&self, out: &mut Bounded) -> fmt::Result {
        if self.kind == MapKind::Kv {
            for (index, (name, value)) in self.sorted_pairs().enumerate() {
                if index > 0 {
                    out.write_str(", ")?;
                }
                write!(out, "{name}=")?;
                value.print(out)?;
            }
            return Ok(());
        }
        out.write_str("map[")?;
        for (index, (name, value)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.write_str(" ")?;
            }
            write!(out, "{name}:")?;
            value.print(out)?;
        }
        out.write_str("]")
    }
}

impl Record {
    pub(super) fn field(&self, name: &str) -> Value {
        let found = self.fields.iter().find(|(field, _)| *field == name);
        found.map_or(Value::Nothing, |(_, value)| value.clone())
    }

    fn print(&self, out: &mut Bounded) -> fmt::Result {
        out.write_str("{")?;
        for (index, (_, value)) in self.fields.iter().enumerate() {
            if index > 0 {
                out.write_str(" ")?;
            }
            value.print(out)?;
        }
        out.write_str("}")
    }
}
