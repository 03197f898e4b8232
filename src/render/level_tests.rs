use std::sync::Arc;

use super::*;
use crate::model::Timestamp;
use crate::service::availability::{Availability, Outage};
use crate::service::level::judge;
use crate::service::promise::example::council as promise;
use crate::service::promise::{Cause, Excuse};

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn range(from: &str, to: &str) -> TimeRange {
    TimeRange::new(at(from), at(to)).unwrap()
}

fn written(language: &str, now: &str) -> String {
    let outage = |from: &str, to: &str| {
        let targets: Vec<Arc<str>> = vec!["https://rat.example.org/".into()];
        Outage { range: range(from, to), targets }
    };
    let outages = vec![
        outage("2026-11-03T09:00:00Z", "2026-11-03T09:03:20Z"),
        outage("2026-11-05T16:30:00Z", "2026-11-05T18:10:00Z"),
        outage("2026-11-09T07:00:00Z", "2026-11-09T14:00:00Z"),
    ];
    let unknown = vec![range("2026-11-12T20:00:00Z", "2026-11-12T21:30:00Z")];
    let cause = Cause::Planned { announced: at("2026-10-20T08:00:00Z") };
    let work = range("2026-11-05T16:00:00Z", "2026-11-05T18:00:00Z");
    let excuse = Excuse { range: work, cause, reason: "neue Platten".into() };
    let month = range("2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z");
    let (promise, available) = (promise(), Availability { outages, unknown });
    let report = judge(&promise, month, at(now), &available, &[excuse]).unwrap();
    let (service, zone) = ("Ratsinformation", "Europe/Berlin");
    level_report(&Subject { service, month, promise: &promise, language, zone }, &report)
}

#[test]
fn a_month_is_told_outage_by_outage() {
    insta::assert_snapshot!(written("de", "2026-12-02T12:00:00Z"));
    insta::assert_snapshot!(written("en", "2026-11-20T12:00:00Z"));
}

#[test]
fn parts_are_never_rounded_up() {
    let english = Language::english(None);
    let percent = |part| percent(part, &english.voice());
    assert_eq!(percent(1.0), "100.00 %");
    assert_eq!(percent(0.979_999), "97.999 %");
    assert_eq!(percent(0.98), "98.00 %");
    assert_eq!(percent(0.999_999_9), "99.999 %");
}

#[test]
fn lengths_have_two_units_at_most() {
    let shown = [0, 59, 60, 61, 3600, 3660, 7199, 90_000].map(|s| length(Duration::from_secs(s)));
    let expected =
        ["0 s", "59 s", "1 min", "1 min 01 s", "1 h", "1 h 01 min", "1 h 59 min", "25 h"];
    assert_eq!(shown, expected);
}
