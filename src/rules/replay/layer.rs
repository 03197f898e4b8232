//! Stored history with what replayed rules yield laid over it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Columns, Labels, METRIC_NAME, Matcher, Point, Timestamp, Window};
use crate::ports::{Found, Select, SelectError, SeriesId, TakeSeries};
use crate::promql::MemoryStore;

/// From `since` on the series of `replaced` rules come from the replay alone: what the same rules
/// had yielded when they ran is hidden. Before it, history is what it is.
pub(super) struct Layer<'a> {
    below: &'a dyn Select,
    above: MemoryStore,
    since: Timestamp,
    records: HashSet<Arc<str>>,
    alerts: HashSet<Arc<str>>,
    ids: Mutex<Ids>,
}

/// Ids that stand for a series below, above or both.
#[derive(Default)]
struct Ids {
    pairs: Vec<(Option<SeriesId>, Option<SeriesId>)>,
    known: HashMap<(Option<SeriesId>, Option<SeriesId>), u64>,
}

/// Ids of ours; stores hand out theirs from the bottom.
const OURS: u64 = 1 << 63;

impl<'a> Layer<'a> {
    pub(super) fn new(
        below: &'a dyn Select,
        since: Timestamp,
        records: HashSet<Arc<str>>,
        alerts: HashSet<Arc<str>>,
    ) -> Self {
        let (above, ids) = (MemoryStore::new(), Mutex::default());
        Self { below, above, since, records, alerts, ids }
    }

    pub(super) fn put(&mut self, labels: &Labels, at: Timestamp, point: Point) {
        self.above.append(labels, at, point, None);
    }

    fn is_replaced(&self, labels: &Labels) -> bool {
        match labels.get(METRIC_NAME) {
            Some("ALERTS" | "ALERTS_FOR_STATE") => {
                labels.get("alertname").is_some_and(|name| self.alerts.contains(name))
            }
            Some(name) => self.records.contains(name),
            None => false,
        }
    }

    fn id(&self, below: Option<SeriesId>, above: Option<SeriesId>) -> SeriesId {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let next = ids.pairs.len() as u64;
        let id = *ids.known.entry((below, above)).or_insert(next);
        if id == next {
            ids.pairs.push((below, above));
        }
        SeriesId(OURS | id)
    }
}

impl Select for Layer<'_> {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        let mut above: HashMap<Labels, SeriesId> = self
            .above
            .find(matchers, window)?
            .into_iter()
            .map(|found| (found.labels, found.id))
            .collect();
        let mut found = self.below.find(matchers, window)?;
        for series in found.iter_mut().filter(|series| self.is_replaced(&series.labels)) {
            let over = above.remove(&series.labels);
            series.id = self.id(Some(series.id), over);
        }
        for (labels, id) in above {
            found.push(Found { id: self.id(None, Some(id)), labels });
        }
        Ok(found)
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        if series.0 & OURS == 0 {
            return self.below.read(series, window, into);
        }
        let place = usize::try_from(series.0 & !OURS).unwrap_or(usize::MAX);
        let pair = {
            let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
            ids.pairs.get(place).copied().unwrap_or_default()
        };
        into.clear();
        let before = Timestamp::from_millis(self.since.millis() - 1);
        if let (Some(id), true) = (pair.0, window.after < before) {
            let until = Window { through: window.through.min(before), ..window };
            self.below.read(id, until, into)?;
        }
        let Some(id) = pair.1 else { return Ok(()) };
        if into.times.is_empty() && into.histograms.is_empty() {
            return self.above.read(id, window, into);
        }
        let mut more = Columns::default();
        self.above.read(id, window, &mut more)?;
        if !into.starts.is_empty() {
            more.starts.resize(more.times.len(), Timestamp::MIN);
            into.starts.append(&mut more.starts);
        }
        into.times.append(&mut more.times);
        into.values.append(&mut more.values);
        if !into.histogram_starts.is_empty() {
            more.histogram_starts.resize(more.histograms.len(), Timestamp::MIN);
            into.histogram_starts.append(&mut more.histogram_starts);
        }
        into.histograms.append(&mut more.histograms);
        Ok(())
    }

    fn read_each(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        if found.iter().all(|series| series.id.0 & OURS == 0) {
            return self.below.read_each(found, window, into, take);
        }
        self.read_one_by_one(found, window, into, take)
    }
}
