//! A board as the schedule would keep it, with the rows of one target of each kind, and a web
//! server in this process that shows it.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use augenmass::model::Alert;
use augenmass::model::{
    Columns, Labels, METRIC_NAME, Matcher, MetricMeta, Point, Row, Timestamp, Window,
};
use augenmass::ports::{Act, ActError, Actor, Entry, Lookup, SilenceOrder, StateError};
use augenmass::ports::{
    Board, Clock, Doing, Found, Push, PushAnswer, PushedMeta, Queryable, Receive, Select,
    SelectError, SeriesId, Snapshot, SystemClock, TargetStatus, Verdict,
};
use augenmass::rules::{AlertState, AlertView, GroupView, Health, RuleView};
use augenmass::telemetry::Telemetry;
use augenmass::web::{Doors, Server, Settings};
use tokio_util::sync::CancellationToken;

pub struct FakeBoard(pub Vec<TargetStatus>);

impl Board for FakeBoard {
    fn targets(&self) -> Vec<TargetStatus> {
        self.0.clone()
    }

    fn catalogue(&self) -> &'static [&'static [MetricMeta]] {
        augenmass::probe::CATALOGUE
    }
}

type Series = (&'static str, &'static [(&'static str, &'static str)], f64);

fn status(
    identity: [&str; 4],
    verdict: Verdict,
    headline: &str,
    series: &[Series],
    now: Timestamp,
) -> TargetStatus {
    let [service, owner, target, probe] = identity;
    let always: [Series; 4] = [
        ("probe_success", &[], f64::from(u8::from(verdict == Verdict::Up))),
        ("probe_duration_seconds", &[], 0.084),
        ("probe_measured", &[], 1.0),
        ("probe_confirmed_down", &[], f64::from(u8::from(matches!(verdict, Verdict::Down { .. })))),
    ];
    let row = |(name, own, value): &Series| {
        let same = [
            (METRIC_NAME, *name),
            ("service", service),
            ("owner", owner),
            ("target", target),
            ("probe", probe),
            ("job", "augenmass"),
            ("instance", "orwell"),
        ];
        let labels = Labels::from_pairs(same.into_iter().chain(own.iter().copied())).unwrap();
        Row { labels, point: Point::Float(*value) }
    };
    TargetStatus {
        service: service.into(),
        owner: owner.into(),
        target: target.into(),
        probe: probe.into(),
        verdict,
        since: Some(now - Duration::from_secs(400)),
        last: Some(now - Duration::from_secs(7)),
        took: Some(Duration::from_millis(84)),
        headline: headline.into(),
        rows: always.iter().chain(series).map(row).collect(),
    }
}

/// One target of each kind.
pub fn targets(now: Timestamp) -> Vec<TargetStatus> {
    let page = "https://www.example.org/";
    let http: &[Series] = &[
        ("probe_http_duration_seconds", &[("phase", "resolve")], 0.001),
        ("probe_http_duration_seconds", &[("phase", "connect")], 0.012),
        ("probe_http_duration_seconds", &[("phase", "tls")], 0.031),
        ("probe_http_duration_seconds", &[("phase", "processing")], 0.035),
        ("probe_http_duration_seconds", &[("phase", "transfer")], 0.005),
        ("probe_http_status_code", &[], 200.0),
        ("probe_ssl_earliest_cert_expiry", &[], 1_795_000_000.0),
        ("probe_tls_version_info", &[("version", "TLS 1.3")], 1.0),
    ];
    let queue: &[Series] = &[
        ("mail_queue_messages", &[("queue", "active")], 3.0),
        ("mail_queue_messages", &[("queue", "deferred")], 17.0),
        ("mail_queue_oldest_age_seconds", &[("queue", "deferred")], 1_800.0),
        ("mail_queue_size_bytes", &[("queue", "deferred")], 123_456.0),
    ];
    let printer: &[Series] = &[
        (
            "printer_supply_remaining_ratio",
            &[("supply", "1"), ("kind", "toner"), ("color", "black")],
            0.04,
        ),
        ("printer_state", &[("state", "ok")], 0.0),
        ("printer_state", &[("state", "warning")], 1.0),
        ("printer_state", &[("state", "stopped")], 0.0),
        ("printer_pages_total", &[], 1_234_567.0),
    ];
    let down = Verdict::Down { cause: "connection refused <script>".into() };
    vec![
        status(["homepage", "web-team", page, "http"], Verdict::Up, "84 ms", http, now),
        status(["wiki", "web-team", "http://wiki.example.org/", "http"], down, "", &[], now),
        status(
            ["mail", "web-team", "postfix", "mail_queue"],
            Verdict::Up,
            "20 messages",
            queue,
            now,
        ),
        status(
            ["printer-s71", "office", "192.0.2.7", "printer"],
            Verdict::Up,
            "black toner 4 %",
            printer,
            now,
        ),
    ]
}

