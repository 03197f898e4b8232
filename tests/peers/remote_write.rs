//! Remote write both ways: a real Prometheus and a real vmagent push to us; we push to a real
//! Prometheus and a real VictoriaMetrics; and one of us pushes to another across a crash.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Running, augenmass, free_port, require, wait_for, wait_for_port};
use crate::http::{Answer, ask, post};

const LONG: Duration = Duration::from_secs(90);

/// One of us, with a target that nobody answers for.
struct Ours {
    port: u16,
    folder: TempDir,
    running: Option<Running>,
}

impl Ours {
    fn new() -> Self {
        Self { port: free_port(), folder: tempfile::tempdir().unwrap(), running: None }
    }

    fn config(instance: &str, more: &str) -> String {
        format!(
            "instance: {instance}\n\
             owners: {{a: {{notify: [{{webhook: w}}]}}}}\n\
             notify: {{webhooks: {{w: {{url: \"http://127.0.0.1:1/\"}}}}}}\n\
             services: {{s: {{owner: a, probes: [{{tcp: \"127.0.0.1:1\"}}]}}}}\n\
             defaults: {{interval: 1s, timeout: 1s}}\n{more}"
        )
    }

    fn start(&mut self, config: &str) {
        let file = self.folder.path().join("augenmass.yml");
        fs::write(&file, config).unwrap();
        let mut command = augenmass();
        command.args(["run", "--config"]).arg(file);
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        self.running = Some(Running::start(&mut command));
        wait_for_port(self.port);
        wait_for("us to be ready", LONG, || (self.get("/-/ready").status == 200).then_some(()));
    }

    /// SIGKILL.
    fn kill(&mut self) {
        let mut running = self.running.take().unwrap();
        running.0.kill().unwrap();
        running.0.wait().unwrap();
    }

    fn get(&self, path: &str) -> Answer {
        ask(([127, 0, 0, 1], self.port).into(), &format!("GET {path}"), &[])
    }

    fn query(&self, query: &str) -> Vec<Value> {
        let form = format!("query={}", encoded(query));
        let answer = post(([127, 0, 0, 1], self.port).into(), "/api/v1/query", &form);
        results(&answer.body)
    }

    fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").text();
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn results(body: &[u8]) -> Vec<Value> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer["data"]["result"].as_array().cloned().unwrap_or_default()
}

/// A program with its data in a temporary folder.
struct Peer {
    port: u16,
    _running: Running,
    _folder: TempDir,
}

