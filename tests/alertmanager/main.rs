//! Configurations, routes, matchers and notifications judged by what a real Alertmanager says.

mod acceptance;
mod notifications;
mod process;
mod routing;
mod templates;

use std::path::{Path, PathBuf};

use augenmass::config::{AlertmanagerFile, System};
use augenmass::model::Labels;
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

fn json(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap()))).unwrap()
}

fn load(text: &str) -> Result<AlertmanagerFile, String> {
    let file = Path::new("alertmanager.yml");
    AlertmanagerFile::parse(text, file, &System).map_err(|problems| problems.to_string())
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
