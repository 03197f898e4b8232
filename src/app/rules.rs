use std::path::Path;
use std::sync::Arc;

use crate::config::{RulesSection, Sources, expand_files};
use crate::rules::{File, GroupRules, pack, tune};

/// What is wrong with rule files; all problems of all files.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct RuleError(pub Vec<String>);

/// The shipped rules that are switched on, and those of the files.
///
/// # Errors
/// A file that cannot be read, or with anything wrong in it.
pub fn load_rules(
    section: &RulesSection,
    sources: &dyn Sources,
) -> Result<Vec<Arc<GroupRules>>, RuleError> {
    let mut groups = Vec::new();
    let mut problems = Vec::new();
    let mut own = Vec::new();
    let files = expand_files(&section.files).unwrap_or_else(|error| {
        problems.push(format!("rules.files: {error}"));
        Vec::new()
    });
    for path in files {
        own.extend(read(&path, sources, &mut problems));
    }
    if section.shipped {
        groups = shipped(section, &own, &mut problems);
    }
    groups.extend(own);
    if problems.is_empty() { Ok(groups) } else { Err(RuleError(problems)) }
}

/// The shipped rules: without those that are switched off or that `own` rules of the same name
/// replace, and with other numbers where the configuration says so.
fn shipped(
    section: &RulesSection,
    own: &[Arc<GroupRules>],
    problems: &mut Vec<String>,
) -> Vec<Arc<GroupRules>> {
    let known: Vec<_> =
        pack::FILES.iter().flat_map(|file| parse(file.0, file.1, problems)).collect();
    let names: Vec<Arc<str>> =
        known.iter().flat_map(|group| &group.rules).map(|rule| rule.name().clone()).collect();
    for name in &section.disable {
        if !names.contains(name) {
            let near = crate::config::suggestion(name, names.iter().map(|name| &**name));
            problems.push(format!("rules.disable: no shipped rule is called `{name}`{near}"));
        }
    }
    let mut gone = section.disable.clone();
    for rule in own.iter().flat_map(|group| &group.rules) {
        gone.push(rule.name().clone());
        let tuned = section.tunings.iter().any(|tuning| tuning.alert == *rule.name());
        if tuned && names.contains(rule.name()) {
            problems.push(format!(
                "alerts: `{0}` is changed in the configuration, but a rule file has its own \
                 `{0}`, which replaces it; change it there",
                rule.name()
            ));
        }
    }
    let one = |group| match tune::tuned(&without(group, &gone), &section.tunings) {
        Ok(group) => (!group.rules.is_empty()).then(|| Arc::new(group)),
        Err(error) => {
            problems.push(format!("alerts: {error}"));
            None
        }
    };
    known.into_iter().filter_map(one).collect()
}

fn read(path: &Path, sources: &dyn Sources, problems: &mut Vec<String>) -> Vec<Arc<GroupRules>> {
    match sources.read(path) {
        Ok(text) => parse(&path.display().to_string(), &text, problems),
        Err(error) => {
            problems.push(format!("{}: cannot read it: {error}", path.display()));
            Vec::new()
        }
    }
}

fn parse(name: &str, text: &str, problems: &mut Vec<String>) -> Vec<Arc<GroupRules>> {
    match File::parse(name, text) {
        Ok(file) => file.groups,
        Err(found) => {
            let file = Path::new(name).display();
            problems.extend(found.iter().map(|problem| format!("{file}:{problem}")));
            Vec::new()
        }
    }
}

