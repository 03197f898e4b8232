//! Web pages and certificates as a real nginx serves them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Labels;
use augenmass::ports::{Clock, SystemClock};
use augenmass::probe::snmp::UdpSnmp;
use augenmass::probe::{
    CertificateTarget, Confirm, Doors, Family, HttpExpect, HttpTarget, Kind, Observation, Outcome,
    Resolver, Target, TlsSettings, TlsStock, prober,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use crate::harness::{Running, free_port, require, wait_for_port};

/// A server block with a certificate of its own.
const SITES: [&str; 7] =
    ["good", "expired", "self-signed", "wrong-name", "incomplete", "version-1", "rsa-1024"];

struct Site {
    folder: tempfile::TempDir,
    http: u16,
    https: Vec<u16>,
    _nginx: Running,
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// One file pair for each of [`SITES`], and `root.pem`.
fn certificates(at: &Path) {
    let key = || KeyPair::generate().unwrap();
    let root = CertifiedIssuer::self_signed(authority("root"), key()).unwrap();
    let middle = CertifiedIssuer::signed_by(authority("middle"), key(), &root).unwrap();
    fs::write(at.join("root.pem"), root.pem()).unwrap();
    let write = |site: &str, chain: &[String], key: &KeyPair| {
        fs::write(at.join(format!("{site}.pem")), chain.concat()).unwrap();
        fs::write(at.join(format!("{site}.key")), key.serialize_pem()).unwrap();
    };
    let mut expired = leaf("127.0.0.1");
    expired.not_after = date_time_ymd(2021, 1, 1);
    let signed = [
        ("good", leaf("127.0.0.1"), true),
        ("expired", expired, true),
        ("wrong-name", leaf("other.example"), true),
        ("incomplete", leaf("127.0.0.1"), false),
    ];
    for (site, params, with_middle) in signed {
        let key = key();
        let mut chain = vec![params.signed_by(&key, &middle).unwrap().pem()];
        chain.extend(with_middle.then(|| middle.pem()));
        write(site, &chain, &key);
    }
    let own = key();
    write("self-signed", &[leaf("127.0.0.1").self_signed(&own).unwrap().pem()], &own);
    // What old devices have, which only openssl still makes.
    let script = "set -e
openssl req -newkey rsa:2048 -nodes -keyout version-1.key -out v1.csr -subj /CN=old-device
openssl x509 -req -in v1.csr -signkey version-1.key -days 3650 -out version-1.pem
openssl req -x509 -newkey rsa:1024 -nodes -keyout rsa-1024.key -out rsa-1024.pem -days 3650 -subj /CN=weak-device";
    let made = Command::new("sh").arg("-c").arg(script).current_dir(at).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

impl Site {
    fn start() -> Option<Self> {
        let program = require("nginx")?;
        require("openssl")?;
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        certificates(at);
        fs::create_dir(at.join("www")).unwrap();
        fs::write(at.join("www/index.html"), "<h1>Willkommen</h1>").unwrap();
        fs::write(at.join("www/big"), vec![b'x'; 300_000]).unwrap();
        let http = free_port();
        let https: Vec<u16> = SITES.iter().map(|_| free_port()).collect();
        let mut servers = format!(
            "server {{ listen 127.0.0.1:{http}; listen [::1]:{http};
location = /moved {{ return 301 /; }}
location = /loop {{ return 302 /loop; }}
location = /secure {{ return 302 https://127.0.0.1:{}/; }}
location = /gone {{ return 410 'gone'; }}
location = /private {{ auth_basic private; auth_basic_user_file {}/users; try_files /index.html =404; }} }}\n",
            https[0],
            at.display(),
        );
        for (site, port) in SITES.iter().zip(&https) {
            servers += &format!(
                "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {0}/{site}.pem;
ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate_key {0}/{site}.key; ssl_ciphers DEFAULT@SECLEVEL=0;
location = /down {{ return 302 http://127.0.0.1:{http}/; }} }}\n",
                at.display(),
            );
        }
        // me:secret, with nginx' own {PLAIN} scheme.
        fs::write(at.join("users"), "me:{PLAIN}secret\n").unwrap();
        let configuration = format!(
            "daemon off; worker_processes 1; pid {0}/pid; error_log {0}/errors;
events {{ worker_connections 256; }}
http {{ access_log off; root {0}/www; client_body_temp_path {0}/t; proxy_temp_path {0}/t;
fastcgi_temp_path {0}/t; uwsgi_temp_path {0}/t; scgi_temp_path {0}/t;
{servers} }}",
            at.display(),
        );
        fs::write(at.join("nginx.conf"), configuration).unwrap();
        // The worker may have another user than this test.
        Command::new("chmod").args(["-R", "a+rX"]).arg(at).status().unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(at).arg("-e").arg(at.join("errors"));
        command.arg("-c").arg(at.join("nginx.conf"));
        let nginx = Running::start(&mut command);
        wait_for_port(https[SITES.len() - 1]);
        Some(Self { folder, http, https, _nginx: nginx })
    }

    fn tls(&self) -> TlsSettings {
        TlsSettings { ca_file: Some(self.folder.path().join("root.pem")), ..TlsSettings::default() }
    }

    fn page(&self, url: &str) -> HttpTarget {
        HttpTarget {
            url: url.parse().unwrap(),
            method: http::Method::GET,
            headers: Vec::new(),
            basic_auth: None,
            bearer: None,
            body: Vec::new(),
            expect: HttpExpect::default(),
            redirects: 5,
            body_limit: 1 << 20,
            family: Family::Any,
            tls: self.tls(),
            address: None,
        }
    }

    fn plain(&self, path: &str) -> HttpTarget {
        self.page(&format!("http://127.0.0.1:{}{path}", self.http))
    }

    fn port(&self, site: &str) -> u16 {
        self.https[SITES.iter().position(|name| *name == site).unwrap()]
    }

    fn secure(&self, site: &str, path: &str) -> HttpTarget {
        self.page(&format!("https://127.0.0.1:{}{path}", self.port(site)))
    }

    fn certificate(&self, site: &str) -> Kind {
        Kind::Certificate(Box::new(CertificateTarget {
            host: "127.0.0.1".into(),
            port: self.port(site),
            tls: self.tls(),
            family: Family::Any,
            starttls: None,
        }))
    }
}

fn look(kind: Kind) -> Observation {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let target = Target {
        service: "site".into(),
        owner: "web-team".into(),
        name: "page".into(),
        labels: Labels::empty(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        confirm: Confirm::default(),
        kind,
    };
    let outcome = runtime.block_on(async {
        let doors = Doors {
            resolver: Arc::new(Resolver::from_system(clock.clone())),
            tls: Arc::new(TlsStock::new()),
            snmp: Arc::new(UdpSnmp::new()),
            clock: clock.clone(),
        };
        let prober = prober(&target, &doors).unwrap();
        prober.probe(clock.mono().after(Duration::from_secs(10))).await
    });
    match outcome {
        Outcome::Measured(observation) => observation,
        Outcome::NotMeasured(obstacle) => panic!("not measured: {obstacle}"),
    }
}

fn http(page: HttpTarget) -> Observation {
    look(Kind::Http(Box::new(page)))
}

fn value(seen: &Observation, metric: &str, label: &str) -> Option<f64> {
    let fits = |reading: &&augenmass::probe::Reading| {
        let labels = &reading.labels;
        reading.metric == metric
            && (label.is_empty() || labels.iter().any(|(_, value)| value.as_str() == label))
    };
    seen.readings.iter().find(fits).map(|reading| reading.value)
}

fn cause(seen: &Observation) -> &str {
    seen.cause.as_deref().unwrap_or("")
}

#[test]
fn pages_of_nginx() {
    let Some(site) = Site::start() else { return };
    let seen = http(site.plain("/"));
    assert!(seen.up, "{seen:?}");
    assert_eq!(value(&seen, "probe_http_content_length", ""), Some(19.0));
    assert_eq!(value(&seen, "probe_http_ssl", ""), Some(0.0));
    let modified = value(&seen, "probe_http_last_modified_timestamp_seconds", "").unwrap();
    assert!(modified > 1.7e9);

    let moved = http(site.plain("/moved"));
    assert!(moved.up && value(&moved, "probe_http_redirects", "") == Some(1.0), "{moved:?}");
    assert_eq!(cause(&http(site.plain("/loop"))), "more than 5 redirects");
    let secure = http(site.plain("/secure"));
    assert!(secure.up && value(&secure, "probe_http_ssl", "") == Some(1.0), "{secure:?}");
    assert_eq!(cause(&http(site.plain("/gone"))), "answered 410 Gone");
    assert_eq!(cause(&http(site.plain("/none"))), "answered 404 Not Found");

    let mut limited = site.plain("/big");
    limited.body_limit = 100_000;
    assert_eq!(cause(&http(limited)), "the page is longer than 100000 bytes");
    let big = http(site.plain("/big"));
    assert_eq!(value(&big, "probe_http_uncompressed_body_length", ""), Some(300_000.0));

    let mut matched = site.plain("/");
    matched.expect.body = vec![regex::bytes::Regex::new("Willkommen").unwrap()];
    assert!(http(matched.clone()).up);
    matched.expect.body = vec![regex::bytes::Regex::new("Wartung").unwrap()];
    assert_eq!(value(&http(matched), "probe_failed_due_to_regex", ""), Some(1.0));

    assert_eq!(cause(&http(site.plain("/private"))), "answered 401 Unauthorized");
    let mut known = site.plain("/private");
    let secret = augenmass::model::Secret::new;
    known.basic_auth = Some((secret("me"), secret("secret")));
    assert!(http(known).up);
}

#[test]
fn both_address_families_of_nginx() {
    let Some(site) = Site::start() else { return };
    for (family, version) in [(Family::V4, 4.0), (Family::V6, 6.0)] {
        let mut page = site.page(&format!("http://localhost:{}/", site.http));
        page.family = family;
        let seen = http(page);
        assert!(seen.up, "{seen:?}");
        assert_eq!(value(&seen, "probe_ip_protocol", ""), Some(version));
    }
    let seen = http(site.page(&format!("http://[::1]:{}/", site.http)));
    assert!(seen.up, "{seen:?}");
}

#[test]
fn encrypted_pages_of_nginx() {
    let Some(site) = Site::start() else { return };
    let seen = http(site.secure("good", "/"));
    assert!(seen.up, "{seen:?}");
    for phase in ["resolve", "connect", "tls", "processing", "transfer"] {
        assert!(value(&seen, "probe_http_duration_seconds", phase).is_some(), "{phase}");
    }
    assert_eq!(value(&seen, "tls_certificate_verified", ""), Some(1.0));
    assert_eq!(value(&seen, "probe_tls_version_info", "TLS 1.3"), Some(1.0));
    let downgrade = http(site.secure("good", "/down"));
    assert_eq!(cause(&downgrade), "redirects from https to unencrypted http");
    let expired = http(site.secure("expired", "/"));
    assert_eq!(cause(&expired), "the certificate has expired");
    assert_eq!(value(&expired, "probe_ssl_earliest_cert_expiry", ""), Some(1_609_459_200.0));
    assert_eq!(value(&expired, "probe_http_status_code", ""), Some(0.0));
}

#[test]
fn every_certificate_gives_its_dates() {
    let Some(site) = Site::start() else { return };
    for (name, reasons, certificates) in [
        ("good", &[][..], 2),
        ("expired", &["expired"], 2),
        ("self-signed", &["self_signed"], 1),
        ("wrong-name", &["wrong_name"], 2),
        ("incomplete", &["incomplete_chain"], 1),
    ] {
        let seen = look(site.certificate(name));
        assert_eq!(seen.up, reasons.is_empty(), "{name}: {seen:?}");
        let after = "tls_certificate_not_after_timestamp_seconds";
        let dated = seen.readings.iter().filter(|reading| reading.metric == after).count();
        assert_eq!(dated, certificates, "{name}: {seen:?}");
        for reason in reasons {
            let info = value(&seen, "tls_certificate_verify_failure_info", reason);
            assert_eq!(info, Some(1.0), "{name}: {seen:?}");
        }
    }
    // What no strict client can talk to at all.
    for name in ["version-1", "rsa-1024"] {
        let seen = look(site.certificate(name));
        assert!(!seen.up, "{name}: {seen:?}");
        let ends = value(&seen, "tls_certificate_not_after_timestamp_seconds", "0").unwrap();
        assert!(ends > 1.8e9, "{name}: {seen:?}");
        assert_eq!(value(&seen, "tls_certificate_verified", ""), Some(0.0));
    }
}

#[test]
fn a_device_from_yesterday_still_shows_its_certificate() {
    let Some(openssl) = require("openssl") else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    for (version, told) in [("-tls1", "TLS 1.0"), ("-tls1_1", "TLS 1.1"), ("-tls1_2", "TLS 1.2")] {
        let port = free_port();
        let mut command = Command::new(&openssl);
        command.current_dir(folder.path()).args(["s_server", "-quiet", version]);
        command.args(["-accept", &format!("127.0.0.1:{port}"), "-cert", "rsa-1024.pem"]);
        command.args(["-key", "rsa-1024.key", "-cipher", "AES128-SHA:@SECLEVEL=0"]);
        let _server = Running::start(&mut command);
        wait_for_port(port);
        let kind = |skip_verify: bool| {
            Kind::Certificate(Box::new(CertificateTarget {
                host: "127.0.0.1".into(),
                port,
                tls: TlsSettings { skip_verify, ..TlsSettings::default() },
                family: Family::Any,
                starttls: None,
            }))
        };
        let seen = look(kind(false));
        assert!(!seen.up, "{seen:?}");
        assert_eq!(value(&seen, "probe_tls_version_info", told), Some(1.0), "{seen:?}");
        let ends = value(&seen, "tls_certificate_not_after_timestamp_seconds", "0").unwrap();
        assert!(ends > 1.8e9, "{seen:?}");
        assert!(look(kind(true)).up, "whoever accepts everything accepts this");
    }
}
