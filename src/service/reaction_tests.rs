use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::calendar::DaySpan;

const MINUTE: i64 = 60_000;

/// Mon–Thu 08:30–17:00, Fri 08:30–14:00.
fn support(holidays: &[&str]) -> ServiceHours {
    let span = |text: &str| vec![DaySpan::parse(text).unwrap()];
    let mut week: [Vec<DaySpan>; 7] = Default::default();
    week[..4].fill(span("08:30-17:00"));
    week[4] = span("08:30-14:00");
    ServiceHours {
        name: "support".into(),
        zone: TimeZone::get("Europe/Berlin").unwrap(),
        week,
        holidays: holidays.iter().map(|name| (*name).into()).collect(),
    }
}

fn hours(count: u64) -> Within {
    Within::Open(Duration::from_secs(count * 3600))
}

fn days(count: u16) -> Within {
    Within::Days(NonZeroU16::new(count).unwrap())
}

/// Local time in Berlin.
fn at(text: &str) -> Timestamp {
    let local: DateTime = text.parse().unwrap();
    let instant = local.to_zoned(TimeZone::get("Europe/Berlin").unwrap()).unwrap();
    Timestamp::from_millis(instant.timestamp().as_millisecond())
}

fn shown(hours: &ServiceHours, since: &str, within: Within) -> String {
    let due = due(hours, at(since), within).expect("a deadline");
    let instant = jiff::Timestamp::from_millisecond(due.millis()).unwrap();
    instant.to_zoned(hours.zone.clone()).strftime("%a %F %H:%M").to_string()
}

#[test]
fn the_promise_of_the_co_operative() {
    let support = support(&["DE-BY"]);
    let of = |since, within| shown(&support, since, within);
    assert_eq!(of("2026-11-20T13:00", hours(4)), "Mon 2026-11-23 11:30");
    assert_eq!(of("2026-11-20T13:00", hours(6)), "Mon 2026-11-23 13:30");
    assert_eq!(of("2026-11-20T13:00", hours(8)), "Mon 2026-11-23 15:30");
    assert_eq!(of("2026-11-20T13:00", days(5)), "Fri 2026-11-27 13:00");
    assert_eq!(of("2026-11-18T09:00", hours(4)), "Wed 2026-11-18 13:00");
    // Until the last moment of a day, not the first of the next.
    assert_eq!(of("2026-11-20T10:00", hours(4)), "Fri 2026-11-20 14:00");
    // Nobody is there: the time begins with the hours.
    assert_eq!(of("2026-11-21T03:00", hours(4)), "Mon 2026-11-23 12:30");
    assert_eq!(of("2026-11-20T14:00", hours(4)), "Mon 2026-11-23 12:30");
    assert_eq!(of("2026-11-19T06:00", hours(4)), "Thu 2026-11-19 12:30");
}

#[test]
fn holidays_do_not_count() {
    // Whit Monday; Epiphany (Bavaria) is a Tuesday; Good Friday and Easter Monday.
    let (bavaria, berlin) = (support(&["DE-BY"]), support(&["DE-BE"]));
    assert_eq!(shown(&bavaria, "2026-05-22T13:00", hours(4)), "Tue 2026-05-26 11:30");
    assert_eq!(shown(&bavaria, "2026-01-05T16:00", hours(4)), "Wed 2026-01-07 11:30");
    assert_eq!(shown(&berlin, "2026-01-05T16:00", hours(4)), "Tue 2026-01-06 11:30");
    assert_eq!(shown(&bavaria, "2026-04-02T16:00", hours(4)), "Tue 2026-04-07 11:30");
    assert_eq!(shown(&bavaria, "2026-04-02T16:00", days(1)), "Tue 2026-04-07 16:00");
}

#[test]
fn an_hour_is_an_hour_that_passes() {
    let span = |text: &str| vec![DaySpan::parse(text).unwrap()];
    let around =
        ServiceHours { week: std::array::from_fn(|_| span("00:00-24:00")), ..support(&[]) };
    // 02:00 to 03:00 is left out in March and comes twice in October.
    assert_eq!(shown(&around, "2026-03-29T01:00", hours(4)), "Sun 2026-03-29 06:00");
    assert_eq!(shown(&around, "2026-10-25T01:00", hours(4)), "Sun 2026-10-25 04:00");
    // A day off is a day off, however long.
    assert_eq!(shown(&around, "2026-03-28T10:00", days(1)), "Sun 2026-03-29 10:00");
    // Support opens an hour earlier by UTC.
    assert_eq!(shown(&support(&[]), "2026-03-27T13:00", hours(4)), "Mon 2026-03-30 11:30");
}

