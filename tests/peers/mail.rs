//! Mail through a real Postfix with STARTTLS and AUTH, read back from the mailbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::notify::{
    ClientCertificate, EmailNotifier, EmailSettings, Handshake, MailLogin, Pem, SmtpTls,
};
use augenmass::ports::{
    Address, Delivery, DeliveryError, Message, Notifier, Receipt, SystemClock, Urgency,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::harness::{free_port, require, wait_for, wait_for_port};
use crate::mail_server;

#[path = "mail/dovecot.rs"]
mod dovecot;

/// Takes mail from those who log in under TLS, and keeps it for two people.
const MAIN: &str = "virtual_mailbox_domains = example.org
virtual_mailbox_maps = inline:{{web@example.org=web/}, {dispatch@example.org=dispatch/}}
virtual_mailbox_base = HERE/mail
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_minimum_uid = 100
smtpd_tls_security_level = may
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = HERE/etc/chain.pem
smtpd_sasl_auth_enable = yes
smtpd_sasl_local_domain = mail.example.org
cyrus_sasl_config_path = HERE/etc/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
";

pub struct MailServer {
    server: mail_server::Postfix,
    pub port: u16,
}

impl MailServer {
    pub fn start() -> Option<Self> {
        Self::start_with("smtpd_sasl_path = smtpd\n", |path| {
            let accounts = path.join("etc/sasldb2");
            let sasl = format!(
                "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\nsasldb_path: {}\n",
                accounts.display()
            );
            fs::create_dir(path.join("etc/sasl")).unwrap();
            fs::write(path.join("etc/sasl/smtpd.conf"), sasl).unwrap();
            let made = Command::new("sh")
                .args([
                    "-c",
                    "printf 'right horse' | \"$0\" -p -c -f \"$1\" -u mail.example.org orwell",
                ])
                .args([&require("saslpasswd2")?, &accounts])
                .status();
            assert!(made.unwrap().success());
            fs::set_permissions(&accounts, fs::Permissions::from_mode(0o644)).unwrap();
            Some(())
        })
    }

    /// With further settings, and what they need in its folder.
    fn start_with(main: &str, prepare: impl FnOnce(&Path) -> Option<()>) -> Option<Self> {
        let server = Self { server: mail_server::Postfix::prepare()?, port: free_port() };
        let path = server.server.path();
        fs::create_dir(path.join("mail")).unwrap();
        mail_server::run(Command::new("chown").arg("65534:65534").arg(path.join("mail")));
        write_certificates(&path.join("etc"));
        prepare(path)?;
        let port = server.port;
        let master =
            format!("127.0.0.1:{port} inet n - n - - smtpd\nvirtual unix - n n - - virtual\n");
        server.server.start(&format!("{MAIN}{main}"), &master);
        wait_for_port(port);
        Some(server)
    }

    pub fn authority(&self) -> PathBuf {
        self.server.path().join("etc/ca.pem")
    }

    fn settings(&self) -> EmailSettings {
        EmailSettings {
            host: "localhost".into(),
            port: self.port,
            from: "Orwell Größe <orwell@example.org>".into(),
            reply_to: Some("it@example.org".into()),
            hello: None,
            login: Some(MailLogin::new("orwell", &Secret::new("right horse"))),
            oauth_token: None,
            headers: vec![("X-Team".into(), "IT Größe".into())],
            tls: SmtpTls::Required,
            handshake: Handshake::trusting(Some(self.authority())),
            timeout: Duration::from_secs(30),
        }
    }

    /// The mails of one person.
    pub fn mailbox(&self, name: &str) -> Vec<String> {
        let folder: PathBuf = self.server.path().join("mail").join(name).join("new");
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
}

/// An authority of our own, a certificate for localhost, and one for us.
fn write_certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes what its namesake has issued for self-signed.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap();
        (leaf.signed_by(&key, &authority).unwrap().pem(), key.serialize_pem())
    };
    let (server, key) = issue("localhost");
    fs::write(folder.join("chain.pem"), format!("{key}{server}")).unwrap();
    let (us, key) = issue("augenmass");
    fs::write(folder.join("us.pem"), us).unwrap();
    fs::write(folder.join("us.key"), key).unwrap();
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
        "X-Team: IT =?utf-8?b?",
        "List-Id: ",
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
        s.login = Some(MailLogin::new("orwell", &Secret::new("wrong horse")));
    };
    let refused = deliver(&server, &delivery("key-4", "web@example.org"), wrong);
    let Err(DeliveryError::Down { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("user name and password"), "{reason}");
    assert!(!reason.contains("horse") && !reason.contains("orwell"), "{reason}");
    // Without login the server takes nothing.
    let refused = deliver(&server, &delivery("key-4", "web@example.org"), |s| s.login = None);
    assert!(refused.is_err(), "{refused:?}");
    assert!(server.mailbox("web").is_empty());
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_password() {
    let Some(server) = MailServer::start() else { return };
    let refused = deliver(&server, &delivery("key-5", "web@example.org"), |s| {
        s.handshake = Handshake::default();
    });
    let Err(DeliveryError::Down { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("no secure connection"), "{reason}");
}

#[test]
fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    // No login: whoever shows a certificate of the authority may send.
    let strict = "smtpd_tls_CAfile = HERE/etc/ca.pem\nsmtpd_tls_req_ccert = yes\n\
                  smtpd_tls_security_level = encrypt\nsmtpd_sasl_auth_enable = no\n\
                  smtpd_relay_restrictions = permit_auth_destination, reject\n\
                  smtpd_recipient_restrictions = permit_auth_destination, reject\n";
    let Some(server) = MailServer::start_with(strict, |_| Some(())) else { return };
    let folder = server.server.path().join("etc");
    let text = |name: &str| Secret::new(&fs::read_to_string(folder.join(name)).unwrap());
    let file = |name: &str| Pem::File(folder.join(name));
    let ours =
        [(file("us.pem"), file("us.key")), (Pem::Text(text("us.pem")), Pem::Text(text("us.key")))];
    for (number, (certificate, key)) in ours.into_iter().enumerate() {
        let delivery = delivery(&format!("cert-{number}"), "web@example.org");
        let show = |s: &mut EmailSettings| {
            s.login = None;
            s.handshake.certificate = Some(ClientCertificate { certificate, key });
        };
        deliver(&server, &delivery, show).unwrap();
    }
    server.wait_for_mails("web", 2);
    let refused = deliver(&server, &delivery("cert-9", "web@example.org"), |s| s.login = None);
    assert!(
        matches!(&refused, Err(error) if !matches!(error, DeliveryError::Unsure { .. })),
        "{refused:?}"
    );
    assert_eq!(server.mailbox("web").len(), 2);
}

#[test]
fn a_server_that_is_down_is_tried_again() {
    let Some(server) = MailServer::start() else { return };
    server.server.stop();
    let refused = deliver(&server, &delivery("key-6", "web@example.org"), |_| {});
    let Err(DeliveryError::Down { reason, .. }) = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("cannot connect"), "{reason}");
}

