use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;

use super::{Region, TimeInterval};

/// A part of a day: opens before it closes. Nothing wraps over midnight; a night shift is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    opens: Time,
    closes: Option<Time>,
}

impl DaySpan {
    /// `closes` is `None` for midnight at the day's end. `None` unless it opens before it closes.
    pub fn new(opens: Time, closes: Option<Time>) -> Option<Self> {
        closes.is_none_or(|closes| opens < closes).then_some(Self { opens, closes })
    }

    /// Reads `08:30-17:00`; `24:00` is the day's end.
    pub fn parse(text: &str) -> Option<Self> {
        let (opens, closes) = text.split_once('-')?;
        let closes = match closes.trim() {
            "24:00" => None,
            time => Some(clock_time(time)?),
        };
        Self::new(clock_time(opens.trim())?, closes)
    }

    /// Local time at which it opens.
    pub fn opens(self) -> Time {
        self.opens
    }

    /// Local time at which it closes; `None` for midnight at the day's end.
    pub fn closes(self) -> Option<Time> {
        self.closes
    }
}

fn clock_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

/// The hours in which a service is looked after.
#[derive(Clone, Debug)]
pub struct ServiceHours {
    /// What the configuration calls it.
    pub name: Arc<str>,
    /// Zone of all its times.
    pub zone: TimeZone,
    /// Open spans, Monday first.
    pub week: [Vec<DaySpan>; 7],
    /// Regions whose public holidays are closed days, such as `DE-BY`.
    pub holidays: Vec<Arc<str>>,
}

impl ServiceHours {
    /// The same as time intervals; none when it is never open.
    pub fn intervals(&self) -> Vec<TimeInterval> {
        let regions = self.holidays.iter().filter_map(|name| Region::parse(name));
        let except: Vec<Region> = regions.collect();
        let days = self.week.iter().zip(0_i64..).filter(|(spans, _)| !spans.is_empty());
        let interval = |(spans, day): (&Vec<DaySpan>, i64)| {
            let minute = |time: Time| {
                60 * u16::from(time.hour().unsigned_abs()) + u16::from(time.minute().unsigned_abs())
            };
            let times = spans.iter().map(|span| {
                let closes = span.closes.map_or(24 * 60, minute);
                (minute(span.opens), closes)
            });
            // Sunday is the first day there, and the last here.
            let day = (day + 1) % 7;
            TimeInterval {
                times: Some(times.collect()),
                weekdays: Some(vec![(day, day)]),
                except: except.clone(),
                zone: self.zone.clone(),
                ..TimeInterval::always()
            }
        };
        days.map(interval).collect()
    }
}

/// Reads `mon`, `mon-thu`, `sat-sun` as days, Monday = 0. `None` unless the days are in order.
pub fn parse_days(text: &str) -> Option<std::ops::RangeInclusive<usize>> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first)?, day(last)?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_opens_before_it_closes() {
        assert!(DaySpan::parse("08:30-17:00").is_some());
        assert_eq!(DaySpan::parse("18:00-24:00").unwrap().closes(), None);
        for bad in ["17:00-08:30", "8:30-17:00", "08:30", "08:30-25:00", "aa:bb-cc:dd"] {
            assert_eq!(DaySpan::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn hours_are_intervals_and_holidays_are_closed() {
        let mut week: [Vec<DaySpan>; 7] = Default::default();
        week[4] = vec![DaySpan::parse("08:30-14:00").unwrap()];
        week[6] = vec![DaySpan::parse("18:00-24:00").unwrap()];
        let hours = ServiceHours {
            name: "support".into(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            week,
            holidays: vec!["DE-BY".into()],
        };
        let intervals = hours.intervals();
        let open = |text: &str| {
            let at: jiff::Timestamp = text.parse().unwrap();
            let at = crate::model::Timestamp::from_millis(at.as_millisecond());
            intervals.iter().any(|part| part.contains(at))
        };
        assert!(open("2026-11-20T07:30:00Z") && !open("2026-11-20T07:29:59Z"), "a Friday");
        assert!(!open("2026-11-20T13:00:00Z"), "14:00 is outside");
        assert!(!open("2026-11-19T10:00:00Z"), "a Thursday without hours");
        assert!(open("2026-11-22T22:59:59Z") && !open("2026-11-22T23:00:00Z"), "Sunday night");
        assert!(!open("2026-04-03T08:00:00Z"), "Good Friday");
    }

    #[test]
    fn days_are_in_order() {
        assert_eq!(parse_days("mon-thu"), Some(0..=3));
        assert_eq!(parse_days("fri"), Some(4..=4));
        assert_eq!(parse_days("fri-mon"), None);
        assert_eq!(parse_days("monday"), None);
    }
}