#[test]
fn service_days_end_within_the_hours() {
    let support = support(&[]);
    // Thursday at 16:00, and Friday ends at 14:00.
    assert_eq!(shown(&support, "2026-11-19T16:00", days(1)), "Fri 2026-11-20 14:00");
    assert_eq!(shown(&support, "2026-11-19T16:00", days(2)), "Mon 2026-11-23 16:00");
    // It begins to count on Monday at 08:30.
    assert_eq!(shown(&support, "2026-11-21T12:00", days(5)), "Mon 2026-11-30 08:30");
    // The afternoon of the one day is before the morning of the other.
    let mut week: [Vec<DaySpan>; 7] = Default::default();
    week[0] = vec![DaySpan::parse("08:00-18:00").unwrap()];
    week[1] = ["09:00-12:00", "13:00-17:00"].map(|text| DaySpan::parse(text).unwrap()).to_vec();
    let split = ServiceHours { week, ..support };
    assert_eq!(shown(&split, "2026-11-23T08:15", days(1)), "Tue 2026-11-24 09:00");
    assert_eq!(shown(&split, "2026-11-23T12:30", days(1)), "Tue 2026-11-24 12:00");
    assert_eq!(shown(&split, "2026-11-23T13:30", days(1)), "Tue 2026-11-24 13:30");
    assert_eq!(shown(&split, "2026-11-23T17:30", days(1)), "Tue 2026-11-24 17:00");
}

#[test]
fn what_never_opens_is_never_due() {
    let closed = ServiceHours { week: Default::default(), ..support(&[]) };
    assert_eq!(due(&closed, at("2026-11-20T13:00"), hours(1)), None);
    assert_eq!(due(&closed, at("2026-11-20T13:00"), days(1)), None);
    assert_eq!(due(&support(&[]), Timestamp::MAX, hours(1)), None);
    assert_eq!(due(&support(&[]), Timestamp::MIN, days(1)), None);
    // More than the hours of two years.
    assert_eq!(due(&support(&[]), at("2026-11-20T13:00"), hours(20_000)), None);
}

#[test]
fn class_and_service_decide() {
    let own = ServiceHours {
        week: std::array::from_fn(|_| vec![DaySpan::parse("00:00-24:00").unwrap()]),
        ..support(&[])
    };
    let reactions = Reactions {
        within: Reactions::usual(),
        hours: Some(Arc::new(support(&[]))),
        services: [("mail".into(), Arc::new(own))].into_iter().collect(),
    };
    let of = |pairs: &[(&str, &str)]| {
        let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
        reactions.due(&labels, at("2026-11-20T13:00"))
    };
    assert_eq!(of(&[("class", "1"), ("service", "home")]), Some(at("2026-11-23T11:30")));
    assert_eq!(of(&[("class", "1"), ("service", "mail")]), Some(at("2026-11-20T17:00")));
    assert_eq!(of(&[("class", "4")]), Some(at("2026-11-27T13:00")));
    assert_eq!(of(&[("class", "5")]), None);
    assert_eq!(of(&[("severity", "critical")]), None);
    assert_eq!(of(&[("class", "4"), ("severity", "none")]), None);
    assert_eq!(of(&[("class", "2"), ("alertname", OVERDUE)]), None);
    assert!(!reactions.is_empty() && Reactions::default().is_empty());
    let only_mail = Reactions { hours: None, ..reactions };
    let home = Labels::from_pairs([("class", "1"), ("service", "home")]).unwrap();
    assert_eq!(only_mail.due(&home, at("2026-11-20T13:00")), None);
}

/// Zones with clocks that change by an hour, by half an hour, at midnight, or never.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Asuncion",
    "Asia/Kathmandu",
    "UTC",
];

prop_compose! {
    /// Up to three spans a day, some days closed; quarters of an hour.
    fn any_hours(latest: u8)(
        zone in 0..ZONES.len(),
        week in prop::array::uniform7(prop::collection::btree_set(0..=latest, 0..6usize)),
        rests in any::<bool>(),
    ) -> ServiceHours {
        let clock = |quarter: u8| jiff::civil::time((quarter / 4) as i8, (quarter % 4 * 15) as i8, 0, 0);
        let day = |quarters: std::collections::BTreeSet<u8>| {
            let quarters: Vec<u8> = quarters.into_iter().collect();
            let spans = quarters.chunks_exact(2);
            let closes = |quarter: u8| (quarter < 96).then(|| clock(quarter));
            spans.map(|pair| DaySpan::new(clock(pair[0]), closes(pair[1])).unwrap()).collect()
        };
        ServiceHours {
            name: "any".into(),
            zone: TimeZone::get(ZONES[zone]).unwrap(),
            week: week.map(day),
            holidays: if rests { vec!["DE-BY".into()] } else { Vec::new() },
        }
    }
}

