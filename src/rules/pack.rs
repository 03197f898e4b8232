//! The rules that ship with the product (folder `rules/`), embedded. They pass the real `promtool`
//! too, so that a Prometheus that scrapes us can load the same files.

/// Files that run unless they are switched off: name and text.
pub static FILES: &[(&str, &str)] = &[
    ("web.yml", include_str!("../../rules/web.yml")),
    ("certificates.yml", include_str!("../../rules/certificates.yml")),
    ("mail.yml", include_str!("../../rules/mail.yml")),
    ("devices.yml", include_str!("../../rules/devices.yml")),
    ("augenmass.yml", include_str!("../../rules/augenmass.yml")),
];

/// Files that run only when they are asked for: name and text.
pub static OPTIONAL: &[(&str, &str)] =
    &[("watchdog.yml", include_str!("../../rules/watchdog.yml"))];

/// The unit tests of all these files, in promtool's format: name and text.
pub static TESTS: &[(&str, &str)] = &[
    ("web.test.yml", include_str!("../../rules/web.test.yml")),
    ("certificates.test.yml", include_str!("../../rules/certificates.test.yml")),
    ("mail.test.yml", include_str!("../../rules/mail.test.yml")),
    ("devices.test.yml", include_str!("../../rules/devices.test.yml")),
    ("augenmass.test.yml", include_str!("../../rules/augenmass.test.yml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{File, RuleKind};

    #[test]
    fn every_alert_speaks_both_languages_and_names_its_class_and_runbook() {
        let mut names = std::collections::BTreeSet::new();
        for (name, text) in FILES.iter().chain(OPTIONAL) {
            let file = File::parse(name, text).unwrap();
            for rule in file.groups.iter().flat_map(|group| &group.rules) {
                let RuleKind::Alerting { alert, .. } = &rule.kind else { continue };
                assert!(names.insert(alert.clone()), "{alert} twice");
                let (labels, texts) = (rule.written_labels(), rule.written_annotations());
                for label in ["class", "severity"] {
                    assert!(labels.get(label).is_some(), "{alert}: {label}");
                }
                for text in ["summary", "description", "summary_de", "description_de", "runbook"] {
                    assert!(texts.get(text).is_some(), "{alert}: {text}");
                }
                let runbook = texts.get("runbook").unwrap().replace('-', "");
                assert_eq!(runbook, alert.to_lowercase());
                let tests: String = TESTS.iter().map(|(_, text)| *text).collect();
                assert!(tests.contains(&format!("alertname: {alert}")), "{alert} has no test");
            }
        }
        assert!(names.len() >= 14);
    }
}
