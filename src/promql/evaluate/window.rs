//! Range vectors: the samples of a series, and a window over them for each step.

use std::cell::RefCell;
use std::sync::Arc;

use super::super::syntax::{Call, Expr, Extension, Subquery};
use super::super::{EvalError, Point, Span};
use super::points::{Points, Series, Steps};
use super::select::without_stale;
use super::{Evaluated, Evaluator, Sink};
use crate::model::{Columns, CounterReset, Histogram, Labels, Timestamp};

/// The samples within `(start, end]` of one series.
#[derive(Clone, Copy)]
pub(super) struct Window<'w> {
    pub start: i64,
    pub end: i64,
    pub times: &'w [Timestamp],
    pub values: &'w [f64],
    pub histograms: &'w [(Timestamp, Arc<Histogram>)],
    /// Empty where unknown.
    pub starts: &'w [Timestamp],
    pub histogram_starts: &'w [Timestamp],
}

impl Window<'_> {
    pub fn is_empty(&self) -> bool {
        self.times.is_empty() && self.histograms.is_empty()
    }

    pub fn is_mixed(&self) -> bool {
        !self.times.is_empty() && !self.histograms.is_empty()
    }

    /// All samples in time order.
    pub fn samples(&self) -> Vec<(i64, Point)> {
        let floats = self.times.iter().zip(self.values);
        let mut all: Vec<(i64, Point)> =
            floats.map(|(time, value)| (time.millis(), Point::Float(*value))).collect();
        all.extend(
            self.histograms
                .iter()
                .map(|(time, h)| (time.millis(), Point::Histogram(Arc::clone(h)))),
        );
        if self.is_mixed() {
            all.sort_by_key(|(time, _)| *time);
        }
        all
    }
}

/// A series of a range vector.
pub(super) struct RangeSeries<'r> {
    pub labels: &'r Labels,
    pub drop_name: bool,
    pub columns: &'r Columns,
    /// Length of the window in milliseconds.
    pub length: i64,
    pub offset: i64,
    pub pinned: Option<i64>,
    pub extension: Extension,
    pub lookback: i64,
    /// Where the range vector stands in the query.
    pub span: Span,
}

type OnRange<'f> = dyn FnMut(&RangeSeries<'_>) -> Evaluated<()> + 'f;

impl RangeSeries<'_> {
    /// Whether samples beyond the window matter.
    pub fn is_extended(&self) -> bool {
        self.extension != Extension::None
    }

    /// Calls `compute` with the window of each step that has samples.
    pub fn each_window(
        &self,
        steps: &Steps,
        mut compute: impl FnMut(usize, Window<'_>) -> Evaluated<Option<Point>>,
        points: &mut Points,
    ) -> Evaluated<()> {
        let columns = self.columns;
        let (before, ahead) = match self.extension {
            Extension::None => (0, 0),
            Extension::Anchored => (self.lookback, 0),
            Extension::Smoothed => (self.lookback, self.lookback),
        };
        // Ends grow from step to step, so all four cursors only move forward.
        let (mut low, mut high, mut histogram_low, mut histogram_high) = (0, 0, 0, 0);
        for step in 0..steps.count {
            let end = self.pinned.unwrap_or(steps.at(step)).saturating_sub(self.offset);
            let start = end.saturating_sub(self.length);
            let (after, through) = (start.saturating_sub(before), end.saturating_add(ahead));
            while columns.times.get(high).is_some_and(|time| time.millis() <= through) {
                high += 1;
            }
            while low < high && columns.times[low].millis() <= after {
                low += 1;
            }
            let histograms = &columns.histograms;
            while histograms.get(histogram_high).is_some_and(|(time, _)| time.millis() <= through) {
                histogram_high += 1;
            }
            while histogram_low < histogram_high && histograms[histogram_low].0.millis() <= after {
                histogram_low += 1;
            }
            let window = Window {
                start,
                end,
                times: &columns.times[low..high],
                values: &columns.values[low..high],
                histograms: &histograms[histogram_low..histogram_high],
                starts: columns.starts.get(low..high).unwrap_or(&[]),
                histogram_starts: columns
                    .histogram_starts
                    .get(histogram_low..histogram_high)
                    .unwrap_or(&[]),
            };
            if !window.is_empty()
                && let Some(point) = compute(step, window)?
            {
                points.set(step, point);
            }
        }
        Ok(())
    }
}

