//! The rules that ship with the product (folder `rules/`), embedded. They pass the real `promtool`
//! too, so that a Prometheus that scrapes us can load the same files.

use std::sync::{Arc, LazyLock};

use super::file::{File, Rule, RuleKind};
use super::tune::Parameter;

/// Name and text of each file.
pub static FILES: &[(&str, &str)] = &[
    ("web.yml", include_str!("../../rules/web.yml")),
    ("certificates.yml", include_str!("../../rules/certificates.yml")),
    ("mail.yml", include_str!("../../rules/mail.yml")),
    ("devices.yml", include_str!("../../rules/devices.yml")),
    ("power.yml", include_str!("../../rules/power.yml")),
    ("network.yml", include_str!("../../rules/network.yml")),
    ("disks.yml", include_str!("../../rules/disks.yml")),
    ("backups.yml", include_str!("../../rules/backups.yml")),
    ("augenmass.yml", include_str!("../../rules/augenmass.yml")),
    ("watchdog.yml", include_str!("../../rules/watchdog.yml")),
];

/// The unit tests of all these files, in promtool's format: name and text.
pub static TESTS: &[(&str, &str)] = &[
    ("web.test.yml", include_str!("../../rules/web.test.yml")),
    ("certificates.test.yml", include_str!("../../rules/certificates.test.yml")),
    ("mail.test.yml", include_str!("../../rules/mail.test.yml")),
    ("devices.test.yml", include_str!("../../rules/devices.test.yml")),
    ("power.test.yml", include_str!("../../rules/power.test.yml")),
    ("network.test.yml", include_str!("../../rules/network.test.yml")),
    ("disks.test.yml", include_str!("../../rules/disks.test.yml")),
    ("backups.test.yml", include_str!("../../rules/backups.test.yml")),
    ("augenmass.test.yml", include_str!("../../rules/augenmass.test.yml")),
];

/// A shipped alert, as far as a configuration may change it.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its name.
    pub alert: Arc<str>,
    /// Its numbers.
    pub parameters: Vec<Parameter>,
    /// Whether it can be another for one service.
    pub about_services: bool,
}

/// All shipped alerts, in the order of the files.
pub fn alerts() -> &'static [Shipped] {
    static ALERTS: LazyLock<Vec<Shipped>> = LazyLock::new(|| {
        let files = FILES.iter().filter_map(|(name, text)| File::parse(name, text).ok());
        let groups = files.flat_map(|file| file.groups);
        let shipped = |rule: &Arc<Rule>| match &rule.kind {
            RuleKind::Recording { .. } => None,
            RuleKind::Alerting { alert, .. } => Some(Shipped {
                alert: alert.clone(),
                parameters: rule.parameters(),
                about_services: rule.is_about_services(),
            }),
        };
        groups
            .flat_map(|group| group.rules.iter().filter_map(shipped).collect::<Vec<_>>())
            .collect()
    });
    &ALERTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_speaks_both_languages_and_names_its_class_and_runbook() {
        let mut names = std::collections::BTreeSet::new();
        for (name, text) in FILES {
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
        assert!(names.len() >= 30);
        assert_eq!(names.len(), alerts().len());
    }
}
