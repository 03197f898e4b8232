//! Mail through a real Postfix with STARTTLS and AUTH, read back from the mailbox.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::notify::{EmailNotifier, EmailSettings, SmtpTls};
use augenmass::ports::{
    Address, Delivery, DeliveryError, Message, Notifier, Receipt, SystemClock, Urgency,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::harness::{free_port, require, skip, wait_for, wait_for_port};

/// Takes mail from those who log in under TLS, and keeps it for two people.
fn main_cf(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mail.example.org
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{{{{web@example.org=web/}}, {{dispatch@example.org=dispatch/}}}}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {folder}/etc/chain.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = mail.example.org
cyrus_sasl_config_path = {folder}/etc/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
smtpd_peername_lookup = no
maillog_file = {folder}/data/mail.log
maillog_file_prefixes = {folder}
"
    )
}

fn master_cf(port: u16) -> String {
    format!(
        "127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"
    )
}

struct MailServer {
    folder: tempfile::TempDir,
    port: u16,
}

impl MailServer {
    fn start() -> Option<Self> {
        let postfix = require("postfix")?;
        let saslpasswd = require("saslpasswd2")?;
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip("Postfix is started by root only");
            return None;
        }
        let server = Self { folder: tempfile::tempdir().unwrap(), port: free_port() };
        let path = server.folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "etc/sasl", "spool", "data", "mail"] {
            fs::create_dir(path.join(name)).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(path.join("data")));
        run(Command::new("chown").arg("65534:65534").arg(path.join("mail")));
        fs::write(path.join("etc/main.cf"), main_cf(path)).unwrap();
        fs::write(path.join("etc/master.cf"), master_cf(server.port)).unwrap();
        write_certificates(&path.join("etc"));
        let accounts = path.join("etc/sasldb2");
        let sasl = format!(
            "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
            accounts.display()
        );
        fs::write(path.join("etc/sasl/smtpd.conf"), sasl).unwrap();
        let made = Command::new("sh")
            .args([
                "-c",
                "printf 'right horse' | \"$0\" -p -c -f \"$1\" -u mail.example.org orwell",
            ])
            .args([&saslpasswd, &accounts])
            .status();
        assert!(made.unwrap().success());
        fs::set_permissions(&accounts, fs::Permissions::from_mode(0o644)).unwrap();
        run(Command::new(&postfix).arg("-c").arg(path.join("etc")).arg("start"));
        wait_for_port(server.port);
        Some(server)
    }

    fn settings(&self) -> EmailSettings {
        EmailSettings {
            host: "localhost".into(),
            port: self.port,
            from: "Orwell Größe <orwell@example.org>".into(),
            reply_to: Some("it@example.org".into()),
            hello: None,
            credentials: Some(("orwell".into(), Secret::new("right horse"))),
            tls: SmtpTls::Required,
            ca_file: Some(self.folder.path().join("etc/ca.pem")),
            timeout: Duration::from_secs(30),
        }
    }

    /// The mails of one person.
    fn mailbox(&self, name: &str) -> Vec<String> {
        let folder: PathBuf = self.folder.path().join("mail").join(name).join("new");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    fn wait_for_mails(&self, name: &str, count: usize) -> Vec<String> {
        wait_for("mail", Duration::from_secs(20), || {
            let mails = self.mailbox(name);
            (mails.len() >= count).then_some(mails)
        })
    }

    fn stop(&self) {
        let mut postfix = Command::new("/usr/sbin/postfix");
        let _ = postfix.arg("-c").arg(self.folder.path().join("etc")).arg("stop").output();
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority of our own, and a certificate for localhost.
fn write_certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &authority).unwrap();
    fs::write(folder.join("chain.pem"), format!("{}{}", key.serialize_pem(), leaf.pem())).unwrap();
}

fn delivery(key: &str, to: &str) -> Delivery {
    Delivery {
        key: key.into(),
        to: Address::Email(to.into()),
        message: Message {
            subject: "Homepage: Größe 🖨 antwortet nicht".into(),
            text: "Erste Zeile mit Umlaut: ü\n.\nnach dem Punkt\n".into(),
            html: "<p>Erste Zeile: ü</p>".into(),
            language: "de".into(),
            urgency: Urgency::High,
            incident: "incident-1".into(),
            ..Message::default()
        },
    }
}

