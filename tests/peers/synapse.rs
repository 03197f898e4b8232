//! Matrix rooms on a real Synapse: no event twice, rooms by alias, two users, a wrong token.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::notify::{MatrixNotifier, MatrixSettings};
use augenmass::ports::{
    Address, Delivery, DeliveryError, Message, Notifier, Receipt, SystemClock, Urgency,
};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::harness::{Running, free_port, require, wait_for};

#[path = "synapse/kill.rs"]
mod kill;
#[path = "synapse/storm.rs"]
mod storm;
#[path = "synapse/talk.rs"]
mod talk;

/// One process, no federation, everything in a temporary folder.
fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "server_name: test.localhost
pid_file: {folder}/hs.pid
public_baseurl: http://127.0.0.1:{port}/
listeners: [{{bind_addresses: [127.0.0.1], port: {port}, type: http, tls: false, resources: [{{names: [client]}}]}}]
database: {{name: sqlite3, args: {{database: {folder}/hs.db}}}}
media_store_path: {folder}/media
signing_key_path: {folder}/signing.key
registration_shared_secret: shared
macaroon_secret_key: m
form_secret: f
report_stats: false
trusted_key_servers: []
federation_domain_whitelist: []
refreshable_access_token_lifetime: 1s
"
    )
}

struct Homeserver {
    address: SocketAddr,
    _running: Running,
    _folder: tempfile::TempDir,
}

/// Python finds its packages beside the link it was called by, so a link to the link of an
/// environment has to be followed once.
fn environment(python: PathBuf) -> PathBuf {
    let inside = |path: &Path| {
        path.parent().and_then(Path::parent).is_some_and(|home| home.join("pyvenv.cfg").is_file())
    };
    match fs::read_link(&python) {
        Ok(target) if !inside(&python) && inside(&target) => target,
        _ => python,
    }
}

/// Somebody with a token.
struct User {
    id: String,
    token: String,
    refresh: Option<String>,
}

impl Homeserver {
    fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// With further settings.
    fn start_with(settings: &str) -> Option<Self> {
        let python = environment(require("synapse-python")?);
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let file = folder.path().join("hs.yaml");
        fs::write(&file, configuration(folder.path(), port) + settings).unwrap();
        let command = || {
            let mut command = Command::new(&python);
            command.args(["-m", "synapse.app.homeserver", "-c"]).arg(&file);
            command.current_dir(folder.path());
            command
        };
        let keys = command().arg("--generate-keys").stdin(Stdio::null()).output().unwrap();
        assert!(keys.status.success(), "{}", String::from_utf8_lossy(&keys.stderr));
        let running = Running::start(&mut command());
        let server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _running: running,
            _folder: folder,
        };
        wait_for("Synapse", Duration::from_secs(60), || {
            (server.try_ask("GET", "/health", None, None)?.0 == 200).then_some(())
        });
        Some(server)
    }

    fn try_ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        content: Option<Value>,
    ) -> Option<(u16, Value)> {
        let body = content.map_or_else(String::new, |content| content.to_string());
        let mut head = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {}\r\n",
            body.len()
        );
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let mut stream = std::net::TcpStream::connect(self.address).ok()?;
        std::io::Write::write_all(&mut stream, format!("{head}\r\n{body}").as_bytes()).ok()?;
        let mut answer = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut answer).ok()?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split_whitespace().nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }

    /// The status of a request without content.
    fn status(&self, method: &str, path: &str, user: &User) -> u16 {
        self.try_ask(method, path, Some(&user.token), None).unwrap().0
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, user: Option<&User>, content: Value) -> Value {
        let token = user.map(|user| user.token.as_str());
        let content = (method != "GET").then_some(content);
        let (status, answer) = self.try_ask(method, path, token, content).unwrap();
        assert_eq!(status, 200, "{method} {path}: {answer}");
        answer
    }

    /// Registers somebody with the shared secret and logs them in.
    fn user(&self, name: &str) -> User {
        let register = "/_synapse/admin/v1/register";
        let nonce = self.ask("GET", register, None, Value::Null)["nonce"].clone();
        let words = format!("{}\0{name}\0pass word\0notadmin", nonce.as_str().unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"shared");
        let mac = hmac::sign(&key, words.as_bytes());
        let mac: String = mac.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let made = self.ask(
            "POST",
            register,
            None,
            json!({"nonce": nonce, "username": name, "password": "pass word", "admin": false, "mac": mac}),
        );
        let id = made["user_id"].as_str().unwrap().to_owned();
        User { id, token: made["access_token"].as_str().unwrap().to_owned(), refresh: None }
    }

    /// A room with an alias, to which `guest` is invited.
    fn room(&self, host: &User, alias: &str, guest: &User) -> String {
        let content = json!({
            "preset": "private_chat", "room_alias_name": alias, "invite": [guest.id],
        });
        let made = self.ask("POST", "/_matrix/client/v3/createRoom", Some(host), content);
        made["room_id"].as_str().unwrap().to_owned()
    }

    /// Messages in a room, oldest first.
    fn messages(&self, user: &User, room: &str) -> Vec<Value> {
        let room = room.replace('!', "%21").replace(':', "%3A");
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=100");
        let answer = self.ask("GET", &path, Some(user), Value::Null);
        let all = answer["chunk"].as_array().unwrap();
        all.iter().filter(|event| event["type"] == "m.room.message").cloned().collect()
    }

    /// All messages in a room, oldest first, however many.
    fn all_messages(&self, user: &User, room: &str) -> Vec<Value> {
        let room = room.replace('!', "%21").replace(':', "%3A");
        let (mut all, mut from) = (Vec::new(), String::new());
        loop {
            let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=f&limit=1000{from}");
            let answer = self.ask("GET", &path, Some(user), Value::Null);
            let part = answer["chunk"].as_array().unwrap();
            all.extend(part.iter().filter(|event| event["type"] == "m.room.message").cloned());
            match answer["end"].as_str() {
                Some(end) if !part.is_empty() => from = format!("&from={end}"),
                _ => return all,
            }
        }
    }

    fn notifier(&self, token: &str) -> MatrixNotifier {
        let settings = MatrixSettings {
            homeserver: format!("http://{}", self.address).parse().unwrap(),
            token: Secret::new(token),
            ca_file: None,
            refresh_token: None,
            allow_unencrypted: false,
            rooms: BTreeMap::new(),
            act_power_level: 50,
            timeout: Duration::from_secs(20),
        };
        MatrixNotifier::new(&settings, Arc::new(SystemClock::start())).unwrap()
    }
}