/// The group without the rules of these names.
fn without(group: Arc<GroupRules>, names: &[Arc<str>]) -> Arc<GroupRules> {
    if !group.rules.iter().any(|rule| names.contains(rule.name())) {
        return group;
    }
    let mut group = Arc::unwrap_or_clone(group);
    group.rules.retain(|rule| !names.contains(rule.name()));
    Arc::new(group)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::PathBuf;

    use super::*;
    use crate::config::Config;

    struct Files(HashMap<PathBuf, String>);

    impl Sources for Files {
        fn read(&self, path: &Path) -> std::io::Result<String> {
            self.0.get(path).cloned().ok_or_else(|| std::io::ErrorKind::NotFound.into())
        }
        fn env(&self, _name: &str) -> Option<String> {
            None
        }
    }

    /// The rules of a configuration with these further lines, and these of its service.
    fn rules(more: &str, service: &str) -> Result<Vec<Arc<GroupRules>>, String> {
        let text = format!(
            "owners: {{web: {{notify: [{{email: a@example.org}}]}}}}\n\
             notify: {{email: {{smarthost: \"localhost:25\", from: a@example.org, tls: off}}}}\n\
             services:\n  shop:\n    owner: web\n    probes: [http: \"http://localhost/\"]\n{service}\n{more}\n"
        );
        let files = Files(HashMap::new());
        let config = Config::parse(&text, Path::new(""), &files)
            .map_err(|all| all.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("\n"))?;
        load_rules(&config.rules, &files).map_err(|error| error.to_string())
    }

    fn queries(groups: &[Arc<GroupRules>], alert: &str) -> Vec<String> {
        let rules = groups.iter().flat_map(|group| &group.rules);
        rules
            .filter(|rule| &**rule.name() == alert)
            .map(|rule| rule.expression.as_str().to_owned())
            .collect()
    }

    #[test]
    fn a_service_has_its_own_threshold_without_a_copy_of_the_rule() {
        let groups =
            rules("", "    alerts: {PageSlow: {threshold: 2s, for: 1m, class: 2}}").unwrap();
        let slow = queries(&groups, "PageSlow");
        assert_eq!(slow.len(), 2);
        assert!(slow[0].contains("service!=\"shop\"") && slow[0].contains("> 9  # tune"));
        assert!(slow[1].contains("service=\"shop\"") && slow[1].contains("> 2  # tune"));
        assert_eq!(queries(&groups, "ServiceDown").len(), 1);
    }

    #[test]
    fn an_alert_is_switched_off_everywhere_or_for_a_service() {
        let groups =
            rules("rules: {alerts: {TonerLow: off}, disable: [PrinterStopped]}", "").unwrap();
        assert!(queries(&groups, "TonerLow").is_empty());
        assert!(queries(&groups, "PrinterStopped").is_empty());
        let groups = rules("", "    alerts: {ServiceDown: off}").unwrap();
        assert_eq!(queries(&groups, "ServiceDown").len(), 1);
        assert!(queries(&groups, "ServiceDown")[0].contains("service!=\"shop\""));
    }

    #[test]
    fn what_cannot_be_changed_is_named_with_what_can() {
        for (more, service, told) in [
            ("", "    alerts: {PageSlow: {treshold: 2s}}", "did you mean `threshold`?"),
            ("", "    alerts: {PageSlo: off}", "did you mean `PageSlow`?"),
            ("", "    alerts: {PageSlow: {threshold: 5 parsecs}}", "a time such as"),
            ("", "    alerts: {OutboxStuck: {age: 5m}}", "not about a service"),
            ("rules: {alerts: {DiskFull: {threshold: 105%}}}", "", "a share such as"),
            ("rules: {alerts: {Watchdog: {owner: wbe}}}", "", "did you mean `web`?"),
        ] {
            let refused = rules(more, service).unwrap_err();
            assert!(refused.contains(told), "{refused}");
        }
    }

    #[test]
    fn a_rule_of_the_same_name_replaces_the_shipped_one() {
        let mut own = RulesSection {
            files: Vec::new(),
            shipped: true,
            disable: Vec::new(),
            tunings: Vec::new(),
            interval: std::time::Duration::from_secs(15),
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.yml");
        let text =
            "groups: [{name: g, rules: [{alert: PageSlow, expr: probe_duration_seconds > 7}]}]";
        std::fs::write(&file, text).unwrap();
        own.files.push(file);
        let groups = load_rules(&own, &crate::config::System).unwrap();
        assert_eq!(queries(&groups, "PageSlow"), ["probe_duration_seconds > 7"]);
        own.tunings.push(tune::Tuning { alert: "PageSlow".into(), ..tune::Tuning::default() });
        let refused = load_rules(&own, &crate::config::System).unwrap_err().to_string();
        assert!(refused.contains("change it there"), "{refused}");
    }

    #[test]
    fn the_watchdog_is_told_to_whom_it_is_given() {
        let groups = rules("rules: {alerts: {Watchdog: {owner: web}}}", "").unwrap();
        let rules = groups.iter().flat_map(|group| &group.rules);
        let watchdog = rules.into_iter().find(|rule| &**rule.name() == "Watchdog").unwrap();
        assert_eq!(watchdog.written_labels().get("owner"), Some("web"));
    }
}
