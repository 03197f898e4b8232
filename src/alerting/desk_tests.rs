use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::alerting::{Directory, Owner, Timing, Why};
use crate::model::NonEmpty;
use crate::ports::Address;

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

pub(super) fn owners(names: &[&str]) -> Arc<Plan> {
    let owner = |name: &&str| Owner {
        name: (*name).into(),
        addresses: NonEmpty::of(Address::Email(format!("{name}@example.org").into())),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let directory = Directory { owners: names.iter().map(owner).collect(), ..Directory::default() };
    Arc::new(Plan::of_owners(&directory, Timing::default()).unwrap())
}

pub(super) fn labels(name: &str, owner: &str, service: &str) -> Labels {
    let pairs = [("alertname", name), ("owner", owner), ("service", service)];
    Labels::from_pairs(pairs).unwrap()
}

pub(super) fn alert(labels: Labels, phase: Phase) -> Alert {
    let annotations = Labels::empty();
    Alert { labels, annotations, phase, value: Some(1.0), ends: None, generator: "".into() }
}

pub(super) fn firing(name: &str, service: &str, since: Timestamp) -> Alert {
    alert(labels(name, "web", service), Phase::Firing { since, fired: since })
}

pub(super) fn over(name: &str, service: &str, fired: Timestamp, resolved: Timestamp) -> Alert {
    alert(labels(name, "web", service), Phase::Resolved { fired, resolved })
}

/// Lets the desk speak whenever it wants to, until an instant.
pub(super) fn run(desk: &mut Desk, until: Timestamp) -> Vec<(i64, Why, usize, String)> {
    let mut said = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= until) {
        for Decision { notice, .. } in desk.flush(due).decisions {
            let after = notice.at.millis() - at(0).millis();
            said.push((after, notice.why, notice.alerts.len(), notice.incident));
        }
    }
    said
}

pub(super) fn whys(said: &[(i64, Why, usize, String)]) -> Vec<(i64, Why, usize)> {
    said.iter().map(|(at, why, alerts, _)| (*at, *why, *alerts)).collect()
}

#[test]
fn an_incident_is_told_at_once_and_ends_once() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    desk.offer(at(100), vec![firing("Slow", "home", at(100))]);
    let first = run(&mut desk, at(1_000));
    assert_eq!(whys(&first), [(100, Why::First, 2)], "one message below a second");
    for second in 1..100 {
        desk.offer(at(second * 1000), vec![firing("Down", "home", at(0))]);
        desk.offer(at(second * 1000), vec![firing("Slow", "home", at(100))]);
    }
    assert_eq!(run(&mut desk, at(100_000)), [], "levels are no news");
    desk.offer(at(100_500), vec![over("Slow", "home", at(100), at(100_500))]);
    let part = run(&mut desk, at(121_000));
    assert_eq!(whys(&part), [(120_100, Why::NewResolved, 2)]);
    for second in 121..200 {
        let gone = over("Down", "home", at(0), at(121_000));
        desk.offer(at(second * 1000), vec![gone, over("Slow", "home", at(100), at(100_500))]);
    }
    let end = run(&mut desk, at(400_000));
    assert_eq!(whys(&end), [(150_100, Why::AllResolved, 1)]);
    assert_eq!(end[0].3, first[0].3, "the same incident");
    assert_eq!(desk.next_due(), None);
    assert!(desk.alerts.is_empty() && desk.groups.is_empty(), "nothing is left behind");
}

#[test]
fn what_came_and_went_before_the_first_look_is_not_told() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    desk.offer(at(200), vec![over("Down", "home", at(0), at(200))]);
    assert_eq!(run(&mut desk, at(100_000)), []);
    assert!(desk.alerts.is_empty() && desk.groups.is_empty());
}

#[test]
fn an_unchanged_incident_is_repeated_after_the_interval_only() {
    let mut desk = Desk::new(owners(&["web"]));
    let mut said = Vec::new();
    for minute in 0..(30 * 60) {
        let now = at(minute * 60_000);
        desk.offer(now, vec![firing("Down", "home", at(0))]);
        said.extend(run(&mut desk, now + Duration::from_secs(59)));
    }
    assert_eq!(whys(&said), [(100, Why::First, 1), (86_430_100, Why::Repeat, 1)]);
}

#[test]
fn an_alert_nobody_reports_any_more_is_over() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    assert_eq!(
        whys(&run(&mut desk, at(600_000))),
        [(100, Why::First, 1), (300_100, Why::AllResolved, 1)]
    );
}

#[test]
fn a_jump_of_the_wall_clock_ends_nothing() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    run(&mut desk, at(1_000));
    desk.clock_moved(3_600_000);
    assert_eq!(run(&mut desk, at(3_600_000 + 30_000)), []);
    desk.clock_moved(-7_200_000);
    desk.offer(at(-3_570_000), vec![firing("Down", "home", at(0))]);
    assert_eq!(run(&mut desk, at(-3_500_000)), []);
}

