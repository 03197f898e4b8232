use std::path::Path;
use std::sync::Arc;

use crate::config::{RulesSection, Sources, expand_files};
use crate::rules::{File, GroupRules, pack};

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
    if section.shipped {
        let known: Vec<_> =
            pack::FILES.iter().flat_map(|file| parse(file.0, file.1, &mut problems)).collect();
        let names: Vec<Arc<str>> =
            known.iter().flat_map(|group| &group.rules).map(|rule| rule.name().clone()).collect();
        for name in &section.disable {
            if !names.contains(name) {
                let near = crate::config::suggestion(name, names.iter().map(|name| &**name));
                problems.push(format!("rules.disable: no shipped rule is called `{name}`{near}"));
            }
        }
        groups.extend(known.into_iter().map(|group| without(group, &section.disable)));
    }
    let files = expand_files(&section.files).unwrap_or_else(|error| {
        problems.push(format!("rules.files: {error}"));
        Vec::new()
    });
    for path in files {
        groups.extend(read(&path, sources, &mut problems));
    }
    if problems.is_empty() { Ok(groups) } else { Err(RuleError(problems)) }
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
