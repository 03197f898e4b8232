//! What somebody was promised about a service, and what does not count against it.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::availability::DownWhen;
use crate::calendar::ServiceHours;
use crate::model::{TimeRange, Timestamp};

/// A promise for one part of the time.
#[derive(Clone, Debug)]
pub struct ServiceTime {
    /// What it is called: `service time 1`.
    pub name: Arc<str>,
    /// When it holds.
    pub hours: ServiceHours,
    /// The least part of it in which the service is available, 0–1, over a month.
    pub available: f64,
    /// Down time in planned and announced work that does not count, a month.
    pub planned: Duration,
}

/// Outages that are too short to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    /// Shorter than this.
    pub below: Duration,
    /// More of them on one day, and all of that day count.
    pub per_day: usize,
    /// More of them in one week (from Monday), and all of that week count.
    pub per_week: usize,
}

/// A service-level agreement.
#[derive(Clone, Debug)]
pub struct Promise {
    /// What the configuration calls it.
    pub name: Arc<str>,
    /// Zone of months, weeks and days.
    pub zone: TimeZone,
    /// What is promised when.
    pub times: Vec<ServiceTime>,
    /// Outages that do not count; none when absent.
    pub short: Option<Short>,
    /// How long before it begins planned work must be announced.
    pub announced: Duration,
    /// When a service of several targets is down.
    pub down_when: DownWhen,
    /// Kinds of probes that count; all when empty.
    pub probes: Vec<Arc<str>>,
}

/// Why an outage may not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Planned work, announced then.
    Planned {
        /// When the customer was told.
        announced: Timestamp,
    },
    /// Nobody could have done anything.
    ForceMajeure,
    /// The customer wanted it.
    ByCustomer,
}

/// A time in which outages may not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excuse {
    /// From when to when.
    pub range: TimeRange,
    /// Why.
    pub cause: Cause,
    /// In somebody's words.
    pub reason: Arc<str>,
}

/// The agreement of a council-information service with municipalities.
#[cfg(test)]
pub mod example {
    use super::*;
    use crate::calendar::DaySpan;

    const HOUR: u64 = 3600;

    /// 98 % by day, 90 % by night, in Berlin's time.
    pub fn council() -> Promise {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let time = |name: &str, spans: &[&str], available, planned| ServiceTime {
            name: name.into(),
            hours: ServiceHours {
                name: name.into(),
                zone: zone.clone(),
                week: std::array::from_fn(|_| {
                    spans.iter().map(|span| DaySpan::parse(span).unwrap()).collect()
                }),
                holidays: vec![],
            },
            available,
            planned: Duration::from_secs(planned),
        };
        Promise {
            name: "council".into(),
            zone: zone.clone(),
            times: vec![
                time("service time 1", &["07:00-18:00"], 0.98, 2 * HOUR),
                time("service time 2", &["00:00-07:00", "18:00-24:00"], 0.90, 7 * HOUR),
            ],
            short: Some(Short { below: Duration::from_secs(300), per_day: 2, per_week: 3 }),
            announced: Duration::from_secs(7 * 24 * HOUR),
            down_when: DownWhen::Any,
            probes: vec![],
        }
    }
}
