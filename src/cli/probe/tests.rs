use std::io;
use std::path::Path;
use std::time::Duration;

use super::{pick, show};
use crate::cli::query::show::Screen;
use crate::config::Sources;
use crate::model::Timestamp;
use crate::probe::{Kind, Latency, Looks, Observation, Obstacle, Reading, Tally, Target, Timed};

const SCREEN: Screen = Screen { width: 100, height: 24, colour: false, cut: false };
const PHASES: &str = "probe_http_duration_seconds";

struct File(&'static str);

impl Sources for File {
    fn read(&self, _: &Path) -> io::Result<String> {
        Ok(self.0.to_owned())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

const CONFIG: File = File(
    "owners:\n  web: {notify: [{email: web@example.org}]}\nservices:\n  homepage:\n    owner: web\n    \
     probes:\n      - http: https://example.org/\n      - tcp: example.org:22\n  shop:\n    owner: web\n    \
     probes:\n      - http: {url: 'https://shop.example.org/?key=hidden', name: the shop}\n\
     notify: {email: {smarthost: 'mail.example.org:25', from: a@example.org}}\n",
);

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

fn alone(text: &[&str]) -> Result<Target, String> {
    pick::targets(None, &words(text), &File("")).map(|mut all| all.remove(0))
}

#[test]
fn a_target_is_written_as_in_the_configuration() {
    for short in
        [&["https://user:canary@example.org/a?b=c#d"][..], &["http", "https://example.org/a"]]
    {
        let target = alone(short).unwrap();
        assert_eq!((&*target.name, target.kind.name()), ("https://example.org/a", "http"));
    }
    let Kind::Http(page) =
        alone(&["http", "{url: 'http://[::1]:81/', expect: {status: 401}}"]).unwrap().kind
    else {
        panic!("no page")
    };
    assert_eq!((page.url.as_str(), &page.expect.status[..]), ("http://[::1]:81/", &[401][..]));
    let Kind::Tcp(port) = alone(&["tcp", "[::1]:22"]).unwrap().kind else { panic!("no port") };
    assert_eq!((&*port.host, port.port), ("::1", 22));
    assert_eq!(alone(&["printer", "192.0.2.7"]).unwrap().kind.name(), "printer");
    assert_eq!(alone(&["mail_queue"]).unwrap().kind.name(), "mail_queue");
}

#[test]
fn what_makes_no_sense_is_told_with_what_would() {
    let problem = |text: &[&str]| alone(text).unwrap_err();
    assert!(problem(&["htpt", "https://example.org/"]).contains("did you mean `http`?"));
    assert!(problem(&["printer"]).contains("needs a target"));
    let typo = problem(&["htpp://user:canary@example.org/"]);
    assert!(typo.contains("https://") && !typo.contains("canary"), "{typo}");
    assert!(problem(&[]).contains("`printer 192.0.2.7`"));
    assert!(problem(&["http", "a", "b"]).contains("--config"));
    assert!(problem(&["http", "ftp://example.org/"]).contains("http"));
    assert!(problem(&["http", "{url: 'https://example.org/', methd: GET}"]).contains("`method`"));
    assert!(problem(&["http", "{url: "]).contains("YAML"), "{}", problem(&["http", "{url: "]));
}

#[test]
fn targets_of_a_file_go_by_their_names_and_services() {
    let named = |text: &[&str]| -> Vec<String> {
        let found = pick::targets(Some(Path::new("a.yml")), &words(text), &CONFIG).unwrap();
        found.iter().map(|target| target.name.to_string()).collect()
    };
    assert_eq!(named(&["homepage"]), ["https://example.org/", "example.org:22"]);
    assert_eq!(named(&["the shop"]), ["the shop"]);
    assert_eq!(named(&[]).len(), 3);
    let problem = pick::targets(Some(Path::new("a.yml")), &words(&["homepag"]), &CONFIG);
    let problem = problem.unwrap_err();
    assert!(problem.contains("`homepag`, did you mean `homepage`?"), "{problem}");
}

fn page(last: impl Into<crate::probe::Outcome>, tally: Tally) -> (Target, Looks) {
    let target = alone(&["https://user:canary@example.org/?token=hidden"]).unwrap();
    (target, Looks { last: last.into(), took: Duration::from_millis(84), tally })
}

fn many() -> (Target, Looks) {
    let reading = |phase: &'static str, value| Reading::new(PHASES, value).with("phase", phase);
    let seen = vec![
        reading("connect", 0.0021),
        reading("processing", 0.0803),
        Reading::new("probe_http_status_code", 200.0),
        Reading::new("probe_http_content_length", -1.0),
        Reading::new("probe_ssl_earliest_cert_expiry", 1_780_000_000.0),
    ];
    let mut latency = Latency::default();
    (1..=200).for_each(|n| latency.record(Duration::from_micros(500) * n));
    let labels = seen[0].labels.clone();
    let timed = |metric, labels| Timed { metric, labels, latency: latency.clone() };
    let latencies =
        vec![timed("probe_duration_seconds", Default::default()), timed(PHASES, labels)];
    let tally = Tally { up: 190, down: 9, not_measured: 1, skipped: 3, latencies };
    page(Observation::up("84 ms", seen), tally)
}

#[test]
fn a_person_reads_values_and_durations() {
    let now = Timestamp::from_millis(1_779_000_000_000);
    let (target, looks) = many();
    let (other, dark) = page(Observation::down("connection refused", Vec::new()), Tally::default());
    let obstacle = Obstacle::new("no network").with_remedy("plug it in");
    let (third, none) = page(obstacle, Tally::default());
    let text = show::text(&[(&target, looks), (&other, dark), (&third, none)], now, &SCREEN);
    insta::assert_snapshot!(text);
}

#[test]
fn programs_read_json_and_metrics() {
    let (target, looks) = many();
    let found = [(&target, looks)];
    let json: serde_json::Value = serde_json::from_str(&show::json(&found)).unwrap();
    let one = &json["targets"][0];
    assert_eq!((&one["up"], &one["probe"]), (&true.into(), &"http".into()));
    assert_eq!(one["readings"][0]["labels"]["phase"], "connect");
    assert_eq!(one["looks"]["not_begun"], 3);
    let p90 = one["latencies"][0]["p90"].as_f64().unwrap();
    assert!((p90 - 0.090).abs() < 0.001, "{p90}");
    let page = show::metrics(&found);
    let name = "target=\"https://example.org/\"";
    assert!(page.contains("# TYPE probe_http_duration_seconds gauge\n"), "{page}");
    assert!(page.contains("probe_success{") && page.contains(name), "{page}");
    assert!(page.contains("phase=\"processing\"") && page.contains(" 0.0803\n"), "{page}");
    // What belongs to no service has no such label, and what is secret is nowhere.
    let both = format!("{page}{json}");
    assert!(
        !page.contains("service=") && !both.contains("hidden") && !both.contains("canary"),
        "{both}"
    );
}
