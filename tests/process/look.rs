//! One look, or some in a row, by the verb: what it prints, and how it ends.

use std::process::Command;

use augenmass::demo::peers::Mood;
use serde_json::Value;

use crate::harness::{augenmass, free_port};
use crate::world::{FAILING, World};

/// Exit code, and what was said and complained about.
fn probe(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::output(augenmass().arg("probe").args(arguments)).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_looked_at_once_or_some_times() {
    let world = World::start().await;
    let url = format!("http://canary-user:canary-password@{}/?canary-query", world.page.address());
    let (code, said, problem) = probe(&[&url]);
    assert_eq!((code, problem.as_str()), (0, ""), "{said}");
    assert!(said.contains(": up, ") && said.contains("phase=\"transfer\""), "{said}");
    assert!(said.contains("probe_http_status_code") && said.contains(" 200\n"), "{said}");

    let (code, json, _) = probe(&[&url, "-n", "20", "--every", "5ms", "-o", "json"]);
    let found: Value = serde_json::from_str(&json).unwrap();
    let found = &found["targets"][0];
    let looks = &found["looks"];
    let sum = looks["up"].as_u64().unwrap() + looks["not_begun"].as_u64().unwrap();
    assert_eq!((code, sum), (0, 20), "{json}");
    let rows = found["latencies"].as_array().unwrap();
    assert_eq!(rows[0]["name"], "probe_duration_seconds");
    for row in rows {
        let of = |name: &str| row[name].as_f64().unwrap();
        let sorted = [of("min"), of("p50"), of("p90"), of("p99"), of("max")];
        assert!(sorted.is_sorted() && of("max") < 10.0, "{row}");
    }

    let (code, page, _) = probe(&[&url, "-o", "metrics"]);
    assert!(code == 0 && page.contains("\nprobe_success{") && page.ends_with('\n'), "{page}");

    world.page.set("/", FAILING);
    let (code, down, _) = probe(&[&url]);
    assert!(code == 1 && down.contains(": DOWN, ") && down.contains("500"), "{down}");
    for text in [said, json, page, down] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_says_how_a_target_is_looked_at() {
    let world = World::start().await;
    world.page.set("/", Mood::Fine);
    let more = format!("      - tcp: {{host: 127.0.0.1, port: {}, name: closed}}\n", free_port());
    world.write(&world.config(&more));
    let file = world.file();
    let with = |names: &[&str]| probe(&[&["--config", file.to_str().unwrap()], names].concat());
    let (code, said, _) = with(&["closed"]);
    assert!(code == 1 && said.contains("tcp closed: DOWN, connection refused"), "{said}");
    assert!(!said.contains("http page"), "{said}");
    let (code, said, _) = with(&["page"]);
    assert!(code == 1 && said.contains("http page: up, ") && said.contains("tcp closed"), "{said}");
    let (code, said, problem) = with(&["pag"]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert!(problem.contains("did you mean `page`?"), "{problem}");
}