impl Evaluator<'_> {
    /// Evaluates a range vector; `take` gets its series one after the other.
    pub(super) fn ranges(
        &self,
        expr: &Expr,
        steps: &Steps,
        take: &mut OnRange<'_>,
    ) -> Evaluated<()> {
        match expr.unwrapped() {
            Expr::Range(range) => {
                let selector = &range.selector;
                let length = self.positive_millis(&range.length)?;
                let offset = self.offset_of(selector)?;
                let window = self.range_window(selector, length, steps)?;
                let pinned = self.pinned(selector.at);
                self.read(&selector.matchers, window, &mut |labels, columns| {
                    let columns = without_stale(columns);
                    self.counted(
                        steps,
                        take,
                        &RangeSeries {
                            labels,
                            drop_name: false,
                            columns: &columns,
                            length,
                            offset,
                            pinned,
                            extension: selector.extension,
                            lookback: self.lookback,
                            span: expr.span(),
                        },
                    )
                })
            }
            Expr::Subquery(subquery) => self.subquery(subquery, expr.span(), steps, take),
            _ => Err(EvalError::execution("expected a range vector")),
        }
    }

    /// Gives a series to `take`, and counts what its windows hold if somebody wants to know.
    fn counted(
        &self,
        steps: &Steps,
        take: &mut OnRange<'_>,
        range: &RangeSeries<'_>,
    ) -> Evaluated<()> {
        let mut counts = self.counts.borrow_mut();
        if !counts.is_empty() {
            let columns = range.columns;
            let histograms: Vec<Timestamp> = columns.histograms.iter().map(|(at, _)| *at).collect();
            for (step, count) in counts.iter_mut().enumerate() {
                let end = range.pinned.unwrap_or(steps.at(step)).saturating_sub(range.offset);
                let start = end.saturating_sub(range.length);
                for times in [&columns.times, &histograms] {
                    let upto = |edge: i64| times.partition_point(|time| time.millis() <= edge);
                    *count += upto(end).saturating_sub(upto(start)) as u64;
                }
            }
        }
        drop(counts);
        take(range)
    }

    fn subquery(
        &self,
        subquery: &Subquery,
        span: Span,
        steps: &Steps,
        take: &mut OnRange<'_>,
    ) -> Evaluated<()> {
        let offset = subquery.offset.as_ref().map_or(Ok(0), |offset| self.millis(offset))?;
        let length = self.positive_millis(&subquery.length)?;
        let inner = self.subquery_steps(subquery, steps)?;
        self.check_steps(&inner)?;
        let pinned = self.pinned(subquery.at);
        let mut columns = Columns::default();
        // Prometheus does not count what a subquery reads, only what is made of it.
        let uncounted = RefCell::default();
        let run = |sink: &mut Sink<'_>| {
            self.with_hints(false, || {
                self.counting_in(&uncounted, sink, |sink| {
                    self.vector(&subquery.inner, &inner, sink)
                })
            })
        };
        run(&mut |series| {
            columns.clear();
            self.tick(inner.count)?;
            for step in 0..inner.count {
                let time = Timestamp::from_millis(inner.at(step));
                match series.points.get(step) {
                    Some(Point::Float(value)) => {
                        columns.times.push(time);
                        columns.values.push(value);
                    }
                    Some(Point::Histogram(mut histogram)) => {
                        // What is known about the sample before says nothing about the one
                        // before in the subquery.
                        if matches!(histogram.reset, CounterReset::Reset | CounterReset::NotReset) {
                            Arc::make_mut(&mut histogram).reset = CounterReset::Unknown;
                        }
                        columns.histograms.push((time, histogram));
                    }
                    None => {}
                }
            }
            self.give_back(series.points);
            self.counted(
                steps,
                take,
                &RangeSeries {
                    labels: &series.labels,
                    drop_name: series.drop_name,
                    columns: &columns,
                    length,
                    offset,
                    pinned,
                    extension: Extension::None,
                    lookback: self.lookback,
                    span,
                },
            )
        })
    }

    /// A function over windows. `quick` may compute all steps of a series at once; where it does
    /// not, `compute` gets the series, the step and its window.
    pub(super) fn over_windows(
        &self,
        call: &Call,
        argument: usize,
        steps: &Steps,
        sink: &mut Sink<'_>,
        quick: impl Fn(&RangeSeries<'_>, &mut Points) -> bool,
        mut compute: impl FnMut(&RangeSeries<'_>, usize, Window<'_>) -> Evaluated<Option<Point>>,
    ) -> Evaluated<()> {
        let expr = &call.arguments[argument];
        self.ranges(expr, steps, &mut |range| {
            let mut points = self.buffer(steps.count);
            if quick(range, &mut points) {
                self.tick(steps.count)?;
            } else {
                let compute = |step, window: Window<'_>| {
                    self.tick(window.values.len() + window.histograms.len() * 16)?;
                    compute(range, step, window)
                };
                range.each_window(steps, compute, &mut points)?;
            }
            if points.is_empty() {
                self.give_back(points);
                return Ok(());
            }
            sink(Series { labels: range.labels.clone(), drop_name: range.drop_name, points })
        })
    }

    /// A range vector as it is: the answer of an instant query like `up[5m]`.
    pub(super) fn raw_matrix(
        &self,
        expr: &Expr,
        steps: &Steps,
    ) -> Evaluated<Vec<super::SeriesPoints>> {
        let mut all: Vec<super::SeriesPoints> = Vec::new();
        self.ranges(expr, steps, &mut |range| {
            let end = range.pinned.unwrap_or(steps.at(0)).saturating_sub(range.offset);
            let start = end.saturating_sub(range.length);
            let mut columns = range.columns.clone();
            if range.extension == Extension::None {
                let inside = |time: Timestamp| time.millis() > start && time.millis() <= end;
                let keep: Vec<bool> = columns.times.iter().map(|time| inside(*time)).collect();
                let mut flags = keep.iter();
                columns.times.retain(|_| flags.next().copied().unwrap_or(false));
                let mut flags = keep.iter();
                columns.values.retain(|_| flags.next().copied().unwrap_or(false));
                columns.histograms.retain(|(time, _)| inside(*time));
            }
            let window = Window {
                start,
                end,
                times: &columns.times,
                values: &columns.values,
                histograms: &columns.histograms,
                starts: &[],
                histogram_starts: &[],
            };
            if window.is_empty() {
                return Ok(());
            }
            self.hold(columns.len())?;
            let labels = if range.drop_name {
                range.labels.without(&super::METADATA_LABELS)
            } else {
                range.labels.clone()
            };
            let points = window
                .samples()
                .into_iter()
                .map(|(time, point)| (Timestamp::from_millis(time), point))
                .collect();
            all.push(super::SeriesPoints { labels, points });
            Ok(())
        })?;
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }
}
