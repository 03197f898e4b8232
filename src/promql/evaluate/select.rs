use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::super::histogram::{detect_reset, is_custom};
use super::super::syntax::{Extension, Selector};
use super::super::{EvalError, Point};
use super::notes::{Doing, Note};
use super::points::{Series, Steps};
use super::rate::{interpolate, interpolate_histograms};
use super::{Evaluated, Evaluator, Sink};
use crate::model::{
    Columns, CounterReset, Histogram, Labels, Matcher, Timestamp, Window, is_stale,
};
use crate::ports::Found;

type OnSeries<'f> = dyn FnMut(&Labels, &Columns) -> Evaluated<()> + 'f;

impl Evaluator<'_> {
    /// Reads all series of a selector, one after the other; what stands in the query more than
    /// once is read only once.
    pub(super) fn read(
        &self,
        matchers: &[Matcher],
        window: Window,
        take: &mut OnSeries<'_>,
    ) -> Evaluated<()> {
        if !self.hints_wanted.get() {
            return self.read_stored(matchers, window, take);
        }
        self.read_stored(matchers, window, &mut |labels, columns| {
            if columns.histograms.is_empty() {
                return take(labels, columns);
            }
            let mut hinted = columns.clone();
            for at in 1..hinted.histograms.len() {
                let (before, now) = (&columns.histograms[at - 1].1, &columns.histograms[at].1);
                if now.reset == CounterReset::Unknown {
                    let reset = detect_reset(now, before);
                    Arc::make_mut(&mut hinted.histograms[at].1).reset =
                        if reset { CounterReset::Reset } else { CounterReset::NotReset };
                }
            }
            take(labels, &hinted)
        })
    }

    fn read_stored(
        &self,
        matchers: &[Matcher],
        window: Window,
        take: &mut OnSeries<'_>,
    ) -> Evaluated<()> {
        match self.plan.shared(matchers) {
            Some(read) => {
                let shared = match read.shared.get() {
                    Some(shared) => Rc::clone(shared),
                    None => {
                        let mut all = Vec::new();
                        self.read_anew(matchers, read.window, &mut |labels, columns| {
                            self.hold(columns.len())?;
                            all.push((labels.clone(), columns.clone()));
                            Ok(())
                        })?;
                        Rc::clone(read.shared.get_or_init(|| Rc::new(all)))
                    }
                };
                for (labels, columns) in shared.iter() {
                    self.tick(columns.len())?;
                    take(labels, columns)?;
                }
                Ok(())
            }
            None => self.read_anew(matchers, window, take),
        }
    }

    fn read_anew(
        &self,
        matchers: &[Matcher],
        window: Window,
        take: &mut OnSeries<'_>,
    ) -> Evaluated<()> {
        let mut found = self.store.find(matchers, window)?;
        if found.len() > self.options.max_series {
            let most = self.options.max_series;
            return Err(EvalError::execution(format!(
                "the selector finds {} series, more than the limit of {most}",
                found.len()
            )));
        }
        if self.plan.order_matters() {
            found.sort_by(|a, b| a.labels.cmp(&b.labels));
        } else {
            // Any order will do, as long as sums do not depend on chance.
            found.sort_by_key(|found| found.id);
        }
        let mut columns = Columns::default();
        let mut failure = None;
        let mut each = |series: &Found, columns: &Columns| {
            self.tick(columns.len())?;
            self.check_held(self.held.get().saturating_add(columns.len()))?;
            if columns.is_empty() { Ok(()) } else { take(&series.labels, columns) }
        };
        self.store.read_each(&found, window, &mut columns, &mut |series, columns| {
            failure = each(series, columns).err();
            failure.is_none()
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// An instant selector: at each step the last sample within the lookback.
    pub(super) fn selector(
        &self,
        selector: &Selector,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let offset = self.offset_of(selector)?;
        let pinned = self.pinned(selector.at);
        let window = self.instant_window(selector, steps)?;
        self.read(&selector.matchers, window, &mut |labels, columns| {
            let mut points = self.buffer(steps.count);
            if selector.extension == Extension::Smoothed {
                let columns = without_stale(columns);
                for step in 0..steps.count {
                    let at = pinned.unwrap_or(steps.at(step)).saturating_sub(offset);
                    if let Some(point) = self.smoothed_point(labels, &columns, at, selector) {
                        points.set(step, point);
                    }
                }
            } else {
                let mut cursor = Cursor::default();
                for step in 0..steps.count {
                    let at = pinned.unwrap_or(steps.at(step)).saturating_sub(offset);
                    match cursor.last(columns, at, self.lookback) {
                        Some(Place::Float(place)) => points.floats[step] = columns.values[place],
                        Some(Place::Histogram(place)) => {
                            let histogram = Arc::clone(&columns.histograms[place].1);
                            points.set(step, Point::Histogram(histogram));
                        }
                        None => {}
                    }
                }
            }
            if points.is_empty() {
                self.give_back(points);
                return Ok(());
            }
            for (step, count) in self.counts.borrow_mut().iter_mut().enumerate() {
                *count += u64::from(points.is_present(step));
            }
            sink(Series { labels: labels.clone(), drop_name: false, points })
        })
    }

    pub(super) fn instant_window(&self, selector: &Selector, steps: &Steps) -> Evaluated<Window> {
        // A range as long as the lookback, with the same way of looking beyond it.
        let mut window = self.range_window(
            &Selector { extension: Extension::None, ..selector.clone() },
            self.lookback,
            steps,
        )?;
        if selector.extension == Extension::Smoothed {
            let ahead = std::time::Duration::from_millis(self.lookback.unsigned_abs());
            window.through = window.through + ahead;
        }
        Ok(window)
    }

    /// The value between the samples before and after an instant.
    fn smoothed_point(
        &self,
        labels: &Labels,
        columns: &Columns,
        at: i64,
        selector: &Selector,
    ) -> Option<Point> {
        let (from, to) = (at.saturating_sub(self.lookback), at.saturating_add(self.lookback));
        let inside = |time: i64| time > from && time <= to;
        let times: Vec<usize> =
            (0..columns.times.len()).filter(|i| inside(columns.times[*i].millis())).collect();
        let histograms: Vec<_> =
            columns.histograms.iter().filter(|(time, _)| inside(time.millis())).collect();
        if !times.is_empty() && !histograms.is_empty() {
            self.note(Note::MixedFloatsHistograms(labels), selector.span);
            return None;
        }
        if !histograms.is_empty() {
            return self.smoothed_histogram(labels, &histograms, at, selector);
        }
        let place = times.iter().rposition(|i| columns.times[*i].millis() <= at)?;
        let before = times[place];
        let (time, value) = (columns.times[before].millis(), columns.values[before]);
        let Some(after) = times.get(place + 1).filter(|_| time != at) else {
            return Some(Point::Float(value));
        };
        let next = (columns.times[*after].millis(), columns.values[*after]);
        Some(Point::Float(interpolate((time, value), next, at, false)))
    }

    fn smoothed_histogram(
        &self,
        labels: &Labels,
        samples: &[&(Timestamp, Arc<Histogram>)],
        at: i64,
        selector: &Selector,
    ) -> Option<Point> {
        let place = samples.iter().rposition(|(time, _)| time.millis() <= at)?;
        let (time, before) = samples[place];
        let Some((next, after)) = samples.get(place + 1).filter(|_| time.millis() != at) else {
            return Some(Point::Histogram(Arc::clone(before)));
        };
        if is_custom(before) != is_custom(after) {
            self.note(Note::MixedExponentialCustom(labels), selector.span);
            return None;
        }
        let counter = before.reset != CounterReset::Gauge;
        let ends = ((time.millis(), &**before), (next.millis(), &**after));
        match interpolate_histograms(ends.0, ends.1, at, counter) {
            Ok((histogram, reconciled)) => {
                if reconciled {
                    let note = Note::CustomBordersReconciled(Doing::Subtraction);
                    self.note(note, selector.span);
                }
                Some(super::histogram_point(histogram))
            }
            Err(_) => {
                self.note(Note::MixedExponentialCustom(labels), selector.span);
                None
            }
        }
    }
}

/// The samples without staleness markers: what ranges are made of.
pub(super) fn without_stale(columns: &Columns) -> Cow<'_, Columns> {
    let stale_floats = columns.values.iter().any(|value| is_stale(*value));
    let stale_histograms = columns.histograms.iter().any(|(_, histogram)| histogram.is_stale());
    if !stale_floats && !stale_histograms {
        return Cow::Borrowed(columns);
    }
    let mut kept = Columns::default();
    for (at, value) in columns.values.iter().enumerate().filter(|(_, value)| !is_stale(**value)) {
        kept.times.push(columns.times[at]);
        kept.values.push(*value);
        kept.starts.extend(columns.starts.get(at));
    }
    for (at, (time, histogram)) in columns.histograms.iter().enumerate() {
        if !histogram.is_stale() {
            kept.histograms.push((*time, Arc::clone(histogram)));
            kept.histogram_starts.extend(columns.histogram_starts.get(at));
        }
    }
    Cow::Owned(kept)
}

/// Where a sample stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Float(usize),
    Histogram(usize),
}

