//! A real Prometheus scrapes us, and promtool judges what we show.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::board::Served;
use crate::harness::{Running, free_port, require, wait_for, wait_for_port};
use crate::http::ask;

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
        let path = format!("GET /api/v1/query?query={expression}");
        let answer = ask(self.address, &path, &[]);
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
