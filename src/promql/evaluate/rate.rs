//! `rate`, `increase`, `delta`, `irate`, `idelta`.

use std::sync::Arc;

use super::super::histogram::{
    IncompatibleSchema, Reconciled, add, compact, detect_reset, divide, empty_like, is_custom,
    scale, subtract, to_schema,
};
use super::super::syntax::Extension;
use super::super::{Point, Span};
use super::notes::{Doing, Note};
use super::window::{RangeSeries, Window};
use super::{Evaluator, histogram_point};
use crate::model::{CounterReset, Histogram, Labels, Timestamp};

/// Which of the rate functions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub counter: bool,
    pub per_second: bool,
}

/// Whether the start timestamps of two neighbours say that the counter began anew between them.
/// `Timestamp::MIN` and the epoch mean "not known".
pub(super) fn start_says_reset(
    (previous_start, previous): (Option<i64>, i64),
    (start, at): (Option<i64>, i64),
) -> bool {
    match (start, previous_start) {
        (Some(start), _) if start >= at || start < previous => false,
        (Some(start), _) if start > previous => true,
        // Points at the sample before: a delta, unless that one did not know its own start.
        (Some(_), Some(before)) => before < previous,
        _ => false,
    }
}

fn known(starts: &[Timestamp], at: usize) -> Option<i64> {
    starts.get(at).map(|start| start.millis()).filter(|start| *start != i64::MIN && *start != 0)
}

/// The straight line between two samples, or from zero when the counter began anew.
pub(super) fn interpolate(left: (i64, f64), right: (i64, f64), at: i64, counter: bool) -> f64 {
    let from = if counter && right.1 < left.1 { 0.0 } else { left.1 };
    from + (right.1 - from) * millis(at - left.0) / millis(right.0 - left.0)
}

#[allow(clippy::cast_precision_loss)]
fn millis(length: i64) -> f64 {
    length as f64
}

fn seconds(length: i64) -> f64 {
    millis(length) / 1000.0
}

/// The histogram between two, and whether custom borders had to be reconciled.
pub(super) fn interpolate_histograms(
    left: (i64, &Histogram),
    right: (i64, &Histogram),
    at: i64,
    counter: bool,
) -> Result<(Histogram, bool), IncompatibleSchema> {
    if at == left.0 {
        return Ok((left.1.clone(), false));
    }
    let mut result = right.1.clone();
    if at == right.0 {
        return Ok((result, false));
    }
    let fraction = millis(at - left.0) / millis(right.0 - left.0);
    if counter && detect_reset(right.1, left.1) {
        scale(&mut result, fraction);
        return Ok((result, false));
    }
    let first = subtract(&mut result, left.1)?;
    scale(&mut result, fraction);
    let second = add(&mut result, left.1)?;
    Ok((result, first.custom_borders || second.custom_borders))
}

