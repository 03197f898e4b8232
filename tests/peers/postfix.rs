//! A real Postfix with its own folders: the queue as it is seen through showq and postqueue.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use augenmass::ports::{Clock, SystemClock};
use augenmass::probe::mail_queue::MailQueueProber;
use augenmass::probe::{MailQueueSource, MailQueueTarget, Observation, Outcome, Prober};

use crate::harness::{free_port, require, skip, wait_for_port};
use crate::mail_server;

/// Takes mail, delivers nothing (every delivery is put off), holds some.
const MAIN: &str = "mynetworks = 127.0.0.0/8
defer_transports = smtp
smtpd_recipient_restrictions = check_recipient_access inline:{hold@example.net=HOLD}, permit_mynetworks, reject
smtp_dns_support_level = disabled
";

struct Postfix {
    server: mail_server::Postfix,
    port: u16,
}

impl Postfix {
    fn start() -> Option<Self> {
        let server = mail_server::Postfix::prepare()?;
        let port = free_port();
        let master = format!(
            "127.0.0.1:{port} inet n - n - - smtpd
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
smtp unix - - n - - smtp
"
        );
        server.start(MAIN, &master);
        wait_for_port(port);
        Some(Self { server, port })
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> bool {
        self.server.run(program, arguments)
    }

    fn config(&self) -> PathBuf {
        self.server.path().join("etc")
    }

    fn spool(&self) -> PathBuf {
        self.server.path().join("spool")
    }

    fn socket(&self) -> PathBuf {
        self.spool().join("public/showq")
    }

    fn stop(&self) {
        self.run(Path::new("/usr/sbin/postfix"), &["stop"]);
    }

    /// Hands in mails by SMTP, one for each recipient.
    fn send(&self, recipients: impl IntoIterator<Item = String>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap());
        let mut say = |line: &str, code: &str| {
            stream.write_all(format!("{line}\r\n").as_bytes()).unwrap();
            expect(&mut answers, code);
        };
        // The greeting comes without a word of ours.
        say("HELO client.example.org", "220");
        for recipient in recipients {
            say("MAIL FROM:<canary-sender@example.org>", "250");
            say(&format!("RCPT TO:<{recipient}>"), "250");
            say("DATA", "250");
            say("Subject: canary-subject\r\n\r\nHello\r\n.", "354");
        }
        say("NOOP", "250");
        say("QUIT", "250");
    }

    fn by_socket(&self) -> MailQueueSource {
        MailQueueSource::Showq { socket: self.socket() }
    }

    fn by_program(&self) -> MailQueueSource {
        let config_dir = Some(self.config());
        MailQueueSource::Postqueue { program: "/usr/sbin/postqueue".into(), config_dir }
    }
}

fn expect(answers: &mut impl BufRead, code: &str) {
    loop {
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(code), "expected {code}: {answer}");
        if answer.as_bytes().get(3) == Some(&b' ') {
            return;
        }
    }
}

