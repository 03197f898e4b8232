//! What alerts cost inside the process: `cargo bench --bench alerting`.
//!
//! The same with 1,000, 10,000 and 100,000 alerts, twenty to a group: a cost for each alert that
//! grows with their number would show.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use augenmass::alerting::{
    Desk, Directory, Ends, GroupBy, InhibitRule, Notice, Owner, Plan, RouteSpec, RouteTree,
    Service, Timing, parse_matchers,
};
use augenmass::model::{Alert, Labels, Matcher, NonEmpty, Phase, Silence, Timestamp};
use augenmass::notify::{Patience, Render, Teller};
use augenmass::ports::{Address, Message, Receipt, Remembered};
use augenmass::render::{Links, Renderer, TemplateFiles, Voice, Way, Wording};
use divan::Bencher;
use divan::counter::ItemsCount;

const MANY: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    divan::main();
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000) + Duration::from_secs(seconds)
}

fn alerts(count: usize) -> Vec<Alert> {
    let groups = (count / 20).max(1);
    let alert = |i: usize| {
        let (name, site) = (format!("G{:05}", i % groups), format!("s{:02}", i % groups % 40));
        let (instance, id) = (format!("host-{i:06}.example.test"), i.to_string());
        let pairs = [
            ("alertname", name.as_str()),
            ("site", &site),
            ("instance", &instance),
            ("severity", "page"),
            ("job", "fleet"),
            ("aid", &id),
        ];
        Alert {
            labels: Labels::from_pairs(pairs).unwrap(),
            annotations: Labels::from_pairs([("summary", "it does not answer")]).unwrap(),
            phase: Phase::Firing { since: at(0), fired: at(0) },
            value: Some(1.0),
            ends: Some(at(3600)),
            generator: "http://127.0.0.1:9090/graph".into(),
        }
    };
    (0..count).map(alert).collect()
}

fn plan(inhibit: Vec<InhibitRule>) -> Arc<Plan> {
    let root = RouteSpec {
        receiver: Some("all".into()),
        group_by: Some(GroupBy::labels(&["alertname", "site"])),
        group_wait: Some(Duration::from_secs(5)),
        group_interval: Some(Duration::from_secs(60)),
        ..RouteSpec::default()
    };
    let mut plan = Plan::new(RouteTree::new(root).unwrap(), Ends::AsAlertmanager);
    plan.inhibit = inhibit;
    Arc::new(plan)
}

fn full(plan: Arc<Plan>, alerts: &[Alert]) -> Desk {
    let mut desk = Desk::new(plan);
    desk.offer(at(1), alerts.to_vec());
    desk
}

/// Alerts that were not known, into their groups.
#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn first_reports(bencher: Bencher, count: usize) {
    let (plan, alerts) = (plan(Vec::new()), alerts(count));
    let start = || (Desk::new(plan.clone()), alerts.clone());
    bencher.counter(ItemsCount::new(count)).with_inputs(start).bench_local_values(
        |(mut desk, alerts)| {
            desk.offer(at(1), alerts);
            desk
        },
    );
}

/// Alerts that were told, reported again.
#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn further_reports(bencher: Bencher, count: usize) {
    let alerts = alerts(count);
    let mut desk = full(plan(Vec::new()), &alerts);
    desk.flush(at(10));
    let start = || alerts.clone();
    bencher.counter(ItemsCount::new(count)).with_inputs(start).bench_local_values(|alerts| {
        desk.offer(at(61), alerts);
    });
}

/// The first look at all groups: everything is told.
#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn first_look(bencher: Bencher, count: usize) {
    let alerts = alerts(count);
    let start = || full(plan(Vec::new()), &alerts);
    bencher.counter(ItemsCount::new(count)).with_inputs(start).bench_local_values(|mut desk| {
        let decided = desk.flush(at(10));
        (desk, decided)
    });
}

/// A further look at all groups, with nothing new: plain, with an inhibition rule whose sources
/// are a hundredth of the alerts, and with 1,000 silences of which half are regular expressions.
#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn look(bencher: Bencher, count: usize) {
    look_at(bencher, count, Vec::new(), Vec::new());
}

#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn look_with_inhibition(bencher: Bencher, count: usize) {
    let rule = InhibitRule {
        source: parse_matchers("aid=~\".*00\"").unwrap(),
        target: parse_matchers("severity=~\"page|ticket\"").unwrap(),
        equal: vec!["site".into()],
        ..InhibitRule::default()
    };
    look_at(bencher, count, vec![rule], Vec::new());
}

/// The first look, at which each alert is compared with the silences.
#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn first_look_with_1000_silences(bencher: Bencher, count: usize) {
    let alerts = alerts(count);
    let start = || {
        let mut desk = full(plan(Vec::new()), &alerts);
        desk.silence(thousand_silences());
        desk
    };
    bencher.counter(ItemsCount::new(count)).with_inputs(start).bench_local_values(|mut desk| {
        let decided = desk.flush(at(10));
        (desk, decided)
    });
}

