//! The verbs that speak to a running program: over https, with files, and with nobody there; and
//! what a foreign client may send it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{augenmass, free_port, wait_for};
use crate::world::{LONG, World};

/// Exit code, what was said, and what went wrong.
fn run(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn verb(server: &str, arguments: &[&str]) -> (i32, String, String) {
    run(augenmass().args(arguments).args(["--server", server]))
}

/// Every verb that speaks to a running program.
const ALL: [&[&str]; 5] = [
    &["ack", "service=page"],
    &["silence", "query"],
    &["alert", "query"],
    &["incidents", "list"],
    &["explain", "--to", "team"],
];

#[test]
fn where_nothing_listens_the_verbs_say_what_to_do() {
    let server = format!("http://127.0.0.1:{}", free_port());
    for arguments in ALL {
        let (code, said, problem) = verb(&server, arguments);
        assert_eq!((code, said.as_str()), (1, ""), "{arguments:?}: {problem}");
        assert!(problem.contains(&format!("nothing listens at {server}")), "{problem}");
        assert!(problem.contains("`augenmass run`") && problem.contains("--server"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_come_from_files_of_amtool_and_of_our_own() {
    let world = World::start().await;
    let process = world.run();
    let server = format!("http://127.0.0.1:{}", world.port);
    let file = world.folder.path().join("silences.json");
    let import = |content: &Value| {
        std::fs::write(&file, content.to_string()).unwrap();
        verb(&server, &["silence", "import", file.to_str().unwrap()])
    };
    // As `amtool silence query -o json` writes them.
    #[allow(clippy::disallowed_methods)] // the process reads the machine's clock too
    let now = jiff::Timestamp::now();
    let later = now + std::time::Duration::from_secs(7200);
    let theirs = json!([{
        "id": "8f1a4ed8-6f2c-4d36-a6f2-1d3c25a8f1c4", "status": {"state": "active"},
        "updatedAt": now.to_string(), "comment": "from amtool", "createdBy": "anna",
        "startsAt": now.to_string(), "endsAt": later.to_string(),
        "matchers": [
            {"name": "service", "value": "a.*|b", "isRegex": true, "isEqual": true},
            {"name": "class", "value": "1", "isRegex": false, "isEqual": false},
        ],
    }]);
    let (code, id, problem) = import(&theirs);
    assert_eq!(code, 0, "{problem}");
    let query =
        || serde_json::from_str::<Value>(&verb(&server, &["silence", "query", "-o", "json"]).1);
    let ours = query().unwrap();
    assert_eq!(ours.as_array().unwrap().len(), 1);
    assert_eq!(ours[0]["id"], id.trim());
    assert_eq!((&ours[0]["by"], &ours[0]["comment"]), (&json!("anna"), &json!("from amtool")));
    assert_eq!(ours[0]["matchers"].as_array().unwrap().len(), 2, "{ours}");
    // Our own form, and then one that makes no sense: the good one is made, the bad one is named.
    let (code, again, problem) = import(&ours);
    assert_eq!(code, 0, "{problem}");
    let both = query().unwrap();
    assert_eq!(both.as_array().unwrap().len(), 2, "{both}");
    assert_eq!(both[0]["matchers"], both[1]["matchers"]);
    assert_ne!(again, id);
    let mut mixed = theirs.clone();
    mixed.as_array_mut().unwrap().insert(0, json!({"matchers": [], "startsAt": now.to_string()}));
    let (code, made, problem) = import(&mixed);
    assert_eq!(code, 1);
    assert!(problem.contains("1 of 2 silences were refused") && !made.is_empty(), "{problem}");
    let (code, _, problem) = import(&json!({"silences": []}));
    assert!(code == 1 && problem.contains("a list is needed"), "{problem}");
    assert_eq!(process.stop(), 0);
}

/// A key and a certificate for localhost, signed by nobody else.
fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("web.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("web.key"), made.signing_key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbs_speak_https() {
    let world = World::start().await;
    certificate(world.folder.path());
    world.write(&world.config("web: {tls: {cert: web.pem, key: web.key}}\n"));
    let process = world.spawn();
    wait_for("the port", LONG, || TcpStream::connect(("127.0.0.1", world.port)).ok());
    let server = format!("https://localhost:{}", world.port);
    let trusting = |arguments: &[&str]| {
        let file = world.folder.path().join("web.pem");
        run(augenmass().env("SSL_CERT_FILE", file).args(arguments).args(["--server", &server]))
    };
    let add = ["silence", "add", "service=page", "--for", "1h", "-c", "work", "--by", "bob"];
    let (code, id, problem) = trusting(&add);
    assert_eq!(code, 0, "{problem}");
    assert!(trusting(&["silence", "query"]).1.contains(id.trim()));
    for arguments in [&ALL[2..], &ALL[1..2]].concat() {
        let (code, _, problem) = trusting(arguments);
        assert_eq!(code, 0, "{arguments:?}: {problem}");
    }
    let (code, _, problem) = trusting(ALL[0]);
    assert!(code == 1 && problem.contains("no open incident"), "{problem}");
    // Nobody vouches for it.
    let empty = world.folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let (code, _, problem) =
        run(augenmass().env("SSL_CERT_FILE", &empty).args(ALL[1]).args(["--server", &server]));
    assert_eq!(code, 1);
    assert!(problem.contains("SSL_CERT_FILE"), "{problem}");
    // In the clear to a port that is encrypted.
    let (code, _, problem) = verb(&server.replace("https", "http"), ALL[1]);
    assert_eq!(code, 1);
    assert!(problem.contains("https://"), "{problem}");
    assert_eq!(process.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_alerts_without_labels_is_refused_and_counted() {
    let mut world = World::start().await;
    let process = world.run();
    let post = |alerts: &Value| {
        let body = alerts.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).unwrap();
        let head = format!(
            "POST /api/v2/alerts HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut storm = vec![json!({"labels": {}}); 5_000];
    storm.push(json!({"labels": {"alertname": "Flood", "owner": "team", "service": "cellar"}}));
    storm.extend(vec![json!({"labels": {"": "nameless"}}); 5]);
    for _ in 0..3 {
        let answer = post(&Value::from(storm.clone()));
        assert!(answer.contains(" 400 "), "{answer}");
        assert!(answer.contains("at least one label pair required"), "{answer}");
        assert!(answer.len() < 2_000, "the reasons are not repeated 5,000 times: {answer}");
    }
    // One without the field at all spoils its whole request, as in Alertmanager.
    assert!(post(&json!([{"annotations": {}}])).contains(" 422 "));
    let page = process.get("/metrics").unwrap();
    for (reason, count) in [("labels", 15_015), ("form", 1)] {
        let line =
            format!("augenmass_notify_foreign_alerts_refused_total{{reason=\"{reason}\"}} {count}");
        assert!(page.contains(&line), "{line}: {page}");
    }
    // The good one among them is told, once.
    let letter = world.letter().await;
    assert!(letter.mail.text.contains("Flood"), "{}", letter.mail.text);
    assert!(world.log().lines().count() < 5_000, "a line for each would be a second storm");
    assert_eq!(process.stop(), 0);
    assert!(world.letters.try_recv().is_err());
}
