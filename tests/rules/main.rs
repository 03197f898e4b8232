//! Rule files and rule unit tests judged by what the real promtool says of them.

mod acceptance;
mod unit;
mod verbs;

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The corpora: `$AUGENMASS_CONFORMANCE`, else beside the checkout. Without them: `SKIPPED`.
fn corpus(folder: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    let root = std::env::var_os("AUGENMASS_CONFORMANCE").map_or(beside, PathBuf::from);
    let folder = root.join(folder);
    if !folder.is_dir() {
        eprintln!("SKIPPED: no conformance corpora");
        return None;
    }
    Some(folder)
}

fn verdicts(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("verdicts.json")).unwrap();
    let Value::Array(verdicts) = serde_json::from_str(&text).unwrap() else { panic!() };
    verdicts
}

/// Compares what differs with the list of known differences: `name: reason` in each line.
fn judge(what: &str, total: usize, differs: &[(String, String)], known: &str) {
    let known: Vec<&str> = known
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once(": ").expect("name: reason").0)
        .collect();
    eprintln!("{what}: {} of {total} agree", total - differs.len());
    let new: Vec<_> = differs.iter().filter(|(name, _)| !known.contains(&name.as_str())).collect();
    assert!(new.is_empty(), "{what}: {} differ and are not listed: {new:#?}", new.len());
    let healed: Vec<_> =
        known.iter().filter(|name| !differs.iter().any(|(other, _)| other == *name)).collect();
    assert!(healed.is_empty(), "{what}: listed as different, but they agree now: {healed:#?}");
}