/// Delivers with settings changed from those that work.
fn deliver(
    server: &MailServer,
    delivery: &Delivery,
    change: impl FnOnce(&mut EmailSettings),
) -> Result<Receipt, DeliveryError> {
    let mut settings = server.settings();
    change(&mut settings);
    let notifier = EmailNotifier::new(&settings, Arc::new(SystemClock::start())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(notifier.deliver(delivery))
}

#[test]
fn a_mail_arrives_as_it_was_meant() {
    let Some(server) = MailServer::start() else { return };
    let receipt = deliver(&server, &delivery("key-1", "web@example.org"), |_| {}).unwrap();
    assert!(receipt.0.starts_with("250 2.0.0"), "{receipt:?}");
    let mail = server.wait_for_mails("web", 1).remove(0);
    for expected in [
        "Message-ID: <key-1@example.org>\n",
        "In-Reply-To: <incident.incident-1@example.org>\n",
        "References: <incident.incident-1@example.org>\n",
        "Auto-Submitted: auto-generated\n",
        "Importance: high\n",
        "Reply-To: it@example.org\n",
        "To: web@example.org\n",
        "Subject: Homepage: =?utf-8?b?",
        "Content-Language: de\n",
        // Under TLS, and after login.
        "with ESMTPSA id",
    ] {
        assert!(mail.contains(expected), "{expected:?} is missing:\n{mail}");
    }
    assert!(mail.contains("multipart/alternative"), "{mail}");
    assert!(mail.is_ascii(), "{mail}");
    // The lonely dot has not ended the message.
    assert!(mail.contains("\n.\nnach dem Punkt") || mail.contains("nach dem Punkt"), "{mail}");
}

#[test]
fn a_repeat_has_the_same_message_id() {
    let Some(server) = MailServer::start() else { return };
    for _ in 0..2 {
        deliver(&server, &delivery("key-2", "web@example.org"), |_| {}).unwrap();
    }
    let ids = server.wait_for_mails("web", 2);
    assert!(ids.iter().all(|mail| mail.contains("Message-ID: <key-2@example.org>\n")));
}

#[test]
fn a_refused_recipient_costs_nobody_else_the_mail() {
    let Some(server) = MailServer::start() else { return };
    let refused = deliver(&server, &delivery("key-3", "nobody@example.org"), |_| {});
    let Err(DeliveryError::Rejected { reason }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("RCPT TO: 550 5.1.1"), "{reason}");
    assert!(!reason.contains('@'), "{reason}");
    deliver(&server, &delivery("key-3", "dispatch@example.org"), |_| {}).unwrap();
    assert_eq!(server.wait_for_mails("dispatch", 1).len(), 1);
}

#[test]
fn a_wrong_password_is_a_fault_of_the_configuration() {
    let Some(server) = MailServer::start() else { return };
    let wrong = |s: &mut EmailSettings| {
        s.credentials = Some(("orwell".into(), Secret::new("wrong horse")));
    };
    let refused = deliver(&server, &delivery("key-4", "web@example.org"), wrong);
    let Err(DeliveryError::Retry { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("user name and password"), "{reason}");
    assert!(!reason.contains("horse") && !reason.contains("orwell"), "{reason}");
    // Without login the server takes nothing.
    let refused = deliver(&server, &delivery("key-4", "web@example.org"), |s| s.credentials = None);
    assert!(matches!(refused, Err(DeliveryError::Retry { .. })), "{refused:?}");
    assert!(server.mailbox("web").is_empty());
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_password() {
    let Some(server) = MailServer::start() else { return };
    let refused = deliver(&server, &delivery("key-5", "web@example.org"), |s| s.ca_file = None);
    let Err(DeliveryError::Retry { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("no secure connection"), "{reason}");
}

#[test]
fn a_server_that_is_down_is_tried_again() {
    let Some(server) = MailServer::start() else { return };
    server.stop();
    let refused = deliver(&server, &delivery("key-6", "web@example.org"), |_| {});
    let Err(DeliveryError::Retry { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("cannot connect"), "{reason}");
}
