use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::HttpProber;
use crate::model::Secret;
use crate::probe::fixture::{Server, doors, look, measured, page, read_head, value};
use crate::probe::{Doors, HttpTarget, Observation, Outcome};

const LIMIT: Duration = Duration::from_secs(20);

async fn seen(target: &HttpTarget) -> Observation {
    within(target, LIMIT).await
}

async fn within(target: &HttpTarget, limit: Duration) -> Observation {
    let doors = doors();
    let prober = HttpProber::new(target, &doors).unwrap();
    measured(look(&prober, &doors, limit).await)
}

fn cause(observation: &Observation) -> &str {
    observation.cause.as_deref().unwrap_or("")
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello";

#[tokio::test]
async fn a_page_gives_its_phases_and_lengths() {
    let server = Server::answering(OK).await;
    let seen = seen(&page(&server.url("/"))).await;
    assert!(seen.up, "{seen:?}");
    for phase in ["resolve", "connect", "processing", "transfer"] {
        let took = value(&seen, "probe_http_duration_seconds", &format!("phase={phase}"));
        assert!(took.unwrap() < 20.0);
    }
    assert_eq!(value(&seen, "probe_http_duration_seconds", "phase=tls"), None);
    for (metric, expected) in [
        ("probe_http_status_code", 200.0),
        ("probe_http_content_length", 5.0),
        ("probe_http_uncompressed_body_length", 5.0),
        ("probe_http_version", 1.1),
        ("probe_http_redirects", 0.0),
        ("probe_http_ssl", 0.0),
        ("probe_ip_protocol", 4.0),
        ("probe_failed_due_to_regex", 0.0),
        ("probe_http_last_modified_timestamp_seconds", 784_111_777.0),
    ] {
        assert_eq!(value(&seen, metric, ""), Some(expected), "{metric}");
    }
}

#[tokio::test]
async fn a_chunked_page_has_no_announced_length() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let server = Server::answering(chunked).await;
    let seen = seen(&page(&server.url("/"))).await;
    assert!(seen.up);
    assert_eq!(value(&seen, "probe_http_content_length", ""), Some(-1.0));
    assert_eq!(value(&seen, "probe_http_uncompressed_body_length", ""), Some(3.0));
}

#[tokio::test]
async fn an_error_page_is_down_with_its_status() {
    let server =
        Server::answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    let down = seen(&page(&server.url("/"))).await;
    assert_eq!(cause(&down), "answered 503 Service Unavailable");
    assert_eq!(value(&down, "probe_http_status_code", ""), Some(503.0));
    let mut target = page(&server.url("/"));
    target.expect.status = vec![503];
    assert!(seen(&target).await.up);
}

#[tokio::test]
async fn the_body_is_matched() {
    let server = Server::answering(OK).await;
    let mut target = page(&server.url("/"));
    let pattern = |text: &str| regex::bytes::Regex::new(text).unwrap();
    target.expect.body = vec![pattern("^hel"), pattern("lo$")];
    assert!(seen(&target).await.up);
    target.expect.body_not = vec![pattern("ell")];
    let down = seen(&target).await;
    assert_eq!(cause(&down), "the page contains what it should not");
    assert_eq!(value(&down, "probe_failed_due_to_regex", ""), Some(1.0));
    target.expect.body = vec![pattern("goodbye")];
    assert_eq!(cause(&seen(&target).await), "the page does not contain what it should");
}

#[tokio::test]
async fn credentials_stay_with_the_first_origin() {
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let record = |heads: &Arc<Mutex<Vec<String>>>, answer: String| {
        let heads = heads.clone();
        move |mut stream| {
            let (heads, answer) = (heads.clone(), answer.clone());
            async move {
                let head = read_head(&mut stream).await;
                heads.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    };
    let other = Server::start(record(&heads, OK.to_owned())).await;
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        other.url("/there?q=1")
    );
    let first = Server::start(record(&heads, location)).await;
    let mut target = page(&first.url("/here"));
    target.bearer = Some(Secret::new("canary-token"));
    target.headers = vec![("x-api-key".parse().unwrap(), Secret::new("canary-key"))];
    target.method = http::Method::POST;
    target.body = b"ping".to_vec();
    let seen = seen(&target).await;
    assert!(seen.up, "{seen:?}");
    assert_eq!(value(&seen, "probe_http_redirects", ""), Some(1.0));
    let heads = heads.lock().unwrap();
    assert!(heads[0].starts_with("POST /here HTTP/1.1\r\n"), "{}", heads[0]);
    assert!(heads[0].contains("Bearer canary-token") && heads[0].contains("canary-key"));
    assert!(heads[1].starts_with("GET /there?q=1 HTTP/1.1\r\n"), "{}", heads[1]);
    assert!(!heads[1].contains("canary"), "{}", heads[1]);
    assert!(!format!("{seen:?}").contains("canary"));
}

#[tokio::test]
async fn a_url_with_userinfo_logs_in_and_tells_nobody() {
    let heads: Arc<Mutex<String>> = Arc::default();
    let kept = heads.clone();
    let server = Server::start(move |mut stream| {
        let kept = kept.clone();
        async move {
            *kept.lock().unwrap() = read_head(&mut stream).await;
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
    .await;
    let target = page(&format!("http://me:s%3Acret@{}/?token=canary", server.address));
    let seen = seen(&target).await;
    // base64 of "me:s:cret"
    assert!(heads.lock().unwrap().contains("authorization: Basic bWU6czpjcmV0\r\n"));
    assert!(!format!("{seen:?}").contains("cret") && !format!("{seen:?}").contains("canary"));
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server =
        Server::answering("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n").await;
    let mut target = page(&server.url("/"));
    target.redirects = 3;
    let down = seen(&target).await;
    assert_eq!(cause(&down), "more than 3 redirects");
    target.redirects = 0;
    target.expect.status = vec![301];
    assert!(seen(&target).await.up);
}

#[tokio::test]
async fn an_endless_body_stops_at_the_limit() {
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head).await;
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
        while stream.write_all(&chunk).await.is_ok() {}
    })
    .await;
    let down = seen(&page(&server.url("/"))).await;
    assert_eq!(cause(&down), "the page is longer than 1048576 bytes");
    assert_eq!(value(&down, "probe_http_status_code", ""), Some(200.0));
}

#[tokio::test]
async fn ten_announced_gibibytes_are_not_read() {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\nxxxx").await;
    let down = seen(&page(&server.url("/"))).await;
    assert_eq!(cause(&down), "the page is longer than 1048576 bytes");
    assert_eq!(value(&down, "probe_http_content_length", ""), Some(10_737_418_240.0));
}

#[tokio::test]
async fn a_gigabyte_of_headers_is_bounded() {
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        let line = format!("X-Long: {}\r\n", "y".repeat(8000));
        while stream.write_all(line.as_bytes()).await.is_ok() {}
    })
    .await;
    assert_eq!(cause(&seen(&page(&server.url("/"))).await), "the answer's header is too long");
}

