//! What people in a room see and say: threads over restarts, pictures, reactions and answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::notify::{MatrixNotifier, MatrixSettings};
use augenmass::ports::{
    Act, ActError, Actor, Attachment, Doing, Notes, Notifier, Scope, SilenceOrder, SystemClock,
    Until,
};
use augenmass::state::SqliteState;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Homeserver, User, delivery};
use crate::harness::wait_for;

const LONG: Duration = Duration::from_secs(30);
const ALIAS: &str = "#web:test.localhost";

/// Writes down what it is asked to do.
#[derive(Default)]
struct Desk(Mutex<Vec<String>>);

impl Desk {
    fn note(&self, words: String) {
        self.0.lock().unwrap().push(words);
    }
}

impl Act for Desk {
    fn acknowledge<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.note(format!("{} knows of {incident}, seen at {:?}", by.name, by.seen_at));
        Box::pin(async { Ok(()) })
    }

    fn claim<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.note(format!("{} has {incident}", by.name));
        Box::pin(async { Err(ActError::NoIncident("i-1".to_owned())) })
    }

    fn silence(&self, order: SilenceOrder, by: Actor) -> Doing<'_, Result<Arc<str>, ActError>> {
        let (Scope::Incident(incident), Until::For(length)) = (&order.scope, order.until) else {
            panic!("{order:?}")
        };
        self.note(format!("{} silences {incident} for {length:?}", by.name));
        Box::pin(async { Ok("id".into()) })
    }

    fn expire<'a>(&'a self, _: &'a str, _: Actor) -> Doing<'a, Result<(), ActError>> {
        panic!("nobody asked for that")
    }
}

/// One life of the program: a notifier with its memory on disk.
struct Life {
    notifier: Arc<MatrixNotifier>,
    state: Arc<SqliteState>,
    runtime: Runtime,
    stop: CancellationToken,
}

impl Life {
    fn begin(server: &Homeserver, bot: &User, folder: &Path, users: &[&User]) -> Self {
        let users: BTreeSet<Arc<str>> = users.iter().map(|user| user.id.as_str().into()).collect();
        let settings = MatrixSettings {
            homeserver: format!("http://{}", server.address).parse().unwrap(),
            token: Secret::new(&bot.token),
            refresh_token: bot.refresh.as_deref().map(Secret::new),
            ca_file: None,
            allow_unencrypted: false,
            rooms: BTreeMap::from([(ALIAS.into(), users)]),
            act_power_level: 50,
            timeout: Duration::from_secs(20),
        };
        let notifier =
            Arc::new(MatrixNotifier::new(&settings, Arc::new(SystemClock::start())).unwrap());
        let state = Arc::new(SqliteState::open(&folder.join("state.sqlite")).unwrap());
        notifier.remember_in(state.clone());
        let runtime = Runtime::new().unwrap();
        Self { notifier, state, runtime, stop: CancellationToken::new() }
    }

    fn listen(&self, desk: &Arc<Desk>) {
        let (notifier, desk, stop) = (self.notifier.clone(), desk.clone(), self.stop.clone());
        self.runtime.spawn(async move { notifier.listen(desk, stop).await });
        wait_for("the first look", LONG, || {
            let notes = self.runtime.block_on(self.state.read("matrix-sync")).unwrap();
            (!notes.is_empty()).then_some(())
        });
    }
}

fn say(server: &Homeserver, user: &User, room: &str, kind: &str, key: &str, content: Value) {
    let room = room.replace('!', "%21").replace(':', "%3A");
    let path = format!("/_matrix/client/v3/rooms/{room}/send/{kind}/{key}");
    server.ask("PUT", &path, Some(user), content);
}

fn react(server: &Homeserver, user: &User, room: &str, event: &str, key: &str) {
    let relation = json!({"rel_type": "m.annotation", "event_id": event, "key": key});
    let name = format!("{}-{}", user.id.len(), xxh(event, key));
    say(server, user, room, "m.reaction", &name, json!({"m.relates_to": relation}));
}

fn xxh(event: &str, key: &str) -> usize {
    event.bytes().chain(key.bytes()).map(usize::from).sum()
}

fn answer(server: &Homeserver, user: &User, room: &str, root: &str, body: &str) {
    let relation = json!({"rel_type": "m.thread", "event_id": root});
    let content = json!({"msgtype": "m.text", "body": body, "m.relates_to": relation});
    say(server, user, room, "m.room.message", &body.replace(' ', "-"), content);
}

/// Waits until the room has heard these words from us in the thread.
fn wait_for_words(server: &Homeserver, user: &User, room: &str, root: &str, words: &str) {
    wait_for(words, LONG, || {
        let messages = server.messages(user, room);
        let found = messages.iter().find(|event| {
            event["content"]["body"].as_str().is_some_and(|body| body.contains(words))
        })?;
        assert_eq!(found["content"]["m.relates_to"]["event_id"], root, "{found}");
        Some(())
    });
}

