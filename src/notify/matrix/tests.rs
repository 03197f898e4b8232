//! The client against a homeserver of a few lines that says what a test wants to hear.

use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::model::Secret;
use crate::ports::{Message, SystemClock};

type Heard = Arc<Mutex<Vec<(String, String, Value)>>>;

/// Says for method, path and content: status and answer.
type Say = dyn Fn(&str, &str, usize) -> (u16, Value) + Send + Sync;

async fn homeserver(tasks: &mut JoinSet<()>, say: Arc<Say>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard: Heard = Arc::default();
    let log = heard.clone();
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (say, log) = (say.clone(), log.clone());
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (say, log) = (say.clone(), log.clone());
                async move {
                    assert_eq!(request.headers()["authorization"], "Bearer geheim");
                    let (method, path) = (request.method().to_string(), request.uri().to_string());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    let number = {
                        let mut log = log.lock().unwrap();
                        log.push((method.clone(), path.clone(), body));
                        log.len()
                    };
                    let (status, answer) = say(&method, &path, number);
                    let body = Full::new(bytes::Bytes::from(answer.to_string()));
                    let response = http::Response::builder().status(status).body(body).unwrap();
                    Ok::<_, std::convert::Infallible>(response)
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    (port, heard)
}

fn friendly(method: &str, path: &str, number: usize) -> (u16, Value) {
    match (method, path) {
        ("POST", _) => (200, json!({"room_id": "!room"})),
        ("GET", _) => (404, json!({"errcode": "M_NOT_FOUND", "error": "Event not found."})),
        _ => (200, json!({"event_id": format!("$event{number}")})),
    }
}

fn notifier(port: u16) -> MatrixNotifier {
    let settings = MatrixSettings {
        homeserver: format!("http://127.0.0.1:{port}/base/").parse().unwrap(),
        token: Secret::new("geheim"),
        ca_file: None,
        refresh_token: None,
        allow_unencrypted: false,
        rooms: BTreeMap::new(),
        act_power_level: 50,
        timeout: Duration::from_secs(5),
    };
    MatrixNotifier::new(&settings, Arc::new(SystemClock::start())).unwrap()
}

fn delivery(key: &str, resolved: bool) -> Delivery {
    Delivery {
        key: key.into(),
        to: Address::Matrix("#web:example.org".into()),
        message: Message {
            text: format!("text of {key}"),
            html: "<p>x</p>".into(),
            incident: "i-1".into(),
            resolved,
            ..Message::default()
        },
    }
}

#[tokio::test]
async fn an_incident_is_a_thread_with_its_state_at_the_top() {
    let mut tasks = JoinSet::new();
    let (port, heard) = homeserver(&mut tasks, Arc::new(friendly)).await;
    let notifier = notifier(port);
    assert_eq!(notifier.deliver(&delivery("k-1", false)).await, Ok(Receipt("$event3".into())));
    notifier.deliver(&delivery("k-2", true)).await.unwrap();
    let heard = heard.lock().unwrap();
    let paths: Vec<&str> = heard.iter().map(|(_, path, _)| path.as_str()).collect();
    let room = "/base/_matrix/client/v3/rooms/%21room";
    assert_eq!(
        paths,
        [
            "/base/_matrix/client/v3/join/%23web%3Aexample.org".to_owned(),
            format!("{room}/state/m.room.encryption/"),
            format!("{room}/send/m.room.message/k-1"),
            format!("{room}/send/m.room.message/k-2"),
            format!("{room}/send/m.room.message/k-2-edit"),
        ]
    );
    assert_eq!(heard[2].2["m.relates_to"], Value::Null);
    assert_eq!(heard[3].2["m.relates_to"]["event_id"], "$event3");
    assert_eq!(heard[4].2["m.new_content"]["body"], "text of k-2");
}

#[tokio::test]
async fn answers_have_their_classes() {
    let mut tasks = JoinSet::new();
    for (status, answer, expected) in [
        (
            429,
            json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1500}),
            "Retry { reason: \"the homeserver answers 429 M_LIMIT_EXCEEDED\", after: Some(1.5s) }",
        ),
        (
            401,
            json!({"errcode": "M_UNKNOWN_TOKEN"}),
            "Rejected { reason: \"the homeserver does not accept our access token (M_UNKNOWN_TOKEN)\" }",
        ),
        (502, json!({}), "Retry { reason: \"the homeserver answers 502\", after: None }"),
        (504, json!({}), "Unsure { reason: \"the homeserver answers 504\" }"),
        (
            413,
            json!({"errcode": "M_TOO_LARGE", "error": "event too large"}),
            "Rejected { reason: \"the homeserver answers 413 M_TOO_LARGE: event too large\" }",
        ),
        (
            403,
            json!({"errcode": "M_FORBIDDEN", "error": "User @bot:x.org not in room !abc"}),
            "Rejected { reason: \"we may not write into the room: are we invited? (User … not in room …)\" }",
        ),
        (
            200,
            json!({}),
            "Retry { reason: \"the homeserver answers without sense: no event id\", after: None }",
        ),
    ] {
        let say = move |method: &str, path: &str, number| match method {
            "PUT" => (status, answer.clone()),
            _ => friendly(method, path, number),
        };
        let (port, _) = homeserver(&mut tasks, Arc::new(say)).await;
        let error = notifier(port).deliver(&delivery("k", false)).await.unwrap_err();
        assert_eq!(format!("{error:?}"), expected);
    }
}

