//! `augenmass probe`: one look, now.

use augenmass::demo::peers::Mood;
use serde_json::Value;

use crate::harness::augenmass;
use crate::world::{FAILING, World};

/// Exit code, data, and the rest.
fn probe(arguments: &[&str]) -> (i32, String, String) {
    let output = augenmass().arg("probe").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_looked_at_once() {
    let world = World::start().await;
    let file = world.file();
    let file = file.to_str().unwrap();
    let (code, said, rest) = probe(&["--config", file, "page"]);
    assert_eq!((code, &*rest), (0, ""), "{said}");
    let first = said.lines().next().unwrap();
    assert!(first.starts_with("http page of page: up: "), "{said}");
    assert!(said.lines().nth(1).unwrap().contains("connect "), "the phases: {said}");
    let row = |name: &str| {
        let line = said.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        (line.len(), line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
    };
    let rows = ["probe_success ", "probe_http_status_code ", "probe_duration_seconds "].map(row);
    assert_eq!((rows[0].1, rows[1].1), (1.0, 200.0), "{said}");
    assert!(rows.iter().all(|row| row.0 == rows[0].0), "aligned: {said}");
    assert!(rows[2].1 > 0.0);

    // It judges as it is configured, and says so in its exit code.
    world.page.set("/", FAILING);
    let (code, said, _) = probe(&["--config", file, "page", "-o", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said[0]["verdict"]), (1, &"down".into()), "{said}");
    assert_eq!((&said[0]["probe"], &said[0]["target"]), (&"http".into(), &"page".into()));
    let status = said[0]["readings"].as_array().unwrap().iter();
    let status = status.clone().find(|reading| reading["metric"] == "probe_http_status_code");
    assert_eq!(status.unwrap()["value"], 500.0);
    // All targets, when none is named.
    assert_eq!(probe(&["--config", file]).0, 1);
    let (code, said, rest) = probe(&["--config", file, "pagge"]);
    assert_eq!((code, &*said), (1, ""));
    assert!(rest.contains("no target or service `pagge`, did you mean `page`?"), "{rest}");
    world.page.set("/", Mood::Fine);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_address_needs_no_configuration_and_shows_no_secret() {
    let world = World::start().await;
    let host = world.page.address();
    let url = format!("http://canary-user:canary-password@{host}/?t=canary-token");
    let (code, said, rest) = probe(&[&url]);
    assert_eq!(code, 0, "{said}{rest}");
    assert!(said.starts_with(&format!("http http://{host}/: up: ")), "{said}");
    assert!(!said.contains("canary"), "{said}");
    let (code, said, _) = probe(&["http://127.0.0.1:1/"]);
    assert!(code == 1 && said.contains(": down: "), "{said}");
    let (code, _, rest) = probe(&["canary-password"]);
    assert!(code == 1 && rest.contains("this is no web address"), "{rest}");
    assert!(!rest.contains("canary"), "{rest}");
    assert_eq!(probe(&[]).0, 2, "wrong usage");
}
