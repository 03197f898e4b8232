//! Which code a function call leads to.

use super::super::syntax::{Call, Expr, Type};
use super::super::{EvalError, Point};
use super::elementwise::{larger, of_number, seconds, smaller};
use super::points::{Points, Scalars, Series, Steps};
use super::select::{Cursor, Place};
use super::{Evaluated, Evaluator, METADATA_LABELS, Sink};
use crate::model::{Labels, METRIC_NAME, Matcher, Test, Timestamp};

impl Evaluator<'_> {
    /// A call that gives a vector.
    pub(super) fn call(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let name = call.function.name;
        if let Some(f) = of_number(name) {
            return self.elementwise(call, steps, sink, f);
        }
        match name {
            "clamp" | "clamp_min" | "clamp_max" | "round" => self.bounded(call, steps, sink),
            "absent" | "absent_over_time" => self.absent(call, steps, sink),
            "vector" => {
                let values = self.scalars(&call.arguments[0], steps)?;
                let floats = (0..steps.count).map(|step| values.at(step)).collect();
                let points = Points { floats, histograms: Vec::new() };
                sink(Series { labels: Labels::empty(), drop_name: false, points })
            }
            "timestamp" | "start_timestamp" => self.timestamp(call, steps, sink),
            "label_replace" => self.label_replace(call, steps, sink),
            "label_join" => self.label_join(call, steps, sink),
            "sort" | "sort_desc" => self.sort(call, steps, sink),
            "sort_by_label" | "sort_by_label_desc" => self.sort_by_label(call, steps, sink),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.distribution(call, steps, sink)
            }
            "histogram_avg" | "histogram_count" | "histogram_sum" | "histogram_stddev"
            | "histogram_stdvar" => self.histogram_property(call, steps, sink),
            "info" => self.info(call, steps, sink),
            _ if call.arguments.iter().any(|a| a.result_type() == Type::Matrix) => {
                self.range_call(call, steps, sink)
            }
            other => Err(EvalError::execution(format!("function {other} is not known"))),
        }
    }

    /// A call that gives a scalar.
    pub(super) fn scalar_call(&self, call: &Call, steps: &Steps) -> Evaluated<Scalars> {
        let both = |f: fn(f64, f64) -> f64| -> Evaluated<Scalars> {
            let left = self.scalars(&call.arguments[0], steps)?;
            let right = self.scalars(&call.arguments[1], steps)?;
            Ok(Scalars::Each(
                (0..steps.count).map(|step| f(left.at(step), right.at(step))).collect(),
            ))
        };
        match call.function.name {
            "pi" => Ok(Scalars::Constant(std::f64::consts::PI)),
            "time" => {
                Ok(Scalars::Each((0..steps.count).map(|step| seconds(steps.at(step))).collect()))
            }
            "start" => Ok(Scalars::Constant(seconds(self.bounds.start))),
            "end" => Ok(Scalars::Constant(seconds(self.bounds.end))),
            "step" => Ok(Scalars::Constant(self.step_seconds())),
            "range" => Ok(Scalars::Constant(self.range_seconds())),
            "min_of" => both(smaller),
            "max_of" => both(larger),
            "scalar" => {
                let mut found = vec![0u32; steps.count];
                let mut values = vec![f64::NAN; steps.count];
                self.vector(&call.arguments[0], steps, &mut |series| {
                    for step in 0..steps.count {
                        if let Some(value) = series.points.float(step) {
                            found[step] += 1;
                            values[step] = if found[step] == 1 { value } else { f64::NAN };
                        }
                    }
                    self.give_back(series.points);
                    Ok(())
                })?;
                Ok(Scalars::Each(values))
            }
            other => Err(EvalError::execution(format!("function {other} gives no scalar"))),
        }
    }

    fn absent(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let argument = call.arguments[0].unwrapped();
        let mut present = vec![false; steps.count];
        if call.function.name == "absent" {
            self.vector(argument, steps, &mut |series| {
                for (step, present) in present.iter_mut().enumerate() {
                    *present |= series.points.is_present(step);
                }
                self.give_back(series.points);
                Ok(())
            })?;
        } else {
            self.ranges(argument, steps, &mut |range| {
                let mut points = Points::absent(steps.count);
                range.each_window(steps, |_, _| Ok(Some(Point::Float(1.0))), &mut points)?;
                for (step, present) in present.iter_mut().enumerate() {
                    *present |= points.is_present(step);
                }
                Ok(())
            })?;
        }
        let mut points = Points::absent(steps.count);
        for step in (0..steps.count).filter(|step| !present[*step]) {
            points.floats[step] = 1.0;
        }
        if points.is_empty() {
            return Ok(());
        }
        sink(Series { labels: absent_labels(argument), drop_name: false, points })
    }

    /// `timestamp` and `start_timestamp`: of the sample itself where the argument is a selector.
    fn timestamp(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let argument = &call.arguments[0];
        let of_start = call.function.name == "start_timestamp";
        let Expr::Selector(selector) = argument.unwrapped() else {
            return self.dropping(argument, false, sink, |sink| {
                self.vector(argument, steps, &mut |mut series| {
                    if of_start {
                        return Ok(());
                    }
                    for step in 0..steps.count {
                        if series.points.is_present(step) {
                            series.points.set(step, Point::Float(seconds(steps.at(step))));
                        }
                    }
                    sink(series)
                })
            });
        };
        let offset = self.offset_of(selector)?;
        let pinned = self.pinned(selector.at);
        let window = self.instant_window(selector, steps)?;
        self.dropping(argument, false, sink, |sink| {
            self.read(&selector.matchers, window, &mut |labels, columns| {
                let mut points = self.buffer(steps.count);
                let mut cursor = Cursor::default();
                for step in 0..steps.count {
                    let at = pinned.unwrap_or(steps.at(step)).saturating_sub(offset);
                    let Some(place) = cursor.last(columns, at, self.lookback) else { continue };
                    let (time, start) = match place {
                        Place::Float(at) => (columns.times[at], columns.starts.get(at)),
                        Place::Histogram(at) => {
                            (columns.histograms[at].0, columns.histogram_starts.get(at))
                        }
                    };
                    let known = start.copied().filter(|start| *start != Timestamp::MIN);
                    let shown = if of_start { known.unwrap_or_default() } else { time };
                    points.floats[step] = shown.seconds();
                }
                if points.is_empty() {
                    return Ok(());
                }
                for (step, count) in self.counts.borrow_mut().iter_mut().enumerate() {
                    *count += u64::from(points.is_present(step));
                }
                sink(Series { labels: labels.clone(), drop_name: false, points })
            })
        })
    }
}

/// The labels that a selector demands: those of `absent`'s result.
fn absent_labels(expr: &Expr) -> Labels {
    let matchers: &[Matcher] = match expr {
        Expr::Selector(selector) => &selector.matchers,
        Expr::Range(range) => &range.selector.matchers,
        _ => &[],
    };
    let mut labels = Labels::empty();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        match matcher.test() {
            Test::Equal(value) if !seen.contains(&matcher.name()) => {
                labels = labels.with(matcher.name(), value);
                seen.push(matcher.name());
            }
            _ => labels = labels.without(&[matcher.name()]),
        }
    }
    labels.without(&METADATA_LABELS)
}
