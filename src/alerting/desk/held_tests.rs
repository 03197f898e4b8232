//! What is held back: silences, inhibition, time intervals, and the time after the start.

use std::sync::Arc;
use std::time::Duration;

use super::tests::{anna, at, firing, over, owners, reasons, run, whys};
use super::*;
use crate::alerting::Why;

fn order(matcher: &str, until: crate::ports::Until) -> crate::ports::SilenceOrder {
    crate::ports::SilenceOrder {
        id: None,
        scope: crate::ports::Scope::Matching(crate::alerting::parse_matchers(matcher).unwrap()),
        starts: None,
        until,
        comment: "work".into(),
    }
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

/// A reload takes away the routes before and behind the one that is closed: what is held back there is
/// told when it opens all the same, to the minute, and nothing is looked for where nothing is.
#[test]
fn what_waits_for_a_window_outlives_a_reload() {
    use crate::alerting::{RouteSpec, RouteTree};
    use crate::calendar::{TimeInterval, parse_times};
    let plan = |services: &[&str]| {
        let child = |service: &&str| RouteSpec {
            matchers: crate::alerting::parse_matchers(&format!("service={service}")).unwrap(),
            mute: vec!["first hour".into()],
            group_by: Some(crate::alerting::GroupBy::All),
            ..RouteSpec::default()
        };
        let root = RouteSpec {
            receiver: Some("web".into()),
            group_wait: Some(Duration::from_millis(100)),
            group_interval: Some(Duration::from_secs(2_000)),
            children: services.iter().map(child).collect(),
            ..RouteSpec::default()
        };
        let mut plan = Plan::new(RouteTree::new(root).unwrap(), Ends::ReachWhoHeard);
        let times = Some(vec![parse_times("00:00", "01:00").unwrap()]);
        let first_hour = TimeInterval { times, ..TimeInterval::always() };
        plan.intervals.insert("first hour".into(), vec![first_hour]);
        plan.resolve_timeout = Duration::from_secs(86_400);
        Arc::new(plan)
    };
    let mut desk = Desk::new(plan(&["a", "b", "home", "mail", "list"]));
    // at(0) is 1,000 s after midnight.
    let hour = 2_600_000;
    desk.offer(at(0), vec![firing("Down", "home", at(0)), firing("Down", "mail", at(0))]);
    desk.offer(at(0), vec![firing("Down", "list", at(0))]);
    assert_eq!(run(&mut desk, at(1_000)), []);
    desk.replace(plan(&["home", "mail"]), at(2_000));
    let told = run(&mut desk, at(hour + 1_000));
    let told: Vec<(i64, Why)> = told.into_iter().map(|(at, why, ..)| (at, why)).collect();
    // The one without a closed route any more, and the two in one digest when theirs opens.
    assert_eq!(told, [(37_000, Why::First), (hour, Why::Digest)]);
}
