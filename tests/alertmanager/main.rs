//! Configurations, routes, matchers and notifications judged by what a real Alertmanager says.

mod acceptance;
#[path = "../fixtures/corpus.rs"]
mod corpus;
mod notifications;
mod process;
mod routing;
mod templates;

use std::path::Path;

use augenmass::alerting::Silence;
use augenmass::config::{AlertmanagerFile, System};
use augenmass::model::{Labels, Matcher, Timestamp};
use corpus::{corpus, judge};
use serde_json::Value;

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

/// A silence that holds for ever.
fn silence(id: &str, matchers: Vec<Matcher>) -> Silence {
    Silence {
        id: id.into(),
        matchers,
        starts: Timestamp::MIN,
        ends: Timestamp::MAX,
        created_by: "me".into(),
        comment: "".into(),
        updated: Timestamp::MIN,
        until_resolved: false,
        incident: None,
    }
}