fn join(server: &Homeserver, user: &User, room: &str) {
    let room = room.replace('!', "%21").replace(':', "%3A");
    server.ask("POST", &format!("/_matrix/client/v3/join/{room}"), Some(user), json!({}));
}

#[test]
fn people_answer_where_they_read_it() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot, bob) = (server.user("alice"), server.user("bot"), server.user("bob"));
    let room = server.room(&alice, "web", &bot);
    let escaped = room.replace('!', "%21").replace(':', "%3A");
    let invite = format!("/_matrix/client/v3/rooms/{escaped}/invite");
    server.ask("POST", &invite, Some(&alice), json!({"user_id": bob.id}));
    join(&server, &bob, &room);
    let folder = tempfile::tempdir().unwrap();
    let desk = Arc::new(Desk::default());

    let life = Life::begin(&server, &bot, folder.path(), &[]);
    let mut first = delivery("key-1", ALIAS, false);
    first.message.attachments = vec![Attachment {
        name: "plot.png".into(),
        mime: "image/png".into(),
        alt: "Verlauf".into(),
        bytes: Arc::from(&b"\x89PNG\r\n\x1a\nnot really"[..]),
    }];
    let root = life.runtime.block_on(life.notifier.deliver(&first)).unwrap().0;
    let messages = server.messages(&alice, &room);
    let picture = &messages[1]["content"];
    assert_eq!((&picture["msgtype"], &picture["body"]), (&json!("m.image"), &json!("Verlauf")));
    assert_eq!(picture["m.relates_to"]["event_id"], root.as_str());
    let address = picture["url"].as_str().unwrap().trim_start_matches("mxc://");
    let path = format!("/_matrix/client/v1/media/download/{address}");
    let without = server.try_ask("GET", &path, None, None).unwrap();
    assert_eq!(without.0, 401, "{without:?}");
    assert_eq!(server.status("GET", &path, &alice), 200);

    life.listen(&desk);
    // Bob may not: he is nobody here. Alice made the room.
    react(&server, &bob, &room, &root, "✅");
    wait_for_words(&server, &alice, &room, &root, "Das dürfen hier nur");
    assert_eq!(*desk.0.lock().unwrap(), Vec::<String>::new());
    react(&server, &alice, &room, &root, "✅");
    wait_for_words(&server, &alice, &room, &root, "✅ alice weiß Bescheid.");
    answer(&server, &alice, &room, &root, "mute 2h");
    wait_for_words(&server, &alice, &room, &root, "🔕 alice hat das für 2 h stummgeschaltet.");
    life.stop.cancel();
    drop(life);

    // While nobody listens; then another life, in which Bob is one of the owner's people. The
    // thread goes on, and its first message shows how things stand.
    react(&server, &bob, &room, &root, "👀");
    let life = Life::begin(&server, &bot, folder.path(), &[&bob]);
    life.runtime.block_on(life.notifier.deliver(&delivery("key-2", ALIAS, true))).unwrap();
    life.listen(&desk);
    wait_for_words(&server, &alice, &room, &root, "Das hat nicht geklappt: there is no open");
    life.stop.cancel();
    let seen = format!("seen at Some(Matrix(\"{ALIAS}\"))");
    assert_eq!(
        *desk.0.lock().unwrap(),
        [
            format!("alice knows of i-1, {seen}"),
            "alice silences i-1 for 7200s".to_owned(),
            "bob has i-1".to_owned()
        ]
    );
    let messages = server.messages(&alice, &room);
    let told = |kind: &str| {
        let of = |event: &&Value| {
            let content = &event["content"];
            content["m.relates_to"]["rel_type"] == kind
                && content["body"].as_str().is_some_and(|body| body.contains("(key-2)"))
        };
        let found: Vec<&Value> = messages.iter().filter(of).collect();
        assert_eq!(found.len(), 1, "{kind}: {messages:?}");
        found[0]["content"]["m.relates_to"]["event_id"].clone()
    };
    assert_eq!((told("m.thread"), told("m.replace")), (json!(root), json!(root)));
}

#[test]
fn a_token_that_expires_is_renewed_and_outlives_the_process() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let room = server.room(&alice, "web", &bot);
    let login = json!({
        "type": "m.login.password", "refresh_token": true, "password": "pass word",
        "identifier": {"type": "m.id.user", "user": "bot"},
    });
    let answer = server.ask("POST", "/_matrix/client/v3/login", None, login);
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    let bot =
        User { id: bot.id, token: text("access_token"), refresh: Some(text("refresh_token")) };
    let expired = || {
        wait_for("the end of the token", LONG, || {
            (server.status("GET", "/_matrix/client/v3/account/whoami", &bot) == 401).then_some(())
        });
    };
    let folder = tempfile::tempdir().unwrap();
    // Two lives begin with the same configuration; the second only works with what the first noted.
    for key in ["key-1", "key-2"] {
        expired();
        let life = Life::begin(&server, &bot, folder.path(), &[]);
        life.runtime.block_on(life.notifier.deliver(&delivery(key, ALIAS, false))).unwrap();
    }
    let told = server.messages(&alice, &room);
    assert!(told.len() >= 2, "{told:?}");
}