impl Evaluator<'_> {
    /// `rate`, `increase` and `delta` at one step.
    pub(super) fn rate(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        kind: Kind,
    ) -> Option<Point> {
        if range.extension != Extension::None {
            return self.extended_rate(range, window, kind);
        }
        if window.is_mixed() {
            self.note(Note::MixedFloatsHistograms(range.labels), range.span);
            return None;
        }
        if window.histograms.is_empty() {
            return self.float_rate(range, window, kind).map(Point::Float);
        }
        self.whole_histogram_rate(range, window, kind)
    }

    fn float_rate(&self, range: &RangeSeries<'_>, window: Window<'_>, kind: Kind) -> Option<f64> {
        let (values, times) = (window.values, window.times);
        let (first, last) = (*values.first()?, *values.last()?);
        let mut change = last - first;
        if kind.counter {
            let starts = if self.options.start_timestamps { window.starts } else { &[] };
            if starts.is_empty() {
                // The same sum as below, without looking at what is not there.
                change += values
                    .windows(2)
                    .filter(|pair| pair[1] < pair[0])
                    .fold(0.0, |sum, pair| sum + pair[0]);
            } else {
                for at in 1..values.len() {
                    let before = (known(starts, at - 1), times[at - 1].millis());
                    let now = (known(starts, at), times[at].millis());
                    self.note_overlap(range, before, now);
                    if values[at] < values[at - 1] || start_says_reset(before, now) {
                        change += values[at - 1];
                    }
                }
            }
        }
        let start = self.usable_start(window.starts, times[0].millis(), window.start, kind);
        let edges = Edges {
            first: times[0].millis(),
            last: times[times.len() - 1].millis(),
            samples: times.len(),
            start,
        };
        let mut height = first;
        if start.is_some() {
            change += first;
            height = 0.0;
        }
        let factor =
            edges.factor((window.start, window.end), kind, (height, change), range.length)?;
        Some(change * factor)
    }

    /// A first start timestamp within the window: the counter was zero there.
    fn usable_start(&self, starts: &[Timestamp], first: i64, from: i64, kind: Kind) -> Option<i64> {
        let allowed = kind.counter && self.options.start_timestamps;
        known(starts, 0).filter(|start| allowed && *start > from && *start < first)
    }

    fn note_overlap(
        &self,
        range: &RangeSeries<'_>,
        (previous_start, previous): (Option<i64>, i64),
        (start, _): (Option<i64>, i64),
    ) {
        if start.is_some_and(|start| start < previous) && start != previous_start {
            self.note(Note::StartOverlap(range.labels), range.span);
        }
    }

    fn whole_histogram_rate(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        kind: Kind,
    ) -> Option<Point> {
        let samples = window.histograms;
        let mut change = None;
        if samples.len() > 1 {
            change = Some(self.histogram_change(range, window, kind)?);
        }
        let (first, last) = (samples[0].0.millis(), samples[samples.len() - 1].0.millis());
        let start = self.usable_start(window.histogram_starts, first, window.start, kind);
        if start.is_some() {
            match &mut change {
                None => change = Some((*samples[0].1).clone()),
                Some(change) => {
                    self.combined(add(change, &samples[0].1), Doing::Addition, range)?;
                }
            }
        }
        let mut change = change?;
        let edges = Edges { first, last, samples: samples.len(), start };
        let height = if start.is_some() { 0.0 } else { samples[0].1.count };
        let factor =
            edges.factor((window.start, window.end), kind, (height, change.count), range.length)?;
        scale(&mut change, factor);
        change.reset = CounterReset::Gauge;
        Some(histogram_point(change))
    }

    /// Notes what combining histograms has met; `None` when they cannot be combined.
    fn combined(
        &self,
        outcome: Result<Reconciled, IncompatibleSchema>,
        doing: Doing,
        range: &RangeSeries<'_>,
    ) -> Option<()> {
        self.combined_at(outcome, doing, range.labels, range.span)
    }

    pub(super) fn combined_at(
        &self,
        outcome: Result<Reconciled, IncompatibleSchema>,
        doing: Doing,
        labels: &Labels,
        span: Span,
    ) -> Option<()> {
        match outcome {
            Ok(reconciled) => {
                if reconciled.custom_borders {
                    self.note(Note::CustomBordersReconciled(doing), span);
                }
                Some(())
            }
            Err(IncompatibleSchema) => {
                self.note(Note::MixedExponentialCustom(labels), span);
                None
            }
        }
    }

    /// How much a histogram has grown from the first to the last sample.
    fn histogram_change(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        kind: Kind,
    ) -> Option<Histogram> {
        let samples = window.histograms;
        let starts: &[Timestamp] =
            if self.options.start_timestamps { window.histogram_starts } else { &[] };
        let reset_at = |at: usize, previous: &Histogram| {
            let before = (known(starts, at - 1), samples[at - 1].0.millis());
            let now = (known(starts, at), samples[at].0.millis());
            start_says_reset(before, now) || detect_reset(&samples[at].1, previous)
        };
        let last = &*samples[samples.len() - 1].1;
        let gauge = |histogram: &Histogram| histogram.reset == CounterReset::Gauge;
        if kind.counter && samples.iter().any(|(_, histogram)| gauge(histogram)) {
            self.note(Note::NotCounter(range.labels), range.span);
        }
        if !(kind.counter || gauge(&samples[0].1) && gauge(last)) {
            self.note(Note::NotGauge(range.labels), range.span);
        }
        // After a reset right behind the first sample its layout does not matter any more.
        let replaced;
        let mut previous = &*samples[0].1;
        if kind.counter && reset_at(1, previous) {
            replaced = empty_like(&samples[1].1);
            previous = &replaced;
        }
        let custom = is_custom(previous);
        let inner = if kind.counter { &samples[1..] } else { &samples[samples.len() - 1..] };
        if inner.iter().any(|(_, histogram)| is_custom(histogram) != custom) {
            self.note(Note::MixedExponentialCustom(range.labels), range.span);
            return None;
        }
        let schema =
            inner.iter().map(|(_, histogram)| histogram.schema).fold(previous.schema, i32::min);
        let mut change = to_schema(last, schema);
        self.combined(subtract(&mut change, previous), Doing::Subtraction, range)?;
        if kind.counter {
            for at in 1..samples.len() {
                let before = (known(starts, at - 1), samples[at - 1].0.millis());
                self.note_overlap(range, before, (known(starts, at), 0));
                if reset_at(at, previous) {
                    self.combined(add(&mut change, previous), Doing::Addition, range)?;
                }
                previous = &samples[at].1;
            }
        }
        change.reset = CounterReset::Gauge;
        compact(&mut change);
        Some(change)
    }

    /// `irate` and `idelta` at one step; `whole` is the place of the call's arguments.
    pub(super) fn instant_rate(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        counter: bool,
    ) -> Option<Point> {
        let floats = window.times.len();
        let tail = floats.saturating_sub(2);
        let mut last: Vec<(i64, Option<i64>, Point)> = (tail..floats)
            .map(|at| {
                let start = known(window.starts, at);
                (window.times[at].millis(), start, Point::Float(window.values[at]))
            })
            .collect();
        let tail = window.histograms.len().saturating_sub(2);
        for (at, (time, histogram)) in window.histograms.iter().enumerate().skip(tail) {
            let start = known(window.histogram_starts, at);
            last.push((time.millis(), start, Point::Histogram(Arc::clone(histogram))));
        }
        last.sort_by_key(|(time, ..)| *time);
        let [.., before, now] = &last[..] else { return None };
        let length = seconds(now.0 - before.0);
        if length <= 0.0 {
            return None;
        }
        let starts =
            self.options.start_timestamps && start_says_reset((before.1, before.0), (now.1, now.0));
        match (&before.2, &now.2) {
            (Point::Float(previous), Point::Float(current)) => {
                let reset = counter && (current < previous || starts);
                let change = if reset { *current } else { current - previous };
                Some(Point::Float(if counter { change / length } else { change }))
            }
            (Point::Histogram(previous), Point::Histogram(current)) => {
                let gauge = |h: &Histogram| h.reset == CounterReset::Gauge;
                if counter && (gauge(previous) || gauge(current)) {
                    self.note(Note::NotCounter(range.labels), range.span);
                }
                if !(counter || gauge(previous) && gauge(current)) {
                    self.note(Note::NotGauge(range.labels), range.span);
                }
                let mut change = (**current).clone();
                if !(counter && (starts || detect_reset(current, previous))) {
                    self.combined(subtract(&mut change, previous), Doing::Subtraction, range)?;
                }
                change.reset = CounterReset::Gauge;
                compact(&mut change);
                if counter {
                    divide(&mut change, length);
                }
                Some(histogram_point(change))
            }
            _ => {
                self.note(Note::MixedFloatsHistograms(range.labels), range.span);
                None
            }
        }
    }

    /// `rate`, `increase` and `delta` over an anchored or smoothed range.
    fn extended_rate(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        kind: Kind,
    ) -> Option<Point> {
        if window.is_mixed() {
            self.note(Note::MixedFloatsHistograms(range.labels), range.span);
            return None;
        }
        let smoothed = range.extension == Extension::Smoothed;
        if window.histograms.is_empty() {
            let times: Vec<i64> = window.times.iter().map(|time| time.millis()).collect();
            let (first, last) = borders(&times, window, smoothed)?;
            let value = extended_change(&times, window, (first, last), smoothed, kind.counter);
            let value = if kind.per_second { value / seconds(range.length) } else { value };
            return Some(Point::Float(value));
        }
        let times: Vec<i64> = window.histograms.iter().map(|(time, _)| time.millis()).collect();
        let (first, last) = borders(&times, window, smoothed)?;
        let mut change =
            self.extended_histogram(range, window, (first, last), smoothed, kind.counter)?;
        if kind.per_second {
            divide(&mut change, seconds(range.length));
        }
        change.reset = CounterReset::Gauge;
        compact(&mut change);
        Some(histogram_point(change))
    }

    fn extended_histogram(
        &self,
        range: &RangeSeries<'_>,
        window: Window<'_>,
        (first, last): (usize, usize),
        smoothed: bool,
        counter: bool,
    ) -> Option<Histogram> {
        let all = window.histograms;
        let used = &all[first..=last];
        if used.iter().any(|(_, h)| is_custom(h) != is_custom(&used[0].1)) {
            self.note(Note::MixedExponentialCustom(range.labels), range.span);
            return None;
        }
        let gauge = |h: &Histogram| h.reset == CounterReset::Gauge;
        if counter && used.iter().any(|(_, h)| gauge(h)) {
            self.note(Note::NotCounter(range.labels), range.span);
        }
        let at = |index: usize| (all[index].0.millis(), &*all[index].1);
        let cut_left = smoothed && at(first).0 < window.start;
        let left = if cut_left {
            self.between(range, at(first), at(first + 1), window.start, counter)?
        } else {
            at(first).1.clone()
        };
        let right = if smoothed && last > 0 && at(last).0 > window.end {
            self.between(range, at(last - 1), at(last), window.end, counter)?
        } else {
            at(last).1.clone()
        };
        if !(counter || gauge(&left) && gauge(&right)) {
            self.note(Note::NotGauge(range.labels), range.span);
        }
        let mut change = right.clone();
        self.combined(subtract(&mut change, &left), Doing::Subtraction, range)?;
        if !counter {
            return Some(change);
        }
        // The borders stand for the first and the last sample; resets are looked for in between.
        let (mut previous, mut next) = (&left, first + 1);
        if cut_left && detect_reset(at(first + 1).1, at(first).1) {
            // The interpolation has crossed this reset already.
            previous = at(first + 1).1;
            next += 1;
        }
        if next > last {
            return Some(change);
        }
        let inner = all[next..last].iter().map(|(_, histogram)| &**histogram);
        for current in inner.chain([&right]) {
            if detect_reset(current, previous) {
                self.combined(add(&mut change, previous), Doing::Addition, range)?;
            }
            previous = current;
        }
        Some(change)
    }

    fn between(
        &self,
        range: &RangeSeries<'_>,
        left: (i64, &Histogram),
        right: (i64, &Histogram),
        at: i64,
        counter: bool,
    ) -> Option<Histogram> {
        let outcome = interpolate_histograms(left, right, at, counter);
        let reconciled = outcome.as_ref().map(|(_, custom_borders)| Reconciled {
            custom_borders: *custom_borders,
            resets_collide: false,
        });
        self.combined(reconciled.map_err(|error| *error), Doing::Subtraction, range)?;
        outcome.ok().map(|(histogram, _)| histogram)
    }
}

