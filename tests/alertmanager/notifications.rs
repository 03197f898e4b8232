//! The timed scenarios, through the same machine that tells people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use augenmass::alerting::{Directory, Notice, Owner};
use augenmass::alerting::{Silence, parse_matchers};
use augenmass::config::Integration;
use augenmass::model::{Alert, NonEmpty, Phase, Timestamp};
use augenmass::notify::{Patience, Teller};
use augenmass::ports::{Address, Delivery, DeliveryError, Message, Receipt, Remembered};
use augenmass::render::{Links, Renderer};
use serde_json::{Value, json};

use super::{corpus, json, judge, labels, list, load, text};

/// A full second, as the scenarios ask for.
const START: i64 = 1_790_000_000_000;

/// A call of the webhook: milliseconds since the start, path, answer, body.
type Call = (i64, String, u64, Value);

fn instant(written: &str, now: i64) -> Timestamp {
    if written == "$NOW" {
        return Timestamp::from_millis(START + now);
    }
    match written.strip_prefix("$T+") {
        Some(after) => {
            let seconds: f64 = after.parse().unwrap();
            Timestamp::from_millis(START + (seconds * 1000.0).round() as i64)
        }
        None => {
            let at: jiff::Timestamp = written.parse().unwrap();
            Timestamp::from_millis(at.as_millisecond())
        }
    }
}

fn alert(written: &Value, now: i64, resolve_timeout: Duration) -> Alert {
    let fired = instant(text(written, "startsAt"), now);
    let ends = written["endsAt"].as_str().map(|ends| instant(ends, now));
    let phase = match ends {
        Some(ends) if ends.millis() <= START + now => Phase::Resolved { fired, resolved: ends },
        _ => Phase::Firing { since: fired, fired },
    };
    Alert {
        labels: labels(&written["labels"]),
        annotations: labels(&written["annotations"]),
        phase,
        value: None,
        ends: ends.or(Some(Timestamp::from_millis(START + now) + resolve_timeout)),
        generator: text(written, "generatorURL").into(),
    }
}

fn silence(matchers: &Value) -> Silence {
    let one = |m: &Value| {
        let (name, value) = (text(m, "name"), text(m, "value"));
        parse_matchers(&format!("\"{name}\"=\"{value}\"")).unwrap()
    };
    super::silence(&matchers.to_string(), list(matchers).iter().flat_map(one).collect())
}

struct World {
    teller: Teller,
    calls: Vec<Call>,
    fail: u64,
    reject: u64,
    paths: BTreeMap<String, String>,
}

impl World {
    fn new(scenario: &Value) -> (Self, Duration) {
        let config = text(scenario, "config").replace("WEBHOOK", "127.0.0.1:1");
        let file = load(&config).unwrap();
        let mut paths = BTreeMap::new();
        let mut most = BTreeMap::new();
        for receiver in &file.receivers {
            for integration in &receiver.integrations {
                let Integration::Webhook { url: Some(url), max_alerts, .. } = integration else {
                    panic!("only webhooks");
                };
                let path = url.reveal().trim_start_matches("http://127.0.0.1:1");
                paths.insert(receiver.name.to_string(), path.to_owned());
                most.insert(receiver.name.to_string(), *max_alerts as usize);
            }
        }
        let owner = |name: &String| Owner {
            name: name.as_str().into(),
            addresses: NonEmpty::of(Address::Webhook(name.as_str().into())),
            language: "en".into(),
            timezone: "UTC".into(),
        };
        let owners = paths.keys().map(owner).collect();
        let directory = Arc::new(Directory { owners, ..Directory::default() });
        let links = Links { pages: Some("http://am.example".into()), ..Links::default() };
        let renderer = Renderer::new(directory.clone(), links);
        let render = move |notice: &Notice, owner: &Owner| -> Message {
            let mut notice = notice.clone();
            notice.alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
            if let Some(&most) = most.get(&*notice.receiver)
                && most > 0
            {
                notice.left_out += notice.alerts.len().saturating_sub(most);
                notice.alerts.truncate(most);
            }
            renderer.message(&notice, owner)
        };
        let timeout = file.plan.resolve_timeout;
        let patience = Patience { retry_first: Duration::from_millis(500), ..Patience::default() };
        let remembered = Remembered { installation: "am".to_owned(), ..Remembered::default() };
        let start = Timestamp::from_millis(START);
        let plan = Arc::new(file.plan);
        let teller =
            Teller::restore(patience, plan, directory, Arc::new(render), remembered, start);
        (Self { teller, calls: Vec::new(), fail: 0, reject: 0, paths }, timeout)
    }

