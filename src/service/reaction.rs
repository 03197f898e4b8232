//! By when somebody must react to a fault: times that count in service hours only.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{Date, DateTime};

use crate::calendar::ServiceHours;
use crate::model::{Labels, TimeRange, Timestamp};

/// A calendar that is closed for so many days never opens again, as far as anybody waits for it:
/// two years.
const PATIENCE_DAYS: usize = 2 * 366;

/// The shipped alert that tells of deadlines nobody met.
pub const OVERDUE: &str = "ReactionOverdue";

/// How long somebody has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// So much time in which the service is looked after.
    Open(Duration),
    /// So many days on which the service is looked after.
    Days(NonZeroU16),
}

/// By when somebody must react to what is known since `since`. `None` when the hours do not open
/// for two years, or no calendar has the instant.
///
/// The time begins to count at `since` or, outside the hours, when they open next. An hour of
/// service time is an hour that passes, also where clocks change.
///
/// A service day is a date with open hours. Within N of them means: at the same time of day on the
/// Nth service day after the one on which it began to count. Where that day is closed at that
/// time, it is the last moment before that it was open, or its first opening when there is none.
pub fn due(hours: &ServiceHours, since: Timestamp, within: Within) -> Option<Timestamp> {
    match within {
        Within::Open(time) => after(hours, since, time),
        Within::Days(days) => days_after(hours, since, days),
    }
}

/// The dates from the one at `since` on. One more before it: where clocks are put back over
/// midnight, a date comes twice.
fn dates(hours: &ServiceHours, since: Timestamp) -> Option<impl Iterator<Item = Date> + use<>> {
    let first = hours.date_at(since)?.yesterday().ok()?;
    Some(std::iter::successors(Some(first), |date| date.tomorrow().ok()).take(PATIENCE_DAYS))
}

fn after(hours: &ServiceHours, since: Timestamp, time: Duration) -> Option<Timestamp> {
    let mut left = time;
    let ahead = TimeRange::new(since, Timestamp::MAX)?;
    let open = dates(hours, since)?.flat_map(|date| hours.open_on(date));
    for open in open.filter_map(|open| open.intersect(ahead)) {
        if left <= open.length() {
            return Some(open.start() + left);
        }
        left -= open.length();
    }
    None
}

fn days_after(hours: &ServiceHours, since: Timestamp, days: NonZeroU16) -> Option<Timestamp> {
    let counts_from = after(hours, since, Duration::ZERO)?;
    let began = hours.local(counts_from)?;
    let service_days = dates(hours, counts_from)?
        .skip_while(|date| *date <= began.date())
        .filter(|date| !hours.open_on(*date).is_empty());
    let last = service_days.into_iter().nth(usize::from(days.get()) - 1)?;
    let open = hours.open_on(last);
    let first = open.first()?.start();
    let same_time = DateTime::from_parts(last, began.time());
    let same_time = hours.zone.to_ambiguous_timestamp(same_time).compatible().ok()?;
    let same_time = Timestamp::from_millis(same_time.as_millisecond());
    let opened = open.iter().rev().find(|open| open.start() <= same_time);
    Some(opened.map_or(first, |open| same_time.min(open.end())))
}

/// Which faults somebody must react to by when: the fault class of an alert (its label `class`)
/// says how long there is, its service says in which hours.
#[derive(Clone, Debug, Default)]
pub struct Reactions {
    /// By fault class; others have no deadline.
    pub within: BTreeMap<Arc<str>, Within>,
    /// Hours of everything that has none of its own; `None`: no deadline.
    pub hours: Option<Arc<ServiceHours>>,
    /// Hours of services that have their own, by the label `service`.
    pub services: HashMap<Arc<str>, Arc<ServiceHours>>,
}

impl Reactions {
    /// Four hours, six, eight, and five service days for the classes 1 to 4.
    pub fn usual() -> BTreeMap<Arc<str>, Within> {
        let hours = |count: u64| Within::Open(Duration::from_secs(count * 3600));
        let days = NonZeroU16::MIN.saturating_add(4);
        let all = [("1", hours(4)), ("2", hours(6)), ("3", hours(8)), ("4", Within::Days(days))];
        all.into_iter().map(|(class, within)| (class.into(), within)).collect()
    }

    /// Whether nothing has a deadline.
    pub fn is_empty(&self) -> bool {
        self.within.is_empty() || (self.hours.is_none() && self.services.is_empty())
    }

    /// By when somebody must react to an alert with these labels that fires since `fired`. An alert
    /// that only proves that alerts come through (`severity="none"`) is no fault, and the one that
    /// tells of missed deadlines has none itself: it would keep itself alive.
    pub fn due(&self, labels: &Labels, fired: Timestamp) -> Option<Timestamp> {
        let within = self.within.get(labels.get("class")?)?;
        let is_no_fault = labels.get("severity") == Some("none");
        if is_no_fault || labels.get("alertname") == Some(OVERDUE) {
            return None;
        }
        let own = labels.get("service").and_then(|service| self.services.get(service));
        due(own.or(self.hours.as_ref())?, fired, *within)
    }
}

#[cfg(test)]
#[path = "reaction_tests.rs"]
mod tests;
