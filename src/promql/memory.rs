use std::collections::HashMap;

use crate::model::{Columns, Labels, Matcher, Point, STALE, Timestamp, Window};
use crate::ports::{Found, Select, SelectError, SeriesId};

/// Samples in memory, for tests of queries and rules: no limits, no index, nothing durable.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    series: Vec<(Labels, Columns)>,
    places: HashMap<Labels, usize>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a sample; one at the same instant is replaced. `start` is the start timestamp of a
    /// counter, where it is known.
    pub fn append(
        &mut self,
        labels: &Labels,
        at: Timestamp,
        point: Point,
        start: Option<Timestamp>,
    ) {
        let place = match self.places.get(labels) {
            Some(place) => *place,
            None => {
                self.places.insert(labels.clone(), self.series.len());
                self.series.push((labels.clone(), Columns::default()));
                self.series.len() - 1
            }
        };
        let columns = &mut self.series[place].1;
        remove(columns, at);
        let value = match point {
            Point::Float(value) => value,
            Point::Stale => STALE,
            Point::Histogram(histogram) => {
                let at_index = columns.histograms.partition_point(|(time, _)| *time < at);
                columns.histograms.insert(at_index, (at, histogram));
                columns.histogram_starts.insert(at_index, start.unwrap_or(Timestamp::MIN));
                return;
            }
        };
        let at_index = columns.times.partition_point(|time| *time < at);
        columns.times.insert(at_index, at);
        columns.values.insert(at_index, value);
        columns.starts.insert(at_index, start.unwrap_or(Timestamp::MIN));
    }

    /// Instant of the newest sample.
    pub fn newest(&self) -> Option<Timestamp> {
        let last = |columns: &Columns| {
            columns.times.last().copied().max(columns.histograms.last().map(|(time, _)| *time))
        };
        self.series.iter().filter_map(|(_, columns)| last(columns)).max()
    }
}

fn remove(columns: &mut Columns, at: Timestamp) {
    if let Ok(index) = columns.times.binary_search(&at) {
        columns.times.remove(index);
        columns.values.remove(index);
        columns.starts.remove(index);
    }
    if let Ok(index) = columns.histograms.binary_search_by_key(&at, |(time, _)| *time) {
        columns.histograms.remove(index);
        columns.histogram_starts.remove(index);
    }
}

impl Select for MemoryStore {
    fn find(&self, matchers: &[Matcher], _: Window) -> Result<Vec<Found>, SelectError> {
        let wanted = |labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels));
        let found = self.series.iter().enumerate().filter(|(_, (labels, _))| wanted(labels));
        Ok(found
            .map(|(at, (labels, _))| Found { id: SeriesId(at as u64), labels: labels.clone() })
            .collect())
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        into.clear();
        let place = usize::try_from(series.0).unwrap_or(usize::MAX);
        let Some((_, columns)) = self.series.get(place) else { return Ok(()) };
        let range = |first: usize, behind: usize| first..behind.max(first);
        let floats = range(
            columns.times.partition_point(|time| *time <= window.after),
            columns.times.partition_point(|time| *time <= window.through),
        );
        into.times.extend_from_slice(&columns.times[floats.clone()]);
        into.values.extend_from_slice(&columns.values[floats.clone()]);
        let known = |starts: &[Timestamp]| starts.iter().any(|start| *start != Timestamp::MIN);
        if known(&columns.starts[floats.clone()]) {
            into.starts.extend_from_slice(&columns.starts[floats]);
        }
        let histograms = range(
            columns.histograms.partition_point(|(time, _)| *time <= window.after),
            columns.histograms.partition_point(|(time, _)| *time <= window.through),
        );
        into.histograms.extend_from_slice(&columns.histograms[histograms.clone()]);
        if known(&columns.histogram_starts[histograms.clone()]) {
            into.histogram_starts.extend_from_slice(&columns.histogram_starts[histograms]);
        }
        Ok(())
    }
}
