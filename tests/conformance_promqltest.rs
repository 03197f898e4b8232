//! Prometheus' own scripts for its engine. The folder is named by `AUGENMASS_CONFORMANCE`; without
//! it the corpora are looked for beside the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use augenmass::promql::script;

/// Cases that fail, as `file:line reason`. A case that fails and is not listed fails the test, and
/// so does one that is listed and passes.
const KNOWN: &str = include_str!("conformance_promqltest.known");

fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AUGENMASS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
        PathBuf::from,
    );
    Some(root.join(name)).filter(|path| path.is_dir())
}

#[test]
fn prometheus_scripts_pass() {
    let Some(folder) = corpus("promqltest") else {
        println!("SKIPPED: no conformance corpora");
        return;
    };
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&manifest).unwrap();
    let known: BTreeSet<&str> =
        KNOWN.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let (mut failed, mut passed, mut all) = (BTreeSet::new(), 0, 0);
    for (name, count) in &manifest {
        let text = std::fs::read_to_string(folder.join(format!("{name}.test"))).unwrap();
        let report = script::run(&text);
        let count = usize::try_from(count.as_u64().unwrap()).unwrap();
        assert_eq!(report.passed + report.failures.len(), count, "{name}: cases");
        println!("{name}: {} / {count}", report.passed);
        for failure in report.failures {
            println!("  {name}:{} {}\n    {}", failure.line, failure.query, failure.problem);
            failed.insert(format!("{name}:{}", failure.line));
        }
        passed += report.passed;
        all += count;
    }
    println!("all: {passed} / {all}");
    let new: Vec<&String> = failed.iter().filter(|case| !known.contains(case.as_str())).collect();
    let fixed: Vec<&&str> = known.iter().filter(|case| !failed.contains(**case)).collect();
    assert!(new.is_empty(), "these fail and are not listed: {new:?}");
    assert!(fixed.is_empty(), "these are listed and pass: {fixed:?}");
}
