//! Instants and durations as Go's `time` package writes them.

use std::fmt;

use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};

use crate::model::Timestamp;

/// `time.Time`: an instant with the zone it is shown in.
#[derive(Clone, Debug)]
pub(super) struct GoTime {
    instant: jiff::Timestamp,
    zone: Zone,
}

/// The zone an instant is shown in.
#[derive(Clone, Debug)]
enum Zone {
    Utc,
    /// A bare offset, as it comes out of a text; its name is the offset.
    Offset(Offset),
    Named(TimeZone),
}

/// 0001-01-01T00:00:00Z, Go's zero time.
const ZERO_SECONDS: i64 = -62_135_596_800;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Sunday => "Sunday",
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
    }
}

impl GoTime {
    /// An instant in UTC; the zero time where no date exists.
    pub(super) fn at(at: Timestamp) -> Self {
        jiff::Timestamp::from_millisecond(at.millis())
            .map_or_else(|_| Self::zero(), |instant| Self { instant, zone: Zone::Utc })
    }

    /// From nanoseconds since 1970.
    pub(super) fn from_nanos(nanos: i64) -> Self {
        jiff::Timestamp::from_nanosecond(i128::from(nanos))
            .map_or_else(|_| Self::zero(), |instant| Self { instant, zone: Zone::Utc })
    }

    /// Go's zero time.
    pub(super) fn zero() -> Self {
        let instant = jiff::Timestamp::from_second(ZERO_SECONDS).unwrap_or_default();
        Self { instant, zone: Zone::Utc }
    }

