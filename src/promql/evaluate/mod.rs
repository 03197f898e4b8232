//! From expression and samples to an answer, series by series over all steps.

mod aggregate;
mod aggregate_pick;
mod binary;
mod calls;
mod elementwise;
mod histograms;
mod info;
mod kernels;
mod labels;
mod matching;
mod notes;
mod over_time;
mod places;
mod plan;
mod points;
mod rate;
mod select;
mod set_operations;
mod window;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use smallvec::smallvec;

use notes::{Note, Notes};
use places::Places;
use plan::Plan;
pub(super) use plan::key_of;
use points::{Floats, Points, Scalars, Series, Steps};

use super::syntax::{At, Length, LengthOperation};
use super::{
    Answer, EvalError, Expr, Options, Point, SeriesPoints, Span, Type, Usage, Value, VectorSample,
};
use crate::model::{Labels, METRIC_NAME, Timestamp};
use crate::ports::Select;

/// The labels that say what a metric is and not where it comes from.
pub(super) const METADATA_LABELS: [&str; 3] = [METRIC_NAME, "__type__", "__unit__"];

const SAME_LABELS: &str = "vector cannot contain metrics with the same labelset";

type Evaluated<T> = Result<T, EvalError>;
/// Takes the series of a vector one after the other.
type Sink<'s> = dyn FnMut(Series) -> Evaluated<()> + 's;

/// The query's own first and last instant and its step, which `start()`, `step()` … mean.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    start: i64,
    end: i64,
    /// Zero for an instant query.
    step: i64,
}

struct Evaluator<'a> {
    store: &'a dyn Select,
    options: &'a Options<'a>,
    bounds: Bounds,
    lookback: i64,
    plan: Plan,
    notes: RefCell<Notes>,
    /// Samples held at present, and the most so far.
    held: Cell<usize>,
    peak: Cell<usize>,
    /// Samples that each step has looked at; empty when nobody wants to know.
    counts: RefCell<Vec<u64>>,
    /// Work since `interrupt` was asked last.
    work: Cell<usize>,
    /// Whether histograms shall say of each sample if there was a counter reset before it: where
    /// only count and sum are asked for, Prometheus finds that out while reading.
    hints_wanted: Cell<bool>,
    /// Set just before an expression that drops names is evaluated, when nobody looks at the
    /// names: then they may as well stay.
    names_unwanted: Cell<bool>,
    /// Buffers to use again.
    spare: RefCell<Vec<Floats>>,
}

/// Evaluates an expression at one instant.
///
/// # Errors
/// See [`super::EvalErrorKind`].
pub fn instant(
    expr: &Expr,
    store: &dyn Select,
    at: Timestamp,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let millis = at.millis();
    let bounds = Bounds { start: millis, end: millis, step: 0 };
    let steps = Steps::once(millis);
    let evaluator = Evaluator::new(expr, store, options, bounds, steps)?;
    let value = match expr.result_type() {
        Type::Scalar => Value::Scalar(at, evaluator.scalars(expr, &steps)?.at(0)),
        Type::Text => Value::String(at, text_of(expr)),
        Type::Vector => {
            let all = evaluator.collected(expr, &steps)?;
            let samples = all.into_iter().filter_map(|series| {
                let value = series.points.get(0)?;
                Some(VectorSample { labels: series.labels, at, value })
            });
            Value::Vector(samples.collect())
        }
        Type::Matrix => Value::Matrix(evaluator.raw_matrix(expr, &steps)?),
    };
    Ok(evaluator.answer(value))
}

