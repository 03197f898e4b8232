//! Time intervals as Alertmanager writes them: when a route is muted or active.

use jiff::tz::TimeZone;

use super::Region;
use crate::model::Timestamp;

/// A set of instants: all given conditions hold; within a condition any of its ranges. A
/// condition that is not given always holds.
#[derive(Clone, Debug)]
pub struct TimeInterval {
    /// Minutes of the day, `[start, end)`, up to 1440.
    pub times: Option<Vec<(u16, u16)>>,
    /// Sunday is 0; both ends included.
    pub weekdays: Option<Vec<(i64, i64)>>,
    /// 1 to 31, or -1 (the last day) to -31; both ends included.
    pub days_of_month: Option<Vec<(i64, i64)>>,
    /// January is 1; both ends included.
    pub months: Option<Vec<(i64, i64)>>,
    /// Both ends included.
    pub years: Option<Vec<(i64, i64)>>,
    /// Not on the public holidays of these regions.
    pub except: Vec<Region>,
    /// The zone of all of them.
    pub zone: TimeZone,
}

impl TimeInterval {
    /// Every instant.
    pub fn always() -> Self {
        Self {
            times: None,
            weekdays: None,
            days_of_month: None,
            months: None,
            years: None,
            except: Vec::new(),
            zone: TimeZone::UTC,
        }
    }

    /// Whether nothing limits it.
    pub fn is_always(&self) -> bool {
        self.times.is_none()
            && self.weekdays.is_none()
            && self.days_of_month.is_none()
            && self.months.is_none()
            && self.years.is_none()
            && self.except.is_empty()
    }
}

/// Why a range is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadInterval(String);

fn bad<T>(message: String) -> Result<T, BadInterval> {
    Err(BadInterval(message))
}

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TimeInterval {
    /// Whether the instant is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.millis()) else { return false };
        let local = instant.to_zoned(self.zone.clone());
        let minute =
            local.hour().unsigned_abs() as u16 * 60 + u16::from(local.minute().unsigned_abs());
        let within = |ranges: &Option<Vec<(i64, i64)>>, value: i64| {
            ranges.as_ref().is_none_or(|all| all.iter().any(|(a, b)| (*a..=*b).contains(&value)))
        };
        let times = self.times.as_ref();
        times.is_none_or(|all| all.iter().any(|(a, b)| (*a..*b).contains(&minute)))
            && within(&self.weekdays, i64::from(local.weekday().to_sunday_zero_offset()))
            && within(&self.months, i64::from(local.month()))
            && within(&self.years, i64::from(local.year()))
            && !self.except.iter().any(|region| region.rests_on(local.date()))
            && self.days_of_month.as_ref().is_none_or(|all| {
                let (day, last) = (i64::from(local.day()), i64::from(local.days_in_month()));
                all.iter().any(|range| day_is_in(*range, day, last))
            })
    }
}

/// Days counted from the end depend on the month's length; what begins after the month's end
/// does not happen in it, what ends there is cut.
fn day_is_in((begin, end): (i64, i64), day: i64, last: i64) -> bool {
    let from_start = |day: i64| if day < 0 { last + day + 1 } else { day };
    let (begin, end) = (from_start(begin), from_start(end));
    begin <= last && (begin.clamp(-last, last)..=end.clamp(-last, last)).contains(&day)
}

/// `HH:MM` in minutes; `24:00` is the day's end.
///
/// # Errors
/// Anything else.
pub fn parse_minute(text: &str) -> Result<u16, BadInterval> {
    let wrong = || BadInterval(format!("`{text}` is not a time from 00:00 to 24:00"));
    if text == "24:00" {
        return Ok(1440);
    }
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two(hour) || !two(minute) {
        return Err(wrong());
    }
    let (hour, minute): (u16, u16) =
        (hour.parse().map_err(|_| wrong())?, minute.parse().map_err(|_| wrong())?);
    if hour > 23 || minute > 59 { Err(wrong()) } else { Ok(hour * 60 + minute) }
}

/// A range of times; the end must be later than the start.
///
/// # Errors
/// Not two times in this order.
pub fn parse_times(start: &str, end: &str) -> Result<(u16, u16), BadInterval> {
    let (from, to) = (parse_minute(start)?, parse_minute(end)?);
    if from < to {
        Ok((from, to))
    } else {
        bad(format!("the end `{end}` is not later than the start `{start}`; a night is two ranges"))
    }
}

/// `monday`, `monday:friday`; Sunday is the first day.
///
/// # Errors
/// No such days, or in the wrong order.
pub fn parse_weekdays(text: &str) -> Result<(i64, i64), BadInterval> {
    let day = |name: &str| match WEEKDAYS.iter().position(|day| *day == name) {
        Some(day) => Ok(day as i64),
        None => bad(format!("`{name}` is not a day of the week (sunday … saturday)")),
    };
    range(text, day)
}

