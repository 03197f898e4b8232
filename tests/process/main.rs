//! The binary as its users run it: start, reload, stop, kill. Its peers are those of the demo.

mod closed;
mod full;
#[path = "../peers/harness.rs"]
mod harness;
mod hostile;
mod look;
mod reactions;
mod sla;
mod verbs;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use augenmass::demo::peers::{Mood, Received};
use harness::{augenmass, wait_for};
use world::{FAILING, LONG, World, is_over};

/// What must never leave the configuration.
const CANARIES: [&str; 4] = ["canary-user", "canary-password", "canary-token", "canary-fragment"];

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_and_so_is_its_end() {
    let mut world = World::start().await;
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    let first = world.letter().await;
    assert!(!is_over(&first) && first.mail.subject.contains("page"), "{}", first.mail.subject);
    // Fifty more evaluations over a page that is still down make no second message.
    let ticks = || process.sum("augenmass_evaluate_evaluations_total");
    let before = ticks();
    wait_for("evaluations", LONG, || (ticks() >= before + 50.0).then_some(()));
    assert!(world.letters.try_recv().is_err(), "told twice");
    world.page.set("/", Mood::Fine);
    let second = world.letter().await;
    assert!(is_over(&second), "{}", second.mail.subject);
    let thread = first.mail.header("Message-ID");
    let refers =
        format!("{} {}", second.mail.header("In-Reply-To"), second.mail.header("References"));
    let root =
        |letter: &Received| letter.mail.header("References").split(' ').next().map(str::to_owned);
    assert!(refers.contains(thread) || root(&first) == root(&second), "not one thread: {refers}");
    assert_eq!(process.stop(), 0);
    assert!(world.letters.try_recv().is_err(), "told a third time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_does_not_stop_what_runs() {
    let world = World::start().await;
    let process = world.run();
    let successful = || process.metric("augenmass_config_last_reload_successful");
    assert_eq!(successful(), Some(1.0));
    world.write(&world.config("      - htpp: nonsense\n"));
    process.signal("-HUP");
    wait_for("the refusal", LONG, || successful().filter(|value| *value == 0.0));
    assert!(world.log().contains("did you mean `http`"), "{}", world.log());
    let refused = process.ask("POST", "/-/reload").unwrap();
    assert!(!refused.starts_with("HTTP/1.1 200") && refused.contains("htpp"), "{refused}");
    let probes = process.metric("probe_success");
    assert_eq!(probes, Some(1.0), "the old target is still there");
    assert!(!process.get("/-/reload").unwrap().starts_with("HTTP/1.1 200"), "GET must not act");
    world.write(&world.config("      - tcp: {host: 127.0.0.1, port: 9, name: other}\n"));
    let accepted = process.ask("POST", "/-/reload").unwrap();
    assert!(accepted.starts_with("HTTP/1.1 200"), "{accepted}");
    assert_eq!(successful(), Some(1.0));
    wait_for("the new target", LONG, || {
        process.get("/metrics").filter(|p| p.contains("target=\"other\""))
    });
    assert_eq!(process.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_problems_does_not_start_and_names_them_all() {
    let world = World::start().await;
    world.write("owners: {a: {notify: []}}\nservices: {b: {owner: c}}\nnonsense: 1\n");
    let out = augenmass().args(["run", "--config"]).arg(world.file()).output().unwrap();
    let told = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(1));
    let file = world.file().display().to_string();
    for place in [":1:10: ", ":2:23: ", ":3:1: "] {
        assert!(told.contains(&format!("{file}{place}")), "{place} {told}");
    }
    let out = augenmass().args(["check", "config"]).arg(world.file()).output().unwrap();
    assert_eq!((out.status.code(), String::from_utf8(out.stderr).unwrap()), (Some(1), told));
    assert_eq!(augenmass().arg("nonsense").output().unwrap().status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_nine_at_any_moment_loses_nothing_and_repeats_only_with_the_same_id() {
    let mut world = World::start().await;
    // Moments of the outage: while it is being confirmed, while it is told, while it lasts, while
    // its end is told. The program lives a little longer each time.
    world.page.set("/", FAILING);
    for life in [300u64, 600, 900, 1200, 1500, 1800] {
        let process = world.spawn();
        tokio::time::sleep(Duration::from_millis(life)).await;
        process.kill();
    }
    let process = world.run();
    let down = world.letter().await;
    assert!(!is_over(&down));
    world.page.set("/", Mood::Fine);
    wait_for("the page to be up", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    process.kill();
    let mut seen: BTreeMap<String, Received> = BTreeMap::new();
    seen.insert(down.mail.header("Message-ID").to_owned(), down);
    let process = world.run();
    while !seen.values().any(is_over) {
        let letter = world.letter().await;
        seen.insert(letter.mail.header("Message-ID").to_owned(), letter);
    }
    assert_eq!(process.stop(), 0);
    while let Ok(letter) = world.letters.try_recv() {
        seen.insert(letter.mail.header("Message-ID").to_owned(), letter);
    }
    // One message for the beginning, one for the end, whatever the number of copies.
    let told: Vec<_> =
        seen.values().map(|letter| (is_over(letter), &letter.mail.subject)).collect();
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_any_output() {
    let mut world = World::start().await;
    let process = world.run();
    world.page.set("/", FAILING);
    let letter = world.letter().await;
    let mut outputs = BTreeMap::new();
    for path in [
        "/",
        "/metrics",
        "/api/v1/targets",
        "/api/v1/rules",
        "/api/v1/alerts",
        "/api/v1/status/config",
    ] {
        outputs.insert(path.to_owned(), process.get(path).unwrap());
    }
    assert_eq!(process.stop(), 0);
    outputs.insert("mail".to_owned(), String::from_utf8_lossy(&letter.raw).into_owned());
    outputs.insert("log".to_owned(), world.log());
    let mut folders = vec![world.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                outputs.insert(
                    path.display().to_string(),
                    String::from_utf8_lossy(&bytes).into_owned(),
                );
            }
        }
    }
    for (name, text) in &outputs {
        for canary in CANARIES {
            assert!(!text.contains(canary), "{canary} in {name}");
        }
    }
    // The files of the store were looked at, and the mailbox' address may stand in the state only.
    assert!(outputs.keys().any(|name| name.ends_with("state.sqlite")));
    for name in ["/", "/metrics", "log", "/api/v1/alerts"] {
        assert!(!outputs[name].contains("team@example.org"), "the address is in {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_is_down_for_a_while_loses_nothing() {
    let mut world = World::start().await;
    world.mailbox.set_closed(true);
    let process = world.run();
    world.page.set("/", FAILING);
    wait_for("a failed delivery", LONG, || {
        process.get("/metrics").filter(|page| {
            page.lines()
                .any(|l| l.starts_with("augenmass_notify_retries_total{") && !l.ends_with(" 0"))
        })
    });
    process.kill();
    world.mailbox.set_closed(false);
    let process = world.run();
    assert!(!is_over(&world.letter().await));
    assert_eq!(process.stop(), 0);
}

fn verb(port: u16, arguments: &[&str]) -> String {
    let server = format!("http://127.0.0.1:{port}");
    let output = augenmass().args(arguments).args(["--server", &server]).output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {problem}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_and_a_silence_outlive_kill_nine() {
    let mut world = World::start().await;
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    world.letter().await;
    let port = world.port;
    verb(port, &["ack", "--claim", "--by", "anna", "service=page"]);
    // The others who were told hear that somebody has it.
    let known = world.letter().await;
    assert!(known.mail.text.contains("anna"), "{}", known.mail.subject);
    let silence = ["silence", "add", "service=other", "--for", "2h", "-c", "work", "--by", "bob"];
    let id = verb(port, &silence);
    process.kill();
    let process = world.run();
    assert!(verb(port, &["silence", "query"]).contains(id.trim()));
    let list = verb(port, &["incidents", "list"]);
    assert!(list.contains("claimed by anna"), "{list}");
    let log = verb(port, &["incidents", "export"]);
    for event in ["told", "delivered", "claimed", "silenced"] {
        assert!(log.contains(&format!(",{event},")), "{event}: {log}");
    }
    assert!(!log.contains("team@example.org"), "no address in the log: {log}");
    // Forged links are refused, counted, and change nothing.
    assert!(process.get("/act/AAAA").unwrap().starts_with("HTTP/1.1 404"), "no external_url");
    assert_eq!(process.stop(), 0);
    assert!(world.letters.try_recv().is_err(), "nothing is told again after the restart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_acts_only_when_the_button_is_pressed() {
    use augenmass::alerting::LinkSigner;
    use augenmass::model::{Secret, Timestamp};
    let mut world = World::start().await;
    world.write(
        &world.config(&format!("web: {{external_url: \"http://127.0.0.1:{}\"}}\n", world.port)),
    );
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    world.letter().await;
    let port = world.port;
    let list = || verb(port, &["incidents", "list"]);
    let mut incident = String::new();
    for line in list().lines() {
        match line.split_once(" to team") {
            Some((id, _)) => incident = id.to_owned(),
            None if line.contains("service=page") => break,
            None => {}
        }
    }
    process.kill();
    // The key never leaves the process; a test may look into its file.
    let file = world.folder.path().join("data/state.sqlite");
    let key: String = rusqlite::Connection::open(file)
        .unwrap()
        .query_row("SELECT link_key FROM about", [], |row| row.get(0))
        .unwrap();
    let process = world.run();
    let base = format!("http://127.0.0.1:{port}");
    let signer = LinkSigner::new(&base, &Secret::new(&key));
    let link = signer.link(&incident, "team", Timestamp::from_millis(4_000_000_000_000));
    let path = link.strip_prefix(&base).unwrap();
    let page = process.get(path).unwrap();
    assert!(page.contains("<button"), "a page with a button");
    let seen = |page: &str| {
        let (_, behind) = page.split_once("name=\"seen\" value=\"").unwrap();
        behind.split('"').next().unwrap().to_owned()
    };
    let _ = process.ask("HEAD", path);
    assert!(!list().contains("by team"), "looking at it does nothing");
    let press = |what: &str, name: &str, seen: &str| {
        process.send("POST", path, &format!("what={what}&name={name}&seen={seen}")).unwrap()
    };
    let first = seen(&page);
    assert!(press("dance", "", &first).starts_with("HTTP/1.1 400"));
    assert!(press("acknowledge", "", &first).starts_with("HTTP/1.1 200"));
    assert!(list().contains("acknowledged by team"), "{}", list());
    // The same request again, or one that never looked, says nothing new, and shows the buttons.
    let again = press("claim", "eve", &first);
    assert!(again.starts_with("HTTP/1.1 409") && again.contains("<button"), "{again}");
    assert!(process.ask("POST", path).unwrap().starts_with("HTTP/1.1 400"), "no button");
    assert!(list().contains("acknowledged by team"), "{}", list());
    let claimed = press("claim", "anna%40example.org", &seen(&again));
    assert!(claimed.starts_with("HTTP/1.1 200") && claimed.contains("anna "), "{claimed}");
    assert!(list().contains("claimed by anna") && !list().contains("anna@"), "{}", list());
    let forged = format!("{path}x");
    assert!(process.get("/act/%ff").unwrap().starts_with("HTTP/1.1 403"));
    assert!(process.ask("POST", &forged).unwrap().starts_with("HTTP/1.1 403"));
    let old = signer.link(&incident, "team", Timestamp::from_millis(0));
    let old = old.strip_prefix(&base).unwrap();
    assert!(process.ask("POST", old).unwrap().starts_with("HTTP/1.1 410"));
    // A link that is used again after its incident is over does nothing.
    world.page.set("/", Mood::Fine);
    while !is_over(&world.letter().await) {}
    let over = press("claim", "", &seen(&again));
    assert!(over.starts_with("HTTP/1.1 200") && !over.contains("<button"), "{over}");
    let page = process.get("/metrics").unwrap();
    for (outcome, count) in
        [("accepted", 2), ("replayed", 1), ("forged", 2), ("expired", 1), ("over", 1)]
    {
        let line = format!("augenmass_notify_links_total{{outcome=\"{outcome}\"}} {count}");
        assert!(page.contains(&line), "{line}: {page}");
    }
    assert!(!world.log().contains(&path[6..]), "the link is a secret");
}
