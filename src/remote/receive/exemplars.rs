//! Exemplars that were pushed: the last ones, in memory, as Prometheus keeps them. They point to a
//! trace of these minutes and are gone after a restart.

use std::collections::{BTreeMap, VecDeque};

use hashbrown::HashMap;

use crate::model::{Labels, Matcher, Timestamp};
use crate::ports::PushedExemplar;

/// Most characters of an exemplar's label names and values together (OpenMetrics 1.0, "Exemplars").
const TEXT: usize = 128;

/// A ring of exemplars of all series.
pub(super) struct Exemplars {
    ring: VecDeque<(Labels, PushedExemplar)>,
    /// For each series in the ring: the latest one's time, and how many there are.
    series: HashMap<Labels, (Timestamp, u32)>,
    limit: usize,
}

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    /// It is there already.
    Before,
    /// It is older than the series' latest, or its labels are too long.
    No,
}

impl Exemplars {
    /// At most `limit`; the oldest go first.
    pub(super) fn new(limit: usize) -> Self {
        Self { ring: VecDeque::new(), series: HashMap::new(), limit }
    }

    /// Takes one.
    pub(super) fn push(&mut self, series: Labels, exemplar: PushedExemplar) -> Kept {
        let characters = |text: &str| text.chars().count();
        let pairs = exemplar.labels.iter();
        let text: usize = pairs.map(|(name, value)| characters(name) + characters(value)).sum();
        if text > TEXT || self.limit == 0 {
            return Kept::No;
        }
        if let Some((latest, _)) = self.series.get(&series)
            && exemplar.at <= *latest
        {
            let same = |(other, known): &(Labels, PushedExemplar)| {
                *other == series
                    && known.at == exemplar.at
                    && known.labels == exemplar.labels
                    && known.value.to_bits() == exemplar.value.to_bits()
            };
            return if self.ring.iter().any(same) { Kept::Before } else { Kept::No };
        }
        if self.ring.len() >= self.limit
            && let Some((oldest, _)) = self.ring.pop_front()
            && let Some((_, count)) = self.series.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.series.remove(&oldest);
            }
        }
        let entry = self.series.entry(series.clone()).or_insert((exemplar.at, 0));
        *entry = (exemplar.at, entry.1 + 1);
        self.ring.push_back((series, exemplar));
        Kept::Yes
    }

    /// Those of the series that all matchers of any set accept, `from` through `through`, by series
    /// in the order of labels, each series' in the order of time.
    pub(super) fn find(
        &self,
        sets: &[&[Matcher]],
        from: Timestamp,
        through: Timestamp,
    ) -> Vec<(Labels, Vec<PushedExemplar>)> {
        let wanted = |labels: &Labels| {
            sets.iter().any(|set| set.iter().all(|matcher| matcher.matches(labels)))
        };
        let series = self.series.keys().filter(|labels| wanted(labels));
        let mut found: BTreeMap<&Labels, Vec<PushedExemplar>> =
            series.map(|labels| (labels, Vec::new())).collect();
        for (labels, exemplar) in &self.ring {
            if (from..=through).contains(&exemplar.at)
                && let Some(list) = found.get_mut(labels)
            {
                list.push(exemplar.clone());
            }
        }
        let some = found.into_iter().filter(|(_, list)| !list.is_empty());
        some.map(|(labels, list)| (labels.clone(), list)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn series(name: &str) -> Labels {
        Labels::empty().with("__name__", name)
    }

    fn exemplar(time: i64, trace: &str) -> PushedExemplar {
        PushedExemplar {
            labels: Labels::empty().with("trace_id", trace),
            value: time as f64,
            at: at(time),
        }
    }

    #[test]
    fn the_last_ones_stay_and_memory_is_bounded() {
        let mut kept = Exemplars::new(3);
        for n in 0..5 {
            assert_eq!(kept.push(series(&format!("m{n}")), exemplar(n, "t")), Kept::Yes);
        }
        assert_eq!((kept.ring.len(), kept.series.len()), (3, 3));
        let all = [Matcher::new("__name__", crate::model::Test::NotEqual("".into()))];
        let found = kept.find(&[&all], at(0), at(3));
        let names: Vec<String> = found.iter().map(|(labels, _)| labels.to_string()).collect();
        assert_eq!(names, ["m2", "m3"]);
        assert!(kept.find(&[&[Matcher::metric("m0")]], at(0), at(9)).is_empty());
    }

    #[test]
    fn the_old_the_same_and_the_long_are_not_kept() {
        let mut kept = Exemplars::new(9);
        assert_eq!(kept.push(series("m"), exemplar(5, "t")), Kept::Yes);
        assert_eq!(kept.push(series("m"), exemplar(5, "t")), Kept::Before);
        assert_eq!(kept.push(series("m"), exemplar(5, "u")), Kept::No);
        assert_eq!(kept.push(series("m"), exemplar(4, "t")), Kept::No);
        assert_eq!(kept.push(series("m"), exemplar(6, &"x".repeat(121))), Kept::No);
        assert_eq!(kept.push(series("m"), exemplar(6, &"ä".repeat(120))), Kept::Yes);
        let found = kept.find(&[&[Matcher::metric("m")]], at(0), at(9));
        assert_eq!(found[0].1.len(), 2);
    }
}
