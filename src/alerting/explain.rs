//! Who was told of what at some instant, and why not, from the incident log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Timestamp};
use crate::ports::{Entry, Event};

/// What is over is explained for so long after its end.
const AFTER_THE_END: Duration = Duration::from_secs(3600);

/// What became of an alert for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// They were told that it fires.
    Told,
    /// They were told that it is over.
    ToldOver,
    /// Something forbade to tell them.
    Held,
    /// Its group waited for company, or the program had just begun.
    Waiting,
    /// It was over before anybody was told.
    Passed,
    /// Somebody else is responsible.
    NotTheirs,
}

impl Verdict {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Told => "told",
            Verdict::ToldOver => "told-over",
            Verdict::Held => "held",
            Verdict::Waiting => "waiting",
            Verdict::Passed => "passed",
            Verdict::NotTheirs => "not-theirs",
        }
    }
}

/// One alert, and why somebody was told of it or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The alert.
    pub alert: Labels,
    /// Since when it fires.
    pub since: Timestamp,
    /// What became of it.
    pub verdict: Verdict,
    /// Why: a word of a closed set, such as `first`, `silenced`, `inhibited`, `dependency`, `muted`,
    /// `outside-hours`, `grouped`, `starting`, `repeat-interval`, `acknowledged`, `flapping`,
    /// `owner`.
    pub reason: Arc<str>,
    /// By what, until when, who.
    pub detail: String,
    /// When that was decided.
    pub at: Timestamp,
    /// The incident, once it has one.
    pub incident: Option<String>,
    /// Who is told of it.
    pub receiver: Arc<str>,
    /// What was told and not repeated yet: why not.
    pub not_again: Option<Arc<str>>,
}

/// What is known of an alert for one receiver.
struct Known {
    explained: Explained,
    over: Option<Timestamp>,
}

/// Explains every alert that `who` might ask about at an instant, from the lines of the log up to
/// then, oldest first. `who` is an owner or a receiver.
pub fn explain(entries: &[Entry], who: &str, at: Timestamp) -> Vec<Explained> {
    let mut known: BTreeMap<(Arc<str>, Labels), Known> = BTreeMap::new();
    let mut acknowledged: BTreeMap<&str, &Entry> = BTreeMap::new();
    let mut starting = false;
    for entry in entries.iter().filter(|entry| entry.at <= at) {
        match entry.event {
            Event::Started => starting = true,
            Event::Ready => starting = false,
            Event::Acknowledged | Event::Claimed => {
                if let Some(incident) = &entry.incident {
                    acknowledged.insert(incident, entry);
                }
            }
            Event::Lapsed | Event::Ended => {
                if let Some(incident) = &entry.incident {
                    acknowledged.remove(incident.as_str());
                    if entry.event == Event::Ended {
                        end(&mut known, incident, entry.at);
                    }
                }
            }
            Event::Told | Event::Held | Event::Waiting | Event::Passed => {
                for (labels, since) in &entry.alerts {
                    let key = (entry.receiver.clone(), labels.clone());
                    known.insert(key, note(entry, labels, *since));
                }
            }
            Event::Delivered
            | Event::NotDelivered
            | Event::Silenced
            | Event::Expired
            | Event::Overdue => {}
        }
    }
    // What begins to fire is decided on a moment later.
    for entry in entries.iter().filter(|entry| at < entry.at) {
        for (labels, since) in entry.alerts.iter().filter(|(_, since)| *since <= at) {
            let key = (entry.receiver.clone(), labels.clone());
            let fresh = known.get(&key).is_none_or(|known| known.explained.since < *since);
            if fresh {
                let reason = if starting { "starting" } else { "grouped" };
                known.insert(
                    key,
                    Known { explained: waits(entry, labels, *since, reason), over: None },
                );
            }
        }
    }
    let recent = |known: &Known| {
        known.over.is_none_or(|over| at.since(over).is_some_and(|ago| ago < AFTER_THE_END))
    };
    let found = known.into_iter().filter(|(_, known)| recent(known));
    let mut found: Vec<Explained> = found
        .map(|((receiver, _), known)| {
            let mut explained = known.explained;
            if *receiver != *who {
                explained.verdict = Verdict::NotTheirs;
                explained.detail = format!("{receiver} is responsible");
                explained.reason = "owner".into();
            } else if explained.verdict == Verdict::Told {
                let incident = explained.incident.as_deref();
                explained.not_again = Some(match incident.and_then(|id| acknowledged.get(id)) {
                    Some(entry) => format!("{} by {}", entry.event.name(), entry.who).into(),
                    None => "repeat-interval".into(),
                });
            }
            explained
        })
        .collect();
    found.sort_by(|a, b| (a.verdict, a.since, &a.alert).cmp(&(b.verdict, b.since, &b.alert)));
    found
}

