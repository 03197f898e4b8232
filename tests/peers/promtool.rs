//! The shipped rules under the real `promtool`: people who only scrape us load the same files.

use std::path::Path;
use std::process::Command;

use crate::harness::require;

fn promtool(arguments: &[&str], files: impl Iterator<Item = &'static str>) {
    let Some(promtool) = require("promtool") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let output = Command::new(promtool).current_dir(folder).args(arguments).args(files).output();
    let output = output.unwrap();
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}", said.concat());
}

#[test]
fn promtool_accepts_the_shipped_rules() {
    use augenmass::rules::pack::FILES;
    promtool(
        &["check", "rules", "--lint=all", "--lint-fatal"],
        FILES.iter().map(|(name, _)| *name),
    );
}

#[test]
fn the_shipped_rules_pass_their_tests_under_promtool() {
    promtool(&["test", "rules"], augenmass::rules::pack::TESTS.iter().map(|(name, _)| *name));
}