#[divan::bench(args = MANY, sample_count = 5, sample_size = 1)]
fn look_with_1000_silences(bencher: Bencher, count: usize) {
    look_at(bencher, count, Vec::new(), thousand_silences());
}

/// For machines that are gone; half of them are regular expressions.
fn thousand_silences() -> Vec<Silence> {
    let silence = |i: usize| {
        let matcher = match i % 2 {
            0 => format!("instance=gone-{i}"),
            _ => format!("instance=~\"gone-{i}.*\""),
        };
        Silence {
            id: i.to_string().into(),
            matchers: parse_matchers(&matcher).unwrap(),
            starts: at(0),
            ends: at(86_400),
            ..Silence::default()
        }
    };
    (0..1000).map(silence).collect()
}

fn look_at(bencher: Bencher, count: usize, inhibit: Vec<InhibitRule>, silences: Vec<Silence>) {
    let mut desk = full(plan(inhibit), &alerts(count));
    desk.silence(silences);
    desk.flush(at(10));
    let mut now = 10;
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        now += 60;
        desk.flush(at(now))
    });
}

/// A storm from the first report to the last answer, without disk and network: decided, worded for a
/// webhook and a mail to each group, sent, answered.
#[divan::bench(args = [1_000, 10_000, 30_000], sample_count = 3, sample_size = 1)]
fn storm(bencher: Bencher, count: usize) {
    let ways = [Address::Email("ops@example.org".into()), Address::Webhook("hook".into())];
    let owner = Owner {
        name: "all".into(),
        addresses: NonEmpty::from_vec(ways.to_vec()).unwrap(),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let directory = Arc::new(Directory { owners: vec![owner], ..Directory::default() });
    let mail = Way::Email {
        account: "".into(),
        to: None,
        from: None,
        subject: None,
        text: None,
        html: None,
        headers: Vec::new(),
    };
    let voice = |way: Way| Voice { send_resolved: true, way };
    let voices = HashMap::from([
        (("all".into(), ways[0].clone()), voice(mail)),
        (("all".into(), ways[1].clone()), voice(Way::Webhook { max_alerts: 0 })),
    ]);
    let renderer = Renderer::new(directory.clone(), Links::default())
        .with_voices(voices, TemplateFiles::default());
    let render: Arc<dyn Render> = Arc::new(Words(renderer));
    let (plan, alerts) = (plan(Vec::new()), alerts(count));
    let start = || {
        let (patience, remembered) = (Patience::default(), Remembered::default());
        let (plan, directory, render) = (plan.clone(), directory.clone(), render.clone());
        (Teller::restore(patience, plan, directory, render, remembered, at(0)), alerts.clone())
    };
    bencher.counter(ItemsCount::new(count)).with_inputs(start).bench_local_values(
        |(mut teller, alerts)| {
            teller.offer(at(1), alerts);
            let mut arrived = 0;
            while arrived < count / 10 {
                drop(teller.decide(at(10)));
                teller.saved(at(10));
                for delivery in teller.send(at(10)) {
                    arrived += 1;
                    teller.answered(&delivery.key, Ok(Receipt("250".to_owned())), at(10));
                }
            }
            teller
        },
    );
}

struct Words(Renderer);

impl Render for Words {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        self.0.message(notice, owner)
    }

    fn for_address(&self, notice: &Notice, owner: &Owner, to: &Address) -> Wording {
        self.0.for_address(notice, owner, to)
    }
}

/// The route of one alert among so many services.
#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn route(bencher: Bencher, services: usize) {
    let owner = |name: String| Owner {
        name: name.as_str().into(),
        addresses: NonEmpty::of(Address::Email("a@example.org".into())),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let service = |n: usize| Service {
        name: format!("service-{n}").into(),
        owner: format!("owner-{}", n % 50).into(),
        title: None,
        depends_on: Vec::new(),
    };
    let directory = Directory {
        owners: (0..50).map(|n| owner(format!("owner-{n}"))).collect(),
        services: (0..services).map(service).collect(),
        ..Directory::default()
    };
    let plan = Plan::of_owners(&directory, Timing::default()).unwrap();
    let name = format!("service-{}", services - 1);
    let labels = Labels::from_pairs([("alertname", "X"), ("service", name.as_str())]).unwrap();
    bencher.bench_local(|| plan.routes.resolve(divan::black_box(&labels)));
}

/// Reading a matcher, and asking it.
#[divan::bench(args = ["a=b", "a=~\"b|c|d\"", "a=~\"b.*\"", "{\"ü\"=\"x\"}"])]
fn matcher(bencher: Bencher, text: &str) {
    bencher.bench_local(|| parse_matchers(divan::black_box(text)).unwrap());
}

#[divan::bench(args = ["a=b", "a=~\"b|c|d\"", "a=~\"b.*\""])]
fn matches(bencher: Bencher, text: &str) {
    let all: Vec<Matcher> = parse_matchers(text).unwrap();
    let labels = Labels::from_pairs([("a", "d"), ("b", "x"), ("instance", "y")]).unwrap();
    bencher.bench_local(|| all[0].matches(divan::black_box(&labels)));
}
