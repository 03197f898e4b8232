//! The series in memory: label → value → series, as roaring bitmaps over sorted values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use hashbrown::{HashMap, HashTable};
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::shortcut::Shortcut;
use crate::model::{Labels, Matcher, Test};

/// Number of a series in memory; never used twice while the process runs.
pub(super) type Number = u32;

/// Where a series has samples: (source, column).
pub(super) type Places = SmallVec<[(u32, u32); 1]>;

/// Of a series that has no samples in any column, or in several.
const ELSEWHERE: (u32, u32) = (u32::MAX, u32::MAX);

struct Entry {
    labels: Labels,
    /// Nearly all series have one place. Otherwise see [`Index::places`].
    place: (u32, u32),
}

const PAGE: usize = 256;

/// Finds series by labels.
#[derive(Default)]
pub(super) struct Index {
    by_labels: HashTable<Number>,
    pages: Vec<Option<Box<Page>>>,
    next: Number,
    live: usize,
    /// The places of series that have several.
    places: HashMap<Number, Vec<(u32, u32)>>,
    postings: BTreeMap<Box<str>, BTreeMap<Box<str>, Postings>>,
}

struct Page {
    entries: [Option<Entry>; PAGE],
    used: usize,
}

/// New series that have a label value in common, not yet entered.
struct Run<'l> {
    name: &'l str,
    value: &'l str,
    first: Number,
    last: Number,
}

/// Series being added: the series of a source have nearly all label values in common, so that these
/// are looked up once for many. To be given to [`Index::finish`].
#[derive(Default)]
pub(super) struct Adding<'l>(SmallVec<[Run<'l>; 16]>);

/// The series with one value of a label. Very many values belong to a single series.
enum Postings {
    One(Number),
    Many(RoaringBitmap),
}

impl Postings {
    fn add_to(&self, all: &mut RoaringBitmap) {
        match self {
            Postings::One(number) => {
                all.insert(*number);
            }
            Postings::Many(numbers) => *all |= numbers,
        }
    }

    fn bitmap(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        self.add_to(&mut all);
        all
    }
}

fn entry(pages: &[Option<Box<Page>>], number: Number) -> Option<&Entry> {
    let number = number as usize;
    pages.get(number / PAGE)?.as_ref()?.entries[number % PAGE].as_ref()
}

fn hash_at(pages: &[Option<Box<Page>>], number: Number) -> u64 {
    entry(pages, number).map_or(0, |entry| entry.labels.fingerprint().0)
}

impl Index {
    /// How many series there are.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// The number that the next new series will get: all series so far have smaller ones.
    pub(super) fn next(&self) -> Number {
        self.next
    }

    /// The series with exactly these labels.
    pub(super) fn get(&self, labels: &Labels) -> Option<Number> {
        self.get_hashed(labels, labels.fingerprint().0)
    }

    fn get_hashed(&self, labels: &Labels, hash: u64) -> Option<Number> {
        let same = |n: &Number| entry(&self.pages, *n).is_some_and(|e| e.labels == *labels);
        self.by_labels.find(hash, same).copied()
    }

    /// The labels of a series.
    pub(super) fn labels(&self, number: Number) -> Option<&Labels> {
        entry(&self.pages, number).map(|entry| &entry.labels)
    }

    /// The labels of a series, and where it has samples.
    pub(super) fn series(&self, number: Number) -> Option<(&Labels, &[(u32, u32)])> {
        Some((self.labels(number)?, self.places(number)))
    }

    /// Where a series has samples.
    pub(super) fn places(&self, number: Number) -> &[(u32, u32)] {
        match entry(&self.pages, number) {
            None => &[],
            Some(Entry { place: ELSEWHERE, .. }) => {
                self.places.get(&number).map_or(&[], |places| &places[..])
            }
            Some(entry) => std::slice::from_ref(&entry.place),
        }
    }

    fn entry_mut(&mut self, number: Number) -> Option<&mut Entry> {
        let number = number as usize;
        self.pages.get_mut(number / PAGE)?.as_mut()?.entries[number % PAGE].as_mut()
    }

