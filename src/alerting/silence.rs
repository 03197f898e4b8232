use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{Labels, Matcher, Test, Timestamp};

/// Alerts nobody wants to hear of for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Silence {
    /// Names it.
    pub id: Arc<str>,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    /// From then on.
    pub starts: Timestamp,
    /// Until then.
    pub ends: Timestamp,
    /// Who wants it.
    pub created_by: Arc<str>,
    /// Why.
    pub comment: Arc<str>,
}

impl Silence {
    /// Whether it silences an alert with these labels.
    pub fn covers(&self, labels: &Labels, now: Timestamp) -> bool {
        self.starts <= now
            && now < self.ends
            && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }
}

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

    pub(super) fn find(&self, labels: &Labels, now: Timestamp) -> Option<&Silence> {
        if self.all.is_empty() {
            return None;
        }
        let anywhere = std::iter::once(("", ""));
        let keys = labels.iter().chain(anywhere);
        let found = keys.filter_map(|(name, value)| self.by_label.get(name)?.get(value));
        let mut found = found.flatten().filter_map(|at| self.all.get(*at));
        found.find(|silence| silence.covers(labels, now))
    }
}