fn look(source: MailQueueSource) -> Outcome {
    let clock = Arc::new(SystemClock::start());
    let prober = MailQueueProber::new(&MailQueueTarget { source }, clock.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(prober.probe(clock.mono().after(Duration::from_secs(60))))
}

fn measured(source: MailQueueSource) -> Observation {
    match look(source) {
        Outcome::Measured(seen) => seen,
        Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
    }
}

/// Counts and sizes, without ages (they grow between two looks).
fn sums(seen: &Observation) -> Vec<(&'static str, String, f64)> {
    let readings = seen.readings.iter().filter(|reading| !reading.metric.contains("age"));
    readings
        .map(|reading| {
            let queue = reading.labels.iter().map(|(_, value)| value.as_str().to_owned()).collect();
            (reading.metric, queue, reading.value)
        })
        .collect()
}

fn value(seen: &Observation, metric: &str, queue: &str) -> f64 {
    let of = |reading: &&augenmass::probe::Reading| {
        reading.metric == metric && reading.labels.iter().any(|(_, value)| value.as_str() == queue)
    };
    seen.readings.iter().find(of).unwrap().value
}

fn wait_for_messages(postfix: &Postfix, queue: &str, count: f64) -> Observation {
    crate::harness::wait_for("the mails in their queue", Duration::from_secs(60), || {
        let seen = measured(postfix.by_socket());
        (value(&seen, "mail_queue_messages", queue) == count).then_some(seen)
    })
}

#[test]
fn both_ways_see_the_same_queue() {
    let Some(postfix) = Postfix::start() else { return };
    let empty = measured(postfix.by_socket());
    assert_eq!(sums(&empty), sums(&measured(postfix.by_program())));
    assert!(empty.up && &*empty.headline == "no mail waits");

    postfix.send((0..200).map(|number| format!("canary{number}@example.net")));
    postfix.send((0..7).map(|_| "hold@example.net".to_owned()));
    let seen = wait_for_messages(&postfix, "deferred", 200.0);
    assert_eq!(value(&seen, "mail_queue_messages", "hold"), 7.0);
    assert!(value(&seen, "mail_queue_size_bytes", "deferred") > 200.0 * 100.0);
    assert!(value(&seen, "mail_queue_oldest_age_seconds", "deferred") < 60.0);
    let by_program = measured(postfix.by_program());
    assert_eq!(sums(&seen), sums(&by_program));
    for seen in [&seen, &by_program] {
        let told = format!("{seen:?}");
        assert!(!told.contains("canary") && !told.contains('@'), "{told}");
    }

    // Released and thrown away: it drains.
    assert!(postfix.run(Path::new("/usr/sbin/postsuper"), &["-d", "ALL"]));
    assert_eq!(sums(&empty), sums(&measured(postfix.by_program())));

    postfix.stop();
    let Outcome::Measured(seen) = look(postfix.by_socket()) else { panic!("not measured") };
    assert!(!seen.up && seen.cause.unwrap().contains("down"));
    // Root reads the queue past the stopped mail system, and says so.
    let seen = measured(postfix.by_program());
    assert!(!seen.up && seen.cause.as_deref() == Some("the mail system is down"), "{seen:?}");
    assert_eq!(sums(&empty), sums(&seen));
}

/// Only when told where: looks as another user, in a process of its own.
#[test]
fn child() {
    let Some(socket) = std::env::var_os("AUGENMASS_TEST_SHOWQ") else { return };
    let start = SystemClock::start();
    let outcome = look(MailQueueSource::Showq { socket: socket.into() });
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    println!("OUTCOME {outcome:?}\nPEAK {peak}\nSECONDS {}", start.mono().0.as_secs_f64());
}

/// The output of [`child`], run by `setpriv` with these options; `None` when it cannot run here.
fn look_as(options: &[&str], socket: &Path) -> Option<String> {
    let setpriv = require("setpriv")?;
    let output = Command::new(setpriv)
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["postfix::child", "--exact", "--nocapture"])
        .env("AUGENMASS_TEST_SHOWQ", socket)
        .current_dir("/")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    if !said.contains("OUTCOME") {
        skip(&format!("cannot run as another user: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    Some(said)
}

#[test]
fn a_missing_permission_names_the_remedy_and_the_remedy_helps() {
    let Some(postfix) = Postfix::start() else { return };
    let nobody = ["--reuid=65534", "--regid=65534"];
    let alone = [&nobody[..], &["--clear-groups"]].concat();
    let Some(said) = look_as(&alone, &postfix.socket()) else { return };
    assert!(said.contains("NotMeasured") && said.contains("usermod -aG postdrop nobody"), "{said}");
    let member = [&nobody[..], &["--groups=postdrop"]].concat();
    let said = look_as(&member, &postfix.socket()).unwrap();
    assert!(said.contains("up: true"), "{said}");
}

/// A hundred thousand real queue files, made by copying one of a held mail.
#[test]
fn a_hundred_thousand_messages_cost_bounded_time_and_memory() {
    const MESSAGES: u32 = 100_000;
    let Some(postfix) = Postfix::start() else { return };
    postfix.send(["hold@example.net".to_owned()]);
    wait_for_messages(&postfix, "hold", 1.0);
    let hold = postfix.spool().join("hold");
    let original = fs::read_dir(&hold).unwrap().next().unwrap().unwrap().path();
    let mail = fs::read(&original).unwrap();
    let owner = fs::metadata(&original).unwrap();
    for number in 1..MESSAGES {
        let copy = hold.join(format!("{:09X}", 0xA_0000_0000_u64 + u64::from(number)));
        fs::write(&copy, &mail).unwrap();
        std::os::unix::fs::chown(&copy, Some(owner.uid()), Some(owner.gid())).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let Some(said) = look_as(&["--clear-groups"], &postfix.socket()) else { return };
    assert!(said.contains(&format!("{MESSAGES} on hold")), "{said}");
    let figure = |name: &str| {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        let digits = line.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        digits.unwrap()
    };
    let (peak, seconds) = (figure("PEAK"), figure("SECONDS"));
    println!("{MESSAGES} messages: {seconds:.1} s, peak memory {peak} kB");
    assert!(peak < 64.0 * 1024.0 && seconds < 50.0);
    let by_program = measured(postfix.by_program());
    assert_eq!(value(&by_program, "mail_queue_messages", "hold"), f64::from(MESSAGES));
}
