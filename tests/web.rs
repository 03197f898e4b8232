//! The web server as its peers see it: over a socket, with the head and body they really get.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/http.rs"]
mod http;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Duration;

use augenmass::exposition::{Format, Limits as PageLimits, Syntax, parse};
use augenmass::ports::SystemClock;
use augenmass::web::{Exposure, Limits, Settings, StartError};
use board::Served;
use http::{ask, connect};

#[test]
fn metrics_come_as_they_are_asked_for() {
    let served = Served::start(Served::settings());
    for (accept, says) in [
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        ),
        (
            "text/plain;version=1.0.0;escaping=values",
            "text/plain; version=1.0.0; charset=utf-8; escaping=values",
        ),
    ] {
        let answer = ask(served.address, "GET /metrics", &[&format!("Accept: {accept}")]);
        assert_eq!((answer.status, answer.header("content-type")), (200, says));
        let syntax = Format::from_content_type(says).unwrap().syntax();
        let page = parse(&answer.body, syntax, PageLimits::default()).unwrap();
        let up: Vec<_> =
            page.samples.iter().filter(|s| s.labels.metric_name() == "probe_success").collect();
        assert_eq!(up.len(), 4);
        assert!(page.samples.iter().all(|s| s.labels.get("job").is_none()));
        assert!(page.samples.iter().all(|s| s.labels.get("instance").is_none()));
        let has = |name: &str| page.samples.iter().any(|s| s.labels.metric_name() == name);
        assert!(
            has("augenmass_config_last_reload_successful") && has("process_start_time_seconds")
        );
        assert!(page.metadata.iter().all(|m| !m.help.is_empty()), "{:?}", page.metadata);
    }
}

#[test]
fn metrics_come_compressed() {
    let served = Served::start(Served::settings());
    let answer = ask(served.address, "GET /metrics", &["Accept-Encoding: gzip"]);
    assert_eq!(answer.header("content-encoding"), "gzip");
    let mut page = Vec::new();
    flate2::read::GzDecoder::new(&answer.body[..]).read_to_end(&mut page).unwrap();
    assert!(page.len() > 2 * answer.body.len());
    assert!(!parse(&page, Syntax::Text, PageLimits::default()).unwrap().samples.is_empty());
}

#[test]
fn health_and_readiness() {
    let served = Served::start(Served::settings());
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
    assert_eq!(ask(served.address, "GET /-/ready", &[]).status, 200);
    let head = ask(served.address, "HEAD /-/ready", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    *served.missing.lock().unwrap() = Some("no rule was evaluated yet".to_owned());
    let answer = ask(served.address, "GET /-/ready", &[]);
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (503, "not ready: no rule was evaluated yet\n")
    );
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
}

#[test]
fn a_reload_is_asked_for_from_here_only() {
    let served = Served::start(Served::settings());
    let count = || served.reloads.load(Ordering::SeqCst);
    assert_eq!(ask(served.address, "GET /-/reload", &[]).status, 405);
    assert_eq!(ask(served.address, "POST /-/reload", &["X-Forwarded-For: 192.0.2.1"]).status, 403);
    assert_eq!(ask(served.address, "POST /-/reload", &["Origin: http://evil.example"]).status, 403);
    assert_eq!(count(), 0);
    assert_eq!(ask(served.address, "POST /-/reload", &[]).status, 200);
    *served.reload_answer.lock().unwrap() = Err("augenmass.yml:3:1: unknown key".to_owned());
    let answer = ask(served.address, "POST /-/reload", &[]);
    assert_eq!(answer.status, 500);
    assert_eq!(answer.text(), "the running configuration stays: augenmass.yml:3:1: unknown key\n");
    assert_eq!(count(), 2);
}

