use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::problem::{Position, suggestion};
use super::reader::Reader;
use super::yaml::{Key, Kind, Node};
use super::{Basics, Promised};
use crate::calendar::ServiceHours;
use crate::model::{TimeRange, Timestamp};
use crate::service::availability::DownWhen;
use crate::service::promise::{Cause, Excuse, Promise, ServiceTime, Short};

const DOWN_WHEN: &[(&str, DownWhen)] = &[("any", DownWhen::Any), ("all", DownWhen::All)];
const DAY: Duration = Duration::from_secs(86_400);
/// Nobody promises more than a month.
const MONTH: Duration = Duration::from_secs(31 * 86_400);

/// The services that name a promise, each with what it names.
fn naming(services: Option<&Node>) -> Vec<(&Key, &Node)> {
    let Some(Kind::Map(services)) = services.map(|node| &node.kind) else { return Vec::new() };
    let named = services.iter().filter_map(|(key, service)| {
        let Kind::Map(entries) = &service.kind else { return None };
        let (_, node) = entries.iter().find(|(key, _)| key.text == "promise")?;
        Some((key, &**node))
    });
    named.collect()
}

/// `promises:`, and which service has which.
pub fn read(
    node: Option<&Node>,
    services: Option<&Node>,
    calendars: &[(ServiceHours, Position)],
    basics: &Basics,
    reader: &mut Reader<'_>,
) -> Vec<Promised> {
    let fields = node.and_then(|node| reader.fields(node, "promises"));
    let entries = fields.map(|mut fields| fields.all()).unwrap_or_default();
    let read = entries.iter().filter_map(|(key, node)| {
        promise(&key.text, node, calendars, basics, reader).map(Arc::new)
    });
    let promises: Vec<Arc<Promise>> = read.collect();
    let mut promised = Vec::new();
    for (key, node) in naming(services) {
        let Some(name) = reader.text(node, "promise") else { continue };
        let known = || entries.iter().map(|(key, _)| key.text.as_str());
        if let Some(promise) = promises.iter().find(|promise| promise.name == name) {
            let (service, promise) = (key.text.as_str().into(), promise.clone());
            promised.push(Promised { service, promise });
        } else if !known().any(|known| *known == *name) {
            let near = suggestion(&name, known());
            reader.problem(node.at, format!("there is no promise `{name}` in `promises`{near}"));
        }
    }
    promised
}

fn promise(
    name: &str,
    node: &Node,
    calendars: &[(ServiceHours, Position)],
    basics: &Basics,
    reader: &mut Reader<'_>,
) -> Option<Promise> {
    let what = format!("promise `{name}`");
    let mut one = reader.fields(node, &what)?;
    let times = one.need("times", reader);
    let mut times = times.and_then(|node| reader.fields(node, "times"))?;
    let mut found = Vec::new();
    for (key, node) in times.all() {
        found.extend(service_time(&key.text, node, calendars, reader));
    }
    let short = one.get("short").and_then(|node| short(node, reader));
    let announced = one.get("announced");
    let announced =
        announced.and_then(|node| reader.duration(node, "announced", Duration::ZERO, 12 * MONTH));
    let down_when = one.get("down_when");
    let down_when = down_when.and_then(|node| reader.choice(node, "down_when", DOWN_WHEN));
    let probes = one.get("probes").map(|node| reader.list(node)).unwrap_or_default();
    let probes = probes.into_iter().filter_map(|node| kind(node, reader)).collect();
    one.finish(reader);
    Some(Promise {
        name: name.into(),
        zone: TimeZone::get(&basics.timezone).unwrap_or(TimeZone::UTC),
        times: found,
        short,
        announced: announced.unwrap_or(7 * DAY),
        down_when: down_when.unwrap_or_default(),
        probes,
    })
}

fn kind(node: &Node, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let name = reader.text(node, "probes")?;
    let known = super::probes::KINDS;
    if !known.contains(&&*name) {
        let near = suggestion(&name, known.iter().copied());
        reader.problem(node.at, format!("there is no kind of probe `{name}`{near}"));
        return None;
    }
    Some(name)
}