/// Walks through a series' samples as the steps go on.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    floats: usize,
    histograms: usize,
}

impl Cursor {
    /// The last sample in `(at - lookback, at]`, unless it says that the series has ended. `at`
    /// must not become smaller from call to call.
    pub fn last(&mut self, columns: &Columns, at: i64, lookback: i64) -> Option<Place> {
        while columns.times.get(self.floats).is_some_and(|time| time.millis() <= at) {
            self.floats += 1;
        }
        while columns.histograms.get(self.histograms).is_some_and(|(time, _)| time.millis() <= at) {
            self.histograms += 1;
        }
        let after = at.saturating_sub(lookback);
        let float = self
            .floats
            .checked_sub(1)
            .map(|place| (columns.times[place].millis(), place))
            .filter(|(time, _)| *time > after);
        let histogram = self
            .histograms
            .checked_sub(1)
            .map(|place| (columns.histograms[place].0.millis(), place))
            .filter(|(time, _)| *time > after);
        match (float, histogram) {
            (Some((time, place)), other) if other.is_none_or(|(earlier, _)| earlier < time) => {
                (!is_stale(columns.values[place])).then_some(Place::Float(place))
            }
            (_, Some((_, place))) => {
                (!columns.histograms[place].1.is_stale()).then_some(Place::Histogram(place))
            }
            _ => None,
        }
    }
}