/// `1:5`, `-7:-1`, `15`.
///
/// # Errors
/// No days of a month, or in the wrong order.
pub fn parse_days_of_month(text: &str) -> Result<(i64, i64), BadInterval> {
    let day = |text: &str| match text.parse::<i64>() {
        Ok(day) if day != 0 && (-31..=31).contains(&day) => Ok(day),
        _ => bad(format!("`{text}` is not a day of the month (1 … 31 or -31 … -1)")),
    };
    let (begin, end) = ends(text);
    let (begin, end) = (day(begin)?, day(end)?);
    if begin < 0 && end > 0 {
        return bad(format!("`{text}`: the end must be negative as the start is"));
    }
    // The shortest month that is not February, as Alertmanager counts.
    let about = |day: i64| if day < 0 { 30 + day } else { day };
    if about(begin) > about(end) {
        return bad(format!("`{text}`: the end is always before the start"));
    }
    Ok((begin, end))
}

/// `january`, `3:5`, `may:august`.
///
/// # Errors
/// No months, or in the wrong order.
pub fn parse_months(text: &str) -> Result<(i64, i64), BadInterval> {
    let month = |name: &str| match MONTHS.iter().position(|month| *month == name) {
        Some(month) => Ok(month as i64 + 1),
        None => name
            .parse()
            .or_else(|_| bad(format!("`{name}` is not a month (january … december or 1 … 12)"))),
    };
    range(text, month)
}

/// `2026`, `2026:2028`.
///
/// # Errors
/// No years, or in the wrong order.
pub fn parse_years(text: &str) -> Result<(i64, i64), BadInterval> {
    range(text, |year| year.parse().or_else(|_| bad(format!("`{year}` is not a year"))))
}

fn ends(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, text))
}

fn range(
    text: &str,
    value: impl Fn(&str) -> Result<i64, BadInterval>,
) -> Result<(i64, i64), BadInterval> {
    let lower = text.to_lowercase();
    let (begin, end) = ends(&lower);
    let (begin, end) = (value(begin)?, value(end)?);
    if begin <= end {
        Ok((begin, end))
    } else {
        bad(format!("`{text}`: the end is before the start"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn always() -> TimeInterval {
        TimeInterval {
            times: None,
            weekdays: None,
            days_of_month: None,
            months: None,
            years: None,
            except: Vec::new(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
        }
    }

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp::from_millis(instant.as_millisecond())
    }

    #[test]
    fn conditions_are_joined_and_ranges_are_alternatives() {
        let office = TimeInterval {
            times: Some(vec![parse_times("08:30", "12:00").unwrap()]),
            weekdays: Some(vec![parse_weekdays("monday:friday").unwrap()]),
            ..always()
        };
        assert!(office.contains(at("2026-11-20T07:30:00Z")), "a Friday, 08:30 in Berlin");
        assert!(!office.contains(at("2026-11-20T07:29:59Z")));
        assert!(!office.contains(at("2026-11-20T11:00:00Z")), "noon is outside");
        assert!(!office.contains(at("2026-11-21T08:00:00Z")), "a Saturday");
        assert!(office.contains(at("2026-06-19T06:30:00Z")), "summer time");
        assert!(always().contains(at("1999-01-01T00:00:00Z")));
    }

    #[test]
    fn days_from_the_end_follow_the_month() {
        let on = |range: &str, day: &str| {
            let days = Some(vec![parse_days_of_month(range).unwrap()]);
            TimeInterval { days_of_month: days, ..always() }.contains(at(day))
        };
        assert!(on("-1", "2026-02-28T12:00:00Z") && !on("-1", "2026-01-28T12:00:00Z"));
        assert!(on("-3:-1", "2026-02-26T12:00:00Z") && !on("-3:-1", "2026-02-25T12:00:00Z"));
        assert!(!on("30:31", "2026-02-28T12:00:00Z"), "begins after the month's end");
        assert!(on("28:31", "2026-02-28T12:00:00Z"));
    }

    #[test]
    fn wrong_ranges_are_refused() {
        assert!(parse_times("22:00", "06:00").is_err() && parse_times("09:60", "10:00").is_err());
        assert!(parse_times("24:00", "24:00").is_err() && parse_times("9:00", "10:00").is_err());
        assert!(parse_weekdays("friday:monday").is_err() && parse_weekdays("mon").is_err());
        assert!(parse_days_of_month("0").is_err() && parse_days_of_month("-1:5").is_err());
        assert!(parse_months("december:january").is_err() && parse_months("JUNE").is_ok());
        assert!(parse_years("2026:2024").is_err() && parse_years("soon").is_err());
    }
}
