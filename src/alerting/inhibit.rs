use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::model::{Labels, Matcher};

/// While a source alert fires, target alerts with the same values of some labels are not told.
#[derive(Clone, Debug, PartialEq)]
pub struct InhibitRule {
    /// What it is called; may be empty.
    pub name: Arc<str>,
    /// The alerts that inhibit; all matchers must match.
    pub source: Vec<Matcher>,
    /// The alerts that are inhibited.
    pub target: Vec<Matcher>,
    /// Labels that must be equal in both; an absent label equals an empty one.
    pub equal: Vec<Arc<str>>,
    /// The service that the target's service cannot work without, where that is the reason.
    pub depends_on: Option<Arc<str>>,
}

impl InhibitRule {
    fn is_source(&self, labels: &Labels) -> bool {
        self.source.iter().all(|matcher| matcher.matches(labels))
    }

    fn is_target(&self, labels: &Labels) -> bool {
        self.target.iter().all(|matcher| matcher.matches(labels))
    }

    fn key(&self, labels: &Labels) -> Labels {
        let names: Vec<&str> = self.equal.iter().map(|name| &**name).collect();
        labels.only(&names)
    }
}

/// Possible sources of each rule by the labels that must be equal, kept up to date as alerts come
/// and go, so that a look-up costs the same with ten alerts and ten thousand.
#[derive(Debug, Default)]
pub(super) struct Inhibitor {
    rules: Vec<(InhibitRule, HashMap<Labels, BTreeSet<Labels>>)>,
}

impl Inhibitor {
    pub(super) fn new<'a>(
        rules: &[InhibitRule],
        alerts: impl Iterator<Item = &'a Labels> + Clone,
    ) -> Self {
        let rules = rules.iter().map(|rule| (rule.clone(), HashMap::new())).collect();
        let mut inhibitor = Self { rules };
        for labels in alerts {
            inhibitor.came(labels);
        }
        inhibitor
    }

    pub(super) fn came(&mut self, labels: &Labels) {
        for (rule, sources) in self.rules.iter_mut().filter(|(rule, _)| rule.is_source(labels)) {
            sources.entry(rule.key(labels)).or_default().insert(labels.clone());
        }
    }

    pub(super) fn left(&mut self, labels: &Labels) {
        for (rule, sources) in self.rules.iter_mut().filter(|(rule, _)| rule.is_source(labels)) {
            let key = rule.key(labels);
            if let Some(same) = sources.get_mut(&key) {
                same.remove(labels);
                if same.is_empty() {
                    sources.remove(&key);
                }
            }
        }
    }

    /// An alert that inhibits this one. One that is a source as well as a target is not inhibited
    /// by its likes.
    pub(super) fn find(
        &self,
        target: &Labels,
        fires: impl Fn(&Labels) -> bool,
    ) -> Option<(&Labels, &InhibitRule)> {
        for (rule, sources) in self.rules.iter().filter(|(rule, _)| rule.is_target(target)) {
            let two_sided = rule.is_source(target);
            let same = sources.get(&rule.key(target)).into_iter().flatten();
            let mut inhibiting = same.filter(|source| !(two_sided && rule.is_target(source)));
            if let Some(source) = inhibiting.find(|source| fires(source)) {
                return Some((source, rule));
            }
        }
        None
    }
}
