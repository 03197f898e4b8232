//! Rule files and rule unit tests judged by what the real promtool says of them.

mod acceptance;
#[path = "../fixtures/corpus.rs"]
mod corpus;
mod unit;
mod verbs;

use std::path::Path;

use corpus::{corpus, judge};
use serde_json::Value;

fn verdicts(folder: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join("verdicts.json")).unwrap();
    let Value::Array(verdicts) = serde_json::from_str(&text).unwrap() else { panic!() };
    verdicts
}
