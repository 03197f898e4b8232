use std::path::Path;

use augenmass::rules::unit::{self, FileReport, Options};

/// The rule files of a pattern; only `*` within a file name.
fn rule_files(folder: &Path, pattern: &str) -> Result<Vec<(String, String)>, String> {
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
        Ok((name.to_owned(), text))
    };
    let Some((before, after)) = pattern.split_once('*') else { return Ok(vec![read(pattern)?]) };
    let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string());
    let mut names: Vec<String> = names
        .map(Result::unwrap)
        .filter(|name| name.starts_with(before) && name.ends_with(after))
        .collect();
    names.sort();
    names.iter().map(|name| read(name)).collect()
}

fn run(folder: &Path, name: &str) -> FileReport {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    unit::run(name, &text, &|pattern| rule_files(folder, pattern), &Options::default())
}

/// Each test file passes or fails as under `promtool test rules`, for the same kind of reason and
/// with the same expectations not met.
#[test]
fn unit_tests_have_promtools_verdict() {
    let Some(folder) = super::corpus("rules-unit") else { return };
    let verdicts = super::verdicts(&folder);
    let mut differs = Vec::new();
    for verdict in &verdicts {
        let name = verdict["file"].as_str().unwrap();
        let report = run(&folder, name);
        let ours: Vec<_> = report.classes().iter().map(|class| class.name()).collect();
        let wanted: Vec<&str> = verdict["classes"]
            .as_array()
            .map(|classes| classes.iter().map(|class| class.as_str().unwrap()).collect())
            .unwrap_or_default();
        let passes = verdict["verdict"] == "pass";
        let mut same = passes == report.is_good();
        same &= passes || wanted.iter().any(|class| ours.contains(class));
        if let Some(failed) = verdict["failed"].as_array() {
            let wanted: std::collections::BTreeSet<_> = failed
                .iter()
                .map(|f| ["kind", "name", "time"].map(|key| f[key].as_str().unwrap().to_owned()))
                .collect();
            let got: std::collections::BTreeSet<_> = report
                .failed()
                .map(|(case, _)| [case.kind.to_owned(), case.name.clone(), case.time.clone()])
                .collect();
            same &= wanted == got;
        }
        if !same {
            let text = unit::Report { files: vec![report] }.text();
            differs.push((name.to_owned(), format!("wanted {wanted:?}\n{text}")));
        }
    }
    super::judge("rules-unit", verdicts.len(), &differs, include_str!("unit.known"));
}

/// The shipped pack passes its own tests, and no rule of it is without.
#[test]
fn the_shipped_rules_pass_their_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    for (name, _) in augenmass::rules::pack::TESTS {
        let report = run(&folder, name);
        let untested = report.untested.clone();
        assert!(report.is_good(), "{}", unit::Report { files: vec![report] }.text());
        assert!(untested.is_empty(), "{name}: {untested:?}");
    }
}