#[test]
fn one_session_carries_several_mails_and_a_dead_one_costs_none() {
    let Some(server) = MailServer::start() else { return };
    let notifier = EmailNotifier::new(&server.settings(), Arc::new(SystemClock::start())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let send = |key: &str, to: &str| runtime.block_on(notifier.deliver(&delivery(key, to)));
    for key in ["r-1", "r-2", "r-3"] {
        send(key, "web@example.org").unwrap();
    }
    server.wait_for_mails("web", 3);
    let log = fs::read_to_string(server.server.path().join("data/mail.log")).unwrap();
    // Whoever waited for the port came once, and we came once.
    assert!(log.matches(": connect from").count() <= 2, "{log}");
    assert!(send("r-4", "nobody@example.org").is_err());
    send("r-5", "web@example.org").unwrap();
    // The server goes and comes back: the idle session is dead, the mail is not.
    server.server.stop();
    let mail = server.server.path().join("etc/main.cf");
    let master = server.server.path().join("etc/master.cf");
    assert!(mail.is_file() && master.is_file());
    assert!(server.server.run(Path::new("/usr/sbin/postfix"), &["start"]));
    wait_for_port(server.port);
    send("r-6", "web@example.org").unwrap();
    server.wait_for_mails("web", 5);
}

#[test]
fn a_picture_is_part_of_the_mail() {
    let Some(server) = MailServer::start() else { return };
    let mut delivery = delivery("pic", "web@example.org");
    delivery.message.html = "<body><p>x</p><!-- plot --></body>".to_owned();
    delivery.message.attachments = vec![augenmass::ports::Attachment {
        name: "plot.png".into(),
        mime: "image/png".into(),
        alt: "a \"curve\"".into(),
        bytes: Arc::from(&b"\x89PNG not really"[..]),
    }];
    deliver(&server, &delivery, |_| {}).unwrap();
    let mail = server.wait_for_mails("web", 1).remove(0);
    for expected in [
        "multipart/related",
        "Content-Type: image/png",
        "Content-ID: <part0.pic@example.org>",
        "cid:part0.pic@example.org",
    ] {
        // Quoted-printable may have broken a long line.
        let mail = mail.replace("=\n", "");
        assert!(mail.contains(expected), "{expected:?} is missing:\n{mail}");
    }
}