fn delivery(key: &str, room: &str, resolved: bool) -> Delivery {
    Delivery {
        key: key.into(),
        to: Address::Matrix(room.into()),
        message: Message {
            text: format!("Homepage antwortet nicht <&> ({key})"),
            html: "<body><h3>Homepage</h3><p>antwortet nicht &lt;&amp;&gt;</p></body>".into(),
            language: "de".into(),
            urgency: Urgency::High,
            incident: "i-1".into(),
            resolved,
            ..Message::default()
        },
    }
}

fn deliver(notifier: &MatrixNotifier, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(notifier.deliver(delivery))
}

#[test]
fn messages_reach_a_room_once() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let room = server.room(&alice, "web", &bot);
    let alias = "#web:test.localhost";

    // By alias, accepting the invitation; the same key again is the same event, also for a
    // notifier that remembers nothing.
    let first = deliver(&server.notifier(&bot.token), &delivery("key-1", alias, false)).unwrap();
    let notifier = server.notifier(&bot.token);
    assert_eq!(deliver(&notifier, &delivery("key-1", alias, false)).unwrap(), first);
    let messages = server.messages(&alice, &room);
    assert_eq!(messages.len(), 1, "{messages:?}");
    let content = &messages[0]["content"];
    assert_eq!(content["msgtype"], "m.text");
    assert_eq!(content["body"], "Homepage antwortet nicht <&> (key-1)");
    assert_eq!(content["formatted_body"], "<h3>Homepage</h3><p>antwortet nicht &lt;&amp;&gt;</p>");
    assert_eq!(messages[0]["event_id"], first.0.as_str());

    // The end goes into the thread and to its top; repeated it changes nothing.
    let end = deliver(&notifier, &delivery("key-2", &room, true)).unwrap();
    assert_eq!(deliver(&notifier, &delivery("key-2", &room, true)).unwrap(), end);
    let messages = server.messages(&alice, &room);
    let relation = |event: &Value| event["content"]["m.relates_to"]["rel_type"].clone();
    let relations: Vec<Value> = messages.iter().map(relation).collect();
    assert_eq!(relations, [Value::Null, "m.thread".into(), "m.replace".into()]);
    assert_eq!(messages[1]["content"]["msgtype"], "m.notice");

    // What is larger than an event may be is cut, and says so.
    let mut long = delivery("key-3", &room, false);
    long.message.incident = "i-2".into();
    long.message.text = "\u{1}\u{2}\"ü".repeat(20_000);
    long.message.html = format!("<body>{}</body>", long.message.text);
    deliver(&notifier, &long).unwrap();
    let messages = server.messages(&alice, &room);
    let body = messages.last().unwrap()["content"]["body"].as_str().unwrap().to_owned();
    assert!(body.ends_with("zu lang für Matrix und ist hier gekürzt.)"), "{body}");
}