fn service_time(
    name: &str,
    node: &Node,
    calendars: &[(ServiceHours, Position)],
    reader: &mut Reader<'_>,
) -> Option<ServiceTime> {
    let what = format!("service time `{name}`");
    let mut one = reader.fields(node, &what)?;
    let hours = one.need("calendar", reader).and_then(|node| {
        let name = reader.text(node, "calendar")?;
        let found = calendars.iter().find(|(hours, _)| *hours.name == *name);
        if found.is_none() {
            let near = suggestion(&name, calendars.iter().map(|(hours, _)| &*hours.name));
            reader.problem(node.at, format!("there is no calendar `{name}` in `calendars`{near}"));
        }
        found.map(|(hours, _)| hours.clone())
    });
    let available = one.need("available", reader).and_then(|node| ratio(node, reader));
    let planned = one.get("planned");
    let planned = planned.and_then(|node| reader.duration(node, "planned", Duration::ZERO, MONTH));
    one.finish(reader);
    Some(ServiceTime {
        name: name.into(),
        hours: hours?,
        available: available?,
        planned: planned.unwrap_or_default(),
    })
}

/// `98%` or `0.98`.
fn ratio(node: &Node, reader: &mut Reader<'_>) -> Option<f64> {
    let text = node.text().unwrap_or_default().trim();
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    match number {
        Ok(number) if number > 0.0 && number <= 1.0 => Some(number),
        _ => reader.expected(node, "available", "a part such as `98%` or `0.98`"),
    }
}

fn short(node: &Node, reader: &mut Reader<'_>) -> Option<Short> {
    let mut one = reader.fields(node, "short")?;
    let below = one.need("below", reader);
    let below = below.and_then(|node| reader.duration(node, "below", Duration::from_secs(1), DAY));
    let mut number = |name: &'static str| {
        let node = one.get(name)?;
        usize::try_from(reader.number(node, name, 0, 10_000)?).ok()
    };
    let (per_day, per_week) = (number("per_day"), number("per_week"));
    one.finish(reader);
    let (per_day, per_week) = (per_day.unwrap_or(usize::MAX), per_week.unwrap_or(usize::MAX));
    Some(Short { below: below?, per_day, per_week })
}

/// `maintenance:`: services, and times in which their outages may not count.
pub fn maintenance(
    node: Option<&Node>,
    services: Option<&Node>,
    basics: &Basics,
    reader: &mut Reader<'_>,
) -> Vec<(Arc<str>, Excuse)> {
    const CAUSES: &[(&str, Option<Cause>)] = &[
        ("planned", None),
        ("force_majeure", Some(Cause::ForceMajeure)),
        ("customer", Some(Cause::ByCustomer)),
    ];
    let zone = TimeZone::get(&basics.timezone).unwrap_or(TimeZone::UTC);
    let known: Vec<&str> = naming(services).iter().map(|(key, _)| key.text.as_str()).collect();
    let mut found = Vec::new();
    for node in node.map(|node| reader.list(node)).unwrap_or_default() {
        let Some(mut one) = reader.fields(node, "maintenance") else { continue };
        let mut names = Vec::new();
        for node in one.need("service", reader).map(|node| reader.list(node)).unwrap_or_default() {
            let Some(name) = reader.text(node, "service") else { continue };
            if known.contains(&&*name) {
                names.push(name);
            } else {
                let near = suggestion(&name, known.iter().copied());
                let message = format!("there is no service `{name}` with a `promise`{near}");
                reader.problem(node.at, message);
            }
        }
        let at = one.at;
        let mut moment = |name: &'static str, needed: bool, reader: &mut Reader<'_>| {
            let node = if needed { one.need(name, reader) } else { one.get(name) };
            instant(node?, name, &zone, reader)
        };
        let (from, to) = (moment("from", true, reader), moment("to", true, reader));
        let announced = moment("announced", false, reader);
        let cause = one.get("cause");
        let cause = cause.and_then(|node| reader.choice(node, "cause", CAUSES)).flatten();
        let reason = one.get("reason").and_then(|node| reader.text(node, "reason"));
        one.finish(reader);
        let (Some(from), Some(to)) = (from, to) else { continue };
        let Some(range) = TimeRange::new(from, to) else {
            reader.problem(at, "maintenance ends (`to`) before it begins (`from`)");
            continue;
        };
        // What nobody announced was never announced in time.
        let planned = Cause::Planned { announced: announced.unwrap_or(to) };
        let (cause, reason) = (cause.unwrap_or(planned), reason.unwrap_or_else(|| "".into()));
        let excuse = Excuse { range, cause, reason };
        found.extend(names.into_iter().map(|name| (name, excuse.clone())));
    }
    found
}

