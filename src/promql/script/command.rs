//! The lines of a script as commands.

use regex::Regex;

use super::series::{WrittenSeries, millis, parse_starts, parse_values, split_labels};
use crate::model::{Labels, Point};

/// A command with the number of its first line, from 1.
#[derive(Debug)]
pub(super) struct Command {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Clear,
    Load {
        step: i64,
        custom_histograms: bool,
        series: Vec<Loaded>,
    },
    Eval(Box<Eval>),
    /// A command that cannot be read; an evaluation counts as failed.
    Broken {
        is_eval: bool,
        problem: String,
    },
}

/// A series with the start timestamps of its samples, relative to them.
#[derive(Debug)]
pub(super) struct Loaded {
    pub series: WrittenSeries,
    pub starts: Vec<Option<i64>>,
}

#[derive(Debug)]
pub(super) struct Eval {
    pub query: String,
    pub when: When,
    pub expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Instant(i64),
    Range { start: i64, end: i64, step: i64 },
}

#[derive(Debug, Default)]
pub(super) struct Expected {
    pub fail: bool,
    pub fail_texts: Vec<Wording>,
    pub warnings: Vec<Wording>,
    pub infos: Vec<Wording>,
    pub no_warnings: bool,
    pub no_infos: bool,
    pub ordered: bool,
    pub text: Option<String>,
    pub scalar: Option<f64>,
    /// An instant query that gives a matrix with values at these times.
    pub matrix: Option<When>,
    pub series: Vec<(Labels, Vec<Option<Point>>)>,
}

/// Words that a message must have.
#[derive(Debug)]
pub(super) enum Wording {
    Any,
    Exactly(String),
    Like(Regex),
}

impl Wording {
    pub fn accepts(&self, message: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(text) => text == message,
            Self::Like(regex) => regex.is_match(message),
        }
    }
}

/// All commands of a script.
pub(super) fn commands(script: &str) -> Vec<Command> {
    let lines: Vec<&str> = script
        .lines()
        .map(|line| {
            let line = line.trim();
            if line.starts_with('#') { "" } else { line }
        })
        .collect();
    let mut commands = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if lines[at].is_empty() {
            at += 1;
            continue;
        }
        let end =
            lines[at..].iter().position(|line| line.is_empty()).map_or(lines.len(), |n| at + n);
        let word = lines[at].split_whitespace().next().unwrap_or("").to_ascii_lowercase();
        // `clear` has no lines of its own; the next command may follow at once.
        let end = if word == "clear" { at + 1 } else { end };
        let is_eval = word.starts_with("eval");
        let kind = match word.as_str() {
            "clear" => Ok(Kind::Clear),
            "load" | "load_with_nhcb" => load(&lines[at..end], word == "load_with_nhcb"),
            _ if is_eval => eval(&lines[at..end], &word).map(|eval| Kind::Eval(Box::new(eval))),
            other => Err(format!("`{other}` is no command")),
        };
        let kind = kind.unwrap_or_else(|problem| Kind::Broken { is_eval, problem });
        commands.push(Command { line: at + 1, kind });
        at = end;
    }
    commands
}

fn load(lines: &[&str], custom_histograms: bool) -> Result<Kind, String> {
    let step = lines[0].split_whitespace().nth(1).ok_or("`load` needs a step")?;
    let step = millis(step)?;
    let mut series = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for line in &lines[1..] {
        let (labels, rest) = split_labels(line)?;
        if let Some(list) = rest.strip_prefix("@st") {
            starts = Some((labels, parse_starts(list)?));
            continue;
        }
        let values = parse_values(rest)?;
        let starts = match starts.take() {
            Some((of, starts)) if of == labels && starts.len() == values.len() => starts,
            Some((of, starts)) => {
                return Err(format!(
                    "start timestamps of {of} ({}) do not fit {labels} ({})",
                    starts.len(),
                    values.len()
                ));
            }
            None => Vec::new(),
        };
        series.push(Loaded { series: WrittenSeries { labels, values }, starts });
    }
    Ok(Kind::Load { step, custom_histograms, series })
}