    /// RFC 3339, with the offset kept.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pieces = jiff::fmt::temporal::DateTimeParser::new();
        let instant = pieces.parse_timestamp(text).ok()?;
        let zone = if text.ends_with(['Z', 'z']) {
            Zone::Utc
        } else {
            let sign_at = text.rfind(['+', '-'])?;
            let (hours, minutes) = text[sign_at + 1..].split_once(':')?;
            let seconds = hours.parse::<i32>().ok()? * 3_600 + minutes.parse::<i32>().ok()? * 60;
            let seconds = if text[sign_at..].starts_with('-') { -seconds } else { seconds };
            if seconds == 0 { Zone::Utc } else { Zone::Offset(Offset::from_seconds(seconds).ok()?) }
        };
        Some(Self { instant, zone })
    }

    /// Shown in another zone.
    ///
    /// # Errors
    /// No such zone.
    pub(super) fn within(&self, zone: &str) -> Result<Self, String> {
        let zone = match zone {
            "" | "UTC" => Zone::Utc,
            name => Zone::Named(
                TimeZoneDatabase::bundled()
                    .get(name)
                    .map_err(|_| format!("unknown time zone {name}"))?,
            ),
        };
        Ok(Self { instant: self.instant, zone })
    }

    /// In UTC.
    pub(super) fn utc(&self) -> Self {
        Self { instant: self.instant, zone: Zone::Utc }
    }

    pub(super) fn is_zero(&self) -> bool {
        self.instant.as_second() == ZERO_SECONDS && self.instant.subsec_nanosecond() == 0
    }

    pub(super) fn unix(&self) -> i64 {
        self.instant.as_second()
    }

    /// Nanoseconds since 1970.
    pub(super) fn nanos(&self) -> i128 {
        self.instant.as_nanosecond()
    }

    /// This many nanoseconds later; the zero time when that cannot be written.
    pub(super) fn add(&self, nanos: i64) -> Self {
        let moved = self.instant.as_nanosecond().saturating_add(i128::from(nanos));
        let instant = jiff::Timestamp::from_nanosecond(moved);
        Self { instant: instant.unwrap_or(Self::zero().instant), zone: self.zone.clone() }
    }

    /// The time from `earlier`, saturating as Go's does.
    pub(super) fn since(&self, earlier: &Self) -> i64 {
        let difference = self.nanos() - earlier.nanos();
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }

    fn offset(&self) -> Offset {
        match &self.zone {
            Zone::Utc => Offset::UTC,
            Zone::Offset(offset) => *offset,
            Zone::Named(zone) => zone.to_offset(self.instant),
        }
    }

    fn abbreviation(&self) -> String {
        match &self.zone {
            Zone::Utc => "UTC".to_owned(),
            Zone::Offset(offset) => zone_offset(offset.seconds(), false),
            Zone::Named(zone) => zone.to_offset_info(self.instant).abbreviation().to_owned(),
        }
    }

    /// The calendar fields in its zone.
    pub(super) fn civil(&self) -> jiff::civil::DateTime {
        self.offset().to_datetime(self.instant)
    }

    /// The name of the month.
    pub(super) fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.civil().month().unsigned_abs()).clamp(1, 12) - 1]
    }

    /// The name of the day of the week.
    pub(super) fn weekday_name(&self) -> &'static str {
        weekday_name(self.civil().weekday())
    }

    /// Go's `Format`: the layout is written with the reference time, Mon Jan 2 15:04:05 MST 2006.
    pub(super) fn format(&self, layout: &str) -> String {
        let mut out = String::with_capacity(layout.len() + 16);
        let mut rest = layout;
        while !rest.is_empty() {
            let found = LAYOUTS.iter().find(|(pattern, _)| starts(rest, pattern));
            if let Some((pattern, element)) = found {
                self.element(*element, &mut out);
                rest = &rest[pattern.len()..];
                continue;
            }
            if let Some(length) = fraction(rest) {
                self.push_fraction(&rest[..length], &mut out);
                rest = &rest[length..];
                continue;
            }
            let c = rest.chars().next().unwrap_or(' ');
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
        out
    }

    fn element(&self, element: Element, out: &mut String) {
        let civil = self.civil();
        let twelve = if civil.hour() % 12 == 0 { 12 } else { civil.hour() % 12 };
        let offset = self.offset().seconds();
        let text = match element {
            Element::LongMonth => self.month_name().to_owned(),
            Element::ShortMonth => self.month_name()[..3].to_owned(),
            Element::LongDay => self.weekday_name().to_owned(),
            Element::ShortDay => self.weekday_name()[..3].to_owned(),
            Element::Year => format!("{:04}", civil.year()),
            Element::Year2 => format!("{:02}", civil.year().rem_euclid(100)),
            Element::Month => civil.month().to_string(),
            Element::Month2 => format!("{:02}", civil.month()),
            Element::Day => civil.day().to_string(),
            Element::DaySpace => format!("{:2}", civil.day()),
            Element::Day2 => format!("{:02}", civil.day()),
            Element::YearDay => format!("{:03}", civil.day_of_year()),
            Element::YearDaySpace => format!("{:3}", civil.day_of_year()),
            Element::Hour => format!("{:02}", civil.hour()),
            Element::Hour12 => twelve.to_string(),
            Element::Hour12Two => format!("{twelve:02}"),
            Element::Minute => civil.minute().to_string(),
            Element::Minute2 => format!("{:02}", civil.minute()),
            Element::Second => civil.second().to_string(),
            Element::Second2 => format!("{:02}", civil.second()),
            Element::Half => if civil.hour() >= 12 { "PM" } else { "AM" }.to_owned(),
            Element::HalfLower => if civil.hour() >= 12 { "pm" } else { "am" }.to_owned(),
            Element::ZoneName => self.abbreviation(),
            Element::Iso { .. } if offset == 0 => "Z".to_owned(),
            Element::Iso { colon } | Element::Offset { colon } => zone_offset(offset, colon),
            Element::OffsetHours => {
                let sign = if offset < 0 { '-' } else { '+' };
                format!("{sign}{:02}", offset.abs() / 3_600)
            }
        };
        out.push_str(&text);
    }

    /// `.000` keeps zeros, `.999` drops them.
    fn push_fraction(&self, pattern: &str, out: &mut String) {
        let nanos = self.instant.as_nanosecond().rem_euclid(1_000_000_000);
        let digits = format!("{nanos:09}");
        let wanted = (pattern.len() - 1).min(9);
        if pattern.ends_with('0') {
            out.push_str(&pattern[..1]);
            out.push_str(&digits[..wanted]);
            return;
        }
        let kept = digits[..wanted].trim_end_matches('0');
        if !kept.is_empty() {
            out.push_str(&pattern[..1]);
            out.push_str(kept);
        }
    }

    /// RFC 3339 with as many digits as are needed, as JSON has it.
    pub(super) fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }
}

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn zone_offset(seconds: i32, colon: bool) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3_600, seconds.abs() / 60 % 60);
    format!("{sign}{hours:02}{}{minutes:02}", if colon { ":" } else { "" })
}

#[derive(Clone, Copy)]
enum Element {
    LongMonth,
    ShortMonth,
    LongDay,
    ShortDay,
    Year,
    Year2,
    Month,
    Month2,
    Day,
    DaySpace,
    Day2,
    YearDay,
    YearDaySpace,
    Hour,
    Hour12,
    Hour12Two,
    Minute,
    Minute2,
    Second,
    Second2,
    Half,
    HalfLower,
    ZoneName,
    Iso { colon: bool },
    Offset { colon: bool },
    OffsetHours,
}

