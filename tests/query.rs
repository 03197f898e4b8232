//! `augenmass query` as its users run it: against our own server and over a data folder.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/harness.rs"]
mod harness;

use std::fmt::Write as _;
use std::process::Output;

use augenmass::model::Timestamp;
use augenmass::storage;
use board::Served;
use serde_json::{Value, json};

fn query(arguments: &[&str]) -> Output {
    let mut command = harness::augenmass();
    command.env("COLUMNS", "100").env_remove("NO_COLOR");
    command.arg("query").args(arguments).output().unwrap()
}

/// Standard output, after a look at the exit code.
fn good(arguments: &[&str]) -> String {
    let output = query(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error, after a look at the exit code.
fn bad(arguments: &[&str], code: i32) -> String {
    let output = query(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}: nothing but data goes there");
    said
}

#[test]
fn our_own_server_answers() {
    let served = Served::start(Served::settings());
    let server = format!("http://{}/", served.address);
    let table = good(&["instant", "probe_success == 0", "--server", &server]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 2, "{table}");
    assert!(lines[0].starts_with("metric         instance  job"), "{table}");
    assert!(lines[1].contains("http://wiki.example.org/") && lines[1].ends_with(" 0"), "{table}");
    assert_eq!(
        good(&["instant", "count(probe_success) * 2", "--server", &server]).trim(),
        "value\n    8"
    );
    assert_eq!(good(&["instant", "1 + 1", "--server", &server]), "2\n");

    let json = good(&["instant", "probe_success", "--server", &server, "-o", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["resultType"], json["result"].as_array().map(Vec::len)),
        (&json!("vector"), Some(4))
    );

    let plot = good(&["range", "probe_success{service=\"homepage\"}", "--server", &server]);
    assert!(plot.contains("last 1, min 1, max 1") && plot.contains(" UTC"), "{plot}");
    assert!(
        plot.contains('⠉') || plot.contains('⣀') || plot.contains('⠒') || plot.contains('⠤'),
        "{plot}"
    );
    assert!(plot.lines().all(|line| line.chars().count() <= 100) && !plot.contains('\u{1b}'));

    // A day at 15 s is asked in pieces, and comes back whole.
    let to = served.now.millis() / 1000;
    let (from, to) = ((to - 86_400).to_string(), to.to_string());
    let day = ["range", "printer_pages_total", "--from", &from, "--to", &to, "--step", "15s"];
    let csv = good(&[&day[..], &["--server", &server, "-o", "csv"]].concat());
    let mut times: Vec<&str> =
        csv.lines().skip(1).filter_map(|line| line.split(',').rev().nth(1)).collect();
    assert_eq!(times.len(), 5_761);
    assert!(times.is_sorted());
    times.dedup();
    assert_eq!(times.len(), 5_761);

    let series = good(&["series", "probe_success", "--server", &server, "-o", "csv"]);
    assert_eq!(series.lines().count(), 5, "{series}");
    let names = good(&["labels", "--server", &server]);
    assert!(names.lines().any(|name| name == "service"), "{names}");
    let values = good(&["labels", "service", "--server", &server, "--match", "printer_state"]);
    assert_eq!(values, "printer-s71\n");
}

#[test]
fn what_is_wrong_is_said_and_ends_with_its_code() {
    let served = Served::start(Served::settings());
    let server = format!("http://user:canary-password@{}", served.address);
    let said = bad(&["instant", "sum(up", "--server", &server], 2);
    assert!(said.contains("1:7: parse error: unclosed left parenthesis"), "{said}");
    let said =
        bad(&["instant", "probe_success * on (owner) probe_measured", "--server", &server], 1);
    assert!(said.contains("many-to-many matching not allowed"), "{said}");
    let said = bad(&["range", "up", "--from", "now", "--to", "-1h"], 2);
    assert!(said.contains("--to is before --from"), "{said}");
    assert!(bad(&["range", "up", "--step", "0s"], 2).contains("length of time"));
    assert!(bad(&["instant", "up", "--at", "soon"], 2).contains("`soon` is no time"));
    assert!(bad(&["instant", "up", "--server", "ftp://x"], 2).contains("http or https"));
    let wrong = format!("{server}/no/such/prefix");
    let said = bad(&["instant", "up", "--server", &wrong], 1);
    assert!(said.contains("404") && said.contains("is the URL right?"), "{said}");
    assert!(!said.contains("canary-password"), "{said}");
    let nobody = format!("http://user:canary-password@127.0.0.1:{}", harness::free_port());
    let said = bad(&["labels", "--server", &nobody], 1);
    assert!(said.contains("cannot connect") && !said.contains("canary-password"), "{said}");
    for verb in ["instant", "range", "series", "labels"] {
        assert!(good(&[verb, "--help"]).contains("Example:\n  augenmass query "));
    }
}

#[test]
fn a_data_folder_answers_without_a_server() {
    const START: i64 = 1_780_272_000;
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("page.om"));
    let mut page = String::from("# TYPE requests_total unknown\n");
    for series in ["a", "b"] {
        for step in 0..240 {
            let at = START + step * 15;
            let _ = writeln!(page, "requests_total{{instance=\"{series}\"}} {} {at}", step * 30);
        }
    }
    page.push_str("# EOF\n");
    std::fs::write(&file, page).unwrap();
    storage::import(&data.join("samples"), &file, Timestamp::MIN, &mut |_, _| {}).unwrap();
    let folder = data.to_str().unwrap();
    let end = (START + 3_585).to_string();
    let sum =
        ["instant", "round(sum(rate(requests_total[5m])), 0.001)", "--at", &end, "--data", folder];
    assert_eq!(good(&sum).split_whitespace().collect::<Vec<_>>(), ["value", "4"]);
    let (from, to) = (START.to_string(), end.clone());
    let over = ["--from", &from, "--to", &to, "--data", folder];
    let range =
        good(&[&["range", "requests_total", "--step", "5m", "-o", "json"], &over[..]].concat());
    let range: Value = serde_json::from_str(&range).unwrap();
    assert_eq!(range["result"][0]["metric"]["instance"], "a");
    assert_eq!(range["result"][1]["values"].as_array().unwrap().len(), 12);
    let series = good(&[&["series", "{instance=~\".+\"}"], &over[..]].concat());
    assert_eq!(series, "requests_total{instance=\"a\"}\nrequests_total{instance=\"b\"}\n");
    assert_eq!(good(&[&["labels"], &over[..]].concat()), "__name__\ninstance\n");
    assert_eq!(
        good(&[&["labels", "instance", "-o", "json"], &over[..]].concat()),
        "[\"a\",\"b\"]\n"
    );
    assert!(bad(&["instant", "rate(", "--data", folder], 2).contains("1:"));
    assert!(bad(&["instant", "up", "--data", "/does/not/exist"], 1).contains("/does/not/exist"));
    let both = ["instant", "up", "--data", folder, "--server", "http://127.0.0.1:1"];
    assert!(bad(&both, 2).contains("cannot be used with"));
}