#[test]
fn after_a_restart_the_incident_goes_on() {
    let plan = owners(&["web"]);
    let mut desk = Desk::new(plan.clone());
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let decided = desk.flush(at(100));
    let incident = decided.incidents[0].clone();

    let mut again = Desk::restore(plan.clone(), decided.incidents.clone(), at(5_000));
    again.offer(at(6_000), vec![firing("Down", "home", at(0))]);
    assert_eq!(run(&mut again, at(60_000)), [], "known");
    again.offer(at(61_000), vec![over("Down", "home", at(0), at(61_000))]);
    let said = run(&mut again, at(100_000));
    assert_eq!(whys(&said), [(65_000, Why::AllResolved, 1)]);
    assert_eq!(said[0].3, incident.id);

    let mut silent = Desk::restore(plan, decided.incidents, at(5_000));
    let said = run(&mut silent, at(600_000));
    assert_eq!(whys(&said), [(305_000, Why::AllResolved, 1)], "nobody knows of it any more");
}

#[test]
fn who_heard_the_beginning_hears_the_end_after_a_reload() {
    let mut desk = Desk::new(owners(&["web", "office"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let first = desk.flush(at(100)).decisions.remove(0).notice;
    assert_eq!(&*first.receiver, "web");
    desk.replace(owners(&["office"]), at(1_000));
    assert_eq!(desk.flush(at(1_100)).decisions.len(), 0, "it may be gone by now");
    desk.offer(at(1_200), vec![firing("Down", "home", at(0))]);
    let to_office = desk.flush(at(1_200));
    assert_eq!(to_office.decisions.len(), 1);
    assert_eq!(&*to_office.decisions[0].notice.receiver, "office");
    assert_eq!(to_office.decisions[0].notice.why, Why::First);
    desk.offer(at(2_000), vec![over("Down", "home", at(0), at(2_000))]);
    let mut ends = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due < at(100_000)) {
        ends.extend(desk.flush(due).decisions.into_iter().map(|d| d.notice));
    }
    let mut who: Vec<_> = ends.iter().map(|n| (n.receiver.to_string(), n.why)).collect();
    who.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        who,
        [("office".to_owned(), Why::AllResolved), ("web".to_owned(), Why::AllResolved)]
    );
    assert!(desk.alerts.is_empty() && desk.groups.is_empty());
}

/// A service that a reload takes out, or gives to somebody else, ends a moment later; until then its
/// alert has an owner whom nobody knows.
#[test]
fn what_is_gone_after_a_reload_is_told_to_nobody_new() {
    let start = || {
        let mut desk = Desk::new(owners(&["web", "office"]));
        desk.offer(at(0), vec![firing("Down", "home", at(0))]);
        assert_eq!(desk.flush(at(100)).decisions.len(), 1);
        desk.replace(owners(&["office"]), at(1_000));
        desk
    };
    let mut desk = start();
    desk.offer(at(9_000), vec![over("Down", "home", at(0), at(9_000))]);
    let mut told = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due < at(100_000)) {
        told.extend(desk.flush(due).decisions.into_iter().map(|d| d.notice.receiver.to_string()));
    }
    assert_eq!(told, ["web"], "only who heard of it hears its end");
    // Nobody says anything of it: it is told when the time is over.
    let mut desk = start();
    let late = whys(&run(&mut desk, at(60_000)));
    assert_eq!(late, [(36_000, Why::First, 1)]);
}

#[test]
fn a_reload_that_changes_nothing_says_nothing() {
    let plan = owners(&["web"]);
    let mut desk = Desk::new(plan.clone());
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    desk.offer(at(0), vec![firing("Down", "mail", at(0))]);
    assert_eq!(run(&mut desk, at(1_000)).len(), 2, "two services, two messages");
    desk.offer(at(29_000), vec![firing("Down", "list", at(29_000))]);
    desk.replace(plan, at(29_100));
    assert_eq!(whys(&run(&mut desk, at(60_000))), [(29_100, Why::First, 1)]);
}

#[test]
fn ten_thousand_levels_again_are_cheap_and_no_news() {
    let mut desk = Desk::new(owners(&["web"]));
    let many = |now| {
        let each = |i: usize| firing(&format!("A{}", i % 20), &format!("s{}", i / 20), now);
        (0..10_000).map(each).collect::<Vec<_>>()
    };
    desk.offer(at(0), many(at(0)));
    assert_eq!(run(&mut desk, at(1_000)).len(), 500);
    desk.offer(at(60_000), many(at(0)));
    assert_eq!(run(&mut desk, at(90_000)), []);
}