/// Longest first where one begins another.
const LAYOUTS: &[(&str, Element)] = &[
    ("January", Element::LongMonth),
    ("Jan", Element::ShortMonth),
    ("Monday", Element::LongDay),
    ("Mon", Element::ShortDay),
    ("MST", Element::ZoneName),
    ("2006", Element::Year),
    ("Z07:00", Element::Iso { colon: true }),
    ("Z0700", Element::Iso { colon: false }),
    ("-07:00", Element::Offset { colon: true }),
    ("-0700", Element::Offset { colon: false }),
    ("-07", Element::OffsetHours),
    ("002", Element::YearDay),
    ("__2", Element::YearDaySpace),
    ("01", Element::Month2),
    ("02", Element::Day2),
    ("03", Element::Hour12Two),
    ("04", Element::Minute2),
    ("05", Element::Second2),
    ("06", Element::Year2),
    ("15", Element::Hour),
    ("PM", Element::Half),
    ("pm", Element::HalfLower),
    ("_2", Element::DaySpace),
    ("1", Element::Month),
    ("2", Element::Day),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
];

fn starts(rest: &str, pattern: &str) -> bool {
    // "_2006" is an underscore and a year; "Jan" inside a longer word is no month.
    if pattern == "_2" && rest.starts_with("_2006") {
        return false;
    }
    let Some(behind) = rest.strip_prefix(pattern) else {
        return false;
    };
    !(matches!(pattern, "Jan" | "Mon") && behind.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// The length of `.000`, `,000` or `.999`, which no further digit may follow.
fn fraction(rest: &str) -> Option<usize> {
    let mut chars = rest.chars();
    chars.next().filter(|c| ['.', ','].contains(c))?;
    let digit = chars.next().filter(|c| ['0', '9'].contains(c))?;
    let length = 1 + rest[1..].chars().take_while(|c| *c == digit).count();
    (!rest[length..].starts_with(|c: char| c.is_ascii_digit())).then_some(length)
}

/// `time.Duration.String()`.
pub(super) fn duration(nanos: i64) -> String {
    let total = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if total == 0 {
        return "0s".to_owned();
    }
    if total < 1_000_000_000 {
        let (unit, size) = match total {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", with_fraction(total, size));
    }
    let seconds = total / 1_000_000_000;
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = with_fraction(total % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, minutes) => format!("{sign}{minutes}m{rest}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

fn with_fraction(total: u64, size: u64) -> String {
    let width = size.to_string().len() - 1;
    let fraction = format!("{:0width$}", total % size);
    let fraction = if size == 1 { "" } else { fraction.trim_end_matches('0') };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", total / size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_print_as_go_prints_them() {
        let time = GoTime::from_nanos(1_600_000_000_500_000_000);
        assert_eq!(time.to_string(), "2020-09-13 12:26:40.5 +0000 UTC");
        assert_eq!(
            time.format("2006-01-02T15:04:05.000Z07:00 Mon Jan _2"),
            "2020-09-13T12:26:40.500Z Sun Sep 13"
        );
        let berlin = time.within("Europe/Berlin").unwrap();
        assert_eq!(berlin.to_string(), "2020-09-13 14:26:40.5 +0200 CEST");
        assert_eq!(berlin.format("02.01.06 3:4:5 PM -07:00 002"), "13.09.20 2:26:40 PM +02:00 257");
        assert!(time.within("Mars/Base").is_err());
        assert_eq!(GoTime::zero().to_string(), "0001-01-01 00:00:00 +0000 UTC");
        let parsed = GoTime::parse("2025-06-15T13:00:00+02:00").unwrap();
        assert_eq!(parsed.to_string(), "2025-06-15 13:00:00 +0200 +0200");
        assert_eq!(parsed.rfc3339(), "2025-06-15T13:00:00+02:00");
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_000_000_000, "1s"),
            (61_500_000_000, "1m1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (-5_000_000_000, "-5s"),
        ] {
            assert_eq!(duration(nanos), text);
        }
    }

    proptest! {
        #[test]
        fn no_layout_makes_it_panic(layout in "[a-zA-Z0-9:.,_ +ü-]{0,40}", millis in any::<i64>()) {
            let _ = GoTime::at(Timestamp::from_millis(millis)).format(&layout);
        }
    }
}
