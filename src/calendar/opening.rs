//! Service hours as instants: what is open on a local date or over longer, also across changes of
//! the clocks.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span};

use super::ranges::tidy;
use super::{DaySpan, Region, ServiceHours};
use crate::model::{TimeRange, Timestamp};

/// No zone is further from UTC.
const FAR: SignedDuration = SignedDuration::from_hours(26);

impl ServiceHours {
    /// The date on the wall at an instant. `None` for one that no calendar has.
    pub fn date_at(&self, at: Timestamp) -> Option<Date> {
        Some(self.local(at)?.date())
    }

    /// Date and time of day on the wall at an instant. `None` for one that no calendar has.
    pub fn local(&self, at: Timestamp) -> Option<DateTime> {
        let instant = jiff::Timestamp::from_millisecond(at.millis()).ok()?;
        Some(self.zone.to_datetime(instant))
    }

    /// Whether it never opens, on no day of the week.
    pub fn is_never_open(&self) -> bool {
        self.week.iter().all(Vec::is_empty)
    }

    /// When these hours are open within a range, as [`open_on`](Self::open_on) has it for its days:
    /// in order, apart from each other.
    pub fn open(&self, within: TimeRange) -> Vec<TimeRange> {
        let (from, to) = (self.date_at(within.start()), self.date_at(within.end()));
        // Where clocks are put back over midnight, a date comes twice.
        let first = from.and_then(|date| date.yesterday().ok());
        let last = to.and_then(|date| date.tomorrow().ok());
        let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
        let days = first.series(Span::new().days(1)).take_while(|day| *day <= last);
        let open = days.flat_map(|day| self.open_on(day));
        tidy(open.filter_map(|range| range.intersect(within)).collect())
    }

    /// What is open on a local date, in order, apart from each other; nothing on a public holiday.
    ///
    /// What is open is what the wall clock shows: where clocks are put forward, an hour that does
    /// not exist is not open; where they are put back, an hour that comes twice is open twice.
    pub fn open_on(&self, date: Date) -> Vec<TimeRange> {
        let spans = &self.week[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())];
        let rests = || {
            let regions = self.holidays.iter().filter_map(|name| Region::parse(name));
            regions.into_iter().any(|region| region.rests_on(date))
        };
        if spans.is_empty() || rests() {
            return Vec::new();
        }
        let mut open = Vec::with_capacity(spans.len());
        for (from, to, offset) in stretches(&self.zone, date) {
            for span in spans {
                let Some((start, end)) = instants(*span, date, offset) else { continue };
                open.extend(TimeRange::new(start.max(from), end.min(to)));
            }
        }
        // One may go on while the clocks change.
        tidy(open)
    }
}

/// The stretches with one offset from UTC each, that cover everything called `date` in a zone.
fn stretches(zone: &TimeZone, date: Date) -> Vec<(Timestamp, Timestamp, Offset)> {
    let midnight = Offset::UTC.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
    let reach = midnight.ok().and_then(|start| {
        let end = start.checked_add(SignedDuration::from_hours(24)).ok()?.checked_add(FAR).ok()?;
        Some((start.checked_sub(FAR).ok()?, end))
    });
    let Some((start, end)) = reach else { return Vec::new() };
    let millis = |at: jiff::Timestamp| Timestamp::from_millis(at.as_millisecond());
    let mut found = Vec::with_capacity(2);
    let (mut from, mut offset) = (start, zone.to_offset(start));
    for change in zone.following(start).take_while(|change| change.timestamp() < end) {
        if change.offset() != offset {
            found.push((millis(from), millis(change.timestamp()), offset));
            (from, offset) = (change.timestamp(), change.offset());
        }
    }
    found.push((millis(from), millis(end), offset));
    found
}

