//! A page, a mailbox, and the program that watches the one and writes to the other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use augenmass::demo::peers::{Mailbox, Mood, Received, WebServer};
use http::StatusCode;
use tokio::sync::mpsc;

use crate::harness::{self, augenmass, wait_for};

pub const FAILING: Mood = Mood::Failing(StatusCode::INTERNAL_SERVER_ERROR);
pub const LONG: Duration = Duration::from_secs(30);

/// A page, a mailbox, a configuration.
pub struct World {
    pub folder: tempfile::TempDir,
    pub page: WebServer,
    pub mailbox: Mailbox,
    pub letters: mpsc::Receiver<Received>,
    pub port: u16,
    /// What the program is started by: a command that becomes the one after it.
    pub within: Vec<String>,
}

impl World {
    pub async fn start() -> Self {
        let (mailbox, letters) = Mailbox::start().await.unwrap();
        let page = WebServer::start().await.unwrap();
        page.set("/", Mood::Fine);
        let folder = tempfile::tempdir().unwrap();
        let world =
            Self { folder, page, mailbox, letters, port: harness::free_port(), within: Vec::new() };
        world.write(&world.config(""));
        world
    }

    pub fn config(&self, more: &str) -> String {
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

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("augenmass.yml")
    }

    pub fn write(&self, text: &str) {
        std::fs::write(self.file(), text).unwrap();
    }

    /// The program, within what it is to be started by.
    pub fn command(&self) -> Command {
        let Some((outer, arguments)) = self.within.split_first() else { return augenmass() };
        let mut command = Command::new(outer);
        command.args(arguments).arg(augenmass().get_program());
        command
    }

    pub fn spawn(&self) -> Process {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let mut command = self.command();
        command.args(["--log", "debug", "run", "--config"]).arg(self.file());
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Process { child, port: self.port }
    }

    pub fn run(&self) -> Process {
        let mut process = self.spawn();
        wait_for("the program to answer", LONG, || {
            assert!(process.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            process.get("/-/ready").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        process
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// The next letter with that word in its subject.
    pub async fn letter_of(&mut self, word: &str) -> Received {
        loop {
            let letter = self.letter().await;
            if letter.mail.subject.contains(word) {
                return letter;
            }
        }
    }

    pub async fn letter(&mut self) -> Received {
        let letter = tokio::time::timeout(LONG, self.letters.recv()).await;
        letter.unwrap_or_else(|_| panic!("no mail came: {}", self.log())).unwrap()
    }
}

pub struct Process {
    pub child: Child,
    pub port: u16,
}

impl Process {
    pub fn ask(&self, method: &str, path: &str) -> Option<String> {
        self.send(method, path, "")
    }

    /// With a form.
    pub fn send(&self, method: &str, path: &str, form: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub fn get(&self, path: &str) -> Option<String> {
        self.ask("GET", path)
    }

    pub fn metric(&self, name: &str) -> Option<f64> {
        let page = self.get("/metrics")?;
        let line = page
            .lines()
            .find(|l| l.starts_with(&format!("{name} ")) || l.starts_with(&format!("{name}{{")))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Over all label sets.
    pub fn sum(&self, name: &str) -> f64 {
        let page = self.get("/metrics").unwrap_or_default();
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    pub fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().unwrap();
    }

    pub fn stop(mut self) -> i32 {
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

pub fn is_over(letter: &Received) -> bool {
    letter.mail.header("X-Augenmass-State") == "resolved"
}
