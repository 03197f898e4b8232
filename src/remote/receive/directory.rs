//! Which series are pushed to us, and in which batches they go to the store.
//!
//! The store likes batches that hold the same series in the same order again and again. Senders
//! give series in any order and cut their requests anywhere; but what one target told at one
//! instant mostly arrives together. So series of one target (`job` and `instance`) that were first
//! seen in one request form a *group*, of at most [`GROUP`] members, and keep it: a group is a
//! source of the store. A series is recognised by a hash of the bytes its labels came as, so
//! that labels are taken apart only once.

use std::sync::Arc;

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::{xxh3_64_with_secret, xxh3_128_with_secret};

use crate::model::{Labels, METRIC_NAME};

/// Most members of a group: enough to share their times, few enough that a sample which comes alone
/// costs little.
const GROUP: usize = 64;
/// Groups smaller than this take members in later requests too.
const SMALL: usize = 8;
/// Labels of one series, as Prometheus' senders never make more.
const LABELS: usize = 256;

/// A series' place in the store's batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: u32,
    pub(super) column: u32,
    pub(super) series: u32,
}

struct Entry {
    labels: Labels,
    group: u32,
    column: u32,
    /// When it last came, in minutes.
    seen: u32,
    /// Hash of the metadata it came with.
    pub(super) meta: u32,
}

/// A series by the hash of the bytes it came as.
struct Known {
    /// As bytes: a number would be padded to twelve bytes more, for each series.
    key: [u8; 16],
    series: u32,
}

impl Known {
    fn key(&self) -> u128 {
        u128::from_le_bytes(self.key)
    }

    fn hash(&self) -> u64 {
        self.key() as u64
    }
}

struct Group {
    source: Arc<str>,
    members: Vec<u32>,
}

/// The series that are pushed to us.
pub(super) struct Directory {
    /// Random, so that nobody can make two series look like one.
    secret: [u8; 192],
    by_key: HashTable<Known>,
    by_labels: HashTable<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    groups: Vec<Option<Group>>,
    free_groups: Vec<u32>,
    /// The group that takes the next new series of a target, and the request it was begun in.
    open: HashMap<u64, (u32, u32)>,
    request: u32,
    minute: u32,
    /// Tells this life of the process from earlier ones in names of sources.
    life: i64,
    named: u64,
    limit: usize,
}

/// Why a series cannot be kept.
pub(super) type Refusal = &'static str;

impl Directory {
    /// `life` is unique among the lives of the process; at most `limit` series are known.
    pub(super) fn new(secret: [u8; 192], life: i64, limit: usize) -> Self {
        Self {
            secret,
            by_key: HashTable::new(),
            by_labels: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            open: HashMap::new(),
            request: 0,
            minute: 0,
            life,
            named: 0,
            limit,
        }
    }

    /// How many series are known.
    pub(super) fn len(&self) -> usize {
        self.by_labels.len()
    }

    /// A hash of the bytes that labels came as.
    pub(super) fn key(&self, bytes: &[u8]) -> u128 {
        xxh3_128_with_secret(bytes, &self.secret)
    }

    /// A hash of one text.
    pub(super) fn text_key(&self, bytes: &[u8]) -> u64 {
        xxh3_64_with_secret(bytes, &self.secret)
    }

    /// A new request begins.
    pub(super) fn begin(&mut self, minute: u32) {
        self.request = self.request.wrapping_add(1);
        self.minute = minute;
        self.open.retain(|_, (group, _)| {
            let group = self.groups.get(*group as usize).and_then(Option::as_ref);
            group.is_some_and(|group| group.members.len() < SMALL)
        });
    }

    /// The place of the series with this key; `labels` takes them apart when it is new.
    #[inline]
    pub(super) fn place(
        &mut self,
        key: u128,
        labels: impl FnOnce() -> Result<Labels, Refusal>,
    ) -> Result<Place, Refusal> {
        let known = self.by_key.find(key as u64, |known| known.key() == key);
        let known = known.map(|known| known.series);
        let series = match known {
            Some(series) => series,
            None => self.add(key, labels()?)?,
        };
        match &mut self.entries[series as usize] {
            Some(entry) => {
                entry.seen = self.minute;
                Ok(Place { group: entry.group, column: entry.column, series })
            }
            None => Err("a series was forgotten"),
        }
    }

    fn add(&mut self, key: u128, labels: Labels) -> Result<u32, Refusal> {
        let hash = labels.fingerprint().0;
        let entries = &self.entries;
        let same = |n: &u32| entries[*n as usize].as_ref().is_some_and(|e| e.labels == labels);
        let series = match self.by_labels.find(hash, same).copied() {
            Some(series) => series,
            None => self.add_labels(hash, labels)?,
        };
        let known = Known { key: key.to_le_bytes(), series };
        self.by_key.insert_unique(key as u64, known, Known::hash);
        Ok(series)
    }

    fn add_labels(&mut self, hash: u64, labels: Labels) -> Result<u32, Refusal> {
        if self.by_labels.len() >= self.limit {
            return Err("there are too many series");
        }
        if labels.len() > LABELS {
            return Err("a series has too many labels");
        }
        if labels.metric_name().is_empty() {
            return Err("a series has no metric name");
        }
        let series = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        let (group, column) = self.join(&labels, series);
        self.entries[series as usize] =
            Some(Entry { labels, group, column, seen: self.minute, meta: 0 });
        let entries = &self.entries;
        self.by_labels.insert_unique(hash, series, |n| {
            entries[*n as usize].as_ref().map_or(0, |entry| entry.labels.fingerprint().0)
        });
        Ok(series)
    }

