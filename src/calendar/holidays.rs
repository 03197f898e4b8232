//! Public holidays of Germany and its states, by the laws in force in 2026.

use jiff::civil::Date;

/// A region whose public holidays are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// All of Germany: what is a holiday in every state.
    Every,
    /// Two letters, as in ISO 3166-2.
    Of(&'static str),
}

const STATES: [&str; 16] = [
    "BB", "BE", "BW", "BY", "HB", "HE", "HH", "MV", "NI", "NW", "RP", "SH", "SL", "SN", "ST", "TH",
];

/// Month, day, states; no states = all.
const FIXED: [(i8, i8, &str); 11] = [
    (1, 1, ""),
    (1, 6, "BW BY ST"),
    (3, 8, "BE MV"),
    (5, 1, ""),
    // In Bavaria only where most people are Catholic; so not counted there.
    (8, 15, "SL"),
    (9, 20, "TH"),
    (10, 3, ""),
    (10, 31, "BB HB HH MV NI SH SN ST TH"),
    (11, 1, "BW BY NW RP SL"),
    (12, 25, ""),
    (12, 26, ""),
];

/// Days after Easter Sunday, states; no states = all.
const MOVABLE: [(i32, &str); 7] =
    [(-2, ""), (0, "BB"), (1, ""), (39, ""), (49, "BB"), (50, ""), (60, "BW BY HE NW RP SL")];

impl Region {
    /// Reads `DE`, `DE-BY`. `None` for a region whose holidays are not known.
    pub fn parse(text: &str) -> Option<Self> {
        let part = text.strip_prefix("DE")?;
        if part.is_empty() {
            return Some(Self(State::Every));
        }
        let part = part.strip_prefix('-')?;
        STATES.iter().find(|state| **state == part).map(|state| Self(State::Of(state)))
    }

    /// The names of all regions that are known.
    pub fn known() -> impl Iterator<Item = String> {
        ["DE".to_owned()].into_iter().chain(STATES.iter().map(|state| format!("DE-{state}")))
    }

    /// Whether a day is a public holiday there.
    pub fn rests_on(self, day: Date) -> bool {
        let here = |states: &str| match self.0 {
            _ if states.is_empty() => true,
            State::Every => false,
            State::Of(state) => states.split(' ').any(|other| other == state),
        };
        let fixed =
            FIXED.iter().any(|(month, of, s)| (day.month(), day.day()) == (*month, *of) && here(s));
        let after = days_after_easter(day);
        fixed
            || MOVABLE.iter().any(|(days, states)| after == Some(*days) && here(states))
            // The Wednesday before 23 November.
            || (self.0 == State::Of("SN")
                && day.month() == 11
                && (16..=22).contains(&day.day())
                && day.weekday() == jiff::civil::Weekday::Wednesday)
    }
}

fn days_after_easter(day: Date) -> Option<i32> {
    let easter = easter(day.year())?;
    Some(i32::from(day.day_of_year()) - i32::from(easter.day_of_year()))
}

/// Easter Sunday of the Gregorian calendar (the "Anonymous Gregorian" computus).
fn easter(year: i16) -> Option<Date> {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let h = (19 * a + b - b / 4 - (b - (b + 8) / 25 + 1) / 3 + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    Date::new(year, i8::try_from(n / 31).ok()?, i8::try_from(n % 31 + 1).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn easter_is_where_it_was_and_will_be() {
        let days = [(2016, 3, 27), (2024, 3, 31), (2025, 4, 20), (2026, 4, 5), (2038, 4, 25)];
        for (year, month, day) in days {
            assert_eq!(easter(year), Some(date(year, month, day)));
        }
    }

    #[test]
    fn each_state_rests_on_its_own_days() {
        let rests = |region: &str, day: Date| Region::parse(region).unwrap().rests_on(day);
        assert!(rests("DE", date(2026, 10, 3)) && rests("DE-BY", date(2026, 4, 3)));
        assert!(rests("DE-BY", date(2026, 1, 6)) && !rests("DE-BE", date(2026, 1, 6)));
        assert!(rests("DE-NW", date(2026, 6, 4)) && !rests("DE", date(2026, 6, 4)));
        assert!(rests("DE-SN", date(2026, 11, 18)) && !rests("DE-BY", date(2026, 11, 18)));
        assert!(rests("DE-HH", date(2026, 10, 31)) && !rests("DE-BY", date(2026, 10, 31)));
        assert!(!rests("DE-BY", date(2026, 11, 23)), "an ordinary Monday");
        // All of Bavaria: 12 days (2026, with Whit Monday and Corpus Christi).
        let all = date(2026, 1, 1).series(jiff::Span::new().days(1)).take(365);
        assert_eq!(all.filter(|day| rests("DE-BY", *day)).count(), 12);
        assert_eq!(Region::parse("DE-XX"), None);
        assert_eq!(Region::parse("FR"), None);
        assert_eq!(Region::known().count(), 17);
    }
}
