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

/// Each shipped alert is shown by its tests not to fire, to fire, and to be over again, in this
/// order within one test.
#[test]
fn every_shipped_alert_is_tested_for_firing_for_not_firing_and_for_recovery() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut courses: std::collections::BTreeMap<(String, String), Vec<_>> = Default::default();
    for (name, _) in augenmass::rules::pack::TESTS {
        for case in run(&folder, name).cases {
            let named = |alert: &str| match case.kind {
                "alert" => case.name == alert,
                _ => case.name.contains("ALERTS{") && case.name.contains(&format!("\"{alert}\"")),
            };
            for shipped in augenmass::rules::pack::alerts() {
                if named(&shipped.alert) {
                    let key = (shipped.alert.to_string(), format!("{name} {}", case.test));
                    courses.entry(key).or_default().push((case.at, case.expected > 0));
                }
            }
        }
    }
    for shipped in augenmass::rules::pack::alerts() {
        // It is never silent.
        let wanted: &[bool] =
            if *shipped.alert == *"Watchdog" { &[true] } else { &[false, true, false] };
        let whole = courses.iter_mut().filter(|((alert, _), _)| **alert == *shipped.alert).any(
            |(_, course)| {
                course.sort_unstable();
                let mut states: Vec<bool> = course.iter().map(|(_, fires)| *fires).collect();
                states.dedup();
                states.windows(wanted.len()).any(|states| states == wanted)
            },
        );
        assert!(whole, "{}: no test sees it silent, firing and over", shipped.alert);
    }
}

/// What a runbook says, by its anchor.
#[test]
fn every_shipped_alert_has_its_place_in_the_runbooks() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(folder.join("docs/runbooks.md")).unwrap();
    let mut sections: std::collections::BTreeMap<String, usize> = Default::default();
    let mut anchor = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            // As the usual viewers of Markdown make anchors.
            anchor = heading.to_lowercase().replace(' ', "-");
            let new = sections.insert(anchor.clone(), 0);
            assert!(new.is_none(), "{anchor} twice");
        } else if let Some(words) = sections.get_mut(&anchor) {
            *words += line.split_whitespace().count();
        }
    }
    for (name, text) in augenmass::rules::pack::FILES {
        let file = augenmass::rules::File::parse(name, text).unwrap();
        for rule in file.groups.iter().flat_map(|group| &group.rules) {
            let texts = rule.written_annotations();
            let Some(runbook) = texts.get("runbook") else { continue };
            let words = sections.remove(runbook);
            assert!(words.is_some_and(|words| words >= 30), "{runbook}: {words:?} words");
        }
    }
    assert!(sections.is_empty(), "sections of no alert: {sections:?}");
}
