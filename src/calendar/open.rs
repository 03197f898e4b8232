use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Region, ServiceHours};
use crate::model::{TimeRange, Timestamp};

impl ServiceHours {
    /// When these hours are open within a range: in order, apart from each other. A time of day
    /// that a change of the clock skips counts from the change on; of one that comes twice the
    /// first counts.
    pub fn open(&self, within: TimeRange) -> Vec<TimeRange> {
        let regions = self.holidays.iter().filter_map(|name| Region::parse(name));
        let closed: Vec<Region> = regions.collect();
        let mut found: Vec<TimeRange> = Vec::new();
        let (Some(first), Some(last)) =
            (date(within.start(), &self.zone), date(within.end(), &self.zone))
        else {
            return found;
        };
        let days = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last);
        for day in days.filter(|day| !closed.iter().any(|region| region.rests_on(*day))) {
            let weekday = day.weekday().to_monday_zero_offset();
            let spans = usize::try_from(weekday).ok().and_then(|at| self.week.get(at));
            for span in spans.into_iter().flatten() {
                let opens = instant(day, span.opens(), &self.zone);
                let closes = match span.closes() {
                    Some(closes) => instant(day, closes, &self.zone),
                    None => day
                        .tomorrow()
                        .ok()
                        .and_then(|next| instant(next, jiff::civil::Time::midnight(), &self.zone)),
                };
                let (Some(opens), Some(closes)) = (opens, closes) else { continue };
                let Some(open) = TimeRange::new(opens, closes) else { continue };
                let Some(open) = open.intersect(within) else { continue };
                match found.last_mut() {
                    Some(last) if last.end() >= open.start() => {
                        *last = TimeRange::new(last.start(), last.end().max(open.end()))
                            .unwrap_or(*last);
                    }
                    _ => found.push(open),
                }
            }
        }
        found
    }
}

fn date(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    Some(zone.to_datetime(jiff::Timestamp::from_millisecond(at.millis()).ok()?).date())
}

fn instant(day: Date, time: jiff::civil::Time, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_timestamp(day.to_datetime(time)).ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DaySpan;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn hours(spans: &[&str], holidays: &[&str]) -> ServiceHours {
        let spans: Vec<_> = spans.iter().map(|span| DaySpan::parse(span).unwrap()).collect();
        ServiceHours {
            name: "h".into(),
            zone: TimeZone::get("Europe/Berlin").unwrap(),
            week: std::array::from_fn(|_| spans.clone()),
            holidays: holidays.iter().map(|name| (*name).into()).collect(),
        }
    }

    fn open(hours: &ServiceHours, from: &str, to: &str) -> Vec<String> {
        let within = TimeRange::new(at(from), at(to)).unwrap();
        let show = |at: Timestamp| {
            jiff::Timestamp::from_millisecond(at.millis()).unwrap().strftime("%d.%H:%M").to_string()
        };
        let open = hours.open(within);
        open.iter().map(|range| format!("{}-{}", show(range.start()), show(range.end()))).collect()
    }

    #[test]
    fn days_and_nights_tile_the_time() {
        let (day, night) =
            (hours(&["07:00-18:00"], &[]), hours(&["00:00-07:00", "18:00-24:00"], &[]));
        // The clock goes back in the night to the 25th of October 2026.
        let (from, to) = ("2026-10-24T00:00:00Z", "2026-10-26T00:00:00Z");
        assert_eq!(open(&day, from, to), ["24.05:00-24.16:00", "25.06:00-25.17:00"]);
        assert_eq!(
            open(&night, from, to),
            ["24.00:00-24.05:00", "24.16:00-25.06:00", "25.17:00-26.00:00"]
        );
        let within = TimeRange::new(at(from), at(to)).unwrap();
        let sum = |hours: &ServiceHours| -> std::time::Duration {
            hours.open(within).iter().map(|range| range.length()).sum()
        };
        assert_eq!(sum(&day) + sum(&night), within.length());
    }

    #[test]
    fn holidays_and_changes_of_the_clock_are_seen() {
        let hours = hours(&["02:15-02:45", "08:00-09:00"], &["DE-BY"]);
        // Good Friday is the 3rd of April; on the 29th of March there is no 02:15.
        assert_eq!(open(&hours, "2026-04-03T00:00:00Z", "2026-04-03T22:00:00Z"), [""; 0]);
        let spring = open(&hours, "2026-03-29T00:00:00Z", "2026-03-29T22:00:00Z");
        assert_eq!(spring, ["29.01:15-29.01:45", "29.06:00-29.07:00"]);
        let autumn = open(&hours, "2026-10-25T00:00:00Z", "2026-10-25T22:00:00Z");
        assert_eq!(autumn, ["25.00:15-25.00:45", "25.07:00-25.08:00"]);
    }
}
