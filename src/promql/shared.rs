use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;

use super::evaluate::{key_of, reads};
use super::{Expr, Options};
use crate::model::{Columns, Matcher, Timestamp, Window};
use crate::ports::{Found, Select, SelectError, SeriesId, TakeSeries};

/// Samples that are kept to be read again.
const KEPT_SAMPLES: usize = 4_000_000;

/// What several queries at one instant select more than once, such as the rules of a group.
#[derive(Clone, Debug)]
pub struct CommonSelectors {
    /// Each with the window that covers all places in which it stands.
    windows: HashMap<String, Window>,
    /// The instant that the windows are about.
    at: Timestamp,
    /// Whether all windows move with the instant; none is pinned by `@`.
    moves: bool,
    lookback: Duration,
    subquery_step: Duration,
}

impl CommonSelectors {
    /// Of these queries at `at`.
    pub fn of<'e>(
        queries: impl IntoIterator<Item = &'e Expr> + Clone,
        at: Timestamp,
        options: &Options<'_>,
    ) -> Self {
        let windows = several(queries.clone(), at, options);
        let second = Duration::from_secs(1);
        let moves = several(queries, at + second, options)
            .into_iter()
            .all(|(key, later)| windows.get(&key).is_some_and(|now| moved(*now, 1000) == later));
        let (lookback, subquery_step) = (options.lookback, options.subquery_step);
        Self { windows, at, moves, lookback, subquery_step }
    }

    /// Whether this is also right for the same queries at `at` with these options.
    pub fn holds_at(&self, at: Timestamp, options: &Options<'_>) -> bool {
        (self.moves || self.at == at)
            && (self.lookback, self.subquery_step) == (options.lookback, options.subquery_step)
    }
}

/// The selectors that stand in the queries more than once.
fn several<'e>(
    queries: impl IntoIterator<Item = &'e Expr>,
    at: Timestamp,
    options: &Options<'_>,
) -> HashMap<String, Window> {
    let mut uses: HashMap<String, (usize, Window)> = HashMap::new();
    for (key, window, times) in queries.into_iter().flat_map(|expr| reads(expr, at, options)) {
        uses.entry(key)
            .and_modify(|(count, all)| {
                *count += times;
                *all = union(*all, window);
            })
            .or_insert((times, window));
    }
    let several = uses.into_iter().filter(|(_, (count, _))| *count > 1);
    several.map(|(key, (_, window))| (key, window)).collect()
}

/// A snapshot for several queries at one instant: what more than one of them selects is found and
/// read once.
pub struct SharedReads<'a> {
    below: &'a dyn Select,
    common: &'a CommonSelectors,
    /// From the instant of `common` to that of the queries, in milliseconds.
    shift: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    found: HashMap<String, Vec<Found>>,
    series: HashMap<SeriesId, Kept>,
    samples: usize,
    /// The times of what was kept last.
    times: Arc<[Timestamp]>,
}

/// A series that will be wanted again.
struct Kept {
    window: Window,
    samples: Option<Samples>,
}

/// What was read of a series. Most are floats at the same instants as those of a neighbour.
enum Samples {
    Floats { times: Arc<[Timestamp]>, values: Arc<[f64]> },
    Other(Arc<Columns>),
}

impl Samples {
    fn of(columns: &Columns, last_times: &mut Arc<[Timestamp]>) -> Self {
        let (histograms, starts) = (&columns.histograms, &columns.starts);
        if !histograms.is_empty() || !starts.is_empty() {
            return Self::Other(Arc::new(columns.clone()));
        }
        if last_times[..] != columns.times[..] {
            *last_times = Arc::from(&columns.times[..]);
        }
        Self::Floats { times: Arc::clone(last_times), values: Arc::from(&columns.values[..]) }
    }

    /// Replaces `into` by what lies in the window.
    fn part(&self, window: Window, into: &mut Columns) {
        match self {
            Self::Floats { times, values } => {
                into.clear();
                let range = within(times, window);
                into.times.extend_from_slice(&times[range.clone()]);
                into.values.extend_from_slice(&values[range]);
            }
            Self::Other(columns) => part(columns, window, into),
        }
    }
}

fn within(times: &[Timestamp], window: Window) -> std::ops::Range<usize> {
    let first = times.partition_point(|time| *time <= window.after);
    first..times.partition_point(|time| *time <= window.through).max(first)
}

