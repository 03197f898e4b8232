//! A real Dovecot: it judges Postfix' logins (SCRAM included), takes the mail by LMTP, and shows by
//! IMAP what a mail program would make of it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::notify::{EmailSettings, MailLogin};

use super::{MailServer, deliver, delivery};
use crate::harness::{Running, free_port, require, wait_for, wait_for_port};

/// Everything below one folder, for one user, as root with the mail of nobody.
fn configuration(folder: &Path, imap: u16, mechanisms: &str) -> String {
    let here = folder.display();
    format!(
        "base_dir = {here}/dovecot/run
state_dir = {here}/dovecot/state
log_path = {here}/dovecot/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
mail_location = maildir:{here}/dovecot/mail/%n
first_valid_uid = 100
auth_username_format = %Ln
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%Ln {here}/dovecot/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home={here}/dovecot/mail/%n
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
service lmtp {{
  unix_listener {here}/spool/private/dovecot-lmtp {{
    mode = 0666
  }}
}}
service auth {{
  unix_listener {here}/spool/private/auth {{
    mode = 0666
  }}
}}
"
    )
}

/// Ways to log in that a server of today offers.
const ALL: &str = "plain login scram-sha-256 scram-sha-1";

/// Postfix with Dovecot behind it; `None` where either is missing.
fn start(mechanisms: &str) -> Option<(MailServer, Running, u16)> {
    let dovecot = require("dovecot")?;
    let imap = free_port();
    let main = "smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
virtual_transport = lmtp:unix:private/dovecot-lmtp
";
    let server = MailServer::start_with(main, |path| {
        fs::create_dir_all(path.join("dovecot/mail")).unwrap();
        crate::mail_server::run(
            Command::new("chown").arg("65534:65534").arg(path.join("dovecot/mail")),
        );
        fs::write(path.join("dovecot/users"), "orwell:{PLAIN}right horse\nweb:{PLAIN}web\n")
            .unwrap();
        fs::write(path.join("dovecot/dovecot.conf"), configuration(path, imap, mechanisms))
            .unwrap();
        Some(())
    })?;
    let path = server.server.path();
    let config = path.join("dovecot/dovecot.conf");
    let running = Running::start(Command::new(dovecot).arg("-F").arg("-c").arg(config));
    let log = || fs::read_to_string(path.join("dovecot/log")).unwrap_or_default();
    wait_for(&format!("Dovecot: {}", log()), Duration::from_secs(30), || {
        (path.join("spool/private/auth").exists()
            && TcpStream::connect(("127.0.0.1", imap)).is_ok())
        .then_some(())
    });
    wait_for_port(imap);
    Some((server, running, imap))
}

/// An IMAP session of the user `web`.
struct Imap {
    lines: BufReader<TcpStream>,
    number: u32,
}

impl Imap {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut imap = Self { lines: BufReader::new(stream), number: 0 };
        let mut greeting = String::new();
        imap.lines.read_line(&mut greeting).unwrap();
        imap.ask("LOGIN web web");
        imap
    }

    /// Untagged answers to a command that must succeed.
    fn ask(&mut self, command: &str) -> String {
        self.number += 1;
        let tag = format!("a{} ", self.number);
        self.lines.get_mut().write_all(format!("{tag}{command}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "{command}: {answer}");
            if let Some(verdict) = line.strip_prefix(&tag) {
                assert!(verdict.starts_with("OK"), "{command}: {verdict}");
                return answer;
            }
            answer.push_str(&line);
        }
    }

    fn wait_for(&mut self, count: usize) {
        wait_for("mail in Dovecot", Duration::from_secs(20), || {
            let answer = self.ask("SELECT INBOX");
            answer.contains(&format!("* {count} EXISTS")).then_some(())
        });
    }
}

#[test]
fn a_mailbox_shows_each_incident_as_one_thread() {
    let Some((server, _dovecot, imap)) = start(ALL) else { return };
    // Each delivery by a notifier that remembers nothing, as after a restart.
    for (key, incident) in [("k-1", "i-1"), ("k-2", "i-2"), ("k-3", "i-1"), ("k-4", "i-1")] {
        let mut delivery = delivery(key, "web@example.org");
        delivery.message.incident = incident.into();
        delivery.message.subject = format!("Subject of {key}");
        deliver(&server, &delivery, |_| {}).unwrap();
        // Threads are sorted by arrival.
        Imap::open(imap).wait_for(key[2..].parse().unwrap());
    }
    let mut imap = Imap::open(imap);
    imap.wait_for(4);
    let threads = imap.ask("UID THREAD REFERENCES UTF-8 ALL");
    // Siblings under a first message that was never sent itself (RFC 5256).
    assert_eq!(threads.trim_end(), "* THREAD ((1)(3)(4))(2)", "{threads}");
    let first = imap.ask("FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT LIST-ID AUTO-SUBMITTED)])");
    assert!(first.contains("Auto-Submitted: auto-generated"), "{first}");
    let found = imap.ask("SEARCH HEADER Message-ID <k-3@example.org>");
    assert_eq!(found.trim_end(), "* SEARCH 3");
}

#[test]
fn a_login_by_scram_proves_both_sides() {
    let Some((server, _dovecot, imap)) = start(ALL) else { return };
    deliver(&server, &delivery("s-1", "web@example.org"), |_| {}).unwrap();
    Imap::open(imap).wait_for(1);
    let log = server.server.path().join("data/mail.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("sasl_method=SCRAM-SHA-256"), "{log}");
    let wrong = |s: &mut EmailSettings| {
        s.login = Some(MailLogin::new("orwell", &Secret::new("wrong horse")));
    };
    let refused = deliver(&server, &delivery("s-2", "web@example.org"), wrong).unwrap_err();
    assert!(refused.to_string().contains("user name and password"), "{refused}");
    assert!(!refused.to_string().contains("horse"), "{refused}");
}

#[test]
fn an_old_server_is_answered_by_cram_md5() {
    let Some((server, _dovecot, imap)) = start("plain cram-md5") else { return };
    let secret = |word: &str| {
        let secret = Some(Secret::new(word));
        let user = "orwell".into();
        move |s: &mut EmailSettings| {
            s.login = Some(MailLogin { user, password: None, secret, identity: None });
        }
    };
    deliver(&server, &delivery("c-1", "web@example.org"), secret("right horse")).unwrap();
    Imap::open(imap).wait_for(1);
    let log = fs::read_to_string(server.server.path().join("data/mail.log")).unwrap();
    assert!(log.contains("sasl_method=CRAM-MD5"), "{log}");
    let wrong = secret("wrong horse");
    let refused = deliver(&server, &delivery("c-2", "web@example.org"), wrong).unwrap_err();
    assert!(refused.to_string().contains("user name and password"), "{refused}");
    assert!(!refused.to_string().contains("horse"), "{refused}");
}