#[test]
fn unknown_paths_are_not_found_in_plain_words() {
    let served = Served::start(Served::settings());
    for path in ["/nothing", "/api/v1/nothing", "/alertmanager/api/v2/status", "/targets/0", "/%ff"]
    {
        let answer = ask(served.address, &format!("GET {path}"), &[]);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (404, "404 page not found\n"),
            "{path}"
        );
    }
    assert!(served.telemetry.encode().contains("handler=\"unknown\",code=\"404\""));
    assert!(!served.telemetry.encode().contains("nothing\""));
}

#[test]
fn the_overview_shows_what_is_wrong_first() {
    let served = Served::start(Served::settings());
    let answer = ask(served.address, "GET /", &["Accept-Language: fr, en;q=0.5"]);
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/html; charset=utf-8"));
    let page = answer.text();
    assert!(page.contains("<h1>2 of 4 targets need attention</h1>"), "{page}");
    assert!(page.contains("<html lang=\"en\">") && page.contains("http-equiv=\"refresh\""));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} in {page}"));
    assert!(at("The wiki is down") < at("The wiki is slow"), "firing before pending");
    assert!(at("<strong>wiki</strong>") < at("<strong>homepage</strong>"), "down before up");
    assert!(page.contains("class=\"mark bad\"") && page.contains("</span> down</span>"), "{page}");
    assert!(page.contains("needs attention</span> <small>Black toner: 4 % left</small>"), "{page}");
    assert!(page.contains("black toner 4 %") && page.contains("6 min"), "{page}");
    assert!(page.contains("connection refused &#60;script&#62;"), "{page}");
    assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains(" onclick"));
    assert!(page.contains("scope=\"col\"") && page.contains("scope=\"row\""));

    let german = ask(served.address, "GET /?lang=de&refresh=off", &[]).text();
    assert!(german.contains("2 von 4 Zielen brauchen Aufmerksamkeit"), "{german}");
    assert!(german.contains("Das Wiki ist ausgefallen") && german.contains("<html lang=\"de\">"));
    assert!(!german.contains("http-equiv"));
}

#[test]
fn each_target_has_a_page() {
    let served = Served::start(Served::settings());
    let overview = ask(served.address, "GET /", &[]).text();
    let links: Vec<&str> = overview
        .split("href=\"./targets/")
        .skip(1)
        .map(|rest| rest.split(['"', '?']).next().unwrap())
        .collect();
    assert_eq!(links.len(), 4);
    let pages: Vec<String> = links
        .iter()
        .map(|id| ask(served.address, &format!("GET /targets/{id}"), &[]).text())
        .collect();
    let printer = pages.iter().find(|page| page.contains("192.0.2.7")).unwrap();
    assert!(printer.contains("<code>printer_supply_remaining_ratio</code></a>"), "{printer}");
    assert!(printer.contains("0.04") && printer.contains("How much of a supply is left, "));
    assert!(!printer.contains("The wiki is down"));
    let wiki = pages.iter().find(|page| page.contains("wiki.example.org")).unwrap();
    assert!(wiki.contains("The wiki is down"), "{wiki}");
}

#[test]
fn an_expression_has_a_page() {
    let served = Served::start(Served::settings());
    let page = |path: &str| ask(served.address, &format!("GET {path}"), &[]);
    let shown = page("/graph?g0.expr=sum%20by%20(owner)%20(probe_success)&g0.tab=1").text();
    assert!(shown.contains("sum by (owner) (probe_success)</textarea>"), "{shown}");
    assert!(shown.contains("owner=&#34;web-team&#34;") && shown.contains(">2</td>"), "{shown}");
    assert_eq!(shown.matches("<polyline").count(), 2, "{shown}");
    assert!(shown.contains("?lang=de&#38;g0.expr=sum%20by%20%28owner%29"), "{shown}");
    let scalar = page("/graph?g0.expr=1%2B1").text();
    assert!(scalar.contains(">2</td>"), "{scalar}");
    let wrong = page("/graph?g0.expr=up{%3Cb%3E");
    assert_eq!(wrong.status, 200);
    let wrong = wrong.text();
    assert!(wrong.contains("parse error") && !wrong.contains("<b>"), "{wrong}");
    let nothing = page("/graph").text();
    assert!(nothing.contains("<textarea") && !nothing.contains("parse error"), "{nothing}");
    assert!(page("/graph?g0.expr=nothing").text().contains("gives no series now"));

    let target = page("/").text();
    let id = target.split("href=\"./targets/").nth(1).unwrap().split('"').next().unwrap();
    let target = page(&format!("/targets/{}", id.replace("&#38;", "&"))).text();
    let link = target.split("href=\"../graph").nth(1).unwrap().split('"').next().unwrap();
    assert!(page(&format!("/graph{link}")).text().contains("<polyline"), "{link}");
}

