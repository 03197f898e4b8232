use std::sync::Arc;

use super::{Labels, Matcher, Timestamp};

/// Alerts nobody wants to hear of for a while. Kept for a while after its end, because people
/// ask what was silenced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Silence {
    /// Names it; a UUID.
    pub id: Arc<str>,
    /// All of them must match.
    pub matchers: Vec<Matcher>,
    /// From then on.
    pub starts: Timestamp,
    /// Until then. For one that ends when its alerts are over: the latest end.
    pub ends: Timestamp,
    /// Who wants it: an owner's name or a word that a person is known by.
    pub created_by: Arc<str>,
    /// Why.
    pub comment: Arc<str>,
    /// When it was made or changed last.
    pub updated: Timestamp,
    /// It ends as soon as none of its alerts fires any more.
    pub until_resolved: bool,
    /// It silences this incident only, and ends with it.
    pub incident: Option<Arc<str>>,
}

impl Silence {
    /// Whether it silences an alert with these labels, as far as the labels decide.
    pub fn covers(&self, labels: &Labels, now: Timestamp) -> bool {
        self.is_active(now) && self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whether it has begun and is not over.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.starts <= now && now < self.ends
    }
}