/// When a span of a date begins and ends where the clocks have that offset.
fn instants(span: DaySpan, date: Date, offset: Offset) -> Option<(Timestamp, Timestamp)> {
    let instant = |local: DateTime| {
        let instant = offset.to_timestamp(local).ok()?;
        Some(Timestamp::from_millis(instant.as_millisecond()))
    };
    let closes = match span.closes() {
        Some(closes) => date.to_datetime(closes),
        None => {
            date.checked_add(Span::new().days(1)).ok()?.to_datetime(jiff::civil::Time::midnight())
        }
    };
    Some((instant(date.to_datetime(span.opens()))?, instant(closes)?))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn hours(zone: &str, spans: &[&str], holidays: &[&str]) -> ServiceHours {
        let day: Vec<DaySpan> = spans.iter().map(|text| DaySpan::parse(text).unwrap()).collect();
        ServiceHours {
            name: "h".into(),
            zone: TimeZone::get(zone).unwrap(),
            week: std::array::from_fn(|_| day.clone()),
            holidays: holidays.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn shown(open: &[TimeRange]) -> Vec<String> {
        let text = |at: Timestamp| at.to_string().replace(".000Z", "Z");
        open.iter().map(|open| format!("{} {}", text(open.start()), text(open.end()))).collect()
    }

    #[test]
    fn a_day_is_what_the_wall_clock_shows() {
        let office = hours("Europe/Berlin", &["08:30-12:00", "13:00-24:00"], &[]);
        let open = shown(&office.open_on(date(2026, 11, 20)));
        assert_eq!(
            open,
            [
                "2026-11-20T07:30:00Z 2026-11-20T11:00:00Z",
                "2026-11-20T12:00:00Z 2026-11-20T23:00:00Z"
            ]
        );
    }

    #[test]
    fn clocks_change_within_a_span() {
        let night = hours("Europe/Berlin", &["00:00-24:00"], &[]);
        let length = |day| {
            let open = night.open_on(day);
            assert_eq!(open.len(), 1);
            open[0].length().as_secs() / 3600
        };
        assert_eq!(length(date(2026, 3, 29)), 23);
        assert_eq!(length(date(2026, 10, 25)), 25);
        assert_eq!(length(date(2026, 10, 26)), 24);
        // An hour that does not exist, and one that comes twice.
        let early = hours("Europe/Berlin", &["02:15-02:45"], &[]);
        assert_eq!(early.open_on(date(2026, 3, 29)), []);
        assert_eq!(
            shown(&early.open_on(date(2026, 10, 25))),
            [
                "2026-10-25T00:15:00Z 2026-10-25T00:45:00Z",
                "2026-10-25T01:15:00Z 2026-10-25T01:45:00Z"
            ]
        );
    }

    #[test]
    fn holidays_are_closed_and_a_date_may_not_exist() {
        let bavaria = hours("Europe/Berlin", &["09:00-10:00"], &["DE-BY"]);
        assert_eq!(bavaria.open_on(date(2026, 1, 6)), []);
        assert_eq!(bavaria.open_on(date(2026, 1, 7)).len(), 1);
        // Samoa went without this Friday.
        let samoa = hours("Pacific/Apia", &["00:00-24:00"], &[]);
        assert_eq!(samoa.open_on(date(2011, 12, 30)), []);
        assert_eq!(samoa.open_on(date(2011, 12, 31)).len(), 1);
    }

    #[test]
    fn days_and_nights_tile_the_time() {
        let day = hours("Europe/Berlin", &["07:00-18:00"], &[]);
        let night = hours("Europe/Berlin", &["00:00-07:00", "18:00-24:00"], &[]);
        // The clock goes back in the night to the 25th of October 2026.
        let at = |text: &str| {
            Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
        };
        let within = TimeRange::new(at("2026-10-24T00:00:00Z"), at("2026-10-26T00:00:00Z"));
        let within = within.unwrap();
        assert_eq!(
            shown(&day.open(within)),
            [
                "2026-10-24T05:00:00Z 2026-10-24T16:00:00Z",
                "2026-10-25T06:00:00Z 2026-10-25T17:00:00Z"
            ]
        );
        assert_eq!(
            shown(&night.open(within)),
            [
                "2026-10-24T00:00:00Z 2026-10-24T05:00:00Z",
                "2026-10-24T16:00:00Z 2026-10-25T06:00:00Z",
                "2026-10-25T17:00:00Z 2026-10-26T00:00:00Z"
            ]
        );
    }
}
