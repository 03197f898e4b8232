use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Labels, Silence, Test, Timestamp};

/// All silences, found by the labels they ask for, so that a thousand of them do not cost a
/// thousand comparisons for each alert.
#[derive(Debug, Default)]
pub(super) struct Silences {
    all: Vec<Silence>,
    /// Those with `name="value"`, by one such matcher; the others under an empty name.
    by_label: HashMap<Arc<str>, HashMap<Arc<str>, Vec<usize>>>,
}

impl Silences {
    pub(super) fn new(all: Vec<Silence>) -> Self {
        let mut by_label: HashMap<Arc<str>, HashMap<Arc<str>, Vec<usize>>> = HashMap::new();
        for (at, silence) in all.iter().enumerate() {
            let key = silence.matchers.iter().find_map(|matcher| match matcher.test() {
                Test::Equal(value) if !value.is_empty() => {
                    Some((Arc::<str>::from(matcher.name()), value.clone()))
                }
                _ => None,
            });
            let (name, value) = key.unwrap_or_else(|| ("".into(), "".into()));
            by_label.entry(name).or_default().entry(value).or_default().push(at);
        }
        Self { all, by_label }
    }

    /// One that silences an alert, which may belong to an incident.
    pub(super) fn find<'a>(
        &'a self,
        labels: &'a Labels,
        incident: Option<&str>,
        now: Timestamp,
    ) -> Option<&'a Silence> {
        if self.all.is_empty() {
            return None;
        }
        self.candidates(labels).find(|silence| {
            let scope = silence.incident.as_deref();
            scope.is_none_or(|scope| incident == Some(scope)) && silence.covers(labels, now)
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
        let active = self.candidates(labels).filter(|silence| {
            let scope = silence.incident.as_deref();
            scope.is_none_or(|scope| incidents.contains(&scope)) && silence.covers(labels, now)
        });
        let mut ids: Vec<Arc<str>> = active.map(|silence| silence.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    fn candidates<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a Silence> {
        let keys = labels.iter().chain(std::iter::once(("", "")));
        let found = keys.filter_map(|(name, value)| self.by_label.get(name)?.get(value));
        found.flatten().filter_map(|at| self.all.get(*at))
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