    /// Puts a new series into a group.
    fn join(&mut self, labels: &Labels, series: u32) -> (u32, u32) {
        let job = labels.get("job").unwrap_or("");
        let target = [job, labels.get("instance").unwrap_or("")].join("\0");
        let target = self.text_key(target.as_bytes());
        let request = self.request;
        let open = self.open.get(&target).map(|(group, _)| *group).filter(|group| {
            let group = self.groups.get(*group as usize).and_then(Option::as_ref);
            group.is_some_and(|group| group.members.len() < GROUP)
        });
        let number = open.unwrap_or_else(|| {
            self.named += 1;
            let job: String = job.chars().take(40).collect();
            let source = format!("write/{job}/{:x}-{}", self.life, self.named);
            let new = Some(Group { source: source.into(), members: Vec::new() });
            if let Some(number) = self.free_groups.pop() {
                self.groups[number as usize] = new;
                return number;
            }
            self.groups.push(new);
            self.groups.len() as u32 - 1
        });
        self.open.insert(target, (number, request));
        match &mut self.groups[number as usize] {
            Some(group) => {
                group.members.push(series);
                (number, group.members.len() as u32 - 1)
            }
            None => (number, 0),
        }
    }

    /// The source's name and its members' labels by column.
    pub(super) fn group(&self, number: u32) -> Option<(&Arc<str>, impl Fn(u32) -> Option<Labels>)> {
        let group = self.groups.get(number as usize)?.as_ref()?;
        let labels = |column: u32| {
            let series = *group.members.get(column as usize)?;
            Some(self.entries.get(series as usize)?.as_ref()?.labels.clone())
        };
        Some((&group.source, labels))
    }

    /// The metric name of a series whose metadata is not the one it had; remembers the new one.
    pub(super) fn new_meta(&mut self, series: u32, meta: u32) -> Option<&str> {
        let entry = self.entries.get_mut(series as usize)?.as_mut()?;
        if entry.meta == meta {
            return None;
        }
        entry.meta = meta;
        entry.labels.get(METRIC_NAME)
    }

    /// Forgets series that did not come since `before` (minutes).
    pub(super) fn forget(&mut self, before: u32) {
        let mut gone = 0;
        for (number, slot) in self.entries.iter_mut().enumerate() {
            if slot.as_ref().is_some_and(|entry| entry.seen < before) {
                *slot = None;
                self.free.push(number as u32);
                gone += 1;
            }
        }
        if gone == 0 {
            return;
        }
        let entries = &self.entries;
        let alive = |series: u32| entries[series as usize].is_some();
        self.by_key.retain(|known| alive(known.series));
        self.by_labels.retain(|series| alive(*series));
        for (number, slot) in self.groups.iter_mut().enumerate() {
            // A number that was given to another series must not stand in the old group.
            if let Some(group) = slot {
                for member in &mut group.members {
                    if entries.get(*member as usize).is_none_or(Option::is_none) {
                        *member = u32::MAX;
                    }
                }
                if group.members.iter().all(|member| *member == u32::MAX) {
                    *slot = None;
                    self.free_groups.push(number as u32);
                }
            }
        }
        let groups = &self.groups;
        self.open.retain(|_, (group, _)| groups[*group as usize].is_some());
        let entries = &self.entries;
        self.by_key.shrink_to_fit(Known::hash);
        self.by_labels.shrink_to_fit(|n| {
            entries[*n as usize].as_ref().map_or(0, |entry| entry.labels.fingerprint().0)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(job: &str, n: usize) -> Labels {
        let name = format!("m{n}");
        Labels::from_pairs([(METRIC_NAME, name.as_str()), ("job", job), ("instance", "i")]).unwrap()
    }

    fn place(directory: &mut Directory, job: &str, n: usize) -> Place {
        let key = directory.key(format!("{job} {n}").as_bytes());
        directory.place(key, || Ok(labels(job, n))).unwrap()
    }

    #[test]
    fn series_of_a_target_share_groups_of_bounded_size() {
        let mut directory = Directory::new([7; 192], 1, 1000);
        directory.begin(0);
        let places: Vec<Place> = (0..150).map(|n| place(&mut directory, "a", n)).collect();
        assert!(places[..GROUP].iter().all(|p| p.group == places[0].group));
        assert_ne!(places[GROUP].group, places[0].group);
        assert_ne!(place(&mut directory, "b", 0).group, places[149].group);
        directory.begin(1);
        assert_eq!(place(&mut directory, "a", 3), places[3], "it keeps its place");
        let late = place(&mut directory, "a", 200);
        assert!(!places.iter().any(|p| p.group == late.group), "seen later: another group");
    }

    #[test]
    fn what_comes_no_more_is_forgotten() {
        let mut directory = Directory::new([7; 192], 1, 10);
        directory.begin(0);
        let old = place(&mut directory, "a", 0);
        directory.begin(100);
        place(&mut directory, "a", 1);
        directory.forget(50);
        assert_eq!(directory.len(), 1);
        assert_eq!(directory.group(old.group).unwrap().1(old.column), None);
        let again = place(&mut directory, "a", 0);
        assert_ne!((again.group, again.column), (old.group, old.column));
        for n in 2..10 {
            place(&mut directory, "a", n);
        }
        let key = directory.key(b"one more");
        assert!(directory.place(key, || Ok(labels("a", 99))).is_err(), "bounded");
    }

    #[test]
    fn the_same_labels_under_another_key_are_the_same_series() {
        let mut directory = Directory::new([7; 192], 1, 10);
        directory.begin(0);
        let one = place(&mut directory, "a", 0);
        let key = directory.key(b"written differently");
        assert_eq!(directory.place(key, || Ok(labels("a", 0))).unwrap(), one);
    }
}
