use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Span, Type, line_and_column};
use crate::model::{Histogram, Labels, Timestamp};
use crate::ports::SelectError;

/// How a query is evaluated and what it may cost.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How far back an instant selector looks for a sample.
    pub lookback: Duration,
    /// The step of a subquery that names none.
    pub subquery_step: Duration,
    /// Most samples held at one time; 16 bytes each at least.
    pub max_samples: usize,
    /// Most series one selector may find.
    pub max_series: usize,
    /// Whether functions and operators that Prometheus calls experimental exist.
    pub experimental: bool,
    /// Whether the metric name is dropped at the very end instead of by each function
    /// (Prometheus: `--enable-feature=promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether start timestamps of samples count as counter resets.
    pub start_timestamps: bool,
    /// Whether [`Usage`] counts the samples that each step looks at.
    pub count_samples: bool,
    /// Asked again and again while evaluating; `Some` ends the evaluation.
    pub interrupt: &'a (dyn Fn() -> Option<Interrupt> + Sync),
}

impl Default for Options<'_> {
    /// Prometheus' defaults, with all of the language switched on.
    fn default() -> Self {
        Self {
            lookback: Duration::from_secs(300),
            subquery_step: Duration::from_secs(60),
            max_samples: 50_000_000,
            max_series: 1_000_000,
            experimental: true,
            delayed_name_removal: false,
            start_timestamps: true,
            count_samples: false,
            interrupt: &|| None,
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("lookback", &self.lookback).finish_non_exhaustive()
    }
}

/// Why an evaluation was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Its time is over.
    Timeout,
    /// Nobody waits for it any more.
    Canceled,
}

/// What a query gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The result.
    pub value: Value,
    /// What may make the result wrong, each once.
    pub warnings: Vec<Annotation>,
    /// What the reader may want to know, each once.
    pub infos: Vec<Annotation>,
    /// What it cost.
    pub usage: Usage,
}

/// What a query cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Most samples held at one time: what was read of one series (of all, where a selector stands
    /// in the query several times) and what the result and the groups of aggregations need.
    pub peak_samples: usize,
    /// Samples that each step looked at, as Prometheus counts them (`totalQueryableSamples`): those
    /// in its windows, one for an instant selector. Empty unless [`Options::count_samples`].
    pub per_step: Vec<u64>,
}

/// The result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// One number.
    Scalar(Timestamp, f64),
    /// One text.
    String(Timestamp, String),
    /// One value for each series; in a defined order only after `sort`, `topk` and the like.
    Vector(Vec<VectorSample>),
    /// Many values for each series, sorted by labels.
    Matrix(Vec<SeriesPoints>),
}

impl Value {
    /// The type's name in the API: `scalar`, `string`, `vector`, `matrix`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Scalar(..) => Type::Scalar,
            Self::String(..) => Type::Text,
            Self::Vector(_) => Type::Vector,
            Self::Matrix(_) => Type::Matrix,
        }
        .api_name()
    }
}

/// A value of a series at one instant.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSample {
    /// Which series.
    pub labels: Labels,
    /// The instant of the evaluation, which is not that of the sample read.
    pub at: Timestamp,
    /// Its value.
    pub value: Point,
}

/// The values of a series, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoints {
    /// Which series.
    pub labels: Labels,
    /// Its values; instants strictly ascending.
    pub points: Vec<(Timestamp, Point)>,
}

/// A number or a histogram.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

impl Point {
    /// The number, if it is one.
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(_) => None,
        }
    }
}

/// A warning or an info about a query's result.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Annotation {
    /// In Prometheus' words, `PromQL warning: …` or `PromQL info: …`.
    pub message: String,
    /// Which part of the query it is about.
    pub span: Option<Span>,
}

impl Annotation {
    /// The message with line and column in the query, `… (1:5)`.
    pub fn in_query(&self, query: &str) -> String {
        match self.span {
            Some(span) => {
                let (line, column) = line_and_column(query, span.start);
                format!("{} ({line}:{column})", self.message)
            }
            None => self.message.clone(),
        }
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A query that could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// Which kind.
    pub kind: EvalErrorKind,
    /// In Prometheus' words.
    pub message: String,
}

/// Kinds of errors, as Prometheus' API tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalErrorKind {
    /// The request makes no sense: HTTP 400.
    BadData,
    /// The evaluation failed: HTTP 422.
    Execution,
    /// It took too long: HTTP 503.
    Timeout,
    /// Nobody waits for it: HTTP 503 (499 in Prometheus since 2.53).
    Canceled,
    /// Samples could not be read: HTTP 500.
    Internal,
}

impl EvalErrorKind {
    /// The `errorType` of the API.
    pub fn api_name(self) -> &'static str {
        match self {
            Self::BadData => "bad_data",
            Self::Execution => "execution",
            Self::Timeout => "timeout",
            Self::Canceled => "canceled",
            Self::Internal => "internal",
        }
    }
}

impl EvalError {
    pub(super) fn execution(message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::Execution, message: message.into() }
    }

    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self { kind: EvalErrorKind::BadData, message: message.into() }
    }
}

impl From<Interrupt> for EvalError {
    fn from(interrupt: Interrupt) -> Self {
        let (kind, message) = match interrupt {
            Interrupt::Timeout => {
                (EvalErrorKind::Timeout, "query timed out in expression evaluation")
            }
            Interrupt::Canceled => {
                (EvalErrorKind::Canceled, "query was canceled in expression evaluation")
            }
        };
        Self { kind, message: message.to_owned() }
    }
}

impl From<SelectError> for EvalError {
    fn from(error: SelectError) -> Self {
        Self { kind: EvalErrorKind::Internal, message: error.to_string() }
    }
}
