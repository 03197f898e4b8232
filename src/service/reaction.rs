//! By when somebody must have begun to work on a fault, where only service hours count.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};

use crate::calendar::{Region, ServiceHours};
use crate::model::Timestamp;

/// A calendar that is closed for so many days in a row has no deadline that anybody could keep.
const FARTHEST_DAYS: i32 = 400;

/// A time within which somebody must react.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// So much time in which the service is looked after.
    Open(Duration),
    /// So many service days: until the service closes on the last of them. The day of the fault is
    /// none of them.
    Days(u32),
}

impl Within {
    /// Reads `5 days` or `1 day`; a length of time is read by others.
    pub fn parse_days(text: &str) -> Option<Self> {
        let (number, unit) = text.trim().split_once(' ')?;
        let days = number.parse().ok().filter(|days| (1..=100).contains(days))?;
        matches!(unit.trim(), "day" | "days").then_some(Within::Days(days))
    }
}

/// Service hours, and the time to react to a fault of each class.
#[derive(Clone, Debug)]
pub struct ReactionTimes {
    /// When the service is looked after.
    pub hours: ServiceHours,
    /// For the classes 1 to 4.
    pub within: [Within; 4],
}

impl ReactionTimes {
    /// 4 hours for what stops operation, 6 for what hinders it, 8 for a light fault, 5 service days
    /// for what is not critical.
    pub const USUAL: [Within; 4] = [
        Within::Open(Duration::from_secs(4 * 3600)),
        Within::Open(Duration::from_secs(6 * 3600)),
        Within::Open(Duration::from_secs(8 * 3600)),
        Within::Days(5),
    ];

    /// By when somebody must react to a fault of a class (1 to 4) that began at `since`. `None` for
    /// another class, and when the hours do not open in time.
    pub fn due(&self, class: u8, since: Timestamp) -> Option<Timestamp> {
        let within = self.within.get(usize::from(class).checked_sub(1)?)?;
        let begin = jiff::Timestamp::from_millisecond(since.millis()).ok()?;
        let first = begin.to_zoned(self.hours.zone.clone()).date();
        let days = (0..FARTHEST_DAYS)
            .map_while(|day| first.checked_add(jiff::Span::new().days(i64::from(day))).ok());
        match within {
            Within::Open(length) => {
                let mut left = i64::try_from(length.as_millis()).ok()?;
                for (opens, closes) in days.flat_map(|day| self.open(day)) {
                    let from = opens.max(since.millis());
                    if closes <= from {
                        continue;
                    }
                    if left <= closes - from {
                        return Some(Timestamp::from_millis(from + left));
                    }
                    left -= closes - from;
                }
                None
            }
            Within::Days(number) => {
                let mut open =
                    days.skip(1).map(|day| self.open(day)).filter(|open| !open.is_empty());
                let last = open.nth(usize::try_from(*number).ok()?.checked_sub(1)?)?;
                last.last().map(|(_, closes)| Timestamp::from_millis(*closes))
            }
        }
    }

