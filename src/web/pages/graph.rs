use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use super::super::api::{Failure, compute};
use super::super::router::Shared;
use super::plot::{self, Plot};
use super::view::Frame;
use super::{Wishes, frame, page};
use crate::model::Timestamp;
use crate::promql::{self, Answer, Options, Point, Type, Value, format_float};

/// Most series that are shown.
const MAX_ROWS: usize = 200;
/// How much of the past is drawn, and in which steps.
const PAST: Duration = Duration::from_secs(3_600);
const STEP: Duration = Duration::from_secs(30);
/// A page is for people: nobody waits for longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the address asks for, in the form that Prometheus gave to links in alerts.
#[derive(Default, Deserialize)]
pub(in crate::web) struct Asked {
    #[serde(default, rename = "g0.expr")]
    expression: String,
    #[serde(default)]
    lang: String,
}

#[derive(Template)]
#[template(path = "graph.html", config = "src/web/pages/askama.toml")]
struct Graph {
    frame: Frame,
    expression: String,
    problem: String,
    notes: Vec<String>,
    answered: bool,
    rows: Vec<(String, String)>,
    cut: bool,
    plot: Option<Plot>,
}

/// An expression: its value now and in the past hour. Links in messages lead here.
pub(in crate::web) async fn graph(
    State(shared): State<Arc<Shared>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let wishes = Wishes { lang: asked.lang, refresh: "off".to_owned() };
    let mut frame = frame(&shared, &wishes, &headers, "");
    frame.title = format!("{} – {}", frame.words.query, frame.instance);
    let (now, expression) = (shared.doors.clock.wall(), asked.expression);
    let mut shown = Graph {
        frame,
        expression: expression.clone(),
        problem: String::new(),
        notes: Vec::new(),
        answered: false,
        rows: Vec::new(),
        cut: false,
        plot: None,
    };
    if !expression.trim().is_empty() {
        let found = compute(&shared, PATIENCE, move |shared, watch| {
            let interrupt = || watch.interrupt();
            evaluate(shared, &expression, now, &interrupt)
        });
        match found.await {
            Ok((current, past)) => shown.fill(&current, past.as_ref(), now),
            Err(failure) => shown.problem = failure.message,
        }
    }
    page(&shown)
}

/// The value now and, where it can be drawn, in the past hour.
fn evaluate(
    shared: &Shared,
    text: &str,
    now: Timestamp,
    interrupt: &(dyn Fn() -> Option<promql::Interrupt> + Sync),
) -> Result<(Answer, Option<Answer>), Failure> {
    let expr = promql::parse(text).map_err(|error| Failure::parameter("query", error))?;
    let limits = &shared.settings.queries;
    let options = Options {
        lookback: limits.lookback,
        max_samples: limits.samples,
        max_series: limits.series,
        interrupt,
        ..Options::default()
    };
    let store = shared.doors.samples.snapshot();
    let current = promql::instant(&expr, &*store, now, &options)?;
    let drawn = matches!(expr.result_type(), Type::Vector | Type::Scalar);
    let past = if drawn {
        Some(promql::range(&expr, &*store, now - PAST, now, STEP, &options)?)
    } else {
        None
    };
    Ok((current, past))
}

impl Graph {
    fn fill(&mut self, current: &Answer, past: Option<&Answer>, now: Timestamp) {
        self.answered = true;
        self.notes = current.warnings.iter().map(|note| note.in_query(&self.expression)).collect();
        let value = |point: &Point| match point {
            Point::Float(value) => format_float(*value),
            Point::Histogram(histogram) => {
                format!("{} observations", format_float(histogram.count))
            }
        };
        let all: Vec<(String, String)> = match &current.value {
            Value::Scalar(_, value) => vec![(String::new(), format_float(*value))],
            Value::String(_, text) => vec![(String::new(), text.clone())],
            Value::Vector(samples) => samples
                .iter()
                .take(MAX_ROWS + 1)
                .map(|s| (s.labels.to_string(), value(&s.value)))
                .collect(),
            Value::Matrix(series) => series
                .iter()
                .take(MAX_ROWS + 1)
                .filter_map(|s| Some((s.labels.to_string(), value(&s.points.last()?.1))))
                .collect(),
        };
        self.cut = all.len() > MAX_ROWS;
        self.rows = all.into_iter().take(MAX_ROWS).collect();
        if let Some(Answer { value: Value::Matrix(series), .. }) = past {
            let clock = |at: Timestamp| self.frame.moment(at).clock;
            self.plot = plot::draw(series, now - PAST, now, clock);
        }
    }
}
