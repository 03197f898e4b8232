//! Service hours over longer times.

use super::ServiceHours;
use crate::model::TimeRange;

impl ServiceHours {
    /// When these hours are open within a range, as [`ServiceHours::open_on`] has it for its days: in
    /// order, apart from each other.
    pub fn open(&self, within: TimeRange) -> Vec<TimeRange> {
        let mut found: Vec<TimeRange> = Vec::new();
        let (Some(first), Some(last)) = (self.date_at(within.start()), self.date_at(within.end()))
        else {
            return found;
        };
        let days = first.series(jiff::Span::new().days(1)).take_while(|day| *day <= last);
        let open = days.flat_map(|day| self.open_on(day));
        let open = open.filter_map(|(start, end)| TimeRange::new(start, end)?.intersect(within));
        for range in open {
            match found.last_mut() {
                Some(last) if last.end() >= range.start() => {
                    let end = last.end().max(range.end());
                    *last = TimeRange::new(last.start(), end).unwrap_or(*last);
                }
                _ => found.push(range),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::DaySpan;
    use crate::model::Timestamp;
    use jiff::tz::TimeZone;

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
        assert_eq!(spring, ["29.06:00-29.07:00"]);
        let autumn = open(&hours, "2026-10-25T00:00:00Z", "2026-10-25T22:00:00Z");
        assert_eq!(autumn, ["25.00:15-25.00:45", "25.01:15-25.01:45", "25.07:00-25.08:00"]);
    }
}
