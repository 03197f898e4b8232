//! Answers as text.

use serde_json::Value;

use super::answer::{self, Cell, Series};
use super::plot;
use super::source::Trouble;
use super::table::Table;
use crate::model::Timestamp;

/// How to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Table,
    Plot,
    Json,
    Csv,
}

/// What the text must fit.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns.
    pub width: usize,
    /// Lines.
    pub height: usize,
    pub colour: bool,
    /// Whether lines that are too long are cut: only for the eye.
    pub cut: bool,
}

fn strange() -> Trouble {
    Trouble::Failed("the answer is none of the kinds that PromQL gives".to_owned())
}

/// The answer to a query.
pub fn value(data: &Value, form: Form, screen: &Screen) -> Result<String, Trouble> {
    if form == Form::Json {
        return Ok(data.to_string());
    }
    if let Some("scalar" | "string") = data["resultType"].as_str() {
        let value = data["result"][1].as_str().unwrap_or_default();
        return Ok(match form {
            Form::Csv => {
                let mut table = Table::new(&["time".to_owned(), "value".to_owned()]);
                let at = data["result"][0].as_f64().unwrap_or_default();
                table.row(vec![moment(at), value.to_owned()]);
                table.csv()
            }
            _ => value.to_owned(),
        });
    }
    let series = answer::series(data).ok_or_else(strange)?;
    let many = data["resultType"] == "matrix";
    Ok(match form {
        Form::Plot if many => plot::draw(&series, screen),
        Form::Csv => rows(&series, true).csv(),
        _ => rows(&series, many).text(screen),
    })
}

/// A line for each value.
fn rows(series: &[Series], times: bool) -> Table {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in series.iter().flat_map(|series| &series.labels) {
        if let Err(at) = names.binary_search_by(|known| order(known).cmp(&order(name))) {
            names.insert(at, name);
        }
    }
    let mut head: Vec<String> = names.iter().map(|name| shown(name).to_owned()).collect();
    if times {
        head.push("time".to_owned());
    }
    head.push("value".to_owned());
    let mut table = Table::new(&head);
    for series in series {
        for (at, cell) in &series.points {
            let value = |name: &&str| {
                let found = series.labels.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).unwrap_or_default()
            };
            let mut row: Vec<String> = names.iter().map(value).collect();
            if times {
                row.push(moment(*at));
            }
            row.push(Cell::text(cell));
            table.row(row);
        }
    }
    table
}

/// The metric's name comes first.
fn order(name: &str) -> (bool, &str) {
    (name != "__name__", name)
}

fn shown(name: &str) -> &str {
    if name == "__name__" { "metric" } else { name }
}

fn moment(seconds: f64) -> String {
    Timestamp::from_seconds(seconds).map(|at| at.to_string()).unwrap_or_default()
}

/// Label sets.
pub fn series(data: &Value, form: Form, screen: &Screen) -> Result<String, Trouble> {
    let sets = data.as_array().ok_or_else(strange)?;
    let as_series = |set| Series { labels: answer::labels(set), points: Vec::new() };
    let mut all: Vec<Series> = sets.iter().map(as_series).collect();
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(match form {
        Form::Json => data.to_string(),
        Form::Csv => {
            // One value each, so that there is a row; its columns are not wanted.
            for series in &mut all {
                series.points.push((0.0, Cell::Number(0.0, String::new())));
            }
            rows(&all, false).without_last().csv()
        }
        _ => {
            let lines = all.iter().map(Series::title);
            let cut = |line: String| if screen.cut { plot::cut(&line, screen.width) } else { line };
            lines.map(|line| cut(line) + "\n").collect()
        }
    })
}

/// Names or values of labels.
pub fn words(data: &Value, title: &str, form: Form) -> Result<String, Trouble> {
    let words = data.as_array().ok_or_else(strange)?;
    let words = words.iter().filter_map(Value::as_str);
    Ok(match form {
        Form::Json => data.to_string(),
        Form::Csv => {
            let mut table = Table::new(&[title.to_owned()]);
            words.for_each(|word| table.row(vec![word.to_owned()]));
            table.csv()
        }
        _ => words.map(|word| format!("{word}\n")).collect(),
    })
}
