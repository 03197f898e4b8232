//! Functions over the samples of a window: `…_over_time`, `changes`, `resets`, `deriv` …

use std::sync::Arc;

use super::super::exact::{Exact, Mean, Variance, quantile};
use super::super::histogram::{Sum, detect_reset, divide, equal};
use super::super::syntax::{Call, Extension};
use super::super::{EvalError, Point, Span};
use super::notes::{Doing, Note};
use super::points::{Points, Scalars, Series, Steps};
use super::rate::{Kind, start_says_reset};
use super::window::{RangeSeries, Window};
use super::{Evaluated, Evaluator, Sink, histogram_point};
use crate::model::{CounterReset, Labels, Timestamp, is_stale};

/// What is computed of a window.
#[derive(Clone, Copy)]
pub(super) enum Kernel {
    Rate(Kind),
    InstantRate { counter: bool },
    Count,
    Present,
    Sum { average: bool },
    Extreme { larger: bool },
    Time { last: bool },
    Transitions { resets: bool },
    Quantile,
    Slope,
    Prediction,
    Smoothing,
    Floats(OfFloats),
}

impl Kernel {
    fn of(name: &str) -> Option<Self> {
        let rate = |counter, per_second| Self::Rate(Kind { counter, per_second });
        Some(match name {
            "rate" => rate(true, true),
            "increase" => rate(true, false),
            "delta" => rate(false, false),
            "irate" => Self::InstantRate { counter: true },
            "idelta" => Self::InstantRate { counter: false },
            "count_over_time" => Self::Count,
            "present_over_time" => Self::Present,
            "sum_over_time" => Self::Sum { average: false },
            "avg_over_time" => Self::Sum { average: true },
            "max_over_time" => Self::Extreme { larger: true },
            "min_over_time" => Self::Extreme { larger: false },
            "ts_of_first_over_time" => Self::Time { last: false },
            "ts_of_last_over_time" => Self::Time { last: true },
            "changes" => Self::Transitions { resets: false },
            "resets" => Self::Transitions { resets: true },
            "quantile_over_time" => Self::Quantile,
            "deriv" => Self::Slope,
            "predict_linear" => Self::Prediction,
            "double_exponential_smoothing" => Self::Smoothing,
            other => Self::Floats(of_floats(other)?),
        })
    }
}

/// A function of the numbers in a window, which leaves histograms out.
type OfFloats = fn(&[Timestamp], &[f64]) -> f64;

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

fn of_floats(name: &str) -> Option<OfFloats> {
    Some(match name {
        "ts_of_max_over_time" => {
            |times, values| times[last_extreme(values, |new, old| new >= old)].seconds()
        }
        "ts_of_min_over_time" => {
            |times, values| times[last_extreme(values, |new, old| new <= old)].seconds()
        }
        "stddev_over_time" => |_, values| variance(values).sqrt(),
        "stdvar_over_time" => |_, values| variance(values),
        "mad_over_time" => |_, values| {
            if values.iter().any(|value| value.is_nan()) {
                return f64::NAN;
            }
            let mut sorted = values.to_vec();
            let median = quantile(0.5, &mut sorted);
            for value in &mut sorted {
                *value = (*value - median).abs();
            }
            quantile(0.5, &mut sorted)
        },
        _ => return None,
    })
}

/// Where the most extreme value stands; NaN gives way to every number.
fn extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if better(*value, values[best]) || values[best].is_nan() {
            best = at;
        }
    }
    best
}

fn last_extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    extreme(values, better)
}

fn variance(values: &[f64]) -> f64 {
    let mut variance = Variance::default();
    values.iter().for_each(|value| variance.add(*value));
    variance.get()
}

/// Slope and value at `origin` of the regression line, in units per second.
fn regression(window: Window<'_>, origin: i64) -> (f64, f64) {
    let values = window.values;
    if values.iter().all(|value| *value == values[0]) {
        return if values[0].is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, values[0]) };
    }
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Exact::default(); 4];
    for (time, y) in window.times.iter().zip(values) {
        let x = Timestamp::from_millis(time.millis() - origin).seconds();
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let n = count(values.len());
    let plain = |sum: Exact| sum.value + sum.lost;
    let (x, y) = (plain(x_sum), plain(y_sum));
    let slope = (plain(xy_sum) - x * y / n) / (plain(xx_sum) - x * x / n);
    (slope, y / n - slope * x / n)
}