/// A store that holds what the board shows, the same every fifteen seconds for a day and a half;
/// only counters were lower before.
pub struct FakeStore {
    rows: Vec<Row>,
    at: Timestamp,
}

const STEP: Duration = Duration::from_secs(15);
const STEPS: u32 = 36 * 240;

impl FakeStore {
    fn begin(&self) -> Timestamp {
        self.at - STEP * STEPS
    }
}

impl Select for FakeStore {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        let inside = window.after < self.at && self.begin() <= window.through;
        let fits =
            |row: &Row| inside && matchers.iter().all(|matcher| matcher.matches(&row.labels));
        let found = self.rows.iter().enumerate().filter(|(_, row)| fits(row));
        let found =
            found.map(|(at, row)| Found { id: SeriesId(at as u64), labels: row.labels.clone() });
        Ok(found.collect())
    }

    fn read(&self, id: SeriesId, window: Window, into: &mut Columns) -> Result<(), SelectError> {
        into.clear();
        let row = &self.rows[usize::try_from(id.0).unwrap()];
        let Point::Float(last) = row.point else { return Ok(()) };
        let counter = row.labels.metric_name().ends_with("_total");
        for back in (0..=STEPS).rev() {
            let at = self.at - STEP * back;
            if window.contains(at) {
                into.times.push(at);
                into.values.push(if counter { last - f64::from(back) } else { last });
            }
        }
        Ok(())
    }
}

struct Shelf(Snapshot);

impl Queryable for Shelf {
    fn snapshot(&self) -> Snapshot {
        self.0.clone()
    }
}

/// A rule with one alert about one of the targets; `summary` in English and German.
fn rule(
    name: &str,
    about: [&str; 4],
    summary: [&str; 2],
    state: AlertState,
    now: Timestamp,
) -> RuleView {
    let [service, owner, target, probe] = about;
    let labels = [
        ("alertname", name),
        ("service", service),
        ("owner", owner),
        ("target", target),
        ("probe", probe),
        ("class", "2"),
    ];
    let texts = [("summary", summary[0]), ("summary_de", summary[1])];
    let alert = AlertView {
        labels: Labels::from_pairs(labels).unwrap(),
        annotations: Labels::from_pairs(texts).unwrap(),
        state,
        active_at: now - Duration::from_secs(90),
        keep_firing_since: None,
        value: 1.0,
    };
    RuleView {
        name: name.into(),
        alerting: true,
        query: "probe_success == 0".into(),
        hold: Duration::from_secs(60),
        keep_firing_for: Duration::ZERO,
        labels: Labels::from_pairs([("class", "2")]).unwrap(),
        annotations: Labels::from_pairs(texts).unwrap(),
        health: Health::Ok,
        last_evaluation: Some(now),
        evaluation_time: Duration::from_millis(1),
        warnings: Vec::new(),
        alerts: vec![alert],
    }
}

fn group(name: &str, rules: Vec<RuleView>, now: Timestamp) -> GroupView {
    GroupView {
        name: name.into(),
        file: "rules/web.yml".into(),
        interval: Duration::from_secs(15),
        limit: 0,
        query_offset: Duration::ZERO,
        last_evaluation: Some(now),
        evaluation_time: Duration::from_millis(2),
        rules,
    }
}

/// Two groups with one alert that is pending and two that are firing, and a recording rule.
pub fn rules(now: Timestamp) -> Arc<[GroupView]> {
    let wiki = ["wiki", "web-team", "http://wiki.example.org/", "http"];
    let printer = ["printer-s71", "office", "192.0.2.7", "printer"];
    let (pending, firing) = (AlertState::Pending, AlertState::Firing);
    let slow = rule("PageSlow", wiki, ["The wiki is slow", "Das Wiki ist langsam"], pending, now);
    let down = ["The wiki is down", "Das Wiki ist ausgefallen"];
    let down = rule("ServiceDown", wiki, down, firing, now);
    let toner = ["Black toner: 4 % left", "Schwarzer Toner: noch 4 %"];
    let toner = rule("TonerLow", printer, toner, firing, now);
    let looping = "<error expanding template: exceeded maximum template depth>".to_owned();
    let since = Some(now - Duration::from_secs(30));
    let kept = toner.alerts[0].clone();
    let kept = vec![AlertView { keep_firing_since: since, ..kept }];
    let toner = RuleView { warnings: vec![looping], alerts: kept, ..toner };
    let recording = RuleView {
        name: "job:up:sum".into(),
        alerting: false,
        health: Health::Err("found duplicate series".into()),
        alerts: Vec::new(),
        ..slow.clone()
    };
    let (web, office) = (vec![slow, down, recording], vec![toner]);
    [group("web", web, now), group("office", office, now)].into()
}