impl<'a> SharedReads<'a> {
    /// For queries at `at`, for which `common` holds.
    pub fn new(below: &'a dyn Select, common: &'a CommonSelectors, at: Timestamp) -> Self {
        let shift = at.millis().saturating_sub(common.at.millis());
        Self { below, common, shift, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn moved(window: Window, millis: i64) -> Window {
    let by = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(millis));
    Window { after: by(window.after), through: by(window.through) }
}

fn union(a: Window, b: Window) -> Window {
    Window { after: a.after.min(b.after), through: a.through.max(b.through) }
}

fn covers(outer: Window, inner: Window) -> bool {
    outer.after <= inner.after && outer.through >= inner.through
}

impl Select for SharedReads<'_> {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        if self.common.windows.is_empty() {
            return self.below.find(matchers, window);
        }
        let key = key_of(matchers);
        let all = self.common.windows.get(&key).map(|all| moved(*all, self.shift));
        let Some(all) = all.filter(|all| covers(*all, window)) else {
            return self.below.find(matchers, window);
        };
        if let Some(found) = self.state().found.get(&key) {
            return Ok(found.clone());
        }
        let found = self.below.find(matchers, all)?;
        let mut state = self.state();
        for series in &found {
            let kept = state.series.entry(series.id);
            let kept = kept.or_insert(Kept { window: all, samples: None });
            if !covers(kept.window, all) {
                *kept = Kept { window: union(kept.window, all), samples: None };
            }
        }
        state.found.insert(key, found.clone());
        Ok(found)
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        let all = match self.state().series.get(&series) {
            Some(kept) if covers(kept.window, window) => match &kept.samples {
                Some(samples) => {
                    samples.part(window, into);
                    return Ok(());
                }
                None => kept.window,
            },
            _ => return self.below.read(series, window, into),
        };
        let mut columns = Columns::default();
        self.below.read(series, all, &mut columns)?;
        part(&columns, window, into);
        self.keep(series, &columns);
        Ok(())
    }

    fn read_each(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        let known = {
            let state = self.state();
            found.iter().all(|series| state.series.contains_key(&series.id))
        };
        if !known {
            // Better some of them again, with their neighbours, than one by one.
            return self.below.read_each(found, window, into, take);
        }
        if let Some(all) = self.unread(found).filter(|all| covers(*all, window)) {
            let mut columns = Columns::default();
            return self.below.read_each(found, all, &mut columns, &mut |series, columns| {
                self.keep(series.id, columns);
                if all == window {
                    return take(series, columns);
                }
                part(columns, window, into);
                take(series, into)
            });
        }
        self.read_one_by_one(found, window, into, take)
    }
}

impl SharedReads<'_> {
    /// The one window that all these series are to be read in, when all are wanted again and none
    /// has been read.
    fn unread(&self, found: &[Found]) -> Option<Window> {
        let state = self.state();
        let mut windows = found.iter().map(|series| {
            let kept = state.series.get(&series.id)?;
            kept.samples.is_none().then_some(kept.window)
        });
        let first = windows.next()??;
        windows.all(|window| window == Some(first)).then_some(first)
    }

    fn keep(&self, series: SeriesId, columns: &Columns) {
        let mut state = self.state();
        let State { series: all, samples, times, .. } = &mut *state;
        if samples.saturating_add(columns.len()) <= KEPT_SAMPLES {
            *samples += columns.len();
            if let Some(kept) = all.get_mut(&series) {
                kept.samples = Some(Samples::of(columns, times));
            }
        }
    }
}

