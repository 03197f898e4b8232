//! A real Prometheus scrapes us, and promtool judges what we show.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::board::Served;
use crate::dashboard;
use crate::harness::{Running, free_port, require, wait_for, wait_for_port};
use crate::http::{ask, post};

/// A Prometheus with its data in a temporary directory.
struct Prometheus {
    address: SocketAddr,
    _running: Running,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn scraping(program: &std::path::Path, target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: augenmass\n    \
             static_configs: [{{targets: ['{target}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let port = free_port();
        let running = Running::start(
            Command::new(program)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        );
        wait_for_port(port);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self { address, _running: running, _folder: folder }
    }

    /// The vector that an expression gives; `None` when it is empty.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.append_pair("query", expression).finish();
        let answer = post(self.address, "/api/v1/query", &form);
        let answer: Value = serde_json::from_slice(&answer.body).ok()?;
        let vector = answer["data"]["result"].as_array()?.clone();
        (!vector.is_empty()).then_some(vector)
    }
}

#[test]
fn a_prometheus_scrapes_us() {
    let Some(program) = require("prometheus") else { return };
    let served = Served::start(Served::settings());
    let prometheus = Prometheus::scraping(&program, served.address);
    let patience = Duration::from_secs(60);
    let up = wait_for("a scrape", patience, || prometheus.query("probe_success"));
    assert_eq!(up.len(), 4, "{up:?}");
    let wiki = up.iter().find(|series| series["metric"]["service"] == "wiki").unwrap();
    assert_eq!(wiki["value"][1], "0");
    // The labels are the scraper's own: nothing was renamed to `exported_job`.
    assert_eq!(wiki["metric"]["job"], "augenmass");
    assert!(
        wiki["metric"]["exported_job"].is_null() && wiki["metric"]["exported_instance"].is_null()
    );
    for name in [
        "printer_pages_total",
        "probe_tls_version_info",
        "augenmass_build_info",
        "process_cpu_seconds_total",
    ] {
        assert!(prometheus.query(name).is_some(), "{name}");
    }
    let scraped = prometheus.query("up").unwrap();
    assert_eq!(scraped[0]["value"][1], "1");
    let answer = ask(prometheus.address, "GET /api/v1/metadata?metric=printer_pages", &[]);
    let meta: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(meta["data"]["printer_pages"][0]["type"], "counter", "{meta}");
}

#[test]
fn promtool_finds_nothing() {
    let Some(promtool) = require("promtool") else { return };
    let served = Served::start(Served::settings());
    // Make every kind of our own metrics appear first.
    ask(served.address, "GET /nothing", &[]);
    ask(served.address, "GET /", &[]);
    let page = ask(served.address, "GET /metrics", &["Accept: text/plain"]);
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&page.body).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{}", page.text());
}

#[test]
fn the_dashboard_shows_what_a_prometheus_scraped() {
    let Some(program) = require("prometheus") else { return };
    let served = Served::start(Served::settings());
    let prometheus = Prometheus::scraping(&program, served.address);
    for (panel, text) in dashboard::expressions() {
        // `deriv` and `increase` need a second scrape.
        let patience = Duration::from_secs(60);
        let found = wait_for(&format!("{panel}: {text}"), patience, || prometheus.query(&text));
        assert!(!found.is_empty());
    }
    for (name, metric, label) in dashboard::variables() {
        let path = format!("GET /api/v1/label/{label}/values?match[]={metric}");
        let answer: Value =
            serde_json::from_slice(&ask(prometheus.address, &path, &[]).body).unwrap();
        assert!(answer["data"].as_array().is_some_and(|d| d.len() > 1), "{name}: {answer}");
    }
}

/// What promtool prints, without an error.
fn promtool(program: &std::path::Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn promtool_queries_us() {
    let Some(program) = require("promtool") else { return };
    let served = Served::start(Served::settings());
    let url = format!("http://{}", served.address);
    let now = served.now.seconds();
    let at = format!("--time={now}");
    let said =
        promtool(&program, &["query", "instant", &at, &url, "sum by (owner) (probe_success)"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines.iter().any(|line| line.starts_with("{owner=\"web-team\"} => 2 @[")), "{said}");
    let (start, end) = (format!("--start={}", now - 60.0), format!("--end={now}"));
    let said = promtool(
        &program,
        &["query", "range", &start, &end, "--step=15s", &url, "count(probe_success)"],
    );
    assert_eq!(said.matches("4 @[").count(), 5, "{said}");
    let said = promtool(&program, &["query", "series", "--match=printer_state", &url]);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("service=\"printer-s71\""), "{said}");
    let said = promtool(&program, &["query", "labels", &url, "owner"]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["office", "web-team"]);
}

/// The same question to a Prometheus that scraped us and to ourselves: the same series.
#[test]
fn a_prometheus_and_we_give_the_same_series() {
    let Some(program) = require("prometheus") else { return };
    let served = Served::start(Served::settings());
    let prometheus = Prometheus::scraping(&program, served.address);
    let patience = Duration::from_secs(60);
    wait_for("a scrape", patience, || prometheus.query("probe_success"));
    let form = "query=probe_http_duration_seconds";
    let ours =
        post(served.address, "/api/v1/query", &format!("{form}&time={}", served.now.seconds()));
    let ours: Value = serde_json::from_slice(&ours.body).unwrap();
    let theirs = prometheus.query("probe_http_duration_seconds").unwrap();
    let series = |list: &[Value]| -> std::collections::BTreeSet<String> {
        let one = |series: &Value| {
            let mut labels = series["metric"].clone();
            labels.as_object_mut().unwrap().remove("instance");
            format!("{labels} {}", series["value"][1])
        };
        list.iter().map(one).collect()
    };
    assert_eq!(series(ours["data"]["result"].as_array().unwrap()), series(&theirs));
}
