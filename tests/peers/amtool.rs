//! amtool drives us as if we were an Alertmanager, and a real Prometheus sends its alerts here.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Running, augenmass, free_port, require, wait_for, wait_for_port};
use crate::http::ask;

const LONG: Duration = Duration::from_secs(60);

/// A running augenmass without targets.
struct House {
    port: u16,
    _running: Running,
    folder: tempfile::TempDir,
}

impl House {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = folder.path().join("augenmass.yml");
        let text = "owners: {web: {notify: [{webhook: hook}]}, office: {notify: [{webhook: hook}]}}\n\
             notify: {webhooks: {hook: {url: \"http://127.0.0.1:9/\"}}}\n\
             services: {home: {owner: web, probes: []}}\n\
             alerting: {group_interval: 1s}\nrules: {interval: 1s}\n";
        fs::write(&config, text).unwrap();
        let mut command = augenmass();
        command.arg("run").arg("--config").arg(&config);
        command.arg("--data").arg(folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        let running = Running::start(&mut command);
        wait_for_port(port);
        Self { port, _running: running, folder }
    }

    fn get(&self, path: &str) -> Value {
        let answer = ask(([127, 0, 0, 1], self.port).into(), &format!("GET {path}"), &[]);
        serde_json::from_slice(&answer.body).unwrap()
    }

    fn tool(&self, program: &Path, arguments: &[&str], input: &str) -> String {
        let url = format!("--alertmanager.url=http://127.0.0.1:{}", self.port);
        let file = self.folder.path().join("input");
        fs::write(&file, input).unwrap();
        let output = Command::new(program)
            .arg(url)
            .args(arguments)
            .stdin(Stdio::from(fs::File::open(&file).unwrap()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{problem}");
        said
    }

    fn own(&self, arguments: &[&str]) -> String {
        let server = format!("http://127.0.0.1:{}", self.port);
        let output = augenmass().args(arguments).args(["--server", &server]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}{problem}");
        said
    }
}

#[test]
fn amtool_works_with_alerts_silences_and_routes() {
    let Some(amtool) = require("amtool") else { return };
    let house = House::start();
    let tool = |arguments: &[&str]| house.tool(&amtool, arguments, "");
    tool(&["alert", "add", "alertname=Down", "service=home", "--annotation=summary=gone"]);
    tool(&["alert", "add", "alertname=Toner", "owner=office"]);
    let all = tool(&["alert", "query"]);
    assert!(all.contains("Down") && all.contains("gone") && all.contains("Toner"), "{all}");
    assert!(!tool(&["alert", "query", "owner=office"]).contains("Down"));

    let id = tool(&["silence", "add", "-a", "me", "-c", "ordered", "-d", "2h", "alertname=Toner"]);
    let id = id.trim();
    assert!(tool(&["silence", "query"]).contains("ordered"));
    assert!(!tool(&["alert", "query"]).contains("Toner"));
    assert!(tool(&["alert", "query", "--silenced"]).contains("Toner"));
    let updated = tool(&["silence", "update", "-d", "4h", "-c", "later", id]);
    assert!(updated.contains(id), "{updated}");
    let exported = tool(&["silence", "query", "-o", "json"]);
    let written: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!(written[0]["comment"], "later", "{exported}");
    tool(&["silence", "expire", id]);
    assert!(tool(&["alert", "query"]).contains("Toner"));
    assert!(tool(&["silence", "query", "--expired"]).contains(id));
    house.tool(&amtool, &["silence", "import"], &exported);
    assert!(tool(&["silence", "query"]).contains("later"));

    let tree = tool(&["config", "routes", "show"]);
    assert!(tree.contains("receiver: office"), "{tree}");
    assert_eq!(tool(&["config", "routes", "test", "owner=office"]).trim(), "office");
    assert!(tool(&["config", "show"]).contains("group_wait"));
    assert!(tool(&["cluster", "show"]).contains("disabled"));
    let status = house.get("/api/v2/status");
    let file = house.folder.path().join("alertmanager.yml");
    fs::write(&file, status["config"]["original"].as_str().unwrap()).unwrap();
    let checked = Command::new(&amtool).arg("check-config").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    // What Grafana asks to tell an Alertmanager from others.
    let other = ask(([127, 0, 0, 1], house.port).into(), "GET /alertmanager/api/v2/status", &[]);
    assert_eq!(other.status, 404);

    // Our own verbs see the same; the alert that is told can be acknowledged, and is explained.
    let list = || house.own(&["incidents", "list"]);
    let told = |list: String| list.contains("alertname=Down service=home").then_some(list);
    let ready = || told(list()).filter(|list| list.contains(", told")).map(drop);
    wait_for("the first message", LONG, ready);
    house.own(&["ack", "--claim", "--by", "anna", "service=home"]);
    assert!(list().contains("claimed by anna"), "{}", list());
    let why = house.own(&["explain", "--to", "web"]);
    assert!(why.contains("claimed by anna"), "{why}");
    wait_for("the silence to show", LONG, || {
        let why = house.own(&["explain", "--to", "office", "-o", "json"]);
        let why: Value = serde_json::from_str(&why).unwrap();
        let decisions = why["decisions"].as_array().unwrap();
        let has = |reason: &str| decisions.iter().any(|one| one["reason"] == reason);
        (has("owner") && has("silenced")).then_some(())
    });
    let log = house.own(&["incidents", "export", "-o", "csv"]);
    for event in ["started", "ready", "told", "claimed", "silenced", "expired"] {
        assert!(log.contains(&format!(",{event},")), "{event}: {log}");
    }
}

#[test]
fn a_prometheus_sends_its_alerts_here() {
    let Some(prometheus) = require("prometheus") else { return };
    let house = House::start();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let rules = "groups: [{name: g, interval: 1s, rules: [{alert: Foreign, expr: vector(1), \
                 labels: {owner: office}, annotations: {summary: from afar}}]}]\n";
    fs::write(file("rules.yml"), rules).unwrap();
    let config = format!(
        "global: {{evaluation_interval: 1s}}\nrule_files: [rules.yml]\nalerting: \
         {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{}']}}]}}]}}\n",
        house.port
    );
    fs::write(file("prometheus.yml"), config).unwrap();
    let port = free_port();
    let _running = Running::start(
        Command::new(prometheus)
            .arg(format!("--config.file={}", file("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", file("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            // It finds its Alertmanagers a few seconds after the first evaluation.
            .arg("--rules.alert.resend-delay=1s"),
    );
    let path = "/api/v2/alerts?filter=alertname%3DForeign";
    let alert = wait_for("the alert", LONG, || house.get(path).get(0).cloned());
    assert_eq!(alert["labels"]["alertname"], "Foreign");
    assert_eq!(alert["receivers"][0]["name"], "office", "{alert}");
    assert_eq!(alert["annotations"]["summary"], "from afar");
    assert_eq!(alert["status"]["state"], "active");
}
