use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Labels, Matcher};

/// While a source alert fires, target alerts with the same values of some labels are not told.
#[derive(Clone, Debug, Default, PartialEq)]
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
    rules: Vec<(InhibitRule, HashMap<Labels, Sources>)>,
}

/// Those with the same values of the labels that must be equal.
#[derive(Debug, Default)]
struct Sources {
    /// Not targets of the same rule.
    plain: BTreeSet<Labels>,
    /// Targets as well: they do not inhibit their likes.
    two_sided: BTreeSet<Labels>,
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
            let same = sources.entry(rule.key(labels)).or_default();
            same.of(rule.is_target(labels)).insert(labels.clone());
        }
    }

    pub(super) fn left(&mut self, labels: &Labels) {
        for (rule, sources) in self.rules.iter_mut().filter(|(rule, _)| rule.is_source(labels)) {
            let key = rule.key(labels);
            if let Some(same) = sources.get_mut(&key) {
                same.of(rule.is_target(labels)).remove(labels);
                if same.plain.is_empty() && same.two_sided.is_empty() {
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
            let Some(same) = sources.get(&rule.key(target)) else { continue };
            let also = (!rule.is_source(target)).then_some(&same.two_sided).into_iter().flatten();
            if let Some(source) = same.plain.iter().chain(also).find(|source| fires(source)) {
                return Some((source, rule));
            }
        }
        None
    }
}

impl Sources {
    fn of(&mut self, two_sided: bool) -> &mut BTreeSet<Labels> {
        if two_sided { &mut self.two_sided } else { &mut self.plain }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::parse_matchers;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn an_alert_on_both_sides_is_not_inhibited_by_its_likes() {
        let rule = InhibitRule {
            name: "".into(),
            source: parse_matchers("severity=critical").unwrap(),
            target: parse_matchers("severity=~\"critical|warning\"").unwrap(),
            equal: vec!["site".into()],
            ..InhibitRule::default()
        };
        let critical = labels(&[("severity", "critical"), ("site", "a"), ("i", "1")]);
        let other = labels(&[("severity", "critical"), ("site", "a"), ("i", "2")]);
        let warning = labels(&[("severity", "warning"), ("site", "a")]);
        let elsewhere = labels(&[("severity", "warning"), ("site", "b")]);
        let mut inhibitor = Inhibitor::new(&[rule], [&critical, &other].into_iter());
        let find = |labels: &Labels| inhibitor.find(labels, |_| true).map(|(by, _)| by.clone());
        assert_eq!(find(&critical), None);
        assert_eq!(find(&warning), Some(critical.clone()));
        let by_other = inhibitor.find(&warning, |source| *source == other);
        assert_eq!(by_other.map(|(by, _)| by), Some(&other));
        assert_eq!(find(&elsewhere), None);
        inhibitor.left(&critical);
        inhibitor.left(&other);
        assert!(inhibitor.find(&warning, |_| true).is_none());
        assert!(inhibitor.rules[0].1.is_empty());
    }
}