/// A web server in this process, on a runtime of its own.
pub struct Served {
    pub address: SocketAddr,
    pub now: Timestamp,
    pub telemetry: Arc<Telemetry>,
    pub doors: Doors,
    /// How often a reload was asked for.
    pub reloads: Arc<AtomicUsize>,
    /// What a reload answers.
    pub reload_answer: Arc<Mutex<Result<(), String>>>,
    /// What is missing before we are ready.
    pub missing: Arc<Mutex<Option<String>>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// Takes every push.
struct Taker;

impl Receive for Taker {
    fn receive(&self, _: Push) -> Doing<'_, PushAnswer> {
        let written = Some([7, 0, 0]);
        Box::pin(std::future::ready(PushAnswer { status: 204, written, ..PushAnswer::default() }))
    }

    fn metadata(&self) -> Vec<PushedMeta> {
        Vec::new()
    }
}

impl Served {
    /// Over the samples that the board shows.
    pub fn start(settings: Settings) -> Self {
        let now = SystemClock::start().wall();
        let targets = targets(now);
        let rows = targets.iter().flat_map(|target| target.rows.iter().cloned()).collect();
        Self::over(settings, Arc::new(FakeStore { rows, at: now }), targets, now)
    }

    /// Over other samples.
    pub fn over(
        settings: Settings,
        samples: Snapshot,
        targets: Vec<TargetStatus>,
        now: Timestamp,
    ) -> Self {
        let clock = SystemClock::start();
        let samples = Arc::new(Shelf(samples));
        let telemetry = Telemetry::new();
        telemetry.config.last_reload_successful.set(1);
        let reloads = Arc::new(AtomicUsize::new(0));
        let reload_answer = Arc::new(Mutex::new(Ok(())));
        let missing = Arc::new(Mutex::new(None));
        let (count, answer, lacks) = (reloads.clone(), reload_answer.clone(), missing.clone());
        let doors = Doors {
            clock: Arc::new(clock),
            telemetry: telemetry.clone(),
            board: Arc::new(FakeBoard(targets)),
            samples,
            rules: Arc::new(move || rules(now)),
            config: Arc::new(|| "instance: orwell\n".to_owned()),
            reload: Arc::new(move || {
                count.fetch_add(1, Ordering::SeqCst);
                let answer: Result<(), String> = answer.lock().unwrap().clone();
                Box::pin(async move { answer })
            }),
            people: Arc::new(Nobody),
            act: Arc::new(Nobody),
            acting: Arc::new(|| None),
            receive: Some(Arc::new(Taker)),
            ready: Arc::new(move || lacks.lock().unwrap().clone().map_or(Ok(()), Err)),
        };
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime.block_on(Server::bind(settings, doors.clone())).unwrap();
        let address = server.address();
        let token = stop.clone();
        let thread = std::thread::spawn(move || runtime.block_on(server.run(token)));
        Self {
            address,
            now,
            telemetry,
            doors,
            reloads,
            reload_answer,
            missing,
            stop,
            thread: Some(thread),
        }
    }

    /// Listens on any free port of the loopback address.
    pub fn settings() -> Settings {
        Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            instance: "orwell".into(),
            ..Settings::default()
        }
    }

    /// Tells it to stop and waits until it has.
    pub fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Nobody is told of anything, and nobody can do anything about it.
struct Nobody;

impl augenmass::web::People for Nobody {
    fn look(&self, _: augenmass::web::Look) -> Doing<'_, ()> {
        Box::pin(async {})
    }

    fn report(&self, _: Vec<Alert>) -> Doing<'_, Option<usize>> {
        Box::pin(async { None })
    }

    fn journal(&self, _: Lookup) -> Doing<'_, Result<Vec<Entry>, StateError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Act for Nobody {
    fn acknowledge<'a>(&'a self, incident: &'a str, _: Actor) -> Doing<'a, Result<(), ActError>> {
        Box::pin(async { Err(ActError::NoIncident(incident.to_owned())) })
    }

    fn claim<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.acknowledge(incident, by)
    }

    fn silence(&self, _: SilenceOrder, _: Actor) -> Doing<'_, Result<Arc<str>, ActError>> {
        Box::pin(async { Err(ActError::NoIncident(String::new())) })
    }

    fn expire<'a>(&'a self, silence: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.acknowledge(silence, by)
    }
}