#[test]
fn others_who_are_told_are_named() {
    use crate::alerting::{RouteSpec, RouteTree};
    let to = |name: &str, go_on| RouteSpec {
        receiver: Some(name.into()),
        matchers: vec![crate::model::Matcher::equal("owner", "web")],
        go_on,
        ..RouteSpec::default()
    };
    let root = RouteSpec {
        receiver: Some("root".into()),
        children: vec![to("a", true), to("b", false)],
        ..RouteSpec::default()
    };
    let plan = Plan::new(RouteTree::new(root).unwrap(), Ends::AsAlertmanager);
    let mut desk = Desk::new(Arc::new(plan));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let told = desk.flush(at(30_000)).decisions;
    let also: Vec<_> =
        told.iter().map(|d| (d.notice.receiver.to_string(), d.notice.also_told.clone())).collect();
    assert_eq!(also, [("a".to_owned(), vec!["b".into()]), ("b".to_owned(), vec![Arc::from("a")])]);
}

#[test]
fn what_comes_and_goes_is_told_three_times_and_then_not_over_too_early() {
    let mut desk = Desk::new(owners(&["web"]));
    let mut said = Vec::new();
    // Two minutes down, two minutes up, for an hour.
    for minute in 0..60 {
        let now = at(minute * 60_000);
        let alert = match minute % 4 {
            0 | 1 => firing("Down", "home", now),
            _ => over("Down", "home", now, now),
        };
        desk.offer(now, vec![alert]);
        said.extend(run(&mut desk, now + Duration::from_secs(59)));
    }
    let expected = [
        Why::First,
        Why::AllResolved,
        Why::First,
        Why::AllResolved,
        Why::First,
        Why::AllResolved,
        Why::First,
    ];
    assert_eq!(said.iter().map(|(_, why, ..)| *why).collect::<Vec<_>>(), expected);
    let end = run(&mut desk, at(120 * 60_000));
    assert_eq!(end.len(), 1, "and one end when it is quiet");
    let quiet = end[0].0 - 58 * 60_000;
    assert!((600_000..=630_100).contains(&quiet), "{quiet} ms of quiet");
    assert!(desk.alerts.is_empty() && desk.groups.is_empty());
}

pub(super) fn anna() -> crate::ports::Actor {
    crate::ports::Actor { name: "anna".into(), way: crate::model::Way::Link, seen_at: None }
}

pub(super) fn reasons(decided: &Decided) -> Vec<(&'static str, String)> {
    let line = |entry: &Entry| (entry.event.name(), entry.reason.to_string());
    decided.journal.iter().map(line).collect()
}

#[test]
fn what_somebody_knows_is_not_repeated_until_it_gets_worse() {
    use crate::model::AckKind;
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let first = desk.flush(at(100)).decisions.remove(0).notice;
    let refused = desk.acknowledge("nothing", AckKind::Claimed, &anna(), at(400));
    assert!(matches!(refused, Err(crate::ports::ActError::NoIncident(_))));
    desk.acknowledge(&first.incident, AckKind::Claimed, &anna(), at(500)).unwrap();
    desk.acknowledge(&first.incident, AckKind::Acknowledged, &anna(), at(501)).unwrap();
    assert_eq!(desk.next_due(), Some(Timestamp::MIN), "the others hear at once");
    let said = desk.flush(at(502));
    assert_eq!(said.decisions.len(), 1, "once");
    let notice = &said.decisions[0].notice;
    assert_eq!((notice.why, notice.incident == first.incident), (Why::Acknowledged, true));
    assert_eq!(notice.acknowledged.as_ref().unwrap().by.as_ref(), "anna");
    assert_eq!(said.incidents[0].acknowledged, notice.acknowledged);
    assert_eq!(reasons(&said), [("claimed", "link".to_owned())]);
    let mut later = Vec::new();
    for hour in 1..50 {
        let now = at(hour * 3_600_000);
        desk.offer(now, vec![firing("Down", "home", at(0))]);
        later.extend(run(&mut desk, now + Duration::from_secs(60)));
    }
    assert_eq!(later, [], "no repeat after a day");
    let now = at(50 * 3_600_000);
    let again = Desk::restore(owners(&["web"]), said.incidents.clone(), now);
    assert!(again.status(now)[0].acknowledged.is_some(), "a restart does not forget it");
    desk.offer(now, vec![firing("Down", "home", at(0)), firing("Slow", "home", now)]);
    let worse = desk.flush(now + Duration::from_secs(30));
    assert_eq!(worse.decisions[0].notice.why, Why::NewAlerts);
    assert!(worse.incidents[0].acknowledged.is_none());
    assert!(reasons(&worse).contains(&("lapsed", "new-alerts".to_owned())), "{worse:?}");
}