impl Peer {
    fn prometheus(program: &Path, more: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, config) = (free_port(), folder.path().join("prometheus.yml"));
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: itself\n    \
             static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n{more}"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--web.enable-remote-write-receiver")
            .args(arguments);
        Self::start(command, port, folder)
    }

    fn victoria(program: &Path) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let mut command = Command::new(program);
        command
            .arg(format!("-storageDataPath={}", folder.path().join("data").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg("-search.latencyOffset=0s");
        Self::start(command, port, folder)
    }

    fn vmagent(program: &Path, to: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let config = folder.path().join("scrape.yml");
        let text = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: itself\n    \
             static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command
            .arg(format!("-promscrape.config={}", config.display()))
            .arg(format!("-remoteWrite.url=http://127.0.0.1:{to}/api/v1/write"))
            .arg(format!("-remoteWrite.tmpDataPath={}", folder.path().join("queue").display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"));
        Self::start(command, port, folder)
    }

    fn start(mut command: Command, port: u16, folder: TempDir) -> Self {
        let running = Running::start(&mut command);
        wait_for_port(port);
        Self { port, _running: running, _folder: folder }
    }

    fn query(&self, query: &str) -> Vec<Value> {
        let path = format!("GET /api/v1/query?query={}", encoded(query));
        results(&ask(([127, 0, 0, 1], self.port).into(), &path, &[]).body)
    }
}

/// A Prometheus pushes to us in both versions of the protocol where it knows both.
#[test]
fn a_prometheus_pushes_to_us() {
    let Some(program) = require("prometheus") else { return };
    let version = Command::new(&program).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).into_owned();
    let mut messages: Vec<(&str, &[&str])> = vec![("", &[])];
    if version.contains("version 3.") {
        let two = "    protobuf_message: io.prometheus.write.v2.Request\n";
        messages.push((two, &["--enable-feature=metadata-wal-records"]));
    }
    for (message, arguments) in messages {
        let mut ours = Ours::new();
        ours.start(&Ours::config("central", ""));
        let port = ours.port;
        let more = format!(
            "remote_write:\n  - url: http://127.0.0.1:{port}/api/v1/write\n{message}    \
             queue_config: {{batch_send_deadline: 1s}}\n    metadata_config: {{send_interval: 1s}}\n"
        );
        let prometheus = Peer::prometheus(&program, &more, arguments);
        wait_for("its samples here", LONG, || {
            (!ours.query("count_over_time(up{job=\"itself\"}[1m]) > 2").is_empty()).then_some(())
        });
        // Of the same instant the same series, all of them.
        let count = "count(last_over_time({job=\"itself\"}[1m]))";
        wait_for("all series", LONG, || {
            let number = |found: Vec<Value>| Some(found.first()?["value"][1].as_str()?.to_owned());
            let (here, there) = (number(ours.query(count)), number(prometheus.query(count)));
            (here.is_some() && here == there).then_some(())
        });
        wait_for("what its metrics mean", LONG, || {
            let text = ours.get("/api/v1/metadata?metric=prometheus_build_info").text();
            text.contains("\"type\":\"gauge\"").then_some(())
        });
        let page = ours.get("/metrics").text();
        assert!(page.contains("remote_write_received_requests_total{code=\"204\"}"), "{page}");
        assert!(!page.contains("remote_write_refused_samples_total{"), "{page}");
    }
}

#[test]
fn a_vmagent_pushes_to_us() {
    let Some(program) = require("vmagent") else { return };
    let mut ours = Ours::new();
    ours.start(&Ours::config("central", ""));
    let _agent = Peer::vmagent(&program, ours.port);
    wait_for("its samples here", LONG, || {
        (!ours.query("count_over_time(up{job=\"itself\"}[1m]) > 2").is_empty()).then_some(())
    });
    assert!(!ours.query("vm_app_version").is_empty());
}

fn destination(name: &str, port: u16, more: &str) -> String {
    format!("  - {{name: {name}, url: \"http://127.0.0.1:{port}/api/v1/write\"{more}}}\n")
}

/// One of us pushes to whoever is there, in both versions of the protocol.
#[test]
fn we_push_to_prometheus_and_victoria_metrics() {
    let (prometheus, victoria) = (require("prometheus"), require("victoria-metrics"));
    let peers: Vec<(&str, Peer)> = [
        ("prometheus", prometheus.map(|p| Peer::prometheus(&p, "", &[]))),
        ("victoria", victoria.map(|p| Peer::victoria(&p))),
    ]
    .into_iter()
    .filter_map(|(name, peer)| Some((name, peer?)))
    .collect();
    if peers.is_empty() {
        return;
    }
    let mut to = String::from("remote_write:\n");
    for (name, peer) in &peers {
        let drop = ", write_relabel: [{source_labels: [__name__], regex: \"augenmass_.*\", \
                    action: drop}, {target_label: site, replacement: berlin}]";
        to += &destination(name, peer.port, drop);
        to += &destination(&format!("{name}-two"), peer.port, ", protocol: 2");
    }
    let mut ours = Ours::new();
    ours.start(&Ours::config("office", &to));
    for (name, peer) in &peers {
        wait_for(name, LONG, || {
            let query =
                "count_over_time(probe_success{site=\"berlin\",instance=\"office\"}[1m]) > 2";
            (!peer.query(query).is_empty()).then_some(())
        });
        wait_for("the second destination", LONG, || {
            (!peer.query("probe_success{site=\"\",instance=\"office\"}").is_empty()).then_some(())
        });
        assert!(peer.query("augenmass_build_info{site=\"berlin\"}").is_empty(), "{name}");
        let shown = peer.query("probe_success{site=\"berlin\"}");
        assert_eq!(shown[0]["value"][1], "0", "nobody listens there: {shown:?}");
    }
    assert!(ours.metric("augenmass_remote_write_sent_samples_total") > 0.0);
    assert_eq!(ours.metric("augenmass_remote_write_failed_samples_total"), 0.0);
}

/// An office behind NAT pushes to the central instance; the central one is killed and comes back,
/// then the office is, several times: nothing that was measured is missing, whatever position of the
/// queue a kill left behind.
#[test]
fn an_office_pushes_to_the_central_instance_across_crashes() {
    let (mut central, mut office) = (Ours::new(), Ours::new());
    let config = Ours::config("central", "");
    central.start(&config);
    let to = format!("remote_write:\n{}", destination("central", central.port, ", protocol: 2"));
    let pushing = Ours::config("office", &to);
    office.start(&pushing);
    let query = "count_over_time(probe_success{instance=\"office\"}[5m])";
    let count = |who: &Ours| -> u64 {
        let found = who.query(query);
        let one = found.first().and_then(|one| one["value"][1].as_str()?.parse().ok());
        one.unwrap_or(0)
    };
    wait_for("the first samples", LONG, || (count(&central) > 1).then_some(()));
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut kills: Vec<f64> = Vec::new();
    for round in 0..4 {
        central.kill();
        let before = count(&office);
        wait_for("an outage", LONG, || (count(&office) > before + 3).then_some(()));
        wait_for("the outage to be noticed", LONG, || {
            (office.metric("augenmass_remote_write_retries_total") > 0.0).then_some(())
        });
        // In every other round the central one is back already, and takes what the office sends.
        if round % 2 == 1 {
            central.start(&config);
        }
        kills.push(now().as_secs_f64());
        office.kill();
        office.start(&pushing);
        if round % 2 == 0 {
            central.start(&config);
        }
        // What was measured in the last moment before a kill was acknowledged to nobody.
        let samples = |who: &Ours| -> Vec<Value> {
            let found = who.query("probe_success{instance=\"office\"}[5m]");
            let values = found.first().and_then(|one| one["values"].as_array().cloned());
            let at = |sample: &Value| sample[0].as_f64().unwrap();
            let sure = |sample: &Value| {
                kills.iter().all(|killed| at(sample) < killed - 3.0 || at(sample) > *killed)
            };
            values.unwrap_or_default().into_iter().filter(sure).collect()
        };
        let wanted = samples(&office);
        assert!(wanted.len() > 1, "{wanted:?}");
        let begun = std::time::Instant::now();
        loop {
            let there = samples(&central);
            let missing: Vec<_> = wanted.iter().filter(|sample| !there.contains(sample)).collect();
            if missing.is_empty() {
                break;
            }
            assert!(begun.elapsed() < LONG, "missing {missing:?} of {wanted:?}, kills {kills:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert_eq!(office.metric("augenmass_remote_write_failed_samples_total"), 0.0);
    assert_eq!(office.metric("augenmass_remote_write_dropped_samples_total"), 0.0);
}