    /// When it opens and closes on a day, in milliseconds of Unix time.
    fn open(&self, day: Date) -> Vec<(i64, i64)> {
        let mut regions = self.hours.holidays.iter().filter_map(|name| Region::parse(name));
        if regions.any(|region| region.rests_on(day)) {
            return Vec::new();
        }
        let weekday = usize::from(day.weekday().to_monday_zero_offset().unsigned_abs());
        let millis = |at: DateTime| {
            let there = self.hours.zone.to_ambiguous_zoned(at).compatible().ok()?;
            Some(there.timestamp().as_millisecond())
        };
        let span = |span: &crate::calendar::DaySpan| {
            let closes = match span.closes() {
                Some(time) => day.to_datetime(time),
                None => day.tomorrow().ok()?.to_datetime(Time::midnight()),
            };
            Some((millis(day.to_datetime(span.opens()))?, millis(closes)?))
        };
        self.hours.week.get(weekday).into_iter().flatten().filter_map(span).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DaySpan;
    use jiff::tz::TimeZone;

    fn support() -> ReactionTimes {
        let span = |text: &str| vec![DaySpan::parse(text).unwrap()];
        let mut week: [Vec<DaySpan>; 7] = Default::default();
        week[..4].fill(span("08:30-17:00"));
        week[4] = span("08:30-14:00");
        let hours = ServiceHours {
            name: "support".into(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            week,
            holidays: vec!["DE-BY".into()],
        };
        ReactionTimes { hours, within: ReactionTimes::USUAL }
    }

    fn due(times: &ReactionTimes, class: u8, since: &str) -> Option<String> {
        let at: jiff::Timestamp = since.parse().unwrap();
        let due = times.due(class, Timestamp::from_millis(at.as_millisecond()))?;
        let due = jiff::Timestamp::from_millisecond(due.millis()).unwrap();
        let local = due.to_zoned(times.hours.zone.clone());
        Some(local.strftime("%a %Y-%m-%d %H:%M %:z").to_string())
    }

    #[test]
    fn only_service_hours_count() {
        let times = support();
        let due = |class, since| due(&times, class, since).unwrap();
        // A class-1 fault on Friday at 13:00 is due on Monday at 11:30.
        assert_eq!(due(1, "2026-11-20T13:00:00+01:00"), "Mon 2026-11-23 11:30 +01:00");
        assert_eq!(due(1, "2026-11-23T03:21:00+01:00"), "Mon 2026-11-23 12:30 +01:00");
        assert_eq!(due(2, "2026-11-23T12:00:00+01:00"), "Tue 2026-11-24 09:30 +01:00");
        assert_eq!(due(3, "2026-11-23T08:30:00+01:00"), "Mon 2026-11-23 16:30 +01:00");
        assert_eq!(due(1, "2026-11-23T13:00:00+01:00"), "Mon 2026-11-23 17:00 +01:00");
        // Five service days, of which the day of the fault is none.
        assert_eq!(due(4, "2026-11-23T09:00:00+01:00"), "Mon 2026-11-30 17:00 +01:00");
        assert_eq!(due(4, "2026-11-21T09:00:00+01:00"), "Fri 2026-11-27 14:00 +01:00");
    }

    #[test]
    fn holidays_are_closed_and_summer_time_moves_the_hours() {
        let times = support();
        let due = |class, since| due(&times, class, since).unwrap();
        // Good Friday and Easter Monday.
        assert_eq!(due(1, "2026-04-02T16:00:00+02:00"), "Tue 2026-04-07 11:30 +02:00");
        // The clocks go forward on Sunday the 29th of March, and back on the 25th of October.
        assert_eq!(due(1, "2026-03-27T13:00:00+01:00"), "Mon 2026-03-30 11:30 +02:00");
        assert_eq!(due(1, "2026-10-23T13:00:00+02:00"), "Mon 2026-10-26 11:30 +01:00");
    }

    #[test]
    fn around_the_clock_a_day_of_23_hours_is_one() {
        let mut times = support();
        times.hours.week.fill(vec![DaySpan::parse("00:00-24:00").unwrap()]);
        times.hours.holidays.clear();
        let due = |class, since| due(&times, class, since).unwrap();
        assert_eq!(due(1, "2026-03-29T00:30:00+01:00"), "Sun 2026-03-29 05:30 +02:00");
        assert_eq!(due(1, "2026-10-25T00:30:00+02:00"), "Sun 2026-10-25 03:30 +01:00");
    }

    #[test]
    fn what_never_opens_has_no_deadline() {
        let mut times = support();
        assert_eq!(due(&times, 0, "2026-11-20T13:00:00Z"), None);
        assert_eq!(due(&times, 5, "2026-11-20T13:00:00Z"), None);
        times.hours.week.fill(Vec::new());
        for class in 1..=4 {
            assert_eq!(due(&times, class, "2026-11-20T13:00:00Z"), None);
            assert_eq!(times.due(class, Timestamp::MAX), None);
        }
    }

    #[test]
    fn service_days_are_read() {
        assert_eq!(Within::parse_days("5 days"), Some(Within::Days(5)));
        assert_eq!(Within::parse_days("1 day"), Some(Within::Days(1)));
        for bad in ["5", "5d", "0 days", "1000 days", "-1 days", "five days", ""] {
            assert_eq!(Within::parse_days(bad), None, "{bad}");
        }
    }
}
