//! What the API gave, in Rust.

use serde_json::Value;

use crate::promql::parse_number;

/// A good answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    pub data: Value,
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

/// The values of one series; a single one for an instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Sorted by name.
    pub labels: Vec<(String, String)>,
    /// Seconds since 1970.
    pub points: Vec<(f64, Cell)>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A number, as it was written.
    Number(f64, String),
    /// A native histogram as the API shows it.
    Histogram(Value),
}

impl Cell {
    /// As it stands in a column.
    pub fn text(&self) -> String {
        match self {
            Self::Number(_, text) => text.clone(),
            Self::Histogram(shown) => {
                let part = |name: &str| shown[name].as_str().unwrap_or("?").to_owned();
                let buckets = shown["buckets"].as_array().map_or(0, Vec::len);
                format!("{buckets} buckets, count {}, sum {}", part("count"), part("sum"))
            }
        }
    }

    /// What a plot draws: a histogram by its count.
    pub fn number(&self) -> f64 {
        match self {
            Self::Number(value, _) => *value,
            Self::Histogram(shown) => {
                shown["count"].as_str().and_then(parse_number).unwrap_or(f64::NAN)
            }
        }
    }
}

impl Series {
    /// `name{label="value"}`.
    pub fn title(&self) -> String {
        let name = self.labels.iter().find(|(name, _)| name == "__name__");
        let name = name.map_or("", |(_, value)| value);
        let rest = self.labels.iter().filter(|(name, _)| name != "__name__");
        let rest: Vec<String> = rest.map(|(name, value)| format!("{name}={value:?}")).collect();
        match (name.is_empty(), rest.is_empty()) {
            (false, true) => name.to_owned(),
            _ => format!("{name}{{{}}}", rest.join(", ")),
        }
    }
}

/// Labels of the API, sorted by name, the metric's name first.
pub fn labels(from: &Value) -> Vec<(String, String)> {
    let pairs = from.as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut labels: Vec<_> = pairs.map(|(name, value)| (name.clone(), text(value))).collect();
    labels.sort_by(|a, b| (a.0 != "__name__", &a.0).cmp(&(b.0 != "__name__", &b.0)));
    labels
}

/// `[time, "value"]` or `[time, {histogram}]`.
pub fn point(pair: &Value) -> Option<(f64, Cell)> {
    let at = pair.get(0)?.as_f64()?;
    let cell = match pair.get(1)? {
        Value::String(text) => Cell::Number(parse_number(text)?, text.clone()),
        shown @ Value::Object(_) => Cell::Histogram(shown.clone()),
        _ => return None,
    };
    Some((at, cell))
}

/// The series of a vector or a matrix; `None` when it is something else.
pub fn series(data: &Value) -> Option<Vec<Series>> {
    data["resultType"].as_str().filter(|kind| ["vector", "matrix"].contains(kind))?;
    let one = |row: &Value| {
        let mut points = Vec::new();
        for name in ["value", "histogram"] {
            points.extend(row.get(name).and_then(point));
        }
        for name in ["values", "histograms"] {
            let pairs = row.get(name).and_then(Value::as_array).into_iter().flatten();
            points.extend(pairs.filter_map(point));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Series { labels: labels(&row["metric"]), points }
    };
    Some(data["result"].as_array()?.iter().map(one).collect())
}
