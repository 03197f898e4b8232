use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Labels, Literals, Matcher, Silence, Test, Timestamp};

/// All silences, found by the labels they ask for, so that a thousand of them do not cost a
/// thousand comparisons for each alert; and each alert is compared once, not at every look.
#[derive(Debug, Default)]
pub(super) struct Silences {
    all: Vec<Silence>,
    /// Those that need a label to have one of a few values, or to begin in one of a few ways, by one
    /// such matcher: by the label's name.
    by_label: HashMap<Arc<str>, ByValue>,
    /// The others.
    of_any: Vec<usize>,
    /// Which of them an alert's labels match, whatever the time.
    matched: RefCell<HashMap<Labels, Arc<[usize]>>>,
    none: Arc<[usize]>,
}

/// Silences by the values of a label.
#[derive(Debug, Default)]
struct ByValue {
    whole: HashMap<Box<[u8]>, Vec<usize>>,
    /// By how the value begins; first the length of the beginning, of which there are few.
    beginning: BTreeMap<usize, HashMap<Box<[u8]>, Vec<usize>>>,
}

/// The values that a matcher wants, none of which is empty.
enum Wanted<'a> {
    Whole(Vec<&'a str>),
    Beginning(&'a [Box<[u8]>]),
}

impl<'a> Wanted<'a> {
    fn of(test: &'a Test) -> Option<Self> {
        let whole = match test {
            Test::Equal(value) => vec![&**value],
            Test::Match(pattern) => match pattern.literals() {
                Literals::Whole(values) => values.iter().map(|value| &**value).collect(),
                Literals::Beginning(values) => return Some(Self::Beginning(values)),
                Literals::Unknown => return None,
            },
            Test::NotEqual(_) | Test::NotMatch(_) => return None,
        };
        // An absent label is an empty one.
        (!whole.contains(&"")).then_some(Self::Whole(whole))
    }
}

impl ByValue {
    fn enter(&mut self, wanted: Wanted<'_>, at: usize) {
        match wanted {
            Wanted::Whole(values) => {
                for value in values {
                    self.whole.entry(value.as_bytes().into()).or_default().push(at);
                }
            }
            Wanted::Beginning(values) => {
                for value in values {
                    let same = self.beginning.entry(value.len()).or_default();
                    same.entry(value.clone()).or_default().push(at);
                }
            }
        }
    }

    fn find<'a>(&'a self, value: &'a str) -> impl Iterator<Item = usize> + 'a {
        let value = value.as_bytes();
        let beginning =
            self.beginning.iter().filter_map(move |(length, same)| same.get(value.get(..*length)?));
        self.whole.get(value).into_iter().chain(beginning).flatten().copied()
    }
}

/// So few are compared quicker than looked up.
const REMEMBER_FROM: usize = 16;
/// So many alerts are remembered; then all are forgotten.
const REMEMBERED: usize = 200_000;

impl Silences {
    pub(super) fn new(all: Vec<Silence>) -> Self {
        let mut silences = Self::default();
        for (at, silence) in all.iter().enumerate() {
            // The one that excludes most: whole values before beginnings.
            let mut narrow: Vec<(&Matcher, Wanted)> = silence
                .matchers
                .iter()
                .filter_map(|matcher| Some((matcher, Wanted::of(matcher.test())?)))
                .collect();
            narrow.sort_by_key(|(_, wanted)| matches!(wanted, Wanted::Beginning(_)));
            match narrow.into_iter().next() {
                Some((matcher, wanted)) => {
                    let same = silences.by_label.entry(matcher.name().into()).or_default();
                    same.enter(wanted, at);
                }
                None => silences.of_any.push(at),
            }
        }
        Self { all, ..silences }
    }

    /// One that silences an alert, which may belong to an incident.
    pub(super) fn find<'a>(
        &'a self,
        labels: &Labels,
        incident: Option<&str>,
        now: Timestamp,
    ) -> Option<&'a Silence> {
        if self.all.is_empty() {
            return None;
        }
        let matching = self.matching(labels);
        let mut silences = matching.iter().filter_map(|at| self.all.get(*at));
        silences.find(|silence| {
            let scope = silence.incident.as_deref();
            scope.is_none_or(|scope| incident == Some(scope)) && silence.is_active(now)
        })
    }

    /// All that silence an alert; incidents it belongs to count too.
    pub(super) fn find_all(
        &self,
        labels: &Labels,
        incidents: &[&str],
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let matching = self.matching(labels);
        let silences = matching.iter().filter_map(|at| self.all.get(*at));
        let active = silences.filter(|silence| {
            let scope = silence.incident.as_deref();
            scope.is_none_or(|scope| incidents.contains(&scope)) && silence.is_active(now)
        });
        let mut ids: Vec<Arc<str>> = active.map(|silence| silence.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Those whose matchers fit, active or not.
    fn matching(&self, labels: &Labels) -> Arc<[usize]> {
        if self.all.len() < REMEMBER_FROM {
            return self.compare(labels);
        }
        if let Some(known) = self.matched.borrow().get(labels) {
            return known.clone();
        }
        let found = self.compare(labels);
        let mut matched = self.matched.borrow_mut();
        if matched.len() >= REMEMBERED {
            matched.clear();
        }
        matched.insert(labels.clone(), found.clone());
        found
    }

    fn compare(&self, labels: &Labels) -> Arc<[usize]> {
        let by_label = labels.iter().filter_map(|(name, value)| {
            self.by_label.get(name).map(|silences| silences.find(value))
        });
        let fits = |at: &usize| {
            let silence = self.all.get(*at);
            silence.is_some_and(|silence| silence.matchers.iter().all(|m| m.matches(labels)))
        };
        let candidates = by_label.flatten().chain(self.of_any.iter().copied());
        let mut found: Vec<usize> = candidates.filter(fits).collect();
        // Two beginnings of one silence may fit.
        found.sort_unstable();
        found.dedup();
        if found.is_empty() { self.none.clone() } else { found.into() }
    }

    pub(super) fn all(&self) -> &[Silence] {
        &self.all
    }

    pub(super) fn get(&self, id: &str) -> Option<&Silence> {
        self.all.iter().find(|silence| *silence.id == *id)
    }

    /// Enters a silence, or its new form.
    pub(super) fn put(&mut self, silence: Silence) {
        let mut all = std::mem::take(&mut self.all);
        match all.iter_mut().find(|known| known.id == silence.id) {
            Some(known) => *known = silence,
            None => all.push(silence),
        }
        *self = Self::new(all);
    }

    /// Forgets those that ended before an instant.
    pub(super) fn forget_before(&mut self, before: Timestamp) {
        if self.all.iter().any(|silence| silence.ends < before) {
            let mut all = std::mem::take(&mut self.all);
            all.retain(|silence| before <= silence.ends);
            *self = Self::new(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::parse_matchers;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn silence(id: usize, matchers: &str, from: i64, until: i64) -> Silence {
        Silence {
            id: id.to_string().into(),
            matchers: parse_matchers(matchers).unwrap(),
            starts: at(from),
            ends: at(until),
            ..Silence::default()
        }
    }

    #[test]
    fn many_are_found_as_few_are_also_when_they_change() {
        let all: Vec<Silence> = (0..40)
            .map(|n| match n % 7 {
                4 => silence(n, &format!("i=~\"{n}.*\""), 0, 100),
                5 => silence(n, &format!("i=~\"{}.*|{n}.?\",other=\"\"", n / 10), 0, 100),
                6 => silence(n, &format!("other!=\"1\",i=~\".{}\"", n % 10), 0, 100),
                0 => silence(n, &format!("i=\"{n}\""), 0, 100),
                1 => silence(n, &format!("i=~\"{n}|x\""), 50, 100),
                2 => silence(n, "i!=\"\"", 90, 95),
                _ => silence(n, "other=\"1\"", 0, 100),
            })
            .collect();
        let mut silences = Silences::new(all.clone());
        for _ in 0..2 {
            for n in 0..45 {
                let labels = Labels::from_pairs([("i", n.to_string().as_str())]).unwrap();
                for now in [0, 60, 92, 200] {
                    let fits = |s: &&Silence| s.covers(&labels, at(now));
                    let mut want: Vec<Arc<str>> =
                        all.iter().filter(fits).map(|s| s.id.clone()).collect();
                    want.sort_unstable();
                    assert_eq!(silences.find_all(&labels, &[], at(now)), want);
                    assert_eq!(silences.find(&labels, None, at(now)).is_some(), !want.is_empty());
                }
            }
        }
        let labels = Labels::from_pairs([("i", "44")]).unwrap();
        silences.put(silence(99, "i=44", 0, 300));
        assert_eq!(silences.find_all(&labels, &[], at(200)), ["99".into()]);
        silences.put(silence(99, "i=45", 0, 300));
        assert!(silences.find_all(&labels, &[], at(200)).is_empty());
    }
}
