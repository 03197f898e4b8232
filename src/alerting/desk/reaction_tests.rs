//! Deadlines: told, kept over repeats and restarts, missed, and met.

use std::sync::Arc;
use std::time::Duration;

use super::tests::{alert, anna, at, over, owners, run};
use super::*;
use crate::alerting::Why;
use crate::calendar::{DaySpan, ServiceHours};
use crate::model::AckKind;
use crate::ports::Event;
use crate::service::reaction::{Reactions, Within};

/// Always open; class 1 within an hour, class 2 within two.
fn plan() -> Arc<Plan> {
    let hours = ServiceHours {
        name: "always".into(),
        zone: jiff::tz::TimeZone::UTC,
        week: std::array::from_fn(|_| vec![DaySpan::parse("00:00-24:00").unwrap()]),
        holidays: Vec::new(),
    };
    let hour = |count: u64| Within::Open(Duration::from_secs(3600 * count));
    let mut plan = Plan::clone(&owners(&["web"]));
    plan.resolve_timeout = Duration::from_secs(10 * 86_400);
    plan.reactions = Arc::new(Reactions {
        within: [("1".into(), hour(1)), ("2".into(), hour(2))].into_iter().collect(),
        hours: Some(Arc::new(hours)),
        ..Reactions::default()
    });
    Arc::new(plan)
}

fn classed(name: &str, class: &str, fired: Timestamp) -> Alert {
    let labels = super::tests::labels(name, "web", "home").with("class", class);
    alert(labels, Phase::Firing { since: fired, fired })
}

const HOUR: i64 = 3_600_000;

fn told(desk: &mut Desk, until: Timestamp) -> Vec<(Why, Option<Timestamp>)> {
    let (mut said, mut steps) = (Vec::new(), 0);
    while let Some(due) = desk.next_due().filter(|due| *due <= until) {
        let decisions = desk.flush(due.max(at(0))).decisions;
        said.extend(decisions.into_iter().map(|d| (d.notice.why, d.notice.react_by)));
        steps += 1;
        assert!(steps < 100_000, "it never rests");
    }
    said
}

#[test]
fn the_earliest_deadline_is_told_until_somebody_knows() {
    let mut desk = Desk::new(plan());
    desk.offer(at(0), vec![classed("Slow", "2", at(0)), classed("Toner", "4", at(0))]);
    assert_eq!(told(&mut desk, at(1_000)), [(Why::First, Some(at(2 * HOUR)))]);
    desk.offer(at(60_000), vec![classed("Down", "1", at(60_000))]);
    let due = at(60_000 + HOUR);
    assert_eq!(told(&mut desk, at(120_000)), [(Why::NewAlerts, Some(due))]);
    let open = &desk.status(at(120_000))[0];
    assert_eq!(open.react_by, Some(due));
    let incident = open.incident.clone().unwrap();
    desk.acknowledge(&incident, AckKind::Claimed, &anna(), at(130_000)).unwrap();
    assert_eq!(told(&mut desk, at(140_000)), [(Why::Acknowledged, None)]);
    assert_eq!(desk.status(at(140_000))[0].react_by, None);
    assert_eq!((desk.overdue_incidents(), desk.missed_deadlines()), (0, 0));
    // It gets worse: what somebody has reacted to is not due again.
    desk.offer(at(200_000), vec![classed("Other", "2", at(200_000))]);
    let mut memory = Vec::new();
    let mut again = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= at(300_000)) {
        let decided = desk.flush(due);
        again.extend(decided.decisions.into_iter().map(|d| (d.notice.why, d.notice.react_by)));
        memory.extend(decided.incidents);
    }
    assert_eq!(again, [(Why::NewAlerts, Some(at(200_000 + 2 * HOUR)))]);
    let restored = Desk::restore(plan(), memory.split_off(memory.len() - 1), at(310_000));
    let due = restored.status(at(310_000))[0].react_by;
    assert_eq!(due, Some(at(200_000 + 2 * HOUR)), "after a restart as well");
}

