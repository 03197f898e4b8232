//! Kill -9 of the whole program during an outage, with a real Matrix room and a real mailbox.
//! `AUGENMASS_KILLS` sets how many lives end that way.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::Duration;

use augenmass::demo::peers::{Mood, WebServer};
use http::StatusCode;
use serde_json::Value;

use super::{Homeserver, User};
use crate::harness::{augenmass, free_port, wait_for};
use crate::mail::MailServer;

const LONG: Duration = Duration::from_secs(60);
/// As many as fit into a test run.
const KILLS: usize = 16;

struct World {
    folder: tempfile::TempDir,
    page: WebServer,
    mail: MailServer,
    port: u16,
}

impl World {
    async fn start(mail: MailServer, server: &Homeserver, bot: &User, room: &str) -> Self {
        let page = WebServer::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), &bot.token).unwrap();
        std::fs::write(folder.path().join("password"), "right horse").unwrap();
        let (port, authority) = (mail.port, mail.authority());
        let (home, url, authority) = (server.address, page.url("/"), authority.display());
        let config = format!(
            "owners: {{team: {{notify: [{{email: web@example.org}}, {{matrix: \"{room}\"}}]}}}}\n\
             notify:\n  email: {{smarthost: \"localhost:{port}\", from: orwell@example.org, \
             username: orwell, password: {{file: password}}, ca_file: \"{authority}\"}}\n  \
             matrix: {{homeserver: \"http://{home}\", token: {{file: token}}}}\n\
             defaults: {{interval: 1s, timeout: 1s, confirm: {{tries: 2, every: 200ms}}}}\n\
             alerting: {{group_interval: 1s}}\n\
             rules: {{interval: 1s}}\n\
             services: {{page: {{owner: team, probes: [{{http: {{url: \"{url}\", name: page}}}}]}}}}\n"
        );
        std::fs::write(folder.path().join("augenmass.yml"), config).unwrap();
        Self { folder, page, mail, port: free_port() }
    }

    fn spawn(&self) -> Child {
        let mut command = augenmass();
        command.args(["run", "--config"]).arg(self.folder.path().join("augenmass.yml"));
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Lives that end by SIGKILL, each at another moment of what a life does.
    async fn kill_many(&self, lives: usize) {
        for life in 0..lives {
            let mut child = self.spawn();
            // 250 ms to 3 s, all of it covered whatever the number of lives.
            let length = 250 + 2_750 * life / lives.max(1);
            tokio::time::sleep(Duration::from_millis(u64::try_from(length).unwrap())).await;
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// What was said in a room: news, without the edits of the incident's first message.
fn news(events: &[Value], is_over: bool) -> usize {
    let edits = |event: &&Value| event["content"]["m.relates_to"]["rel_type"] != "m.replace";
    let text = |event: &&Value| event["content"]["msgtype"] != "m.image";
    let over = |event: &&Value| {
        event["content"]["body"].as_str().is_some_and(|body| body.contains("Resolved")) == is_over
    };
    events.iter().filter(edits).filter(text).filter(over).count()
}

/// The Message-IDs of mails in a state, and how many mails had each.
fn letters(mails: &[String], state: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for mail in mails.iter().filter(|m| m.contains(&format!("X-Augenmass-State: {state}\n"))) {
        let unfolded = mail.replace("\n ", " ");
        let id = unfolded.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap();
        *ids.entry(id.trim().to_owned()).or_default() += 1;
    }
    ids
}

#[test]
fn kill_nine_loses_nothing_and_the_room_sees_nothing_twice() {
    let Some(mail) = MailServer::start() else { return };
    let Some(server) = Homeserver::start() else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let room = server.room(&alice, "web", &bot);
    let kills = std::env::var("AUGENMASS_KILLS").ok().and_then(|text| text.parse().ok());
    let kills = kills.unwrap_or(KILLS);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start(mail, &server, &bot, &room));
    let count = |over: bool| news(&server.messages(&alice, &room), over);

    world.page.set("/", Mood::Failing(StatusCode::INTERNAL_SERVER_ERROR));
    runtime.block_on(world.kill_many(kills / 2));
    let mut child = world.spawn();
    wait_for("the news in the room", LONG, || (count(false) > 0).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();

    world.page.set("/", Mood::Fine);
    runtime.block_on(world.kill_many((kills - kills / 2).saturating_sub(1)));
    let mut child = world.spawn();
    wait_for("its end in the room", LONG, || (count(true) > 0).then_some(()));
    wait_for("its end in the mailbox", LONG, || {
        (!letters(&world.mail.mailbox("web"), "resolved").is_empty()).then_some(())
    });
    // A life that ends in peace: whatever was still under way has been told.
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
    let code = wait_for("the end", Duration::from_secs(11), || child.try_wait().unwrap());
    assert!(code.success());

    let mails = world.mail.mailbox("web");
    let told = [letters(&mails, "firing"), letters(&mails, "resolved")];
    let distinct: BTreeSet<&String> = told.iter().flat_map(BTreeMap::keys).collect();
    println!(
        "{kills} kills: {} of 2 news in the room, {} twice; {} of 2 news in the mailbox, {} mails \
         again with the same Message-ID",
        count(false).min(1) + count(true).min(1),
        (count(false) + count(true)).saturating_sub(2),
        distinct.len(),
        told.iter().flat_map(BTreeMap::values).sum::<usize>() - distinct.len(),
    );
    assert_eq!((count(false), count(true)), (1, 1), "{:?}", server.messages(&alice, &room));
    assert_eq!((told[0].len(), told[1].len()), (1, 1), "{told:?}");
}