/// The first and the last sample that matter for an extended range.
fn borders(times: &[i64], window: Window<'_>, smoothed: bool) -> Option<(usize, usize)> {
    let newest = times.len().checked_sub(1)?;
    let first = times[..newest].partition_point(|time| *time <= window.start).saturating_sub(1);
    let last =
        if smoothed { times[..newest].partition_point(|time| *time < window.end) } else { newest };
    (times[last] > window.start && !(smoothed && times[first] > window.end))
        .then_some((first, last))
}

fn extended_change(
    times: &[i64],
    window: Window<'_>,
    (first, last): (usize, usize),
    smoothed: bool,
    counter: bool,
) -> f64 {
    let at = |index: usize| (times[index], window.values[index]);
    let left = if smoothed && times[first] < window.start {
        interpolate(at(first), at(first + 1), window.start, counter)
    } else {
        window.values[first]
    };
    let right = if smoothed && last > 0 && times[last] > window.end {
        interpolate(at(last - 1), at(last), window.end, counter)
    } else {
        window.values[last]
    };
    let mut change = right - left;
    if counter {
        // Samples on the borders are in `left` and `right` already.
        let from = if times[first] <= window.start { first + 1 } else { first };
        let to = if times[last] >= window.end { last } else { last + 1 };
        let mut previous = left;
        let inner = window.values.get(from..to).unwrap_or(&[]);
        for current in inner.iter().chain([&right]) {
            if *current < previous {
                change += previous;
            }
            previous = *current;
        }
    }
    change
}

