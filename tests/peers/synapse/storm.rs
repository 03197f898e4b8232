//! Kill -9 of the whole program in the middle of a notification storm: groups of alerts begin and
//! end faster than a real Matrix room and a real mailbox take the news. `AUGENMASS_KILLS` sets how
//! many lives end that way.
// Real time is the matter here, and whoever starts a life waits for its end.
#![allow(clippy::disallowed_methods, clippy::zombie_processes)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use augenmass::demo::peers::WebServer;
use serde_json::{Value, json};

use super::{Homeserver, User};
use crate::harness::{augenmass, free_port, wait_for};
use crate::mail::MailServer;

/// As many as fit into a test run.
const KILLS: usize = 6;
/// So many groups begin, or end, in each life.
const GROUPS: usize = 20;
/// Alerts of a group.
const ALERTS: [&str; 3] = ["Slow", "Full", "Hot"];
/// A life that does not get as far as it should ends after so long.
const STUCK: Duration = Duration::from_secs(5);
/// A storm is over after so long.
const LONG: Duration = Duration::from_secs(300);
/// Nobody slows us down: it is to be a storm.
const FAST: &str = "rc_message: {per_second: 10000, burst_count: 10000}\n";

struct World {
    folder: tempfile::TempDir,
    _page: WebServer,
    mail: MailServer,
    port: u16,
}

/// What is reported: groups up to `begun` have begun, those up to `over` have ended.
#[derive(Clone, Copy, Debug)]
struct Levels {
    begun: usize,
    over: usize,
}

fn name(group: usize) -> String {
    format!("unit{group:04}x")
}