    /// The series with these labels, new if need be. It is found by its labels only, until
    /// [`Index::finish`] enters its values.
    pub(super) fn add<'l>(&mut self, labels: &'l Labels, adding: &mut Adding<'l>) -> Number {
        let hash = labels.fingerprint().0;
        if let Some(number) = self.get_hashed(labels, hash) {
            return number;
        }
        let number = self.next;
        self.next += 1;
        self.live += 1;
        let at = number as usize;
        if self.pages.len() <= at / PAGE {
            self.pages.push(None);
        }
        let page = self.pages[at / PAGE]
            .get_or_insert_with(|| Box::new(Page { entries: [const { None }; PAGE], used: 0 }));
        page.used += 1;
        page.entries[at % PAGE] = Some(Entry { labels: labels.clone(), place: ELSEWHERE });
        for (at, (name, value)) in labels.iter().enumerate() {
            let fresh = Run { name, value, first: number, last: number };
            match adding.0.get_mut(at) {
                None => adding.0.push(fresh),
                Some(run) if (run.name, run.value) == (name, value) && run.last + 1 == number => {
                    run.last = number;
                }
                Some(run) => self.enter(&std::mem::replace(run, fresh)),
            }
        }
        let pages = &self.pages;
        self.by_labels.insert_unique(hash, number, |n| hash_at(pages, *n));
        number
    }

    /// Enters the label values of the series that were added.
    pub(super) fn finish(&mut self, adding: Adding<'_>) {
        for run in &adding.0 {
            self.enter(run);
        }
    }

    fn enter(&mut self, run: &Run<'_>) {
        let values = match self.postings.get_mut(run.name) {
            Some(values) => values,
            None => self.postings.entry(run.name.into()).or_default(),
        };
        match values.get_mut(run.value) {
            None => {
                let postings = if run.first == run.last {
                    Postings::One(run.first)
                } else {
                    Postings::Many((run.first..=run.last).collect())
                };
                values.insert(run.value.into(), postings);
            }
            Some(Postings::Many(numbers)) => {
                numbers.insert_range(run.first..=run.last);
            }
            Some(one @ Postings::One(_)) => {
                let mut numbers = one.bitmap();
                numbers.insert_range(run.first..=run.last);
                *one = Postings::Many(numbers);
            }
        }
    }

    /// Notes that a series has samples in this column.
    pub(super) fn add_place(&mut self, number: Number, place: (u32, u32)) {
        let before = match self.entry_mut(number) {
            None => return,
            Some(entry) => std::mem::replace(&mut entry.place, ELSEWHERE),
        };
        if before == ELSEWHERE && !self.places.contains_key(&number) {
            if let Some(entry) = self.entry_mut(number) {
                entry.place = place;
            }
            return;
        }
        let places = self.places.entry(number).or_default();
        places.extend(Some(before).filter(|before| *before != ELSEWHERE));
        places.push(place);
    }

    /// Notes that a series has no samples in this column any more; a series without any place is
    /// forgotten.
    pub(super) fn remove_place(&mut self, number: Number, place: (u32, u32)) {
        let Some(places) = self.places.get_mut(&number) else {
            if self.places(number).iter().all(|p| *p == place) {
                self.remove(number);
            }
            return;
        };
        places.retain(|p| *p != place);
        if let [only] = places[..] {
            self.places.remove(&number);
            if self.places.is_empty() {
                self.places = HashMap::new();
            }
            if let Some(entry) = self.entry_mut(number) {
                entry.place = only;
            }
        }
    }

    fn remove(&mut self, number: Number) {
        let Some(labels) = self.labels(number).cloned() else { return };
        if let Ok(found) =
            self.by_labels.find_entry(labels.fingerprint().0, |candidate| *candidate == number)
        {
            found.remove();
        }
        for (name, value) in &labels {
            let Some(values) = self.postings.get_mut(name) else { continue };
            let gone = match values.get_mut(value) {
                Some(Postings::One(_)) => true,
                Some(Postings::Many(numbers)) => {
                    numbers.remove(number);
                    numbers.is_empty()
                }
                None => false,
            };
            if gone {
                values.remove(value);
                if values.is_empty() {
                    self.postings.remove(name);
                }
            }
        }
        let at = number as usize;
        if let Some(slot @ Some(_)) = self.pages.get_mut(at / PAGE) {
            let empty = slot.as_mut().is_some_and(|page| {
                page.entries[at % PAGE] = None;
                page.used -= 1;
                page.used == 0
            });
            if empty {
                *slot = None;
            }
        }
        self.live -= 1;
        if self.by_labels.capacity() > 4 * self.live.max(PAGE) {
            let pages = &self.pages;
            self.by_labels.shrink_to(2 * self.live, |n| hash_at(pages, *n));
        }
    }

    /// The series that all matchers accept.
    pub(super) fn find(&self, matchers: &[Matcher]) -> RoaringBitmap {
        // What must have a value first, it is cheap and leaves little.
        let (absent, present): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| m.accepts(""));
        let mut sets: SmallVec<[Cow<'_, RoaringBitmap>; 4]> = SmallVec::new();
        for matcher in present {
            let next = self.with_value(matcher.name(), |value| matcher.accepts(value), matcher);
            if next.is_empty() {
                return RoaringBitmap::new();
            }
            sets.push(next);
        }
        sets.sort_by_key(|set| set.len());
        let mut sets = sets.into_iter();
        let mut found = match (sets.next(), sets.next()) {
            (Some(least), Some(next)) => &*least & &*next,
            (Some(only), None) => only.into_owned(),
            (None, _) => self.all(),
        };
        sets.for_each(|set| found &= &*set);
        for matcher in absent {
            // An absent label passes, so only those whose value fails are out.
            found -= self.refused(matcher);
        }
        found
    }

    fn all(&self) -> RoaringBitmap {
        let mut all = RoaringBitmap::new();
        for (page, at) in self.pages.iter().zip(0..) {
            let Some(page) = page else { continue };
            let used = page.entries.iter().zip(0..).filter(|(entry, _)| entry.is_some());
            // Ascending, so `append` cannot fail.
            let _ = all.append(used.map(|(_, inside)| at * PAGE as u32 + inside));
        }
        all
    }

    fn refused(&self, matcher: &Matcher) -> RoaringBitmap {
        match matcher.test() {
            Test::NotEqual(value) => self.exactly(matcher.name(), value),
            Test::NotMatch(pattern) => {
                let positive = Matcher::new(matcher.name(), Test::Match(pattern.clone()));
                self.with_value(matcher.name(), |value| pattern.is_match(value), &positive)
                    .into_owned()
            }
            Test::Equal(_) | Test::Match(_) => {
                let mut all = RoaringBitmap::new();
                for (value, postings) in self.postings.get(matcher.name()).into_iter().flatten() {
                    if !matcher.accepts(value) {
                        postings.add_to(&mut all);
                    }
                }
                all
            }
        }
    }

    fn exactly(&self, name: &str, value: &str) -> RoaringBitmap {
        let postings = self.postings.get(name).and_then(|values| values.get(value));
        postings.map(Postings::bitmap).unwrap_or_default()
    }

    /// The series with a value that passes; `matcher` tells which values are worth testing.
    fn with_value(
        &self,
        name: &str,
        passes: impl Fn(&str) -> bool,
        matcher: &Matcher,
    ) -> Cow<'_, RoaringBitmap> {
        let mut all = RoaringBitmap::new();
        let Some(values) = self.postings.get(name) else { return Cow::Owned(all) };
        match Shortcut::of(matcher.test()) {
            Shortcut::OneOf(wanted) => {
                if let [value] = &wanted[..]
                    && let Some(Postings::Many(numbers)) = values.get(&**value)
                {
                    return Cow::Borrowed(numbers);
                }
                for value in wanted {
                    if let Some(postings) = values.get(&*value) {
                        postings.add_to(&mut all);
                    }
                }
            }
            Shortcut::Prefix(prefix) => {
                let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
                for (value, postings) in
                    values.range::<str, _>(from).take_while(|(v, _)| v.starts_with(&prefix))
                {
                    if passes(value) {
                        postings.add_to(&mut all);
                    }
                }
            }
        }
        Cow::Owned(all)
    }

    /// All label names, or those with a series in `among`.
    pub(super) fn names(&self, among: Option<&RoaringBitmap>) -> impl Iterator<Item = &str> {
        self.postings
            .iter()
            .filter(move |(_, values)| {
                among.is_none_or(|among| values.values().any(|p| p.meets(among)))
            })
            .map(|(name, _)| &**name)
    }

    /// All values of a label, or those with a series in `among`, sorted.
    pub(super) fn values(
        &self,
        name: &str,
        among: Option<&RoaringBitmap>,
    ) -> impl Iterator<Item = &str> {
        let values = self.postings.get(name).into_iter().flatten();
        values
            .filter(move |(_, postings)| among.is_none_or(|among| postings.meets(among)))
            .map(|(value, _)| &**value)
    }
}

