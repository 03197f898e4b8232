use std::sync::{Arc, OnceLock};

use hashbrown::{HashMap, HashSet};

use crate::model::{Columns, Histogram, Labels, METRIC_NAME, Matcher};
use crate::model::{Point, Row, STALE, Test, Timestamp, Window};
use crate::ports::{Found, Select, SelectError, SeriesId, TakeSeries};

/// A snapshot with the results of this very tick laid over it, so that a rule sees what the rules
/// before it in its group have yielded, before anything is stored.
pub(super) struct Overlay<'a> {
    below: &'a dyn Select,
    at: Timestamp,
    index: HashMap<Labels, usize>,
    /// The names of all that is laid over.
    metrics: HashSet<Box<str>>,
    rows: Vec<Laid>,
}

struct Laid {
    labels: Labels,
    point: Point,
    /// The same series in the snapshot, once a look-up has found it there.
    below: OnceLock<SeriesId>,
}

/// Ids of laid-over series count down from the top; stores hand out theirs from the bottom.
const TOP: u64 = u64::MAX;

impl<'a> Overlay<'a> {
    /// Nothing is laid over yet; what will be has the instant `at`.
    pub(super) fn new(below: &'a dyn Select, at: Timestamp) -> Self {
        Self { below, at, index: HashMap::new(), metrics: HashSet::new(), rows: Vec::new() }
    }

    /// Lays a row over. Of two rows for one series the later counts.
    pub(super) fn lay(&mut self, row: &Row) {
        if let Some(known) = self.index.get(&row.labels) {
            self.rows[*known].point = row.point.clone();
            return;
        }
        self.index.insert(row.labels.clone(), self.rows.len());
        if !self.metrics.contains(row.labels.metric_name()) {
            self.metrics.insert(row.labels.metric_name().into());
        }
        let (labels, point) = (row.labels.clone(), row.point.clone());
        self.rows.push(Laid { labels, point, below: OnceLock::new() });
    }

    /// Whether something that is laid over may match; most rules ask for what no rule yields.
    fn concerns(&self, matchers: &[Matcher]) -> bool {
        let name = matchers.iter().find_map(|matcher| match matcher.test() {
            Test::Equal(name) if matcher.name() == METRIC_NAME => Some(name),
            _ => None,
        });
        !self.rows.is_empty() && name.is_none_or(|name| self.metrics.contains(&**name))
    }

    fn laid(&self, id: SeriesId) -> Option<&Laid> {
        self.rows.get(usize::try_from(TOP - id.0).ok()?)
    }
}

impl Select for Overlay<'_> {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        let mut found = self.below.find(matchers, window)?;
        if !self.concerns(matchers) {
            return Ok(found);
        }
        let mut seen = vec![false; self.rows.len()];
        for series in &mut found {
            if let Some(&row) = self.index.get(&series.labels) {
                // The same series has the same id in one snapshot, so the first look-up counts.
                let _ = self.rows[row].below.set(series.id);
                series.id = SeriesId(TOP - row as u64);
                seen[row] = true;
            }
        }
        if window.contains(self.at) {
            for (row, laid) in self.rows.iter().enumerate() {
                if !seen[row] && matchers.iter().all(|matcher| matcher.matches(&laid.labels)) {
                    let id = SeriesId(TOP - row as u64);
                    found.push(Found { id, labels: laid.labels.clone() });
                }
            }
        }
        Ok(found)
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        let Some(laid) = self.laid(series) else {
            return self.below.read(series, window, into);
        };
        into.clear();
        if let Some(id) = laid.below.get() {
            self.below.read(*id, window, into)?;
        }
        if window.contains(self.at) {
            put(into, self.at, &laid.point);
        }
        Ok(())
    }

    fn read_each(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        if found.iter().all(|series| self.laid(series.id).is_none()) {
            return self.below.read_each(found, window, into, take);
        }
        self.read_one_by_one(found, window, into, take)
    }
}

/// Puts a sample at its place; it replaces one of the same instant.
fn put(into: &mut Columns, at: Timestamp, point: &Point) {
    remove(into, at);
    match point {
        Point::Float(value) => put_float(into, at, *value),
        Point::Stale => put_float(into, at, STALE),
        Point::Histogram(histogram) => put_histogram(into, at, histogram),
    }
}

fn put_float(into: &mut Columns, at: Timestamp, value: f64) {
    let place = into.times.partition_point(|time| *time < at);
    if !into.starts.is_empty() {
        into.starts.insert(place, Timestamp::MIN);
    }
    into.times.insert(place, at);
    into.values.insert(place, value);
}

fn put_histogram(into: &mut Columns, at: Timestamp, histogram: &Arc<Histogram>) {
    let place = into.histograms.partition_point(|(time, _)| *time < at);
    if !into.histogram_starts.is_empty() {
        into.histogram_starts.insert(place, Timestamp::MIN);
    }
    into.histograms.insert(place, (at, histogram.clone()));
}

fn remove(into: &mut Columns, at: Timestamp) {
    if let Ok(place) = into.times.binary_search(&at) {
        into.times.remove(place);
        into.values.remove(place);
        if !into.starts.is_empty() {
            into.starts.remove(place);
        }
    }
    if let Ok(place) = into.histograms.binary_search_by_key(&at, |(time, _)| *time) {
        into.histograms.remove(place);
        if !into.histogram_starts.is_empty() {
            into.histogram_starts.remove(place);
        }
    }
}