impl Levels {
    /// As a Prometheus sends it, again and again.
    fn alerts(self, start: jiff::Timestamp) -> Value {
        let now = jiff::Timestamp::now();
        let alert = |group: usize, alert: &str| {
            let hour = Duration::from_secs(3600);
            let ends = if group < self.over { now } else { now + hour };
            json!({
                "labels": {"alertname": alert, "service": name(group), "owner": "team"},
                "startsAt": start.to_string(),
                "endsAt": ends.to_string(),
            })
        };
        (0..self.begun).flat_map(|group| ALERTS.map(|one| alert(group, one))).collect()
    }
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
             defaults: {{interval: 1s, timeout: 1s}}\n\
             alerting: {{group_interval: 1s}}\n\
             rules: {{interval: 1s}}\n\
             services: {{page: {{owner: team, probes: [{{http: {{url: \"{url}\", name: page}}}}]}}}}\n"
        );
        std::fs::write(folder.path().join("augenmass.yml"), config).unwrap();
        Self { folder, _page: page, mail, port: free_port() }
    }

    fn spawn(&self) -> Child {
        let mut command = augenmass();
        command.args(["run", "--config"]).arg(self.folder.path().join("augenmass.yml"));
        command.arg("--data").arg(self.folder.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> std::io::Result<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\n");
        let head = format!("{head}Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Whether it took the alerts.
    fn post(&self, levels: Levels, start: jiff::Timestamp) -> bool {
        let answer = self.ask("POST", "/api/v2/alerts", &levels.alerts(start).to_string());
        answer.is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
    }

    /// How many messages arrived in this life, as the program says.
    fn delivered(&self) -> usize {
        let page = self.ask("GET", "/metrics", "").unwrap_or_default();
        let of_it = |line: &&str| {
            line.starts_with("augenmass_notify_tickets_settled_total{")
                && line.contains("how=\"delivered\"")
        };
        let counts = page.lines().filter(of_it).filter_map(|line| line.rsplit(' ').next());
        counts.filter_map(|count| count.parse::<f64>().ok()).sum::<f64>() as usize
    }

    /// A life that ends by SIGKILL as soon as so many of its messages have arrived. Gives how many
    /// were on their way then.
    fn life(&self, levels: Levels, start: jiff::Timestamp, arrived: usize) -> usize {
        let mut child = self.spawn();
        wait_for("the alerts to be taken", Duration::from_secs(60), || {
            self.post(levels, start).then_some(())
        });
        let until = Instant::now() + STUCK;
        while Instant::now() < until && self.delivered() < arrived {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        self.on_their_way()
    }

    /// Messages without an end in the state file, read from a copy so that the next life finds
    /// what the last one left.
    fn on_their_way(&self) -> usize {
        let copy = tempfile::tempdir().unwrap();
        for file in ["state.sqlite", "state.sqlite-wal"] {
            let from = self.folder.path().join("data").join(file);
            let _ = std::fs::copy(from, copy.path().join(file));
        }
        let file = rusqlite::Connection::open(copy.path().join("state.sqlite")).unwrap();
        let count = "SELECT count(*) FROM ticket WHERE settled IS NULL";
        usize::try_from(file.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap()
    }

    /// A life in peace, until everything is told.
    fn in_peace(
        &self,
        levels: Levels,
        start: jiff::Timestamp,
        missing: impl Fn() -> [usize; 3],
    ) -> Child {
        let mut child = self.spawn();
        let until = Instant::now() + LONG;
        loop {
            self.post(levels, start);
            std::thread::sleep(Duration::from_secs(1));
            let missing = missing();
            if missing == [0; 3] {
                return child;
            }
            if until < Instant::now() {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("still missing: {missing:?}");
            }
        }
    }
}

/// How often each group's news stands there: `(group, is over)`.
type Told = BTreeMap<(usize, bool), usize>;

/// The group that a text is about.
fn group(text: &str) -> Option<usize> {
    let at = text.find("unit")?;
    text.get(at + 4..at + 8)?.parse().ok()
}

/// The news in the room, without edits; and the groups whose first message shows their end.
fn room(events: &[Value]) -> (Told, BTreeSet<usize>) {
    let (mut told, mut shown) = (Told::new(), BTreeSet::new());
    for event in events {
        let body = event["content"]["body"].as_str().unwrap();
        let over = event["content"]["msgtype"] == "m.notice";
        let Some(group) = group(body) else { continue };
        if event["content"]["m.relates_to"]["rel_type"] != "m.replace" {
            *told.entry((group, over)).or_default() += 1;
        } else if over {
            shown.insert(group);
        }
    }
    (told, shown)
}

/// The Message-IDs of each group's mails, and how many mails had each.
fn letters(mails: &[String]) -> BTreeMap<(usize, bool), BTreeMap<String, usize>> {
    let mut found: BTreeMap<_, BTreeMap<String, usize>> = BTreeMap::new();
    for mail in mails {
        let (head, body) = mail.split_once("\n\n").unwrap();
        let head = head.replace("\n ", " ");
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        // Quoted-printable may have broken a long line.
        let Some(group) = group(&body.replace("=\n", "")) else { continue };
        let over = field("X-Augenmass-State: ") == Some("resolved");
        let id = field("Message-ID: ").unwrap().trim().to_owned();
        *found.entry((group, over)).or_default().entry(id).or_default() += 1;
    }
    found
}

fn everything(groups: usize, over: bool) -> BTreeSet<(usize, bool)> {
    let all = (0..groups).flat_map(|group| [(group, false), (group, true)]);
    all.filter(|(_, is_over)| over || !is_over).collect()
}

#[test]
fn kill_nine_in_a_storm_loses_nothing_and_tells_nothing_twice() {
    let Some(mail) = MailServer::start() else { return };
    let Some(server) = Homeserver::start_with(FAST) else { return };
    let (alice, bot) = (server.user("alice"), server.user("bot"));
    let place = server.room(&alice, "web", &bot);
    let kills = std::env::var("AUGENMASS_KILLS").ok().and_then(|text| text.parse().ok());
    let half = kills.unwrap_or(KILLS).div_ceil(2);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let world = runtime.block_on(World::start(mail, &server, &bot, &place));
    let start = jiff::Timestamp::now();
    let groups = half * GROUPS;
    // What is missing: in the room, in the mailbox, and edits of first messages.
    let missing = |over: bool| {
        let all = everything(groups, over);
        let (told, shown) = room(&server.all_messages(&alice, &place));
        let mails = letters(&world.mail.mailbox("web"));
        let edits = if over { groups - shown.len() } else { 0 };
        let not_in =
            |found: &dyn Fn(&(usize, bool)) -> bool| all.iter().filter(|n| !found(n)).count();
        [not_in(&|news| told.contains_key(news)), not_in(&|news| mails.contains_key(news)), edits]
    };
    // Each at another moment of what a life does, while there is more to tell: a group begins, or
    // ends, with one mail and one event.
    let arrived = |life: usize| (life * 7 + 5) % (2 * GROUPS - 9);

    let mut on_their_way = Vec::new();
    for life in 0..half {
        let levels = Levels { begun: (life + 1) * GROUPS, over: 0 };
        on_their_way.push(world.life(levels, start, arrived(life)));
    }
    let mut child = world.in_peace(Levels { begun: groups, over: 0 }, start, || missing(false));
    child.kill().unwrap();
    child.wait().unwrap();
    for life in 0..half - 1 {
        let levels = Levels { begun: groups, over: (life + 1) * GROUPS };
        on_their_way.push(world.life(levels, start, arrived(life)));
    }
    let mut child = world.in_peace(Levels { begun: groups, over: groups }, start, || missing(true));
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
    let code = wait_for("the end", Duration::from_secs(11), || child.try_wait().unwrap());
    assert!(code.success());

    let events = server.all_messages(&alice, &place);
    let (told, shown) = room(&events);
    let mails = letters(&world.mail.mailbox("web"));
    let all = everything(groups, true);
    let lost_events = all.iter().filter(|news| !told.contains_key(news)).count();
    let twice: usize = told.values().map(|count| count - 1).sum();
    let lost_mails = all.iter().filter(|news| !mails.contains_key(news)).count();
    let again: usize = mails.values().flat_map(BTreeMap::values).map(|count| count - 1).sum();
    let other: usize = mails.values().map(|ids| ids.len() - 1).sum();
    on_their_way.sort_unstable();
    println!(
        "{} kills; on their way at a kill: median {}, most {}, none at {} kills\n\
         room: {} news of {} groups ({} alerts), {lost_events} lost, {twice} twice; {} of {groups} \
         first messages show the end\n\
         mailbox: {} news, {lost_mails} lost, {again} mails again with the same Message-ID, {other} \
         with another",
        on_their_way.len() + 1,
        on_their_way[on_their_way.len() / 2],
        on_their_way[on_their_way.len() - 1],
        on_their_way.iter().filter(|count| **count == 0).count(),
        told.len(),
        groups,
        groups * ALERTS.len(),
        shown.len(),
        mails.len(),
    );
    assert_eq!((lost_events, twice, shown.len()), (0, 0, groups));
    assert_eq!((lost_mails, other), (0, 0));
    // Most kills hit messages; a quick life may have told all of its own.
    let hit = on_their_way.iter().filter(|count| **count > 0).count();
    assert!(hit * 5 >= on_their_way.len() * 4, "this was no storm: {on_their_way:?}");
}