    fn turn(&mut self, now: i64) {
        let at = Timestamp::from_millis(START + now);
        self.teller.decide(at);
        self.teller.saved(at);
        for delivery in self.teller.send(at) {
            let answer = self.receive(&delivery, now);
            self.teller.answered(&delivery.key, answer, at);
        }
    }

    fn receive(&mut self, delivery: &Delivery, now: i64) -> Result<Receipt, DeliveryError> {
        let body: Value = serde_json::from_str(&delivery.message.payload).unwrap();
        let path = self.paths[text(&body, "receiver")].clone();
        let (status, answer) = if self.fail > 0 {
            self.fail -= 1;
            (500, Err(DeliveryError::Retry { reason: "500".to_owned(), after: None }))
        } else if self.reject > 0 {
            self.reject -= 1;
            (400, Err(DeliveryError::Rejected { reason: "400".to_owned() }))
        } else {
            (200, Ok(Receipt("200".to_owned())))
        };
        self.calls.push((now, path, status, body));
        answer
    }
}

fn play(scenario: &Value) -> Vec<Call> {
    let (mut world, timeout) = World::new(scenario);
    let end = scenario["seconds"].as_i64().unwrap() * 1000;
    let steps = list(&scenario["steps"]);
    let when = |step: &Value| (step["t"].as_f64().unwrap() * 1000.0).round() as i64;
    let mut silences = Vec::new();
    let (mut now, mut next) = (0, 0);
    while now <= end {
        while let Some(step) = steps.get(next).filter(|step| when(step) <= now) {
            next += 1;
            let at = Timestamp::from_millis(START + now);
            let data = &step["data"];
            match text(step, "action") {
                "alerts" => {
                    let alerts = list(data).iter().map(|a| alert(a, now, timeout)).collect();
                    world.teller.offer(at, alerts);
                }
                "silence" => silences.push(silence(data)),
                "delete_silences" => silences.clear(),
                "fail_next" => world.fail = data.as_u64().unwrap_or(1),
                "reject_next" => world.reject = data.as_u64().unwrap_or(1),
                other => panic!("{other}"),
            }
            world.teller.silence(silences.clone());
        }
        world.turn(now);
        let due = world.teller.next_due().map(|due| due.millis() - START);
        let step = steps.get(next).map(when);
        now = due.into_iter().chain(step).min().unwrap_or(end + 1).max(now + 1);
    }
    world.calls
}

/// `$T+x` for instants near the start.
fn relative(body: &mut Value) {
    let Value::Array(alerts) = &mut body["alerts"] else { return };
    for alert in alerts {
        for name in ["startsAt", "endsAt"] {
            let written = text(alert, name).to_owned();
            let at: jiff::Timestamp = written.parse().unwrap();
            let after = at.as_millisecond() - START;
            if after.abs() < 3_600_000 {
                let tenths = (after as f64 / 200.0).round() / 5.0;
                alert[name] = json!(format!("$T+{tenths}"));
            }
        }
    }
}

fn difference(scenario: &Value) -> Option<String> {
    let mut found = play(scenario);
    let want = list(&scenario["notifications"]);
    if found.len() != want.len() {
        return Some(format!("{} calls, not {}", found.len(), want.len()));
    }
    // Calls at the same time come in any order.
    let mut want: Vec<&Value> = want.iter().collect();
    let tenths = |t: f64| (t * 10.0).round() as i64;
    want.sort_by_key(|w| {
        (tenths(w["t"].as_f64().unwrap()), text(&w["body"], "groupKey").to_owned())
    });
    found.sort_by_key(|(t, _, _, body)| (t / 100, text(body, "groupKey").to_owned()));
    for ((at, path, status, mut body), want) in found.into_iter().zip(want) {
        relative(&mut body);
        let expected = want["t"].as_f64().unwrap();
        if (at as f64 / 1000.0 - expected).abs() > 0.75 {
            return Some(format!("at {at} ms, not {expected} s"));
        }
        if path != text(want, "path") || Some(status) != want["answered"].as_u64() {
            return Some(format!("{path} answered {status}"));
        }
        if body != want["body"] {
            return Some(format!("{body}\nnot {}", want["body"]));
        }
    }
    None
}

#[test]
fn notifications_come_as_from_the_real_one() {
    let Some(folder) = corpus("am-notify") else { return };
    let scenarios = json(&folder.join("scenarios.json"));
    let differs: Vec<_> = list(&scenarios)
        .iter()
        .filter_map(|scenario| Some((text(scenario, "name").to_owned(), difference(scenario)?)))
        .collect();
    judge("notifications", list(&scenarios).len(), &differs, "");
}