/// Whether it is open, by another way: that of the time intervals.
fn open_minutes(hours: &ServiceHours, from: Timestamp, to: Timestamp) -> u64 {
    let intervals = hours.intervals();
    let minutes = (from.millis()..to.millis()).step_by(MINUTE as usize);
    let open = |at: &i64| {
        let at = Timestamp::from_millis(*at);
        intervals.iter().any(|interval| interval.contains(at))
    };
    minutes.filter(open).count() as u64
}

/// Some minute of the years 2024 to 2028, often near a change of clocks.
fn any_minute() -> impl Strategy<Value = Timestamp> {
    let minute = |millis: i64| Timestamp::from_millis(millis.div_euclid(MINUTE) * MINUTE);
    let around = |text: &str| {
        let at: jiff::Timestamp = text.parse().unwrap();
        at.as_millisecond()
    };
    let changes = [
        around("2026-03-29T01:00:00Z"),
        around("2026-10-25T01:00:00Z"),
        around("2026-03-08T07:00:00Z"),
        around("2026-11-01T06:00:00Z"),
        around("2026-04-04T15:00:00Z"),
        around("2024-03-24T03:00:00Z"),
    ];
    let (first, last) = (around("2024-01-01T00:00:00Z"), around("2028-12-31T00:00:00Z"));
    prop_oneof![
        (first..last).prop_map(minute),
        (0..changes.len(), -72i64 * 60..72 * 60)
            .prop_map(move |(which, minutes)| minute(changes[which] + minutes * MINUTE)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_open_time_until_it_is_due_is_the_time_there_is(
        hours in any_hours(96),
        since in any_minute(),
        minutes in 1u64..1_500,
    ) {
        let within = Within::Open(Duration::from_secs(minutes * 60));
        let due = due(&hours, since, within);
        if let Some(due) = due.filter(|due| due.since(since).unwrap() < Duration::from_secs(20 * 86_400)) {
            prop_assert_eq!(open_minutes(&hours, since, due), minutes);
            // Not later than needed: the minute before it was open.
            prop_assert_eq!(open_minutes(&hours, due - Duration::from_secs(60), due), 1);
        }
        prop_assert_eq!(due.is_none(), hours.is_never_open());
    }

    #[test]
    fn what_begins_later_is_not_due_earlier(
        hours in any_hours(96),
        daily in any_hours(96),
        since in any_minute(),
        later in 0i64..4_000,
        minutes in 1u64..1_500,
        count in 1u16..9,
    ) {
        let then = Timestamp::from_millis(since.millis() + later * MINUTE);
        let within = Within::Open(Duration::from_secs(minutes * 60));
        prop_assert!(due(&hours, since, within) <= due(&hours, then, within));
        let longer = Within::Open(Duration::from_secs(minutes * 60 + 60));
        if let Some(due) = due(&hours, since, within) {
            prop_assert!(Some(due) < super::due(&hours, since, longer));
        }
        // Where clocks do not change, times of day are in the order of time.
        let quiet = ServiceHours { zone: TimeZone::UTC, ..daily };
        let due = |at, count| due(&quiet, at, days(count));
        prop_assert!(due(since, count) <= due(then, count));
        if let Some(first) = due(since, count) {
            prop_assert!(since < first && Some(first) < due(since, count + 1));
            let end = first + Duration::from_secs(60);
            let before = first - Duration::from_secs(60);
            prop_assert!(0 < open_minutes(&quiet, before, end), "within the hours");
        }
    }

    #[test]
    fn open_stretches_are_what_the_intervals_contain(hours in any_hours(96), at in any_minute()) {
        let date = hours.date_at(at).unwrap();
        for open in hours.open_on(date) {
            let length = open.length().as_secs() / 60;
            prop_assert_eq!(open_minutes(&hours, open.start(), open.end()), length);
        }
        let around = [date.yesterday().unwrap(), date, date.tomorrow().unwrap()];
        let mut all = around.into_iter().flat_map(|date| hours.open_on(date));
        let open = all.any(|open| open.contains(at));
        prop_assert_eq!(u64::from(open), open_minutes(&hours, at, at + Duration::from_secs(60)));
    }
}