impl Postings {
    fn meets(&self, among: &RoaringBitmap) -> bool {
        match self {
            Postings::One(number) => among.contains(*number),
            Postings::Many(numbers) => !numbers.is_disjoint(among),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pattern;
    use proptest::prelude::*;

    const PATTERNS: &[&str] =
        &["a", "a|b", "", "a.*", ".*", ".+", "(?i)A", "a|b|ab?", "[ab]+", ".*b", "a{2}|", "(a|b)c"];

    fn matcher() -> impl Strategy<Value = Matcher> {
        let name = prop_oneof![Just("x"), Just("y"), Just("absent")];
        (name, 0..4, 0..PATTERNS.len()).prop_map(|(name, operator, pattern)| {
            let text = PATTERNS[pattern];
            let test = match operator {
                0 => Test::Equal(text.into()),
                1 => Test::NotEqual(text.into()),
                2 => Test::Match(Pattern::new(text).unwrap()),
                _ => Test::NotMatch(Pattern::new(text).unwrap()),
            };
            Matcher::new(name, test)
        })
    }

    proptest! {
        /// The index finds exactly what asking each series finds, also after some are gone.
        #[test]
        fn it_finds_what_the_matchers_accept(
            series in proptest::collection::btree_set(("[abAc]{0,3}", "[abc]{0,2}"), 0..40),
            gone in proptest::collection::vec(0usize..40, 0..20),
            matchers in proptest::collection::vec(matcher(), 0..4),
        ) {
            let mut index = Index::default();
            let mut model = BTreeMap::new();
            let all: Vec<Labels> = series
                .iter()
                .map(|(x, y)| Labels::from_pairs([("x", x.as_str()), ("y", y.as_str())]).unwrap())
                .collect();
            for some in all.chunks(7) {
                let mut adding = Adding::default();
                for labels in some {
                    let number = index.add(labels, &mut adding);
                    prop_assert_eq!(index.add(labels, &mut adding), number);
                    for place in 0..=number % 3 {
                        index.add_place(number, (place, number));
                    }
                    prop_assert_eq!(index.places(number).len() as u32, number % 3 + 1);
                    model.insert(number, labels.clone());
                }
                index.finish(adding);
            }
            for number in gone {
                let number = number as u32;
                if model.remove(&number).is_some() {
                    for place in 0..=number % 3 {
                        prop_assert!(index.labels(number).is_some());
                        index.remove_place(number, (place, number));
                    }
                    prop_assert!(index.labels(number).is_none() && index.places(number).is_empty());
                }
            }
            prop_assert_eq!(index.len(), model.len());
            let wanted: Vec<u32> = model
                .iter()
                .filter(|(_, labels)| matchers.iter().all(|m| m.matches(labels)))
                .map(|(number, _)| *number)
                .collect();
            prop_assert_eq!(index.find(&matchers).iter().collect::<Vec<_>>(), wanted);
            for (number, labels) in &model {
                prop_assert_eq!(index.get(labels), Some(*number));
            }
            let names: std::collections::BTreeSet<_> =
                model.values().flat_map(|l| l.iter().map(|(name, _)| name)).collect();
            prop_assert_eq!(index.names(None).collect::<Vec<_>>(), names.into_iter().collect::<Vec<_>>());
        }
    }
}