#[test]
fn what_cannot_be_told_is_said_clearly() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let stranger = server.user("stranger");
    let room = server.room(&alice, "web", &bot);
    let reason = |token: &str, room: &str| {
        let refused = deliver(&server.notifier(token), &delivery("key-1", room, false));
        let Err(DeliveryError::Rejected { reason }) = refused else { panic!("{refused:?}") };
        assert!(!reason.contains(['@', '#', '!']), "{reason}");
        reason
    };
    let wrong = reason("wrong-token", &room);
    assert!(wrong.contains("does not accept our access token"), "{wrong}");
    assert!(!wrong.contains("wrong-token"), "{wrong}");
    let nowhere = reason(&bot.token, "#nowhere:test.localhost");
    assert!(nowhere.contains("no such room"), "{nowhere}");
    let uninvited = reason(&stranger.token, &room);
    assert!(uninvited.contains("are we invited?"), "{uninvited}");
    // A room that becomes encrypted.
    let state =
        format!("/_matrix/client/v3/rooms/{}/state/m.room.encryption/", room.replace('!', "%21"));
    server.ask("PUT", &state, Some(&alice), json!({"algorithm": "m.megolm.v1.aes-sha2"}));
    let encrypted = reason(&bot.token, &room);
    assert!(encrypted.contains("encrypted"), "{encrypted}");
    assert!(server.messages(&alice, &room).is_empty());
}

#[test]
fn a_storm_is_slowed_down_as_the_server_asks() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let room = server.room(&alice, "web", &bot);
    let notifier = server.notifier(&bot.token);
    let limited = (0..30).find_map(|number| {
        let mut delivery = delivery(&format!("key-{number}"), &room, false);
        delivery.message.incident = format!("i-{number}");
        deliver(&notifier, &delivery).err()
    });
    let Some(DeliveryError::Retry { after: Some(after), .. }) = limited else {
        panic!("{limited:?}")
    };
    assert!(after > Duration::ZERO && after < Duration::from_secs(60), "{after:?}");
}

#[test]
fn a_replaced_room_is_followed_and_a_refused_picture_costs_nobody_the_news() {
    let Some(server) = Homeserver::start_with("max_upload_size: 1K\n") else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let old = server.room(&alice, "web", &bot);
    let notifier = server.notifier(&bot.token);
    let mut first = delivery("key-1", &old, false);
    first.message.attachments.push(augenmass::ports::Attachment {
        name: "plot.png".into(),
        mime: "image/png".into(),
        alt: "a curve".into(),
        bytes: vec![7; 5_000].into(),
    });
    deliver(&notifier, &first).unwrap();
    let messages = server.messages(&alice, &old);
    assert_eq!(messages.len(), 1, "the text, and no picture: {messages:?}");

    let upgrade = format!("/_matrix/client/v3/rooms/{}/upgrade", old.replace('!', "%21"));
    let made = server.ask("POST", &upgrade, Some(&alice), json!({"new_version": "11"}));
    let new = made["replacement_room"].as_str().unwrap().to_owned();
    let mut second = delivery("key-2", &old, false);
    second.message.incident = "i-2".into();
    let refused = deliver(&notifier, &second);
    let Err(DeliveryError::Rejected { reason }) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("replaced by a newer one, to which we are not invited"), "{reason}");
    let invite = format!("/_matrix/client/v3/rooms/{}/invite", new.replace('!', "%21"));
    server.ask("POST", &invite, Some(&alice), json!({"user_id": bot.id}));
    deliver(&notifier, &second).unwrap();
    assert_eq!(server.messages(&alice, &new).len(), 1);
    // A process that knows nothing finds the way too; the same key is the same event.
    deliver(&server.notifier(&bot.token), &second).unwrap();
    assert_eq!(server.messages(&alice, &new).len(), 1);
}