/// RFC 3339, or a time of the configuration's zone.
fn instant(node: &Node, what: &str, zone: &TimeZone, reader: &mut Reader<'_>) -> Option<Timestamp> {
    let text = node.text().unwrap_or_default().trim();
    let exact = text.parse::<jiff::Timestamp>().ok();
    let local = || zone.to_timestamp(text.parse::<jiff::civil::DateTime>().ok()?).ok();
    match exact.or_else(local) {
        Some(at) => Some(Timestamp::from_millis(at.as_millisecond())),
        None => reader.expected(node, what, "a time such as `2026-11-20T16:00`"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, System};
    use super::*;
    use std::path::Path;

    const GOOD: &str = "\
timezone: Europe/Berlin
owners: {web: {notify: [{email: web@example.org}]}}
notify: {email: {smarthost: 'mail.example.org:587', from: o@example.org}}
calendars:
  day: {hours: {mon-sun: '07:00-18:00'}}
promises:
  council:
    times: {service time 1: {calendar: day, available: 98%, planned: 2h}}
    short: {below: 5m, per_day: 2, per_week: 3}
    announced: 7d
    down_when: all
    probes: [http]
services:
  info: {owner: web, promise: council, probes: [{http: 'https://a.example/'}]}
  other: {owner: web, probes: [{tcp: 'a.example:25'}]}
maintenance:
  - {service: info, from: 2026-11-20T16:00, to: '2026-11-20 20:00', announced: 2026-11-10, reason: disks}
  - {service: [info], from: 2026-11-21T16:00:00Z, to: 2026-11-21T17:00:00Z, cause: force_majeure}
  - {service: info, from: 2026-11-22T16:00, to: 2026-11-22T17:00}
";

    fn problems(text: &str) -> Vec<String> {
        let read = Config::parse(text, Path::new(""), &System);
        let problems = read.err().unwrap_or_default().into_iter();
        problems.map(|problem| format!("{}: {}", problem.at, problem.message)).collect()
    }

    #[test]
    fn promises_and_maintenance_are_read() {
        let config = Config::parse(GOOD, Path::new(""), &System).unwrap();
        let [promised] = &config.promised[..] else { panic!("{:?}", config.promised) };
        let promise = &promised.promise;
        assert_eq!((&*promised.service, &*promise.name), ("info", "council"));
        assert_eq!((promise.times[0].available, promise.announced), (0.98, 7 * DAY));
        assert_eq!((promise.down_when, &promise.probes[..]), (DownWhen::All, &["http".into()][..]));
        let short = Short { below: Duration::from_secs(300), per_day: 2, per_week: 3 };
        assert_eq!(promise.short, Some(short));
        let at = |text: &str| {
            Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
        };
        let [(service, planned), (_, storm), (_, silent)] = &config.maintenance[..] else {
            panic!()
        };
        assert_eq!((&**service, &*planned.reason), ("info", "disks"));
        assert_eq!(planned.cause, Cause::Planned { announced: at("2026-11-09T23:00:00Z") });
        assert_eq!(planned.range.start(), at("2026-11-20T15:00:00Z"));
        let never = Cause::Planned { announced: silent.range.end() };
        assert_eq!(silent.cause, never, "what nobody announced was not announced in time");
        assert_eq!(
            (storm.cause, storm.range.end()),
            (Cause::ForceMajeure, at("2026-11-21T17:00:00Z"))
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (good, bad, expected) in [
            (
                "promise: council",
                "promise: counsil",
                "there is no promise `counsil` in `promises`, did you mean `council`?",
            ),
            (
                "calendar: day, ",
                "calendar: dya, ",
                "there is no calendar `dya` in `calendars`, did you mean `day`?",
            ),
            ("98%", "98", "`available` should be a part such as `98%` or `0.98`, found `98`"),
            ("[http]", "[htp]", "there is no kind of probe `htp`, did you mean `http`?"),
            ("service: info,", "service: other,", "there is no service `other` with a `promise`"),
            ("20 20:00", "20 12:00", "maintenance ends (`to`) before it begins (`from`)"),
            (
                "2026-11-10,",
                "soon,",
                "`announced` should be a time such as `2026-11-20T16:00`, found `soon`",
            ),
            (
                "down_when: all",
                "down_when: both",
                "`down_when` should be one of `any`, `all`, found `both`",
            ),
            ("per_day", "per_dya", "`per_dya` is not known in short, did you mean `per_day`?"),
        ] {
            let found = problems(&GOOD.replacen(good, bad, 1));
            assert_eq!(found.len(), 1, "one mistake, one problem: {found:?}");
            assert!(found.iter().any(|problem| problem.contains(expected)), "{bad}: {found:?}");
        }
    }
}