#[test]
fn every_answer_is_guarded() {
    let served = Served::start(Served::settings());
    for path in ["/", "/metrics", "/nothing", "/-/healthy", "/style.css"] {
        let answer = ask(served.address, &format!("GET {path}"), &[]);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
    }
}

#[test]
fn it_is_closed_by_default() {
    let everywhere =
        Settings { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..Settings::default() };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut served = Served::start(Served::settings());
    let doors = served.doors.clone();
    let refused = runtime.block_on(augenmass::web::Server::bind(everywhere.clone(), doors.clone()));
    assert!(matches!(refused, Err(StartError::NotLoopback(_))));
    let allowed = Settings { exposure: Exposure::ReadableByAll, ..everywhere };
    assert!(runtime.block_on(augenmass::web::Server::bind(allowed, doors.clone())).is_ok());
    let taken = Settings { listen: served.address, ..Settings::default() };
    let refused = runtime.block_on(augenmass::web::Server::bind(taken, doors));
    assert!(matches!(refused, Err(StartError::Listen { .. })));
    served.stop();
}

fn strict() -> Settings {
    let limits = Limits {
        connections: 8,
        head_timeout: Duration::from_millis(300),
        head_bytes: 8 << 10,
        stall_timeout: Duration::from_millis(300),
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    Settings { limits, ..Served::settings() }
}

/// Reads until the other side closes; what it said before.
fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut said);
    said
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let served = Served::start(strict());
    let mut slow = connect(served.address);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    // Blocks until the server closes: if it did not, the read would fail after twenty seconds.
    let said = until_closed(slow);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{said:?}");

    let mut large = connect(served.address);
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Large: {}", "a".repeat(100_000));
    let _ = large.write_all(head.as_bytes());
    let said = until_closed(large);
    assert!(
        said.is_empty() || said.starts_with(b"HTTP/1.1 431"),
        "{:?}",
        String::from_utf8_lossy(&said)
    );

    let lines: Vec<String> = (0..200).map(|n| format!("X-{n}: 1")).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(ask(served.address, "GET /", &lines).status, 431);
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
}

#[test]
fn connections_are_bounded() {
    let served = Served::start(strict());
    let held: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = connect(served.address);
            stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut first = [0; 8];
            stream.read_exact(&mut first).unwrap();
            stream
        })
        .collect();
    assert!(until_closed(connect(served.address)).is_empty(), "the ninth is closed at once");
    assert!(served.telemetry.encode().contains("augenmass_web_connections_refused_total 1"));
    // Idle connections are closed after a while, and there is room again.
    for stream in held {
        until_closed(stream);
    }
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
}

#[test]
fn it_stops_in_time_even_when_a_peer_does_not_read() {
    let mut served = Served::start(strict());
    let mut idle = connect(served.address);
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let half_open = connect(served.address);
    let clock = SystemClock::start();
    served.stop();
    let took = augenmass::ports::Clock::mono(&clock).0;
    assert!(took < Duration::from_secs(3), "{took:?}");
    drop((idle, half_open));
    assert!(TcpStream::connect(served.address).is_err());
}

