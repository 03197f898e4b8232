use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::alerting::{Directory, Owner, Timing, Why};
use crate::model::NonEmpty;
use crate::ports::Address;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + millis)
}

fn owners(names: &[&str]) -> Arc<Plan> {
    let owner = |name: &&str| Owner {
        name: (*name).into(),
        addresses: NonEmpty::of(Address::Email(format!("{name}@example.org").into())),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let directory = Directory { owners: names.iter().map(owner).collect(), ..Directory::default() };
    Arc::new(Plan::of_owners(&directory, Timing::default()).unwrap())
}

fn labels(name: &str, owner: &str, service: &str) -> Labels {
    let pairs = [("alertname", name), ("owner", owner), ("service", service)];
    Labels::from_pairs(pairs).unwrap()
}

fn alert(labels: Labels, phase: Phase) -> Alert {
    let annotations = Labels::empty();
    Alert { labels, annotations, phase, value: Some(1.0), ends: None, generator: "".into() }
}

fn firing(name: &str, service: &str, since: Timestamp) -> Alert {
    alert(labels(name, "web", service), Phase::Firing { since, fired: since })
}

fn over(name: &str, service: &str, fired: Timestamp, resolved: Timestamp) -> Alert {
    alert(labels(name, "web", service), Phase::Resolved { fired, resolved })
}

/// Lets the desk speak whenever it wants to, until an instant.
fn run(desk: &mut Desk, until: Timestamp) -> Vec<(i64, Why, usize, String)> {
    let mut said = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= until) {
        for Decision { notice, .. } in desk.flush(due).decisions {
            let after = notice.at.millis() - at(0).millis();
            said.push((after, notice.why, notice.alerts.len(), notice.incident));
        }
    }
    said
}

fn whys(said: &[(i64, Why, usize, String)]) -> Vec<(i64, Why, usize)> {
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
    let to_office = desk.flush(at(1_100));
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

fn silence(id: &str, matcher: &str, from: Timestamp, until: Timestamp) -> Silence {
    Silence {
        id: id.into(),
        matchers: crate::alerting::parse_matchers(matcher).unwrap(),
        starts: from,
        ends: until,
        created_by: "me".into(),
        comment: "work".into(),
        updated: from,
        until_resolved: false,
        incident: None,
    }
}

#[test]
fn what_is_silenced_is_told_when_the_silence_ends() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.silence(vec![
        silence("s1", "service=home", at(0), at(100_000)),
        silence("s2", "service=~ma.*", at(0), at(50)),
    ]);
    desk.offer(at(0), vec![firing("Down", "home", at(0)), firing("Down", "mail", at(0))]);
    assert_eq!(whys(&run(&mut desk, at(99_000))), [(100, Why::First, 1)], "s2 is over");
    let held = desk.status(at(99_000)).into_iter().flat_map(|group| group.alerts);
    let held: Vec<_> = held.filter_map(|alert| alert.why_not).collect();
    assert_eq!(held, [WhyNot::Silenced { silence: "s1".into() }]);
    assert_eq!(whys(&run(&mut desk, at(130_000))), [(120_100, Why::First, 1)]);
}

#[test]
fn the_end_is_heard_through_a_silence() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    run(&mut desk, at(1_000));
    desk.silence(vec![silence("s1", "service=home", at(0), at(10_000_000))]);
    desk.offer(at(5_000), vec![over("Down", "home", at(0), at(5_000))]);
    assert_eq!(whys(&run(&mut desk, at(60_000))), [(30_100, Why::AllResolved, 1)]);
}

#[test]
fn an_alert_that_another_one_explains_is_held_back() {
    use crate::alerting::{InhibitRule, parse_matchers};
    let mut plan = Plan::clone(&owners(&["web"]));
    plan.inhibit.push(InhibitRule {
        name: "".into(),
        source: parse_matchers("alertname=Down").unwrap(),
        target: parse_matchers("alertname=~Slow|Down").unwrap(),
        equal: vec!["service".into()],
        depends_on: None,
    });
    let mut desk = Desk::new(Arc::new(plan));
    desk.offer(at(0), vec![firing("Down", "home", at(0)), firing("Slow", "home", at(0))]);
    desk.offer(at(0), vec![firing("Slow", "mail", at(0))]);
    let said = run(&mut desk, at(1_000));
    assert_eq!(whys(&said), [(100, Why::First, 1), (100, Why::First, 1)]);
    desk.offer(at(2_000), vec![over("Down", "home", at(0), at(2_000))]);
    let said = run(&mut desk, at(40_000));
    assert_eq!(whys(&said), [(30_100, Why::NewAlerts, 2)], "Slow, and the end of Down");
    desk.offer(at(50_000), vec![over("Slow", "home", at(0), at(50_000))]);
    desk.offer(at(50_000), vec![over("Slow", "mail", at(0), at(50_000))]);
    run(&mut desk, at(100_000));
    assert!(desk.alerts.is_empty() && desk.groups.is_empty());
}

