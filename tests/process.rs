//! The binary as its users run it: start, reload, stop, kill. Its peers are those of the demo.

#[path = "peers/harness.rs"]
mod harness;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use augenmass::demo::peers::{Mailbox, Mood, Received, WebServer};
use harness::{augenmass, wait_for};
use http::StatusCode;
use tokio::sync::mpsc;

const FAILING: Mood = Mood::Failing(StatusCode::INTERNAL_SERVER_ERROR);
const LONG: Duration = Duration::from_secs(30);
/// What must never leave the configuration.
const CANARIES: [&str; 4] = ["canary-user", "canary-password", "canary-token", "canary-fragment"];

/// A page, a mailbox, a configuration.
struct World {
    folder: tempfile::TempDir,
    page: WebServer,
    mailbox: Mailbox,
    letters: mpsc::Receiver<Received>,
    port: u16,
}

impl World {
    async fn start() -> Self {
        let (mailbox, letters) = Mailbox::start().await.unwrap();
        let page = WebServer::start().await.unwrap();
        page.set("/", Mood::Fine);
        let folder = tempfile::tempdir().unwrap();
        let world = Self { folder, page, mailbox, letters, port: harness::free_port() };
        world.write(&world.config(""));
        world
    }

    fn config(&self, more: &str) -> String {
        let (mail, host) = (self.mailbox.address(), self.page.address());
        format!(
            "instance: test\n\
             owners: {{team: {{notify: [{{email: team@example.org}}]}}}}\n\
             notify: {{email: {{smarthost: \"{mail}\", from: orwell@example.org, tls: \"off\"}}}}\n\
             defaults: {{interval: 1s, timeout: 1s, confirm: {{tries: 2, every: 200ms}}}}\n\
             alerting: {{group_interval: 1s}}\n\
             rules: {{interval: 1s}}\n\
             services:\n  page:\n    owner: team\n    probes:\n      \
             - http: {{url: \"http://canary-user:canary-password@{host}/?t=canary-token#canary-fragment\", name: page}}\n{more}"
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("augenmass.yml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    fn spawn(&self) -> Process {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = augenmass();
        command.args(["--log", "debug", "run", "--config"]).arg(self.file());
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Process { child, port: self.port }
    }

    fn run(&self) -> Process {
        let mut process = self.spawn();
        wait_for("the program to answer", LONG, || {
            assert!(process.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            process.get("/-/ready").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        process
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn letter(&mut self) -> Received {
        let letter = tokio::time::timeout(LONG, self.letters.recv()).await;
        letter.unwrap_or_else(|_| panic!("no mail came: {}", self.log())).unwrap()
    }
}

struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn ask(&self, method: &str, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn get(&self, path: &str) -> Option<String> {
        self.ask("GET", path)
    }

    fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics")?;
        let line = page
            .lines()
            .find(|l| l.starts_with(&format!("{name} ")) || l.starts_with(&format!("{name}{{")))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Over all label sets.
    fn sum(&self, name: &str) -> f64 {
        let page = self.get("/metrics").unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    fn stop(mut self) -> i32 {
        self.signal("-TERM");
        wait_for("the end", Duration::from_secs(11), || self.child.try_wait().unwrap())
            .code()
            .unwrap_or(-1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_over(letter: &Received) -> bool {
    letter.mail.header("X-Augenmass-State") == "resolved"
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_and_so_is_its_end() {
    let mut world = World::start().await;
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    let first = world.letter().await;
    assert!(!is_over(&first) && first.mail.subject.contains("page"), "{}", first.mail.subject);
    // Fifty more evaluations over a page that is still down make no second message.
    let ticks = || process.sum("augenmass_evaluate_evaluations_total");
    let before = ticks();
    wait_for("evaluations", LONG, || (ticks() >= before + 50.0).then_some(()));
    assert!(world.letters.try_recv().is_err(), "told twice");
    world.page.set("/", Mood::Fine);
    let second = world.letter().await;
    assert!(is_over(&second), "{}", second.mail.subject);
    let thread = first.mail.header("Message-ID");
    let refers =
        format!("{} {}", second.mail.header("In-Reply-To"), second.mail.header("References"));
    let root =
        |letter: &Received| letter.mail.header("References").split(' ').next().map(str::to_owned);
    assert!(refers.contains(thread) || root(&first) == root(&second), "not one thread: {refers}");
    assert_eq!(process.stop(), 0);
    assert!(world.letters.try_recv().is_err(), "told a third time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_does_not_stop_what_runs() {
    let world = World::start().await;
    let process = world.run();
    let successful = || process.metric("augenmass_config_last_reload_successful");
    assert_eq!(successful(), Some(1.0));
    world.write(&world.config("      - htpp: nonsense\n"));
    process.signal("-HUP");
    wait_for("the refusal", LONG, || successful().filter(|value| *value == 0.0));
    assert!(world.log().contains("did you mean `http`"), "{}", world.log());
    let refused = process.ask("POST", "/-/reload").unwrap();
    assert!(!refused.starts_with("HTTP/1.1 200") && refused.contains("htpp"), "{refused}");
    let probes = process.metric("probe_success");
    assert_eq!(probes, Some(1.0), "the old target is still there");
    assert!(!process.get("/-/reload").unwrap().starts_with("HTTP/1.1 200"), "GET must not act");
    world.write(&world.config("      - tcp: {host: 127.0.0.1, port: 9, name: other}\n"));
    let accepted = process.ask("POST", "/-/reload").unwrap();
    assert!(accepted.starts_with("HTTP/1.1 200"), "{accepted}");
    assert_eq!(successful(), Some(1.0));
    wait_for("the new target", LONG, || {
        process.get("/metrics").filter(|p| p.contains("target=\"other\""))
    });
    assert_eq!(process.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_problems_does_not_start_and_names_them_all() {
    let world = World::start().await;
    world.write("owners: {a: {notify: []}}\nservices: {b: {owner: c}}\nnonsense: 1\n");
    let out = augenmass().args(["run", "--config"]).arg(world.file()).output().unwrap();
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    let file = world.file().display().to_string();
    for place in [":1:10: ", ":2:23: ", ":3:1: "] {
        assert!(told.contains(&format!("{file}{place}")), "{place} {told}");
    }
    let out = augenmass().args(["check", "config"]).arg(world.file()).output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8(out.stderr).unwrap()), (Some(1), told));
    assert_eq!(augenmass().arg("nonsense").output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_at_any_moment_loses_nothing_and_repeats_only_with_the_same_id() {
    let mut world = World::start().await;
    // Moments of the outage: while it is being confirmed, while it is told, while it lasts, while
    // its end is told. The program lives a little longer each time.
    world.page.set("/", FAILING);
    for life in [300u64, 600, 900, 1200, 1500, 1800] {
        let process = world.spawn();
        tokio::time::sleep(Duration::from_millis(life)).await;
        process.kill();
    }
    let process = world.run();
    let down = world.letter().await;
    assert!(!is_over(&down));
    world.page.set("/", Mood::Fine);
    wait_for("the page to be up", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    process.kill();
    let mut seen: BTreeMap<String, Received> = BTreeMap::new();
    seen.insert(down.mail.header("Message-ID").to_owned(), down);
    let process = world.run();
    while !seen.values().any(is_over) {
        let letter = world.letter().await;
        seen.insert(letter.mail.header("Message-ID").to_owned(), letter);
    }
    assert_eq!(process.stop(), 0);
    while let Ok(letter) = world.letters.try_recv() {
        seen.insert(letter.mail.header("Message-ID").to_owned(), letter);
    }
    // One message for the beginning, one for the end, whatever the number of copies.
    let told: Vec<_> =
        seen.values().map(|letter| (is_over(letter), &letter.mail.subject)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_any_output() {
    let mut world = World::start().await;
    let process = world.run();
    world.page.set("/", FAILING);
    let letter = world.letter().await;
    let mut outputs = BTreeMap::new();
    for path in [
        "/",
        "/metrics",
        "/api/v1/targets",
        "/api/v1/rules",
        "/api/v1/alerts",
        "/api/v1/status/config",
    ] {
        outputs.insert(path.to_owned(), process.get(path).unwrap());
    }
    assert_eq!(process.stop(), 0);
    outputs.insert("mail".to_owned(), String::from_utf8_lossy(&letter.raw).into_owned());
    outputs.insert("log".to_owned(), world.log());
    let mut folders = vec![world.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                outputs.insert(
                    path.display().to_string(),
                    String::from_utf8_lossy(&bytes).into_owned(),
                );
            }
        }
    }
    for (name, text) in &outputs {
        for canary in CANARIES {
            assert!(!text.contains(canary), "{canary} in {name}");
        }
    }
    // The files of the store were looked at, and the mailbox' address may stand in the state only.
    assert!(outputs.keys().any(|name| name.ends_with("state.sqlite")));
    for name in ["/", "/metrics", "log", "/api/v1/alerts"] {
        assert!(!outputs[name].contains("team@example.org"), "the address is in {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_down_for_a_while_loses_nothing() {
    let mut world = World::start().await;
    world.mailbox.set_closed(true);
    let process = world.run();
    world.page.set("/", FAILING);
    wait_for("a failed delivery", LONG, || {
        process.get("/metrics").filter(|page| {
            page.lines()
                .any(|l| l.starts_with("augenmass_notify_retries_total{") && !l.ends_with(" 0"))
        })
    });
    process.kill();
    world.mailbox.set_closed(false);
    let process = world.run();
    assert!(!is_over(&world.letter().await));
    assert_eq!(process.stop(), 0);
}