impl Evaluator<'_> {
    /// A call whose argument is a range vector; `false` when it is none.
    pub(super) fn range_call(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let name = call.function.name;
        if matches!(name, "last_over_time" | "first_over_time") {
            let last = name == "last_over_time";
            return self.over_windows(
                call,
                0,
                steps,
                sink,
                |_, _| false,
                |_, _, window| Ok(edge(window, last).map(|(_, point)| point)),
            );
        }
        let kernel = Kernel::of(name)
            .ok_or_else(|| EvalError::execution(format!("function {name} is not known")))?;
        let argument = usize::from(name == "quantile_over_time");
        let scalars: Vec<Scalars> = call
            .arguments
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != argument)
            .map(|(_, scalar)| self.scalars(scalar, steps))
            .collect::<Evaluated<_>>()?;
        let span = call.arguments[argument].span();
        let counter = matches!(name, "rate" | "increase");
        let one_name = super::plan::names_are_fixed(&call.arguments[argument]);
        self.dropping(&call.arguments[argument], true, sink, |sink| {
            let mut said = false;
            let mut checked = |series: Series| {
                if counter && !said && series.points.floats.iter().any(|value| !is_stale(*value)) {
                    self.note_counter_name(&series.labels, span);
                    said = one_name;
                }
                sink(series)
            };
            let quick = |range: &RangeSeries<'_>, points: &mut Points| {
                self.quick(kernel, range, steps, points)
            };
            self.over_windows(call, argument, steps, &mut checked, quick, |range, step, window| {
                self.window_value(kernel, call, &scalars, steps, range, step, window)
            })
        })
    }

    /// Counters have names that say so; where one does not, the query may be a mistake.
    fn note_counter_name(&self, labels: &Labels, span: Span) {
        let name = labels.metric_name();
        let said = ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end));
        if !name.is_empty() && !said {
            self.note(Note::PossiblyNoCounter(labels), span);
        }
    }

    #[allow(clippy::too_many_arguments)] // all that a window's value may depend on
    fn window_value(
        &self,
        kernel: Kernel,
        call: &Call,
        scalars: &[Scalars],
        steps: &Steps,
        range: &RangeSeries<'_>,
        step: usize,
        window: Window<'_>,
    ) -> Evaluated<Option<Point>> {
        let float = |value: f64| Ok(Some(Point::Float(value)));
        match kernel {
            Kernel::Rate(kind) => Ok(self.rate(range, window, kind)),
            Kernel::InstantRate { counter } => Ok(self.instant_rate(range, window, counter)),
            Kernel::Count => float(count(window.values.len() + window.histograms.len())),
            Kernel::Present => float(1.0),
            Kernel::Sum { average } => Ok(self.sum_or_average(range, window, average)),
            Kernel::Extreme { larger } => Ok(self.floats(range, window, 1, |values| {
                let better = |new, old| if larger { new > old } else { new < old };
                values[extreme(values, better)]
            })),
            Kernel::Time { last } => {
                let found = edge(window, last);
                Ok(found.map(|(time, _)| Point::Float(Timestamp::from_millis(time).seconds())))
            }
            Kernel::Transitions { resets } => Ok(self.transitions(range, window, resets)),
            Kernel::Quantile => {
                let q = scalars[0].at(step);
                if !(0.0..=1.0).contains(&q) {
                    self.note(Note::Quantile(q), call.arguments[0].span());
                }
                Ok(self.floats(range, window, 1, |values| quantile(q, &mut values.to_vec())))
            }
            Kernel::Slope => {
                Ok(self
                    .floats(range, window, 2, |_| regression(window, window.times[0].millis()).0))
            }
            Kernel::Prediction => Ok(self.floats(range, window, 2, |_| {
                let (slope, intercept) = regression(window, steps.at(step));
                slope * scalars[0].at(step) + intercept
            })),
            Kernel::Smoothing => {
                let (smoothing, trend) = (scalars[0].at(step), scalars[1].at(step));
                for (word, letter, factor) in
                    [("smoothing", "sf", smoothing), ("trend", "tf", trend)]
                {
                    if factor <= 0.0 || factor >= 1.0 {
                        return Err(EvalError::execution(format!(
                            "invalid {word} factor. Expected: 0 < {letter} < 1, got: {factor:.6}"
                        )));
                    }
                }
                Ok(self.floats(range, window, 2, |values| smooth(values, smoothing, trend)))
            }
            Kernel::Floats(of) => {
                Ok(self.floats(range, window, 1, |values| of(window.times, values)))
            }
        }
    }

    /// A function of at least `least` numbers; histograms among them are noted and left out.
    fn floats(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        least: usize,
        compute: impl FnOnce(&[f64]) -> f64,
    ) -> Option<Point> {
        if window.is_mixed() {
            self.note(Note::HistogramIgnoredInRange(range.labels), range.span);
        }
        (window.values.len() >= least).then(|| Point::Float(compute(window.values)))
    }

    fn sum_or_average(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        average: bool,
    ) -> Option<Point> {
        if window.is_mixed() {
            self.note(Note::MixedFloatsHistograms(range.labels), range.span);
            return None;
        }
        if window.histograms.is_empty() {
            let value = if average {
                let mut mean = Mean::default();
                window.values.iter().for_each(|value| mean.add(*value));
                mean.get()
            } else {
                let mut sum = Exact::default();
                window.values.iter().for_each(|value| sum.add(*value));
                sum.get()
            };
            return Some(Point::Float(value));
        }
        self.histograms_over_time(range, window, average)
    }

    fn histograms_over_time(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        average: bool,
    ) -> Option<Point> {
        let all = window.histograms;
        let has = |reset| all.iter().any(|(_, histogram)| histogram.reset == reset);
        if has(CounterReset::Reset) && has(CounterReset::NotReset) {
            self.note(Note::ResetsCollide(Doing::Aggregation), range.span);
        }
        let mut sum = Sum::new(&all[0].1);
        let (mut added, mut incremental) = (1.0, false);
        for (_, histogram) in &all[1..] {
            added += 1.0;
            let before = average.then(|| sum.clone());
            if incremental {
                sum.scale((added - 1.0) / added);
            }
            let divisor = if incremental { added } else { 1.0 };
            self.combined_at(
                sum.add(histogram, divisor),
                Doing::Aggregation,
                range.labels,
                range.span,
            )?;
            if let Some(mut before) = before.filter(|_| !incremental && sum.overflows()) {
                incremental = true;
                before.divide(added - 1.0);
                before.scale((added - 1.0) / added);
                before.add(histogram, added).ok()?;
                sum = before;
            }
        }
        let mut result = sum.get();
        if average && !incremental {
            divide(&mut result, added);
        }
        super::super::histogram::compact(&mut result);
        Some(histogram_point(result))
    }

    /// `changes` and `resets`.
    fn transitions(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        resets: bool,
    ) -> Option<Point> {
        let starts_known = resets
            && self.options.start_timestamps
            && !(window.starts.is_empty() && window.histogram_starts.is_empty());
        let mut samples = window.samples();
        if range.extension == Extension::Anchored {
            let inside = samples.partition_point(|(time, _)| *time <= window.start);
            if inside == samples.len() {
                return None;
            }
            samples.drain(..inside.saturating_sub(1));
        }
        let start_of = |time: i64| {
            let at = Timestamp::from_millis(time);
            let float = window.times.binary_search(&at).ok().and_then(|i| window.starts.get(i));
            let histogram = window.histograms.binary_search_by_key(&at, |(time, _)| *time).ok();
            float
                .or_else(|| histogram.and_then(|i| window.histogram_starts.get(i)))
                .map(|start| start.millis())
                .filter(|start| *start != i64::MIN && *start != 0)
        };
        let changed = samples.windows(2).filter(|pair| {
            let ((before, a), (now, b)) = (&pair[0], &pair[1]);
            let by_value = match (a, b) {
                (Point::Float(a), Point::Float(b)) if resets => b < a,
                (Point::Float(a), Point::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
                (Point::Histogram(a), Point::Histogram(b)) if resets => detect_reset(b, a),
                (Point::Histogram(a), Point::Histogram(b)) => !equal(a, b),
                _ => true,
            };
            by_value
                || (starts_known
                    && start_says_reset((start_of(*before), *before), (start_of(*now), *now)))
        });
        Some(Point::Float(count(changed.count())))
    }
}

/// The first or last sample of a window.
fn edge(window: Window<'_>, last: bool) -> Option<(i64, Point)> {
    let pick = |length: usize| if last { length.checked_sub(1) } else { (length > 0).then_some(0) };
    let float = pick(window.times.len())
        .map(|at| (window.times[at].millis(), Point::Float(window.values[at])));
    let histogram = pick(window.histograms.len()).map(|at| {
        let (time, histogram) = &window.histograms[at];
        (time.millis(), Point::Histogram(Arc::clone(histogram)))
    });
    match (float, histogram) {
        (Some(float), Some(histogram)) => {
            Some(if (histogram.0 > float.0) == last { histogram } else { float })
        }
        (float, histogram) => float.or(histogram),
    }
}

/// Holt's linear smoothing.
fn smooth(values: &[f64], smoothing: f64, trend_factor: f64) -> f64 {
    let (mut before, mut level) = (0.0, values[0]);
    let mut trend = values[1] - values[0];
    for (at, value) in values.iter().enumerate().skip(1) {
        if at > 1 {
            trend = trend_factor * (level - before) + (1.0 - trend_factor) * trend;
        }
        let next = smoothing * value + (1.0 - smoothing) * (level + trend);
        (before, level) = (level, next);
    }
    level
}
