//! The verbs `check rules`, `test rules` and `rules replay`, as their users run them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use augenmass::model::Timestamp;
use augenmass::ports::{Clock, SystemClock};
use augenmass::storage;
use serde_json::Value;

const CONFIG: &str = "\
instance: orwell
owners: {web-team: {notify: [{email: web@example.org}]}, office: {notify: [{email: o@example.org}]}}
notify: {email: {smarthost: \"localhost:25\", from: a@example.org, tls: off}}
services:
  homepage:
    owner: web-team
    probes: [http: \"http://localhost/\"]
";

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        world.write("augenmass.yml", CONFIG);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_augenmass"));
        command.current_dir(self.0.path()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }
}

/// A probe of each kind: what the shipped rules may ask for.
const EVERYTHING: &str = "
instance: orwell
owners: {team: {notify: [{email: team@example.org}]}}
notify: {email: {smarthost: \"localhost:25\", from: a@example.org, tls: off}}
services:
  everything:
    owner: team
    probes:
      - http: https://www.example.org/
      - certificate: mail.example.org:993
      - mail_queue: {postfix: local}
      - printer: {host: 192.0.2.7, community: public}
      - snmp_disk: {host: 192.0.2.8, community: public}
      - ups: {host: 192.0.2.9, community: public}
      - interfaces: {host: 192.0.2.10, community: public}
      - smtp: {host: mx.example.org, starttls: required}
      - tcp: db.example.org:5432
      - backup: /srv/backup/db.dump
";

#[test]
fn nothing_is_doubtful_about_the_shipped_rules() {
    let world = World::new();
    world.write("everything.yml", EVERYTHING);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let rules = files.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(".yml") && !name.ends_with(".test.yml")
    });
    let rules: Vec<String> = rules.map(|path| path.display().to_string()).collect();
    assert!(rules.len() >= 10);
    let mut arguments = vec!["check", "rules", "--lint-fatal", "--config", "everything.yml"];
    arguments.extend(rules.iter().map(String::as_str));
    let (code, out, err) = world.run(&arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
}

/// One of each doubt.
const DOUBTFUL: &str = "\
groups:
- name: g
  rules:
  - {alert: NoSeries, expr: probe_sucess == 0}
  - {alert: Nobody, expr: vector(1), labels: {severity: none}}
  - {record: r, expr: 'rate(probe_duration_seconds[5m])'}
  - {alert: Short, expr: probe_success == 0, for: 30s}
  - alert: Dropped
    expr: count(probe_success == 0) > 1
    annotations: {summary: 'down: {{ $labels.target }}'}
";

#[test]
fn check_rules_names_what_is_doubtful() {
    let world = World::new();
    world.write("rules.yml", DOUBTFUL);
    let check = ["check", "rules", "--config", "augenmass.yml", "rules.yml"];
    let (code, out, told) = world.run(&check);
    assert_eq!((code, out.trim()), (Some(0), "rules.yml: ok, 1 groups, 5 rules, 5 doubts"));
    for (place, words) in [
        ("4:", "did you mean `probe_success`? [no-series]"),
        ("5:", "nobody would be told of `Nobody`"),
        ("6:", "[rate-over-gauge]"),
        ("7:", "give it at least 1m [short-for]"),
        ("10:", "the label `target` in `summary`"),
    ] {
        let line = told.lines().find(|line| line.contains(words));
        let line = line.unwrap_or_else(|| panic!("{words}: {told}"));
        assert!(line.starts_with(&format!("rules.yml:{place}")), "{line}");
    }
    assert_eq!(told.lines().count(), 5, "{told}");
    let (code, ..) = world.run(&[&check[..], &["--lint-fatal"]].concat());
    assert_eq!(code, Some(1));
    let (code, out, _) = world.run(&[&check[..], &["-o", "json"]].concat());
    let json: Value = serde_json::from_str(&out).unwrap();
    let warnings = json["files"][0]["warnings"].as_array().unwrap();
    assert_eq!((code, warnings.len()), (Some(0), 5));
    assert_eq!(warnings[0]["lint"], "no-series");
    assert_eq!(warnings[0]["line"], 4);
}

#[test]
fn check_rules_follows_the_routes_of_an_alertmanager() {
    let world = World::new();
    world.write(
        "am.yml",
        "route:\n  receiver: team\n  routes: [{receiver: nobody, matchers: ['team=\"x\"']}]\n\
         receivers:\n- name: team\n  webhook_configs: [{url: 'http://localhost:1/'}]\n- name: nobody\n",
    );
    world.write(
        "r.yml",
        "groups:\n- name: g\n  rules:\n  - {alert: A, expr: vector(1), labels: {team: x}}\n  \
         - {alert: B, expr: vector(1)}\n",
    );
    let (_, _, told) = world.run(&["check", "rules", "--alertmanager", "am.yml", "r.yml"]);
    assert!(
        told.contains("leads to `nobody`, which has no channel") && told.lines().count() == 1,
        "{told}"
    );
}

#[test]
fn check_rules_without_a_configuration_finds_mistakes_and_says_where() {
    let world = World::new();
    world.write("r.yml", "groups:\n- name: g\n  rules:\n  - {alert: A, expr: 'sum('}\n");
    let (code, _, told) = world.run(&["check", "rules", "r.yml"]);
    assert_eq!(code, Some(1));
    assert!(told.starts_with("r.yml:4:"), "{told}");
}

const RULES: &str =
    "groups:\n- name: g\n  rules:\n  - {alert: Down, expr: up == 0}\n  - {record: r, expr: up}\n";

fn test_file(value: u32) -> String {
    format!(
        "rule_files: [r.yml]\ntests:\n- name: falls\n  input_series: [{{series: up, values: '{value} {value}'}}]\n  \
         alert_rule_test: [{{eval_time: 1m, alertname: Down, exp_alerts: [{{}}]}}]\n\
         - name: other\n  input_series: [{{series: up, values: '1 1'}}]\n  \
         alert_rule_test: [{{eval_time: 1m, alertname: Down}}]\n"
    )
}

#[test]
fn test_rules_runs_some_writes_junit_and_tells_what_no_test_touches() {
    let world = World::new();
    world.write("r.yml", RULES);
    world.write("t.yml", &test_file(1));
    let (code, out, _) = world.run(&["test", "rules", "--junit", "j.xml", "t.yml"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("t.yml:3 test \"falls\": alert Down at 1m"), "{out}");
    assert!(out.contains(r#"does not fire: {alertname="Down"}"#), "{out}");
    assert!(out.contains("1 of 2 rules tested; not: r"), "{out}");
    assert!(out.ends_with("1 passed, 1 failed\n"), "{out}");
    let xml = std::fs::read_to_string(world.path("j.xml")).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
    // A pattern beside the test file, from within its folder.
    world.write("t.yml", &test_file(1).replace("[r.yml]", "['r*.yml']"));
    let (code, out, _) = world.run(&["test", "rules", "--run", "^other$", "t.yml"]);
    assert_eq!(code, Some(0));
    assert!(out.ends_with("1 passed, 0 failed\n"), "{out}");
}

#[test]
fn test_rules_watch_runs_again_when_a_file_changes() {
    let world = World::new();
    world.write("r.yml", RULES);
    world.write("t.yml", &test_file(1));
    let mut command = world.command(&["test", "rules", "--watch", "t.yml"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut child = Stopped(child);
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let (sender, verdicts) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let lines = lines.map_while(Result::ok).filter(|line| line.contains(" passed, "));
        lines.for_each(|line| drop(sender.send(line)));
    });
    let verdict = || verdicts.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(verdict(), "1 passed, 1 failed");
    // Longer than the file was, so that a coarse clock of the file system does not matter.
    world.write("t.yml", &format!("{}# changed\n", test_file(0)));
    assert_eq!(verdict(), "2 passed, 0 failed");
    // And when a rule file changes.
    world.write("r.yml", &RULES.replace("up == 0", "up == 77"));
    assert_eq!(verdict(), "1 passed, 1 failed");
    drop(child);
    reader.join().unwrap();
}

/// A process that does not outlive its test.
struct Stopped(std::process::Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Three days, ended a minute ago: a page that was down for twenty minutes every day. Gives their
/// beginning.
fn history(folder: &Path) -> Timestamp {
    let end = SystemClock::start().wall().millis() / 60_000 * 60 - 60;
    let begin = end - 3 * 86_400;
    let mut text = String::from("# TYPE probe_success gauge\n");
    for minute in 0..3 * 1_440_i64 {
        let (up, at) = (i32::from(!(600..620).contains(&(minute % 1_440))), begin + minute * 60);
        text.push_str(&format!(
            "probe_success{{service=\"homepage\",owner=\"web-team\",target=\"t\",probe=\"http\"}} {up} {at}\n"
        ));
    }
    text.push_str("# EOF\n");
    let file = folder.join("history.om");
    std::fs::write(&file, text).unwrap();
    storage::import(&folder.join("samples"), &file, Timestamp::MIN, &mut |_, _| {}).unwrap();
    Timestamp::from_millis(begin * 1000)
}

#[test]
fn a_replay_tells_what_would_have_fired_and_for_whom() {
    let world = World::new();
    let begin = history(world.0.path());
    world.write(
        "new.yml",
        "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: probe_success == 0\n    for: 5m\n    \
         annotations: {summary: '{{ $labels.service }} is down'}\n  \
         - {alert: Never, expr: probe_success == 7}\n",
    );
    let replay = [
        "rules",
        "replay",
        "--from",
        "4d",
        "--data",
        ".",
        "--config",
        "augenmass.yml",
        "--interval",
        "1m",
        "new.yml",
    ];
    let (code, out, told) = world.run(&replay);
    assert_eq!(code, Some(0), "{out}{told}");
    assert!(out.contains("Down (new.yml): 3 times, 45m in all"), "{out}");
    assert!(out.contains(" for 15m → web-team: homepage is down"), "{out}");
    assert!(
        out.contains("2 alerts: 3 times something would have fired; 1 would have been silent"),
        "{out}"
    );
    let (code, out, _) = world.run(&[&replay[..], &["-o", "json"]].concat());
    assert_eq!(code, Some(0));
    let json: Value = serde_json::from_str(&out).unwrap();
    let fired = &json["rules"][0]["fired"];
    assert_eq!(fired.as_array().unwrap().len(), 3);
    assert_eq!(fired[0]["receivers"], serde_json::json!(["web-team"]));
    let first = (begin + Duration::from_secs(600 * 60)).millis() / 1000;
    let active: jiff::Timestamp = fired[0]["activeAt"].as_str().unwrap().parse().unwrap();
    assert!((active.as_second() - first).abs() <= 60, "{active}");
    assert!((fired[0]["seconds"].as_f64().unwrap() - 900.0).abs() < 61.0);
}