#[test]
fn what_was_muted_comes_as_one_message_when_the_window_opens() {
    use crate::alerting::{RouteSpec, RouteTree};
    use crate::calendar::{TimeInterval, parse_times};
    let muted = RouteSpec {
        matchers: crate::alerting::parse_matchers("owner=web").unwrap(),
        mute: vec!["first hour".into()],
        ..RouteSpec::default()
    };
    let root = RouteSpec {
        receiver: Some("web".into()),
        group_wait: Some(Duration::from_millis(100)),
        group_interval: Some(Duration::from_secs(30)),
        children: vec![muted],
        ..RouteSpec::default()
    };
    let mut plan = Plan::new(RouteTree::new(root).unwrap(), Ends::ReachWhoHeard);
    let first_hour = TimeInterval {
        times: Some(vec![parse_times("00:00", "01:00").unwrap()]),
        weekdays: None,
        days_of_month: None,
        months: None,
        years: None,
        except: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
    };
    plan.intervals.insert("first hour".into(), vec![first_hour]);
    plan.resolve_timeout = Duration::from_secs(86_400);
    let mut desk = Desk::new(Arc::new(plan));
    desk.offer(at(0), vec![firing("Down", "home", at(0)), firing("Down", "mail", at(0))]);
    desk.offer(at(9_000), vec![firing("Slow", "home", at(9_000))]);
    desk.offer(at(10_000), vec![over("Slow", "home", at(9_000), at(10_000))]);
    let said = run(&mut desk, at(4_000_000));
    // at(0) is 1,000 s after midnight.
    assert_eq!(whys(&said), [(2_600_000, Why::First, 2)], "at once, to the minute");
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

fn anna() -> crate::ports::Actor {
    crate::ports::Actor { name: "anna".into(), way: crate::model::Way::Link, seen_at: None }
}

fn order(matcher: &str, until: crate::ports::Until) -> crate::ports::SilenceOrder {
    crate::ports::SilenceOrder {
        id: None,
        scope: crate::ports::Scope::Matching(crate::alerting::parse_matchers(matcher).unwrap()),
        starts: None,
        until,
        comment: "work".into(),
    }
}

fn reasons(decided: &Decided) -> Vec<(&'static str, String)> {
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

#[test]
fn nothing_leaks_before_what_inhibits_is_known() {
    use crate::alerting::{InhibitRule, parse_matchers};
    let mut plan = Plan::clone(&owners(&["web"]));
    plan.inhibit.push(InhibitRule {
        name: "".into(),
        source: parse_matchers("alertname=Uplink").unwrap(),
        target: parse_matchers("alertname=Down").unwrap(),
        equal: Vec::new(),
        depends_on: None,
    });
    let mut desk = Desk::new(Arc::new(plan));
    desk.hold(at(20_000), at(0));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    assert_eq!(whys(&run(&mut desk, at(15_000))), []);
    desk.offer(at(15_000), vec![firing("Uplink", "net", at(15_000))]);
    desk.ready(at(15_100));
    let decided = desk.flush(at(15_400));
    let told: Vec<_> = decided.decisions.iter().map(|d| d.notice.group.to_string()).collect();
    assert_eq!(told, [r#"{service="net"}"#]);
    let all = reasons(&decided);
    assert!(all.contains(&("held", "inhibited".to_owned())), "{all:?}");

    let mut alone = Desk::new(owners(&["web"]));
    alone.hold(at(20_000), at(0));
    alone.offer(at(0), vec![firing("Down", "home", at(0))]);
    assert_eq!(whys(&run(&mut alone, at(60_000))), [(20_000, Why::First, 1)], "not for ever");
}

#[test]
fn what_a_night_held_back_comes_as_one_digest_and_ends_once() {
    use crate::calendar::{TimeInterval, parse_times};
    let mut plan = Plan::clone(&owners(&["web"]));
    let root = crate::alerting::RouteSpec {
        receiver: Some("web".into()),
        group_by: Some(crate::alerting::GroupBy::labels(&["service"])),
        group_wait: Some(Duration::from_millis(100)),
        group_interval: Some(Duration::from_secs(30)),
        children: vec![crate::alerting::RouteSpec {
            matchers: crate::alerting::parse_matchers("owner=web").unwrap(),
            active: vec!["day".into()],
            ..Default::default()
        }],
        ..Default::default()
    };
    plan.routes = crate::alerting::RouteTree::new(root).unwrap();
    plan.resolve_timeout = Duration::from_secs(86_400);
    let day = TimeInterval {
        times: Some(vec![parse_times("01:00", "23:00").unwrap()]),
        weekdays: None,
        days_of_month: None,
        months: None,
        years: None,
        except: Vec::new(),
        zone: jiff::tz::TimeZone::UTC,
    };
    plan.intervals.insert("day".into(), vec![day]);
    let plan = Arc::new(plan);
    let mut desk = Desk::new(plan.clone());
    for service in ["home", "mail", "list"] {
        desk.offer(at(0), vec![firing("Down", service, at(0))]);
    }
    let held = desk.flush(at(100));
    assert_eq!((held.decisions.len(), held.journal.len()), (0, 3), "{held:?}");
    assert!(reasons(&held).iter().all(|(_, why)| why == "outside-hours"));
    assert_eq!(whys(&run(&mut desk, at(2_599_999))), []);
    // at(0) is 1,000 s after midnight; the window opens at one o'clock.
    assert_eq!(desk.next_due().map(|due| due.millis() % 60_000), Some(0));
    let opened = desk.flush(at(2_600_000));
    assert_eq!(opened.decisions.len(), 1, "one digest");
    let digest = &opened.decisions[0].notice;
    assert_eq!((digest.why, digest.alerts.len()), (Why::Digest, 3));
    assert!(digest.alerts.iter().all(|alert| alert.phase.since() == at(0)), "since when");
    assert!(opened.incidents[0].digest);
    assert_eq!(whys(&run(&mut desk, at(3_000_000))), [], "nothing is told twice");

    // Also after a restart, the digest's end is told once, to the same thread.
    let mut again = Desk::restore(plan, opened.incidents.clone(), at(3_000_000));
    for service in ["home", "mail", "list"] {
        again.offer(at(3_000_100), vec![firing("Down", service, at(0))]);
    }
    again.offer(at(3_000_200), vec![over("Down", "mail", at(0), at(3_000_200))]);
    for desk in [&mut again, &mut desk] {
        desk.offer(at(3_000_300), vec![over("Down", "mail", at(0), at(3_000_200))]);
        let part = run(desk, at(3_100_000));
        assert_eq!(part.iter().map(|p| p.1).collect::<Vec<_>>(), [Why::NewResolved]);
        desk.offer(at(3_100_000), vec![over("Down", "home", at(0), at(3_100_000))]);
        desk.offer(at(3_100_000), vec![over("Down", "list", at(0), at(3_100_000))]);
        let end = run(desk, at(3_200_000));
        assert_eq!(end.iter().map(|p| p.1).collect::<Vec<_>>(), [Why::AllResolved]);
        assert_eq!(end[0].3, digest.incident);
        assert!(desk.alerts.is_empty() && desk.groups.is_empty(), "nothing is left behind");
    }
}

#[test]
fn a_silence_until_resolved_ends_with_its_alerts() {
    use crate::ports::{ActError, Until};
    let mut desk = Desk::new(owners(&["web"]));
    let until = Until::Resolved { at_most: Duration::from_secs(3600) };
    let refused = desk.order_silence(order("service=home", until), &anna(), "a".into(), at(0));
    assert!(matches!(refused, Err(ActError::Refused(_))), "nothing fires");
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let made = desk.order_silence(order("service=home", until), &anna(), "a".into(), at(0));
    assert_eq!(&*made.unwrap(), "a");
    let saved = desk.flush(at(0));
    assert_eq!((saved.silences.len(), &*saved.silences[0].created_by), (1, "anna"));
    assert_eq!(whys(&run(&mut desk, at(50_000))), []);
    desk.offer(at(50_000), vec![over("Down", "home", at(0), at(50_000))]);
    let mut ended = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= at(90_000)) {
        ended.extend(desk.flush(due.max(at(50_000))).silences);
    }
    assert_eq!(ended.len(), 1);
    assert!(ended[0].ends <= at(90_000));
    assert_eq!(desk.next_due(), None);
    desk.offer(at(100_000), vec![firing("Down", "home", at(100_000))]);
    assert_eq!(whys(&run(&mut desk, at(110_000))), [(100_100, Why::First, 1)], "it is news again");
}

#[test]
fn a_silence_for_an_incident_silences_that_one_and_ends_with_it() {
    use crate::ports::{Scope, Until};
    let mut desk = Desk::new(owners(&["web"]));
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let incident = desk.flush(at(100)).decisions.remove(0).notice.incident;
    let mut wanted = order("a=b", Until::For(Duration::from_secs(7200)));
    wanted.scope = Scope::Incident(incident.as_str().into());
    desk.order_silence(wanted, &anna(), "a".into(), at(400)).unwrap();
    desk.offer(
        at(1_000),
        vec![firing("Slow", "home", at(1_000)), firing("Down", "mail", at(1_000))],
    );
    let said = run(&mut desk, at(100_000));
    assert_eq!(whys(&said), [(1_100, Why::First, 1)], "the other service");
    for name in ["Down", "Slow"] {
        desk.offer(at(100_000), vec![over(name, "home", at(0), at(100_000))]);
    }
    assert_eq!(run(&mut desk, at(200_000)).len(), 1, "its end is heard");
    assert!(desk.silences()[0].ends <= at(200_000));
}

#[test]
fn silences_are_changed_as_alertmanager_changes_them() {
    use crate::ports::{ActError, Until};
    let hour = Duration::from_secs(3600);
    let mut desk = Desk::new(owners(&["web"]));
    let mut make = |order, id: &str, now| desk.order_silence(order, &anna(), id.into(), now);
    let first = make(order("a=b", Until::For(hour)), "one", at(0)).unwrap();
    // The same with another end: the same silence.
    let mut longer = order("a=b", Until::Instant(at(0) + hour * 2));
    longer.id = Some(first.clone());
    longer.starts = Some(at(0));
    assert_eq!(make(longer, "two", at(10)).unwrap(), first);
    // With other matchers: the old one ends, a new one begins.
    let mut other = order("a=c", Until::For(hour));
    other.id = Some(first.clone());
    assert_eq!(&*make(other, "three", at(20)).unwrap(), "three");
    let mut unknown = order("a=c", Until::For(hour));
    unknown.id = Some("nobody".into());
    assert!(matches!(make(unknown, "four", at(20)), Err(ActError::NoSilence(_))));
    for (matcher, until) in [
        ("a=\"\"", Until::For(hour)),
        ("a=~\".*\"", Until::For(hour)),
        ("a=b", Until::Instant(at(-5_000))),
        ("a=b", Until::For(Duration::ZERO)),
        ("a=b", Until::For(hour * 24 * 366 * 6)),
    ] {
        assert!(matches!(make(order(matcher, until), "x", at(20)), Err(ActError::Refused(_))));
    }
    let ends: Vec<_> = desk.silences().iter().map(|s| (s.id.to_string(), s.ends)).collect();
    assert_eq!(ends[0], ("one".to_owned(), at(20)));
    assert_eq!(ends[1], ("three".to_owned(), at(20) + hour));
    desk.expire_silence("three", &anna(), at(30)).unwrap();
    assert!(matches!(desk.expire_silence("three", &anna(), at(40)), Err(ActError::Refused(_))));
    assert!(matches!(desk.expire_silence("five", &anna(), at(40)), Err(ActError::NoSilence(_))));
}

#[test]
fn every_reason_to_hold_something_back_is_in_the_log_once() {
    let mut desk = Desk::new(owners(&["web"]));
    desk.silence(vec![silence("s1", "service=home", at(0), at(100_000))]);
    desk.offer(at(0), vec![firing("Down", "home", at(0))]);
    let mut lines = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= at(130_000)) {
        lines.extend(reasons(&desk.flush(due)));
    }
    let expected = [("held", "silenced".to_owned()), ("told", "first".to_owned())];
    assert_eq!(lines, expected);
    desk.offer(at(131_000), vec![over("Down", "home", at(0), at(131_000))]);
    let mut lines = Vec::new();
    while let Some(due) = desk.next_due().filter(|due| *due <= at(200_000)) {
        lines.extend(reasons(&desk.flush(due)));
    }
    assert_eq!(lines, [("told", "all-resolved".to_owned()), ("ended", String::new())]);
}