/// What extrapolation to the window's borders needs to know.
pub(super) struct Edges {
    pub first: i64,
    pub last: i64,
    pub samples: usize,
    /// Where the counter was zero, if that is known and lies in the window.
    pub start: Option<i64>,
}

impl Edges {
    /// By what the change between first and last sample is multiplied. Where samples come close
    /// to a border (within 1.1 times their average distance) the change is extrapolated to it, else by
    /// half a distance; but no counter is extrapolated to below zero.
    #[allow(clippy::cast_precision_loss)]
    #[inline]
    pub fn factor(
        &self,
        (from, to): (i64, i64),
        kind: Kind,
        (height, change): (f64, f64),
        length: i64,
    ) -> Option<f64> {
        let mut to_start = seconds(self.first - from);
        let mut to_end = seconds(to - self.last);
        let mut sampled = seconds(self.last - self.first);
        let gaps = self.samples - 1;
        let distance = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
        let threshold = distance * 1.1;
        if let Some(start) = self.start {
            to_start = 0.0;
            sampled = seconds(self.last - start);
        } else if gaps == 0 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = distance / 2.0;
            }
            if kind.counter && change > 0.0 && height >= 0.0 {
                to_start = to_start.min(sampled * (height / change));
            }
        }
        if to_end >= threshold {
            to_end = distance / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if kind.per_second {
            factor /= seconds(length);
        }
        Some(factor)
    }
}