#[tokio::test]
async fn a_room_that_was_replaced_is_looked_up_again() {
    let mut tasks = JoinSet::new();
    let say = |method: &str, path: &str, number: usize| match (method, number) {
        ("POST", 1) => (200, json!({"room_id": "!old"})),
        ("POST", _) => (200, json!({"room_id": "!new"})),
        ("PUT", _) if path.contains("%21old") => (403, json!({"errcode": "M_FORBIDDEN"})),
        _ => friendly(method, path, number),
    };
    let (port, _) = homeserver(&mut tasks, Arc::new(say)).await;
    assert!(notifier(port).deliver(&delivery("k", false)).await.is_ok());
}

#[tokio::test]
async fn an_encrypted_room_gets_no_clear_text() {
    let mut tasks = JoinSet::new();
    let say = |method: &str, path: &str, number| match method {
        "GET" => (200, json!({"algorithm": "m.megolm.v1.aes-sha2"})),
        _ => friendly(method, path, number),
    };
    let (port, heard) = homeserver(&mut tasks, Arc::new(say)).await;
    let mut notifier = notifier(port);
    let error = notifier.deliver(&delivery("k", false)).await.unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
    assert!(heard.lock().unwrap().iter().all(|(method, ..)| method != "PUT"));
    notifier.settings.allow_unencrypted = true;
    assert!(notifier.deliver(&delivery("k", false)).await.is_ok());
}

#[tokio::test]
async fn an_unreachable_homeserver_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = notifier(port).deliver(&delivery("k", false)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("not delivered yet: the homeserver: cannot connect"),
        "{error}"
    );
}

/// Notes that outlive a notifier.
#[derive(Default)]
struct Paper(Mutex<BTreeMap<(String, String), String>>);

impl Notes for Paper {
    fn read<'a>(
        &'a self,
        topic: &'a str,
    ) -> Doing<'a, Result<Vec<(String, String)>, crate::ports::StateError>> {
        let notes = self.0.lock().unwrap();
        let of_topic = notes.iter().filter(|((of, _), _)| of == topic);
        let found = of_topic.map(|((_, key), value)| (key.clone(), value.clone())).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
    fn write<'a>(
        &'a self,
        topic: &'a str,
        notes: Vec<(String, Option<String>)>,
    ) -> Doing<'a, Result<(), crate::ports::StateError>> {
        let mut all = self.0.lock().unwrap();
        for (key, value) in notes {
            let key = (topic.to_owned(), key);
            match value {
                Some(value) => all.insert(key, value),
                None => all.remove(&key),
            };
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test]
async fn an_edit_that_came_late_is_made_good_by_the_next_process() {
    let mut tasks = JoinSet::new();
    // Edits are refused for longer than anybody waits.
    let busy = |method: &str, path: &str, number: usize| match path.ends_with("-edit") {
        true => (429, json!({"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 60_000})),
        false => friendly(method, path, number),
    };
    let (port, _) = homeserver(&mut tasks, Arc::new(busy)).await;
    let paper = Arc::new(Paper::default());
    let first = notifier(port);
    first.remember_in(paper.clone());
    first.deliver(&delivery("k-1", false)).await.unwrap();
    first.deliver(&delivery("k-2", true)).await.unwrap();
    drop(first);
    let (port, heard) = homeserver(&mut tasks, Arc::new(friendly)).await;
    let second = notifier(port);
    second.remember_in(paper.clone());
    second.late_edits().await;
    let said = heard.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].1.ends_with("/send/m.room.message/k-2-edit"), "{said:?}");
    assert_eq!(said[0].2["m.new_content"]["body"], "text of k-2");
    assert_eq!(said[0].2["m.relates_to"]["rel_type"], "m.replace");
    second.late_edits().await;
    assert_eq!(heard.lock().unwrap().len(), 1, "once");
    assert!(paper.0.lock().unwrap().keys().all(|(topic, _)| topic != LATE_EDITS));
}