#[tokio::test]
async fn one_byte_a_moment_ends_at_the_deadline() {
    let server = Server::start(|mut stream| async move {
        read_head(&mut stream).await;
        let mut pause = tokio::time::interval(Duration::from_millis(20));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
        loop {
            pause.tick().await;
            if stream.write_all(b"x").await.is_err() {
                break;
            }
        }
    })
    .await;
    let limit = Duration::from_millis(300);
    let doors = doors();
    let begin = doors.clock.mono();
    let prober = HttpProber::new(&page(&server.url("/")), &doors).unwrap();
    let down = measured(look(&prober, &doors, limit).await);
    assert!(doors.clock.mono().since(begin) < Duration::from_secs(5));
    assert_eq!(cause(&down), "no answer within 300 ms (reading the page)");
    let transfer = value(&down, "probe_http_duration_seconds", "phase=transfer").unwrap();
    assert!(transfer > 0.1, "the phase that ran out tells a lower bound: {transfer}");
}

#[tokio::test]
async fn who_never_answers_is_down_at_the_deadline() {
    let server = Server::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let down = within(&page(&server.url("/")), Duration::from_millis(200)).await;
    assert_eq!(cause(&down), "no answer within 200 ms (waiting for the answer)");
    assert_eq!(value(&down, "probe_http_status_code", ""), Some(0.0));
}

#[tokio::test]
async fn who_closes_early_is_down() {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort").await;
    let down = seen(&page(&server.url("/"))).await;
    let early = "the server closed the connection before its answer was complete";
    assert_eq!(cause(&down), early);
    let server = Server::start(|stream| async move { drop(stream) }).await;
    assert!(!seen(&page(&server.url("/"))).await.up);
}

#[tokio::test]
async fn garbage_is_not_tls_and_not_http() {
    let server = Server::answering("\x01\x02garbage that is no protocol\r\n\r\n").await;
    assert_eq!(cause(&seen(&page(&server.url("/"))).await), "the answer is not HTTP");
    let server = Server::start(|mut stream| async move {
        let _ = stream.write_all(&[0x47; 4096]).await;
        std::future::pending::<()>().await;
    })
    .await;
    let down = seen(&page(&format!("https://{}/", server.address))).await;
    assert_eq!(cause(&down), "the server does not speak TLS on this port");
}

#[tokio::test]
async fn nobody_listens() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let down = seen(&page(&format!("http://{address}/"))).await;
    assert_eq!(cause(&down), "connection refused");
}

#[tokio::test]
async fn an_address_in_the_settings_is_not_resolved() {
    let server = Server::answering(OK).await;
    let port = server.address.port();
    let mut target = page(&format!("http://no-such-name.invalid:{port}/"));
    target.address = Some([127, 0, 0, 1].into());
    assert!(seen(&target).await.up);
}

#[tokio::test]
async fn localhost_is_found_in_both_families() {
    let server = Server::answering(OK).await;
    let mut target = page(&format!("http://localhost:{}/", server.address.port()));
    // ::1 refuses, 127.0.0.1 answers: as users see it.
    assert!(seen(&target).await.up);
    target.family = crate::probe::Family::V6;
    let doors: Doors = doors();
    let prober = HttpProber::new(&target, &doors).unwrap();
    // A machine without IPv6 says "not measured", one with it says "refused": never up.
    let outcome = look(&prober, &doors, LIMIT).await;
    assert!(!matches!(outcome, Outcome::Measured(Observation { up: true, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn foreign_answers_never_panic_and_end(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        like_http in any::<bool>(),
    ) {
        let mut answer = if like_http { b"HTTP/1.1 200 OK\r\n".to_vec() } else { Vec::new() };
        answer.extend(bytes);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(async {
            let server = Server::answering(answer).await;
            let _ = seen(&page(&server.url("/"))).await;
        });
    }
}
