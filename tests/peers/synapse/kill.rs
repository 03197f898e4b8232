//! Kill -9 of the whole program during an outage, with a real Matrix room and a mailbox.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use augenmass::demo::peers::{Mailbox, Mood, Received, WebServer};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::mpsc;

use super::{Homeserver, User};
use crate::harness::{augenmass, free_port, wait_for};

const LONG: Duration = Duration::from_secs(60);

struct World {
    folder: tempfile::TempDir,
    page: WebServer,
    _mailbox: Mailbox,
    letters: mpsc::Receiver<Received>,
    port: u16,
}

impl World {
    async fn start(server: &Homeserver, bot: &User, room: &str) -> Self {
        let (mailbox, letters) = Mailbox::start().await.unwrap();
        let page = WebServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), &bot.token).unwrap();
        let (mail, home, url) = (mailbox.address(), server.address, page.url("/"));
        let config = format!(
            "owners: {{team: {{notify: [{{email: team@example.org}}, {{matrix: \"{room}\"}}]}}}}\n\
             notify:\n  email: {{smarthost: \"{mail}\", from: orwell@example.org, tls: \"off\"}}\n  \
             matrix: {{homeserver: \"http://{home}\", token: {{file: token}}}}\n\
             defaults: {{interval: 1s, timeout: 1s, confirm: {{tries: 2, every: 200ms}}}}\n\
             alerting: {{group_interval: 1s}}\n\
             rules: {{interval: 1s}}\n\
             services: {{page: {{owner: team, probes: [{{http: {{url: \"{url}\", name: page}}}}]}}}}\n"
        );
        std::fs::write(folder.path().join("augenmass.yml"), config).unwrap();
        Self { folder, page, _mailbox: mailbox, letters, port: free_port() }
    }

    fn spawn(&self) -> Child {
        let mut command = augenmass();
        command.args(["run", "--config"]).arg(self.folder.path().join("augenmass.yml"));
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Lives that end by SIGKILL, each a little longer than the one before.
    async fn kill_many(&self, lives: &[u64]) {
        for life in lives {
            let mut child = self.spawn();
            tokio::time::sleep(Duration::from_millis(*life)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// What was said in a room: news, without the edits of the incident's first message.
fn news(events: &[Value], is_over: bool) -> usize {
    let edits = |event: &&Value| event["content"]["m.relates_to"]["rel_type"] != "m.replace";
    let over = |event: &&Value| {
        event["content"]["body"].as_str().is_some_and(|body| body.contains("Resolved")) == is_over
    };
    events.iter().filter(edits).filter(over).count()
}

#[test]
fn kill_nine_loses_nothing_and_the_room_sees_nothing_twice() {
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let room = server.room(&alice, "web", &bot);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut world = runtime.block_on(World::start(&server, &bot, &room));
    let count = |over: bool| news(&server.messages(&alice, &room), over);

    world.page.set("/", Mood::Failing(StatusCode::INTERNAL_SERVER_ERROR));
    runtime.block_on(world.kill_many(&[250, 500, 750, 900, 1050, 1200, 1350, 1500, 1650, 1800]));
    let mut child = world.spawn();
    wait_for("the news in the room", LONG, || (count(false) > 0).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();

    world.page.set("/", Mood::Fine);
    runtime.block_on(world.kill_many(&[500, 1000, 1500, 2000, 2500, 3000]));
    let mut child = world.spawn();
    wait_for("its end in the room", LONG, || (count(true) > 0).then_some(()));
    // A life that ends in peace: whatever was still under way has been told.
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
    let code = wait_for("the end", Duration::from_secs(11), || child.try_wait().unwrap());
    assert!(code.success());

    assert_eq!((count(false), count(true)), (1, 1), "{:?}", server.messages(&alice, &room));
    let mut ids = [BTreeSet::new(), BTreeSet::new()];
    while let Ok(letter) = world.letters.try_recv() {
        let over = letter.mail.header("X-Augenmass-State") == "resolved";
        ids[usize::from(over)].insert(letter.mail.header("Message-ID").to_owned());
    }
    assert_eq!((ids[0].len(), ids[1].len()), (1, 1), "{ids:?}");
}
