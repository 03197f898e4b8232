//! By when somebody must react: in the mail, in the verbs, in the metrics, and what happens when
//! nobody does.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::wait_for;
use crate::verb;
use crate::world::{FAILING, LONG, World};

const REACTIONS: &str = "\
calendars: {always: {timezone: Europe/Berlin, hours: {mon-sun: \"00:00-24:00\"}}}
reactions: {calendar: always, within: {1: 4h, 3: 1 service day}}
timezone: Europe/Berlin
";

fn incidents(port: u16, service: &str) -> Vec<Value> {
    let list = verb(port, &["incidents", "list", "-o", "json"]);
    let Value::Array(mut all) = serde_json::from_str(&list).unwrap() else { return Vec::new() };
    all.retain(|incident| incident["group"]["service"] == service);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_told_kept_and_missed() {
    let mut world = World::start().await;
    world.write(&world.config(REACTIONS));
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    let letter = world.letter_of("page").await;
    let text = &letter.mail.text;
    assert!(text.contains("Reaction due by ") && text.contains(" (+0"), "{text}");
    let port = world.port;
    let before = incidents(port, "page");
    let since: jiff::Timestamp = before[0]["alerts"][0]["since"].as_str().unwrap().parse().unwrap();
    let due: jiff::Timestamp = before[0]["react_by"].as_str().unwrap().parse().unwrap();
    assert_eq!(due.duration_since(since), jiff::SignedDuration::from_hours(4));
    assert!(
        verb(port, &["incidents", "list"])
            .contains(&format!("; reaction due by {}", before[0]["react_by"].as_str().unwrap()))
    );
    assert!(verb(port, &["explain", "--to", "team"]).contains("reaction due by "));
    // Neither a restart nor time moves it.
    process.kill();
    let process = world.run();
    wait_for("the alert to fire again", LONG, || {
        process.metric("probe_confirmed_down").filter(|down| *down == 1.0)
    });
    assert_eq!(incidents(port, "page")[0]["react_by"], before[0]["react_by"]);
    assert!(process.get("/incidents").unwrap().contains("Reaction due by"));
    assert_eq!(process.metric("augenmass_reaction_overdue_incidents"), Some(0.0));
    verb(port, &["ack", "--by", "anna", "service=page"]);
    assert_eq!(incidents(port, "page")[0]["react_by"], Value::Null);
    // What has been firing for five hours somewhere else is overdue already.
    #[allow(clippy::disallowed_methods)] // the process reads the machine's clock too
    let ago = SystemTime::now() - Duration::from_secs(5 * 3600);
    let starts = jiff::Timestamp::try_from(ago).unwrap().to_string();
    let labels = json!({"alertname": "Flood", "owner": "team", "service": "cellar", "class": "1"});
    let body = json!([{"labels": labels, "startsAt": starts}]).to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = format!(
        "POST /api/v2/alerts HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    let flood = world.letter_of("Flood").await;
    assert!(flood.mail.text.contains("Reaction was due by "), "{}", flood.mail.text);
    wait_for("it to be overdue", LONG, || {
        process.metric("augenmass_reaction_overdue_incidents").filter(|overdue| *overdue == 1.0)
    });
    assert_eq!(incidents(port, "cellar")[0]["overdue"], true);
    // Our own metrics are looked at every 15 seconds.
    let alarm = world.letter_of("reacted in time").await;
    assert!(!alarm.mail.text.contains("Reaction "), "no deadline of its own: {}", alarm.mail.text);
    verb(port, &["ack", "--by", "bob", "service=cellar"]);
    wait_for("somebody to have reacted", LONG, || {
        process.metric("augenmass_reaction_overdue_incidents").filter(|overdue| *overdue == 0.0)
    });
    assert_eq!(process.stop(), 0);
}
