//! A real Postfix greets, offers STARTTLS and shows its certificate.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Labels;
use augenmass::ports::{Clock, SystemClock};
use augenmass::probe::snmp::UdpSnmp;
use augenmass::probe::{
    CertificateTarget, Confirm, Doors, Family, Kind, Observation, Outcome, Requirement, Resolver,
    SmtpTarget, StartTls, Target, TcpTarget, TlsSettings, TlsStock, prober,
};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::harness::{free_port, wait_for_port};
use crate::mail_server;

struct Postfix {
    server: mail_server::Postfix,
    encrypted: u16,
    clear: u16,
}

impl Postfix {
    fn start() -> Option<Self> {
        let server = mail_server::Postfix::prepare()?;
        certificate(server.path());
        let (encrypted, clear) = (free_port(), free_port());
        let main = "mynetworks = 127.0.0.0/8
smtpd_tls_security_level = may
smtpd_tls_cert_file = HERE/mail.pem
smtpd_tls_key_file = HERE/mail.key
";
        let master = format!(
            "127.0.0.1:{encrypted} inet n - n - - smtpd
127.0.0.1:{clear} inet n - n - - smtpd -o smtpd_tls_security_level=none
"
        );
        server.start(main, &master);
        wait_for_port(encrypted);
        wait_for_port(clear);
        Some(Self { server, encrypted, clear })
    }

    fn trusted(&self) -> TlsSettings {
        TlsSettings { ca_file: Some(self.server.path().join("mail.pem")), ..TlsSettings::default() }
    }

    fn smtp(&self, port: u16, starttls: Requirement, tls: TlsSettings) -> Observation {
        look(Kind::Smtp(Box::new(SmtpTarget {
            host: "127.0.0.1".into(),
            port,
            starttls,
            tls,
            family: Family::Any,
            hello: "monitor.example.org".into(),
        })))
    }
}

fn certificate(at: &Path) {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(2090, 1, 1);
    let key = KeyPair::generate().unwrap();
    fs::write(at.join("mail.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(at.join("mail.key"), key.serialize_pem()).unwrap();
}

fn look(kind: Kind) -> Observation {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let target = Target {
        service: "mail".into(),
        owner: "mail-team".into(),
        name: "mx".into(),
        labels: Labels::empty(),
        interval: Duration::from_secs(60),
        timeout: Duration::from_secs(30),
        confirm: Confirm::default(),
        kind,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async {
        let doors = Doors {
            resolver: Arc::new(Resolver::from_system(clock.clone())),
            tls: Arc::new(TlsStock::new()),
            snmp: Arc::new(UdpSnmp::new()),
            clock: clock.clone(),
        };
        let prober = prober(&target, &doors).unwrap();
        prober.probe(clock.mono().after(Duration::from_secs(30))).await
    });
    match outcome {
        Outcome::Measured(observation) => observation,
        Outcome::NotMeasured(obstacle) => panic!("not measured: {obstacle}"),
    }
}

fn value(seen: &Observation, metric: &str) -> Option<f64> {
    seen.readings.iter().find(|reading| reading.metric == metric).map(|reading| reading.value)
}

const AFTER: &str = "tls_certificate_not_after_timestamp_seconds";

#[test]
fn a_mail_server_and_its_encryption() {
    let Some(postfix) = Postfix::start() else { return };
    let seen = postfix.smtp(postfix.encrypted, Requirement::Required, postfix.trusted());
    assert!(seen.up, "{seen:?}");
    assert_eq!(value(&seen, "probe_smtp_starttls_offered"), Some(1.0));
    assert_eq!(value(&seen, AFTER), Some(3_786_912_000.0));
    assert_eq!(value(&seen, "tls_certificate_verified"), Some(1.0));

    let stranger = TlsSettings::default();
    let seen = postfix.smtp(postfix.encrypted, Requirement::Required, stranger.clone());
    assert_eq!(seen.cause.as_deref(), Some("the certificate is self-signed"));
    assert_eq!(value(&seen, AFTER), Some(3_786_912_000.0));
    let seen = postfix.smtp(postfix.encrypted, Requirement::Optional, stranger.clone());
    assert!(seen.up && value(&seen, "tls_certificate_verified") == Some(0.0), "{seen:?}");

    let seen = postfix.smtp(postfix.clear, Requirement::Required, stranger.clone());
    assert_eq!(seen.cause.as_deref(), Some("the mail server does not offer STARTTLS"));
    let seen = postfix.smtp(postfix.clear, Requirement::Off, stranger);
    assert!(seen.up && value(&seen, "probe_smtp_starttls_offered") == Some(0.0), "{seen:?}");

    let certificate = |port: u16| {
        look(Kind::Certificate(Box::new(CertificateTarget {
            host: "127.0.0.1".into(),
            port,
            tls: postfix.trusted(),
            family: Family::Any,
            starttls: Some(StartTls::Smtp),
        })))
    };
    let seen = certificate(postfix.encrypted);
    assert!(seen.up && value(&seen, AFTER) == Some(3_786_912_000.0), "{seen:?}");
    let seen = certificate(postfix.clear);
    assert_eq!(seen.cause.as_deref(), Some("the server does not offer STARTTLS"));

    let port = TcpTarget { host: "127.0.0.1".into(), port: postfix.clear, family: Family::Any };
    assert!(look(Kind::Tcp(port)).up);
    let port = TcpTarget { host: "127.0.0.1".into(), port: free_port(), family: Family::Any };
    assert_eq!(look(Kind::Tcp(port)).cause.as_deref(), Some("connection refused"));
}