fn end(known: &mut BTreeMap<(Arc<str>, Labels), Known>, incident: &str, at: Timestamp) {
    for known in known.values_mut() {
        if known.explained.incident.as_deref() == Some(incident) {
            known.over.get_or_insert(at);
            if known.explained.verdict == Verdict::Told {
                known.explained.verdict = Verdict::ToldOver;
            }
        }
    }
}

fn note(entry: &Entry, labels: &Labels, since: Timestamp) -> Known {
    let over = matches!(&*entry.reason, "all-resolved" | "new-resolved");
    let (verdict, over) = match entry.event {
        Event::Told if over => (Verdict::ToldOver, Some(entry.at)),
        Event::Told => (Verdict::Told, None),
        Event::Held => (Verdict::Held, None),
        Event::Passed => (Verdict::Passed, Some(entry.at)),
        _ => (Verdict::Waiting, None),
    };
    let explained = Explained {
        alert: labels.clone(),
        since,
        verdict,
        reason: entry.reason.clone(),
        detail: entry.detail.clone(),
        at: entry.at,
        incident: entry.incident.clone(),
        receiver: entry.receiver.clone(),
        not_again: None,
    };
    Known { explained, over }
}

fn waits(entry: &Entry, labels: &Labels, since: Timestamp, reason: &str) -> Explained {
    Explained {
        alert: labels.clone(),
        since,
        verdict: Verdict::Waiting,
        reason: reason.into(),
        detail: format!("until {}", entry.at),
        at: since,
        incident: None,
        receiver: entry.receiver.clone(),
        not_again: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn line(seconds: i64, event: Event, reason: &str, receiver: &str, name: &str) -> Entry {
        let labels = Labels::empty().with("alertname", name);
        Entry {
            at: at(seconds),
            event,
            reason: reason.into(),
            detail: "d".to_owned(),
            incident: matches!(event, Event::Told | Event::Ended | Event::Acknowledged)
                .then(|| format!("i-{name}")),
            receiver: receiver.into(),
            group: Labels::empty(),
            alerts: vec![(labels, at(10))],
            who: "anna".into(),
            channel: None,
        }
    }

    fn said(entries: &[Entry], who: &str, seconds: i64) -> Vec<(String, &'static str, String)> {
        let all = explain(entries, who, at(seconds));
        let one = |e: &Explained| {
            let again = e.not_again.as_deref().unwrap_or("-");
            let name = e.alert.get("alertname").unwrap_or("").to_owned();
            (name, e.verdict.name(), format!("{} {again}", e.reason))
        };
        all.iter().map(one).collect()
    }

    #[test]
    fn every_verdict_has_its_reason() {
        let log = [
            line(20, Event::Told, "first", "web", "Down"),
            line(21, Event::Held, "silenced", "web", "Slow"),
            line(22, Event::Held, "dependency", "office", "Toner"),
            line(30, Event::Acknowledged, "page", "web", "Down"),
            line(60, Event::Ended, "", "web", "Down"),
        ];
        let word = |a: &str, b: &'static str, c: &str| (a.to_owned(), b, c.to_owned());
        assert_eq!(said(&log, "web", 5), []);
        let early = said(&log, "web", 15);
        assert_eq!(early[0], word("Down", "waiting", "grouped -"));
        let then = said(&log, "web", 25);
        assert_eq!(then[0], word("Down", "told", "first repeat-interval"));
        assert_eq!(then[1], word("Slow", "held", "silenced -"));
        assert_eq!(then[2], word("Toner", "not-theirs", "owner -"));
        let known = said(&log, "web", 40);
        assert_eq!(known[0], word("Down", "told", "first acknowledged by anna"));
        assert_eq!(said(&log, "web", 70)[0].1, "told-over");
        assert!(said(&log, "web", 60 + 3600).iter().all(|(name, ..)| name != "Down"));
        assert_eq!(said(&log, "office", 25)[0], word("Toner", "held", "dependency -"));
    }

    #[test]
    fn after_a_start_everything_waits() {
        let log = [
            line(5, Event::Started, "", "", "x"),
            line(20, Event::Ready, "", "", "x"),
            line(21, Event::Told, "first", "web", "Down"),
        ];
        assert_eq!(said(&log[..], "web", 12)[0].2, "starting -");
        assert_eq!(said(&log[..], "web", 22)[0].1, "told");
    }
}