/// Evaluates an expression at `start`, `start + step` … up to `end`.
///
/// # Errors
/// See [`super::EvalErrorKind`].
pub fn range(
    expr: &Expr,
    store: &dyn Select,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let step = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
    if step <= 0 {
        return Err(EvalError::bad_data(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if end < start {
        return Err(EvalError::bad_data("end timestamp must not be before start time"));
    }
    let kind = expr.result_type();
    if !matches!(kind, Type::Scalar | Type::Vector) {
        return Err(EvalError::bad_data(format!(
            "invalid expression type {:?} for range query, must be Scalar or instant Vector",
            kind.documented()
        )));
    }
    let steps = Steps::between(start.millis(), end.millis(), step);
    let bounds = Bounds { start: start.millis(), end: end.millis(), step };
    let evaluator = Evaluator::new(expr, store, options, bounds, steps)?;
    let mut series = if kind == Type::Scalar {
        let values = evaluator.scalars(expr, &steps)?;
        let floats = (0..steps.count).map(|step| values.at(step)).collect();
        let points = Points { floats, histograms: Vec::new() };
        vec![Series { labels: Labels::empty(), drop_name: false, points }]
    } else {
        evaluator.collected(expr, &steps)?
    };
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let all = series.into_iter().map(|series| SeriesPoints {
        labels: series.labels,
        points: series.points.into_timed(&steps),
    });
    let matrix = all.filter(|series| !series.points.is_empty()).collect();
    Ok(evaluator.answer(Value::Matrix(matrix)))
}

/// What an instant query will read: its selectors as text, the window that covers all places of
/// each, and their number. Nothing for a query that would fail.
pub(super) fn reads(
    expr: &Expr,
    at: Timestamp,
    options: &Options<'_>,
) -> Vec<(String, crate::model::Window, usize)> {
    let millis = at.millis();
    let bounds = Bounds { start: millis, end: millis, step: 0 };
    let nothing = super::MemoryStore::new();
    let steps = Steps::once(millis);
    Evaluator::new(expr, &nothing, options, bounds, steps)
        .and_then(|evaluator| Plan::all_reads(&evaluator, expr, steps))
        .unwrap_or_default()
}

fn text_of(expr: &Expr) -> String {
    match expr.unwrapped() {
        Expr::Text(text) => text.value.clone(),
        _ => String::new(),
    }
}

impl<'a> Evaluator<'a> {
    fn new(
        expr: &Expr,
        store: &'a dyn Select,
        options: &'a Options<'a>,
        bounds: Bounds,
        steps: Steps,
    ) -> Evaluated<Self> {
        if let Some(name) = plan::experimental(expr).filter(|_| !options.experimental) {
            return Err(EvalError::bad_data(format!("{name} is experimental and not enabled")));
        }
        let mut evaluator = Self {
            store,
            options,
            bounds,
            lookback: i64::try_from(options.lookback.as_millis()).unwrap_or(i64::MAX),
            plan: Plan::default(),
            notes: RefCell::default(),
            held: Cell::new(0),
            peak: Cell::new(0),
            counts: RefCell::default(),
            work: Cell::new(0),
            hints_wanted: Cell::new(false),
            names_unwanted: Cell::new(false),
            spare: RefCell::default(),
        };
        evaluator.check_steps(&steps)?;
        if options.count_samples {
            evaluator.counts = RefCell::new(vec![0; steps.count]);
        }
        evaluator.plan = Plan::new(&evaluator, expr, steps)?;
        Ok(evaluator)
    }

    fn answer(self, value: Value) -> Answer {
        let notes = self.notes.into_inner();
        Answer {
            value,
            warnings: notes.warnings.into_iter().collect(),
            infos: notes.infos.into_iter().collect(),
            usage: Usage { peak_samples: self.peak.get(), per_step: self.counts.into_inner() },
        }
    }

    fn note(&self, note: Note<'_>, span: Span) {
        self.notes.borrow_mut().add(note, span);
    }

    /// Runs something with `hints_wanted` set or not.
    fn with_hints<T>(&self, wanted: bool, run: impl FnOnce() -> T) -> T {
        let before = self.hints_wanted.replace(wanted);
        let result = run();
        self.hints_wanted.set(before);
        result
    }

    /// Counts work and asks now and then whether to go on.
    fn tick(&self, work: usize) -> Evaluated<()> {
        let sum = self.work.get().saturating_add(work + 16);
        if sum < 1 << 16 {
            self.work.set(sum);
            return Ok(());
        }
        self.work.set(0);
        match (self.options.interrupt)() {
            Some(interrupt) => Err(interrupt.into()),
            None => Ok(()),
        }
    }

    /// Counts samples that stay in memory.
    fn hold(&self, samples: usize) -> Evaluated<()> {
        self.held.set(self.held.get().saturating_add(samples));
        self.check_held(self.held.get())
    }

    fn check_held(&self, samples: usize) -> Evaluated<()> {
        self.peak.set(self.peak.get().max(samples));
        if samples > self.options.max_samples {
            return Err(EvalError::execution(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        Ok(())
    }

    fn check_steps(&self, steps: &Steps) -> Evaluated<()> {
        self.check_held(steps.count)
    }

    fn buffer(&self, count: usize) -> Points {
        if count == 1 {
            let floats = smallvec![crate::model::STALE];
            return Points { floats, histograms: Vec::new() };
        }
        let mut floats = self.spare.borrow_mut().pop().unwrap_or_default();
        floats.clear();
        floats.resize(count, crate::model::STALE);
        Points { floats, histograms: Vec::new() }
    }

    fn give_back(&self, points: Points) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < 8 && points.floats.spilled() {
            spare.push(points.floats);
        }
    }

    /// A length of time in milliseconds.
    fn millis(&self, length: &Length) -> Evaluated<i64> {
        let seconds = self.seconds(length)?;
        let millis = seconds * 1000.0;
        if !(-9.2e15..9.2e15).contains(&millis) {
            return Err(EvalError::execution("duration is out of range"));
        }
        #[allow(clippy::cast_possible_truncation)]
        Ok(millis.round() as i64)
    }

    fn positive_millis(&self, length: &Length) -> Evaluated<i64> {
        let millis = self.millis(length)?;
        if millis <= 0 {
            return Err(EvalError::bad_data("duration must be greater than 0"));
        }
        Ok(millis)
    }

    fn seconds(&self, length: &Length) -> Evaluated<f64> {
        Ok(match length {
            Length::Seconds(seconds) => *seconds,
            Length::Step => self.step_seconds(),
            Length::Range => self.range_seconds(),
            Length::Negated(inner) => -self.seconds(inner)?,
            Length::Paren(inner) => self.seconds(inner)?,
            Length::Operation(operation, sides) => {
                let (left, right) = (self.seconds(&sides.0)?, self.seconds(&sides.1)?);
                match operation {
                    LengthOperation::Add => left + right,
                    LengthOperation::Subtract => left - right,
                    LengthOperation::Multiply => left * right,
                    LengthOperation::Divide if right == 0.0 => {
                        return Err(EvalError::bad_data("division by zero"));
                    }
                    LengthOperation::Modulo if right == 0.0 => {
                        return Err(EvalError::bad_data("modulo by zero"));
                    }
                    LengthOperation::Divide => left / right,
                    LengthOperation::Modulo => left % right,
                    LengthOperation::Power => left.powf(right),
                    LengthOperation::Least => left.min(right),
                    LengthOperation::Greatest => left.max(right),
                }
            }
        })
    }

    #[allow(clippy::cast_precision_loss)]
    fn step_seconds(&self) -> f64 {
        self.bounds.step as f64 / 1000.0
    }

    #[allow(clippy::cast_precision_loss)]
    fn range_seconds(&self) -> f64 {
        self.bounds.end.saturating_sub(self.bounds.start) as f64 / 1000.0
    }

    /// The instant `@` pins to.
    fn pinned(&self, at: Option<At>) -> Option<i64> {
        at.map(|at| match at {
            At::Time(time) => time.millis(),
            At::Start => self.bounds.start,
            At::End => self.bounds.end,
        })
    }

    /// All series of a vector with their final names, each label set once.
    fn collected(&self, expr: &Expr, steps: &Steps) -> Evaluated<Vec<Series>> {
        let mut all: Vec<Series> = Vec::new();
        let mut places = Places::default();
        self.vector(expr, steps, &mut |mut series| {
            if series.drop_name {
                series.labels = series.labels.without(&METADATA_LABELS);
            }
            match places.find(series.labels.as_bytes(), |place| &all[place].labels) {
                Some(place) => merge(&mut all[place].points, series.points),
                None => {
                    self.hold(series.points.floats.len())?;
                    places.add(series.labels.as_bytes(), all.len(), |place| &all[place].labels);
                    all.push(series);
                    Ok(())
                }
            }
        })?;
        Ok(all)
    }

    /// All series of a vector as they come.
    fn all_series(&self, expr: &Expr, steps: &Steps) -> Evaluated<Vec<Series>> {
        let mut all = Vec::new();
        self.vector(expr, steps, &mut |series| {
            self.hold(series.points.floats.len())?;
            all.push(series);
            Ok(())
        })?;
        Ok(all)
    }

    /// Evaluates a vector; `sink` takes its series one after the other.
    fn vector(&self, expr: &Expr, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        if steps.count == 0 {
            return Ok(());
        }
        if steps.count > 1 && self.plan.is_invariant(expr) {
            let once = RefCell::new(vec![0; self.counts.borrow().len().min(1)]);
            self.counting_in(&once, sink, |sink| {
                self.vector(expr, &Steps::once(steps.start), &mut |series| {
                    sink(broadcast(series, steps.count))
                })
            })?;
            // As if each step had looked.
            let once = once.into_inner().first().copied().unwrap_or(0);
            self.counts.borrow_mut().iter_mut().for_each(|count| *count += once);
            return Ok(());
        }
        match expr {
            Expr::Selector(selector) => self.selector(selector, steps, sink),
            Expr::Paren(paren) => self.vector(&paren.inner, steps, sink),
            Expr::Unary(unary) if !unary.minus => self.vector(&unary.inner, steps, sink),
            Expr::Unary(unary) => self.dropping(&unary.inner, true, sink, |sink| {
                self.vector(&unary.inner, steps, &mut |mut series| {
                    negate(&mut series.points);
                    sink(series)
                })
            }),
            Expr::Call(call) => self.call(call, steps, sink),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate, steps, sink),
            Expr::Binary(binary) => self.binary(binary, steps, sink),
            Expr::Number(_) | Expr::Text(_) | Expr::Range(_) | Expr::Subquery(_) => {
                Err(EvalError::execution("expected an instant vector"))
            }
        }
    }

    /// Runs `produce`, whose steps are others than ours, and so counts its samples elsewhere; what
    /// comes out of it is ours again.
    fn counting_in(
        &self,
        other: &RefCell<Vec<u64>>,
        sink: &mut Sink<'_>,
        produce: impl FnOnce(&mut Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let swap = || self.counts.swap(other);
        swap();
        let produced = produce(&mut |series| {
            swap();
            let taken = sink(series);
            swap();
            taken
        });
        swap();
        produced
    }

    /// Evaluates a scalar at all steps.
    fn scalars(&self, expr: &Expr, steps: &Steps) -> Evaluated<Scalars> {
        match expr {
            Expr::Number(number) => Ok(Scalars::Constant(number.value)),
            Expr::Paren(paren) => self.scalars(&paren.inner, steps),
            Expr::Unary(unary) => {
                let values = self.scalars(&unary.inner, steps)?;
                Ok(if unary.minus { values.map(|value| -value) } else { values })
            }
            Expr::Binary(binary) => self.scalar_binary(binary, steps),
            Expr::Call(call) => self.scalar_call(call, steps),
            _ => Err(EvalError::execution("expected a scalar")),
        }
    }

    /// Runs `produce`, whose series lose their names: at once, or later when removal is delayed.
    /// Without names two series may be the same: then they are merged step by step, or (with
    /// `strict`) refused.
    fn dropping(
        &self,
        inner: &Expr,
        strict: bool,
        sink: &mut Sink<'_>,
        produce: impl FnOnce(&mut Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        if self.options.delayed_name_removal {
            self.names_unwanted.set(false);
            return produce(&mut |mut series| {
                series.drop_name = true;
                sink(series)
            });
        }
        let fixed = plan::names_are_fixed(inner);
        if self.names_unwanted.take() && fixed {
            return produce(sink);
        }
        if fixed {
            return produce(&mut |mut series| {
                series.labels = series.labels.without(&METADATA_LABELS);
                sink(series)
            });
        }
        self.merging(strict, sink, |sink| {
            produce(&mut |mut series| {
                series.labels = series.labels.without(&METADATA_LABELS);
                sink(series)
            })
        })
    }

    /// Runs `produce` and joins series with the same labels.
    fn merging(
        &self,
        strict: bool,
        sink: &mut Sink<'_>,
        produce: impl FnOnce(&mut Sink<'_>) -> Evaluated<()>,
    ) -> Evaluated<()> {
        let mut all: Vec<Series> = Vec::new();
        let mut places = Places::default();
        produce(&mut |series| {
            match places.find(series.labels.as_bytes(), |place| &all[place].labels) {
                Some(_) if strict => return Err(EvalError::execution(SAME_LABELS)),
                Some(place) => {
                    all[place].drop_name |= series.drop_name;
                    merge(&mut all[place].points, series.points)?;
                }
                None => {
                    self.hold(series.points.floats.len())?;
                    places.add(series.labels.as_bytes(), all.len(), |place| &all[place].labels);
                    all.push(series);
                }
            }
            Ok(())
        })?;
        all.into_iter().try_for_each(sink)
    }
}

/// Takes over the values of a series with the same labels; both must not have one at a step.
fn merge(into: &mut Points, from: Points) -> Evaluated<()> {
    for step in 0..from.floats.len() {
        if let Some(point) = from.get(step) {
            if into.is_present(step) {
                return Err(EvalError::execution(SAME_LABELS));
            }
            into.set(step, point);
        }
    }
    Ok(())
}

fn broadcast(series: Series, count: usize) -> Series {
    let points = Points {
        floats: smallvec![series.points.floats[0]; count],
        histograms: series
            .points
            .histogram(0)
            .map_or_else(Vec::new, |histogram| vec![Some(Arc::clone(histogram)); count]),
    };
    Series { points, ..series }
}

fn negate(points: &mut Points) {
    for value in &mut points.floats {
        if !crate::model::is_stale(*value) {
            *value = -*value;
        }
    }
    for histogram in points.histograms.iter_mut().flatten() {
        super::histogram::scale(Arc::make_mut(histogram), -1.0);
    }
}

/// One value for a histogram.
fn histogram_point(histogram: crate::model::Histogram) -> Point {
    Point::Histogram(Arc::new(histogram))
}
