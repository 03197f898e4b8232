use std::sync::Arc;

use jiff::civil::Time;
use jiff::tz::TimeZone;

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
    fn days_are_in_order() {
        assert_eq!(parse_days("mon-thu"), Some(0..=3));
        assert_eq!(parse_days("fri"), Some(4..=4));
        assert_eq!(parse_days("fri-mon"), None);
        assert_eq!(parse_days("monday"), None);
    }
}