/// Replaces `into` by what lies in the window.
fn part(columns: &Columns, window: Window, into: &mut Columns) {
    into.clear();
    let floats = within(&columns.times, window);
    into.times.extend_from_slice(&columns.times[floats.clone()]);
    into.values.extend_from_slice(&columns.values[floats.clone()]);
    if !columns.starts.is_empty() {
        into.starts.extend_from_slice(&columns.starts[floats]);
    }
    let first = columns.histograms.partition_point(|(time, _)| *time <= window.after);
    let behind = columns.histograms.partition_point(|(time, _)| *time <= window.through);
    let histograms = first..behind.max(first);
    into.histograms.extend_from_slice(&columns.histograms[histograms.clone()]);
    if !columns.histogram_starts.is_empty() {
        into.histogram_starts.extend_from_slice(&columns.histogram_starts[histograms]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::{Labels, Point};
    use crate::promql::{MemoryStore, instant, parse};

    /// Counts how often it is asked.
    #[derive(Default)]
    struct Counting {
        store: MemoryStore,
        finds: AtomicUsize,
        reads: AtomicUsize,
    }

    impl Select for Counting {
        fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
            self.finds.fetch_add(1, Ordering::Relaxed);
            self.store.find(matchers, window)
        }

        fn read(
            &self,
            id: SeriesId,
            window: Window,
            into: &mut Columns,
        ) -> Result<(), SelectError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.store.read(id, window, into)
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn filled() -> Counting {
        let mut counting = Counting::default();
        for series in ["a", "b", "c"] {
            let labels = Labels::from_pairs([("__name__", "x_total"), ("l", series)]).unwrap();
            for step in 0..100 {
                let value = Point::Float(step as f64);
                counting.store.append(&labels, at(step * 15), value, None);
            }
        }
        counting
    }

    #[test]
    fn what_several_queries_select_is_read_once() {
        let counting = filled();
        let queries = [
            "x_total > 3",
            "rate(x_total[5m])",
            "sum(rate(x_total[10m] offset 1m)) / count(x_total)",
            "x_total{l=\"a\"}",
            "max_over_time(x_total[2m:30s])",
        ];
        let queries: Vec<Expr> = queries.iter().map(|query| parse(query).unwrap()).collect();
        let options = Options::default();
        let alone: Vec<_> = queries
            .iter()
            .map(|query| instant(query, &counting, at(1400), &options).unwrap())
            .collect();
        let before =
            (counting.finds.swap(0, Ordering::Relaxed), counting.reads.swap(0, Ordering::Relaxed));
        assert_eq!(before, (5, 3 * 4 + 1), "within a query it was always so");
        // As if the rules had been evaluated before, too.
        let common = CommonSelectors::of(&queries, at(900), &options);
        assert!(common.holds_at(at(1400), &options));
        let shared = SharedReads::new(&counting, &common, at(1400));
        for (query, alone) in queries.iter().zip(&alone) {
            let answer = instant(query, &shared, at(1400), &options).unwrap();
            assert_eq!(answer.value, alone.value, "{query}");
        }
        // One look-up for the shared selector, one for the other, whose series is known already.
        assert_eq!(counting.finds.load(Ordering::Relaxed), 2);
        assert_eq!(counting.reads.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_selector_beside_a_shared_part_of_it_is_read_whole() {
        let counting = filled();
        let options = Options::default();
        let part = "rate(x_total{l=\"a\"}[5m])";
        let queries = [part, "rate(x_total[2m])", part].map(|query| parse(query).unwrap());
        let direct = queries
            .each_ref()
            .map(|query| instant(query, &counting, at(1400), &options).unwrap().value);
        let common = CommonSelectors::of(&queries, at(1400), &options);
        let shared = SharedReads::new(&counting, &common, at(1400));
        counting.reads.store(0, Ordering::Relaxed);
        for (query, direct) in queries.iter().zip(direct) {
            assert_eq!(instant(query, &shared, at(1400), &options).unwrap().value, direct);
        }
        // Once the part, once all three of them; the part is still known at its second place.
        assert_eq!(counting.reads.load(Ordering::Relaxed), 1 + 3);
    }

    #[test]
    fn another_window_is_read_anew() {
        let counting = filled();
        let options = Options::default();
        let queries = [parse("x_total").unwrap(), parse("x_total + 1").unwrap()];
        let common = CommonSelectors::of(&queries, at(1400), &options);
        let shared = SharedReads::new(&counting, &common, at(1400));
        for query in &queries {
            instant(query, &shared, at(1400), &options).unwrap();
        }
        // A template of an alert may ask for something else.
        let other = parse("sum_over_time(x_total[20m])").unwrap();
        let direct = instant(&other, &counting, at(1400), &options).unwrap();
        assert_eq!(instant(&other, &shared, at(1400), &options).unwrap().value, direct.value);
    }
    #[test]
    fn a_pinned_selector_does_not_move() {
        let options = Options::default();
        let common = |query: &str| {
            let queries = [parse(query).unwrap(), parse(query).unwrap()];
            CommonSelectors::of(&queries, at(900), &options)
        };
        assert!(!common("x_total @ 300").holds_at(at(915), &options));
        assert!(common("x_total @ 300").holds_at(at(900), &options));
        assert!(common("x_total @ end()").holds_at(at(915), &options));
        let longer = Options { lookback: Duration::from_secs(600), ..Options::default() };
        assert!(!common("x_total").holds_at(at(915), &longer));
    }
}