/// The next word and what follows it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn keyword<'a>(text: &'a str, wanted: &str) -> Result<&'a str, String> {
    let (found, rest) = word(text);
    if found == wanted { Ok(rest) } else { Err(format!("expected `{wanted}`, found `{found}`")) }
}

/// `from 0 to 10m step 5m`
fn range(text: &str) -> Result<(When, &str), String> {
    let (start, rest) = word(keyword(text, "from")?);
    let (end, rest) = word(keyword(rest, "to")?);
    let (step, rest) = word(keyword(rest, "step")?);
    let when = When::Range { start: millis(start)?, end: millis(end)?, step: millis(step)? };
    Ok((when, rest))
}

fn eval(lines: &[&str], command: &str) -> Result<Eval, String> {
    let (_, rest) = word(lines[0]);
    let (kind, rest) = word(rest);
    let (when, query) = match kind {
        "instant" => {
            let (at, rest) = word(keyword(rest, "at")?);
            (When::Instant(millis(at)?), rest)
        }
        "range" => range(rest)?,
        other => return Err(format!("expected `instant` or `range`, found `{other}`")),
    };
    let mut expected = Expected::default();
    match command {
        "eval_fail" => expected.fail = true,
        "eval_warn" => expected.warnings.push(Wording::Any),
        "eval_info" => expected.infos.push(Wording::Any),
        "eval_ordered" => expected.ordered = true,
        _ => {}
    }
    for line in &lines[1..] {
        expectation(line, &mut expected)?;
    }
    Ok(Eval { query: query.to_owned(), when, expected })
}

fn expectation(line: &str, expected: &mut Expected) -> Result<(), String> {
    if let Some(text) = line.strip_prefix("expected_fail_message") {
        expected.fail_texts.push(Wording::Exactly(text.trim().to_owned()));
        return Ok(());
    }
    if let Some(text) = line.strip_prefix("expected_fail_regexp") {
        expected
            .fail_texts
            .push(Wording::Like(Regex::new(text.trim()).map_err(|e| e.to_string())?));
        return Ok(());
    }
    if let Some(rest) = line.strip_prefix("expect ") {
        return expect(rest.trim(), expected);
    }
    if !line.contains('{')
        && line.split_whitespace().count() == 1
        && let Some(value) = super::super::syntax::parse_number(line)
    {
        expected.scalar = Some(value);
        return Ok(());
    }
    let (labels, rest) = split_labels(line)?;
    expected.series.push((labels, parse_values(rest)?));
    Ok(())
}

fn expect(rest: &str, expected: &mut Expected) -> Result<(), String> {
    let (kind, text) = word(rest);
    let wording = || -> Result<Wording, String> {
        if let Some(text) = text.strip_prefix("msg:") {
            return Ok(Wording::Exactly(text.trim().to_owned()));
        }
        if let Some(text) = text.strip_prefix("regex:") {
            return Regex::new(text.trim()).map(Wording::Like).map_err(|e| e.to_string());
        }
        if text.is_empty() { Ok(Wording::Any) } else { Err(format!("unexpected `{text}`")) }
    };
    match kind {
        "fail" => {
            expected.fail = true;
            expected.fail_texts.push(wording()?);
        }
        "warn" => expected.warnings.push(wording()?),
        "info" => expected.infos.push(wording()?),
        "no_warn" => expected.no_warnings = true,
        "no_info" => expected.no_infos = true,
        "ordered" => expected.ordered = true,
        "string" => {
            let (value, _) = super::super::syntax::unquote(text)
                .map_err(|_| format!("`{text}` is no text in quotes"))?;
            expected.text = Some(value);
        }
        "range" => expected.matrix = Some(range(keyword(text, "vector")?)?.0),
        other => return Err(format!("`expect {other}` is not known")),
    }
    Ok(())
}
