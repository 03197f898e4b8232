//! The agreement of a council-information service with municipalities: 98 % by day, 90 % by night.

use jiff::tz::TimeZone;

use super::super::promise::example::council as promise;
use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// Local time in Berlin.
fn at(text: &str) -> Timestamp {
    let local: jiff::civil::DateTime = text.parse().unwrap();
    let at = TimeZone::get("Europe/Berlin").unwrap().to_timestamp(local).unwrap();
    Timestamp::from_millis(at.as_millisecond())
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange::new(at(from), at(to)).unwrap()
}

fn november() -> TimeRange {
    range("2026-11-01T00:00", "2026-12-01T00:00")
}

fn outage(from: &str, minutes: u64) -> Outage {
    let from = at(from);
    let to = from + Duration::from_secs(minutes * MINUTE);
    Outage { range: TimeRange::new(from, to).unwrap(), targets: vec!["web".into()] }
}

fn report(outages: Vec<Outage>, unknown: Vec<TimeRange>, excuses: &[Excuse]) -> Report {
    let availability = Availability { outages, unknown };
    judge(&promise(), november(), at("2027-01-01T00:00"), &availability, excuses).unwrap()
}

fn planned(from: &str, to: &str, announced: &str) -> Excuse {
    let cause = Cause::Planned { announced: at(announced) };
    Excuse { range: range(from, to), cause, reason: "new disks".into() }
}

fn parts(report: &Report) -> Vec<(Option<usize>, u64, Reckoning)> {
    let parts = report.outages.iter().flat_map(|one| &one.parts);
    parts.map(|p| (p.time, p.length.as_secs() / MINUTE, p.reckoning.clone())).collect()
}

#[test]
fn a_month_without_outages_is_kept() {
    let report = report(vec![], vec![], &[]);
    assert_eq!(report.levels[0].whole, Duration::from_secs(30 * 11 * HOUR));
    assert_eq!(report.levels[1].passed, Duration::from_secs(30 * 13 * HOUR));
    for level in &report.levels {
        assert_eq!((level.at_least(), level.standing()), (Some(1.0), Standing::Kept));
    }
    // Two per cent of 330 hours.
    assert_eq!(report.levels[0].left(), Duration::from_secs_f64(6.6 * HOUR as f64));
}

#[test]
fn an_outage_counts_in_each_time_it_lies_in() {
    let report = report(vec![outage("2026-11-10T17:00", 90)], vec![], &[]);
    let counts = Reckoning::Counts;
    assert_eq!(parts(&report), [(Some(0), 60, counts.clone()), (Some(1), 30, counts)]);
    assert_eq!(report.levels[0].at_most(), Some(1.0 - 1.0 / 330.0));
    let broken = super::tests::report(vec![outage("2026-11-10T08:00", 6 * 60 + 37)], vec![], &[]);
    assert_eq!(broken.levels[0].standing(), Standing::Broken, "more than 6.6 hours");
    assert_eq!(broken.levels[0].left(), Duration::ZERO);
}

#[test]
fn short_ones_do_not_count_until_there_are_too_many() {
    let few = ["2026-11-10T08:00", "2026-11-10T09:00", "2026-11-12T09:00"];
    let found = report(few.map(|from| outage(from, 4)).to_vec(), vec![], &[]);
    assert!(parts(&found).iter().all(|part| part.2 == Reckoning::Short), "{found:?}");
    assert_eq!(
        (found.levels[0].counted, found.levels[0].not_counted.as_secs()),
        (Duration::ZERO, 720)
    );
    let long = report(vec![outage("2026-11-10T08:00", 5)], vec![], &[]);
    assert_eq!(parts(&long), [(Some(0), 5, Reckoning::Counts)], "not shorter than five minutes");
    let day = ["2026-11-10T08:00", "2026-11-10T09:00", "2026-11-10T10:00", "2026-11-12T10:00"];
    let found = report(day.map(|from| outage(from, 4)).to_vec(), vec![], &[]);
    let reckonings: Vec<_> = parts(&found).into_iter().map(|part| part.2).collect();
    let three = Reckoning::CountsTooManyThatDay(3);
    let week = Reckoning::CountsTooManyThatWeek(4);
    assert_eq!(reckonings, [three.clone(), three.clone(), three, week]);
    // The week from Monday, the 30th of November, ends in December.
    let week = ["2026-11-30T08:00", "2026-12-01T08:00", "2026-12-02T08:00", "2026-12-06T23:00"];
    let found = report(week.map(|from| outage(from, 4)).to_vec(), vec![], &[]);
    assert_eq!(parts(&found), [(Some(0), 4, Reckoning::CountsTooManyThatWeek(4))]);
    let next = ["2026-11-29T08:00", "2026-11-30T08:00", "2026-12-02T08:00", "2026-12-06T23:00"];
    let found = report(next.map(|from| outage(from, 4)).to_vec(), vec![], &[]);
    assert!(
        parts(&found).iter().all(|part| part.2 == Reckoning::Short),
        "a Sunday is the week before"
    );
}

