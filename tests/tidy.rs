//! The house rules, as a test: who may import whom, and what may not be written where.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may look into. A new edge is a change of this table, in review.
const HOUSE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("ports", &["model"]),
    // trees with places, for every kind of file that people write
    ("yaml", &[]),
    ("telemetry", &["model"]),
    ("promql", &["model", "ports"]),
    ("template", &["model"]),
    ("rules", &["model", "ports", "promql", "template", "yaml"]),
    ("calendar", &["model"]),
    ("service", &["model", "calendar"]),
    ("alerting", &["model", "ports", "calendar", "service"]),
    ("exposition", &["model"]),
    ("render", &["model", "ports", "alerting", "service", "template"]),
    ("probe", &["model", "ports", "telemetry", "exposition"]),
    ("storage", &["model", "ports", "telemetry", "exposition"]),
    // remote write: meets storage only through Append
    ("remote", &["model", "ports", "telemetry"]),
    ("state", &["model", "ports", "telemetry", "alerting"]),
    ("evaluate", &["model", "ports", "telemetry", "promql", "rules"]),
    // bodies of webhooks are written in YAML
    ("notify", &["model", "ports", "telemetry", "alerting", "render", "yaml"]),
    (
        "web",
        &["model", "ports", "telemetry", "promql", "rules", "alerting", "exposition", "render"],
    ),
    (
        "config",
        &[
            "model", "ports", "promql", "rules", "calendar", "service", "alerting", "render",
            "probe", "storage", "evaluate", "notify", "web", "remote", "yaml",
        ],
    ),
];

/// The top floor may see everything: it holds the wires.
const WIRES: &[&str] = &["app", "cli", "demo", "sim"];

/// Not in pure rooms: time, disk, net, tasks, environment, chatter.
const PURE: &[&str] = &[
    "model",
    "yaml",
    "promql",
    "template",
    "rules",
    "calendar",
    "service",
    "alerting",
    "exposition",
    "render",
];
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio::",
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "println!",
    "tracing::",
];

#[test]
fn rooms_look_only_downstairs() {
    for (room, path, text) in files() {
        if WIRES.contains(&room.as_str()) {
            continue;
        }
        let allowed = HOUSE.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is not in the house plan"));
        let code: String = text
            .lines()
            .filter(|l| !l.trim().starts_with("//"))
            .map(|l| format!("{l}\n"))
            .collect();
        for (at, found) in code.match_indices("crate::") {
            if code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let word = &code[at + found.len()..];
            let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let seen = &word[..end.unwrap_or(word.len())];
            let fine = seen == room || allowed.contains(&seen);
            assert!(fine, "{}: {room} must not import {seen}", path.display());
        }
    }
}

#[test]
fn pure_rooms_stay_pure() {
    for (room, path, text) in files() {
        if !PURE.contains(&room.as_str()) {
            continue;
        }
        for banned in IMPURE {
            let line = text.lines().position(|l| !l.trim().starts_with("//") && l.contains(banned));
            assert!(line.is_none(), "{}:{line:?}: `{banned}` in {room}", path.display());
        }
    }
}

#[test]
fn every_room_is_in_the_plan_and_exists() {
    let built: BTreeSet<String> = files().into_iter().map(|(room, ..)| room).collect();
    let planned = HOUSE.iter().map(|(name, _)| *name).chain(WIRES.iter().copied());
    assert_eq!(built, planned.map(str::to_owned).collect());
}

#[test]
fn no_room_is_a_lumber_room() {
    for (_, path, _) in files() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let vague = ["utils", "util", "helpers", "helper", "manager", "common", "misc"];
        assert!(!vague.contains(&name), "{}: name it after what it is", path.display());
    }
}

#[test]
fn tasks_are_owned() {
    // A bare `tokio::spawn` has no owner and no cancellation path; use a JoinSet.
    for (_, path, text) in files() {
        let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
        assert!(!text[..tests].contains("tokio::spawn("), "{}: use a JoinSet", path.display());
    }
}

fn files() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut todo) = (Vec::new(), vec![src.clone()]);
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(&src).unwrap();
            if path.is_dir() {
                todo.push(path);
            } else if inside.extension().is_some_and(|e| e == "rs")
                && !["lib.rs", "main.rs"].contains(&inside.to_str().unwrap())
            {
                let first = inside.iter().next().unwrap().to_str().unwrap();
                let room = first.trim_end_matches(".rs").to_owned();
                found.push((room, path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}