/// A key and a certificate for localhost, signed by nobody else.
fn certificate(folder: &std::path::Path, name: &str) -> rustls::pki_types::CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    std::fs::write(folder.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// A GET over TLS; `None` when there is no connection.
fn ask_secretly(
    address: SocketAddr,
    trusted: &rustls::pki_types::CertificateDer<'static>,
    own: Option<&std::path::Path>,
    path: &str,
) -> Option<String> {
    use rustls::pki_types::pem::PemObject;
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(stem) => {
            let chain =
                rustls::pki_types::CertificateDer::from_pem_file(stem.with_extension("pem"));
            let key = rustls::pki_types::PrivateKeyDer::from_pem_file(stem.with_extension("key"));
            builder.with_client_auth_cert(vec![chain.unwrap()], key.unwrap()).unwrap()
        }
    };
    let name = "localhost".try_into().unwrap();
    let connection = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, connect(address));
    let head = format!(
        "{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = Vec::new();
    // A peer that closes without a goodbye gave its whole answer all the same.
    let _ = stream.read_to_end(&mut answer);
    (!answer.is_empty()).then(|| String::from_utf8_lossy(&answer).into_owned())
}

#[test]
fn tls_with_and_without_certificates_of_clients() {
    let folder = tempfile::tempdir().unwrap();
    let server = certificate(folder.path(), "server");
    certificate(folder.path(), "client");
    certificate(folder.path(), "stranger");
    let file = |name: &str| folder.path().join(name);
    let tls = augenmass::web::TlsSettings {
        cert: file("server.pem"),
        key: file("server.key"),
        client_ca: None,
        client_optional: false,
        only_tls13: true,
    };
    let settings = Settings { tls: Some(tls.clone()), ..Served::settings() };
    let served = Served::start(settings);
    let answer = ask_secretly(served.address, &server, None, "GET /-/ready").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // Who does not speak TLS gets nothing, and costs nobody anything.
    let mut plain = connect(served.address);
    plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut nothing = Vec::new();
    let _ = plain.read_to_end(&mut nothing);
    assert!(!nothing.starts_with(b"HTTP"), "{nothing:?}");

    let mutual = augenmass::web::TlsSettings { client_ca: Some(file("client.pem")), ..tls };
    let exposure = Exposure::Users;
    let served = Served::start(Settings { tls: Some(mutual), exposure, ..Served::settings() });
    let ask = |own: Option<&str>, path: &str| {
        let stem = own.map(file);
        ask_secretly(served.address, &server, stem.as_deref(), path)
    };
    assert_eq!(ask(None, "GET /"), None);
    assert_eq!(ask(Some("stranger"), "GET /"), None);
    let answer = ask(Some("client"), "POST /-/reload").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn without_any_users_left_nobody_is_let_in() {
    let exposure = Exposure::Users;
    let served = Served::start(Settings { exposure, ..Served::settings() });
    assert_eq!(ask(served.address, "GET /metrics", &[]).status, 401);
    assert_eq!(ask(served.address, "POST /-/reload", &[]).status, 401);
    assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
}

#[test]
fn a_push_that_is_too_large_or_too_slow_ends() {
    let served = Served::start(Settings {
        limits: Limits {
            push_bytes: 1000,
            stall_timeout: Duration::from_millis(200),
            ..Limits::default()
        },
        ..Served::settings()
    });
    let large = ask(served.address, "POST /api/v1/write", &["Content-Length: 1001"]);
    assert_eq!(large.status, 413);
    let slow = ask(served.address, "POST /api/v1/write", &["Content-Length: 10"]);
    assert_eq!(slow.status, 408);
    let fine = ask(served.address, "POST /api/v1/write", &["Content-Length: 0"]);
    assert_eq!((fine.status, fine.text().as_str()), (204, ""));
    assert_eq!(fine.header("x-prometheus-remote-write-samples-written"), "7");
}