#[test]
fn announced_work_does_not_count_up_to_its_hours() {
    let work = planned("2026-11-20T16:00", "2026-11-20T20:00", "2026-11-13T16:00");
    let found = report(vec![outage("2026-11-20T15:30", 240)], vec![], &[work]);
    let why = || Arc::from("new disks");
    let expected = [
        (Some(0), 120, Reckoning::Planned(why())),
        (Some(0), 30, Reckoning::Counts),
        (Some(1), 90, Reckoning::Planned(why())),
    ];
    assert_eq!(parts(&found), expected);
    let works = [
        planned("2026-11-20T10:00", "2026-11-20T12:00", "2026-11-01T00:00"),
        planned("2026-11-21T10:00", "2026-11-21T11:00", "2026-11-01T00:00"),
        planned("2026-11-22T10:00", "2026-11-22T11:00", "2026-11-15T10:01"),
    ];
    let outages = [("2026-11-20T10:30", 60), ("2026-11-21T09:59", 90), ("2026-11-22T10:00", 30)];
    let found = report(outages.map(|(from, long)| outage(from, long)).to_vec(), vec![], &works);
    let expected = [
        (Some(0), 60, Reckoning::Planned(why())),
        (Some(0), 60, Reckoning::Planned(why())),
        (Some(0), 30, Reckoning::Counts),
        (Some(0), 30, Reckoning::CountsAnnouncedLate(why())),
    ];
    assert_eq!(parts(&found), expected);
    let long = planned("2026-11-20T08:00", "2026-11-20T18:00", "2026-11-01T00:00");
    let found = report(vec![outage("2026-11-20T09:00", 180)], vec![], &[long]);
    let expected = [
        (Some(0), 120, Reckoning::Planned(why())),
        (Some(0), 60, Reckoning::CountsBeyondPlanned(why())),
    ];
    assert_eq!(parts(&found), expected);
}

#[test]
fn what_nobody_could_help_or_the_customer_wanted_does_not_count() {
    let excuse = |cause| Excuse {
        range: range("2026-11-20T08:00", "2026-11-20T12:00"),
        cause,
        reason: "digger".into(),
    };
    let outages = || vec![outage("2026-11-20T11:00", 90)];
    let dark = || vec![range("2026-11-20T09:00", "2026-11-20T10:00")];
    let found = report(outages(), dark(), &[excuse(Cause::ForceMajeure)]);
    let expected =
        [(Some(0), 60, Reckoning::ForceMajeure("digger".into())), (Some(0), 30, Reckoning::Counts)];
    assert_eq!(parts(&found), expected);
    assert_eq!(found.levels[0].unknown, Duration::ZERO);
    let found = report(outages(), dark(), &[excuse(Cause::ByCustomer)]);
    assert_eq!(parts(&found)[0].2, Reckoning::ByCustomer("digger".into()));
    // A short one in such a time is none of the two of a day.
    let shorts = ["2026-11-20T09:00", "2026-11-20T13:00", "2026-11-20T14:00"];
    let shorts = shorts.map(|from| outage(from, 3)).to_vec();
    let found = report(shorts, vec![], &[excuse(Cause::ByCustomer)]);
    assert_eq!(parts(&found)[1].2, Reckoning::Short);
}

#[test]
fn full_availability_is_never_claimed_from_no_data() {
    let dark = vec![range("2026-11-03T08:00", "2026-11-03T16:00")];
    let found = report(vec![], dark, &[]);
    let level = &found.levels[0];
    assert_eq!(level.unknown, Duration::from_secs(8 * HOUR));
    assert_eq!((level.at_most(), level.at_least()), (Some(1.0), Some(1.0 - 8.0 / 330.0)));
    assert_eq!(level.standing(), Standing::NotKnown);
    assert_eq!(found.levels[1].standing(), Standing::Kept);
}

#[test]
fn a_month_that_goes_on_is_judged_so_far() {
    let availability = Availability::default();
    let now = at("2026-11-11T00:00");
    let found = judge(&promise(), november(), now, &availability, &[]).unwrap();
    assert_eq!(found.levels[0].passed, Duration::from_secs(10 * 11 * HOUR));
    assert_eq!(found.levels[0].whole, Duration::from_secs(30 * 11 * HOUR));
    assert_eq!(found.levels[0].standing(), Standing::Open);
    // Two hours after midnight no day time has passed: nothing is said of it, least of all 100 %.
    let night = judge(&promise(), november(), at("2026-11-01T02:00"), &availability, &[]).unwrap();
    assert_eq!((night.levels[0].at_most(), night.levels[0].standing()), (None, Standing::Open));
    let early = |minutes| Availability {
        outages: vec![outage("2026-11-01T08:00", minutes)],
        unknown: vec![],
    };
    let standing = |minutes| {
        let now = at("2026-11-02T00:00");
        let found = judge(&promise(), november(), now, &early(minutes), &[]).unwrap();
        found.levels[0].standing()
    };
    assert_eq!(standing(6 * 60 + 36), Standing::Open, "a day is bad, the month may be good");
    assert_eq!(standing(6 * 60 + 37), Standing::Broken);
    assert_eq!(judge(&promise(), november(), at("2026-10-31T23:00"), &availability, &[]), None);
    let all = needed(november());
    assert!(all.contains(at("2026-10-26T00:00")) && all.contains(at("2026-12-06T23:59")));
}