#[test]
fn a_deadline_is_the_same_after_repeats_and_restarts() {
    let plan = plan();
    let mut desk = Desk::new(plan.clone());
    desk.offer(at(0), vec![classed("Down", "1", at(0))]);
    let memory = desk.flush(at(100)).incidents;
    // Rules that begin again believe that it has just begun.
    let mut again = Desk::restore(plan, memory, at(1_000_000));
    again.offer(at(1_000_100), vec![classed("Down", "1", at(1_000_100))]);
    assert_eq!(again.status(at(1_000_200))[0].react_by, Some(at(HOUR)));
    for at_ in 1..90 {
        again.offer(at(at_ * 1_000_000), vec![classed("Down", "1", at(1_000_100))]);
    }
    let repeats = told(&mut again, at(89_000_000));
    assert_eq!(repeats, [(Why::Repeat, Some(at(HOUR)))]);
    assert_eq!((again.overdue_incidents(), again.missed_deadlines()), (1, 1));
}

#[test]
fn what_nobody_reacts_to_is_overdue_until_somebody_does() {
    let mut desk = Desk::new(plan());
    desk.offer(at(0), vec![classed("Down", "1", at(0))]);
    run(&mut desk, at(1_000));
    assert_eq!(desk.next_due().map(|due| due <= at(HOUR)), Some(true), "wakes for it");
    let mut journal = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= at(HOUR + 60_000)) {
        journal.extend(desk.flush(due).journal);
    }
    let overdue: Vec<_> = journal.iter().filter(|e| e.event == Event::Overdue).collect();
    assert_eq!(overdue.len(), 1);
    assert_eq!(overdue[0].at, at(HOUR), "to the millisecond");
    assert_eq!(overdue[0].detail, format!("due by {}", at(HOUR)));
    assert_eq!((desk.overdue_incidents(), desk.missed_deadlines()), (1, 1));
    let incident = overdue[0].incident.clone().unwrap();
    desk.acknowledge(&incident, AckKind::Acknowledged, &anna(), at(HOUR + 70_000)).unwrap();
    desk.flush(at(HOUR + 70_000));
    assert_eq!((desk.overdue_incidents(), desk.missed_deadlines()), (0, 1));
    // An earlier process has counted it.
    let memory = {
        let mut first = Desk::new(plan());
        first.offer(at(0), vec![classed("Down", "1", at(0))]);
        first.flush(at(100)).incidents
    };
    let mut later = Desk::restore(plan(), memory, at(2 * HOUR));
    later.flush(at(2 * HOUR));
    assert_eq!((later.overdue_incidents(), later.missed_deadlines()), (1, 0));
}

#[test]
fn what_ends_or_is_silenced_in_time_is_not_missed() {
    let mut desk = Desk::new(plan());
    desk.offer(at(0), vec![classed("Down", "1", at(0))]);
    run(&mut desk, at(1_000));
    let labels = classed("Down", "1", at(0)).labels;
    let phase = Phase::Resolved { fired: at(0), resolved: at(HOUR - 10) };
    desk.offer(at(HOUR - 10), vec![alert(labels, phase)]);
    let end = told(&mut desk, at(2 * HOUR));
    assert_eq!(end, [(Why::AllResolved, None)]);
    assert_eq!((desk.overdue_incidents(), desk.missed_deadlines()), (0, 0));
    assert_eq!(desk.next_due(), None, "nothing is left to watch");
    // Without deadlines nothing is watched.
    let mut plain = Desk::new(owners(&["web"]));
    plain.offer(at(0), vec![classed("Down", "1", at(0))]);
    assert_eq!(told(&mut plain, at(1_000)), [(Why::First, None)]);
    plain.offer(at(2_000), vec![over("Down", "home", at(0), at(2_000))]);
}
