//! Sections about the program itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::alerts;
use super::problem::{Position, suggestion};
use super::reader::Reader;
use super::yaml::Node;
use super::{AlertingSection, RulesSection, StorageSection};
use crate::alerting::Owner;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
/// Less would drop every file as soon as it is written.
const LEAST_SIZE: u64 = 1 << 20;
/// Whether each append waits for its own trip to the disk.
const SYNC: &[(&str, bool)] = &[("interval", false), ("every-append", true)];

/// `alerting:`, and the owner who hears of what nobody owns (the first one unless told
/// otherwise).
pub fn alerting(
    node: Option<&Node>,
    owners: &[(Owner, Position)],
    reader: &mut Reader<'_>,
) -> (AlertingSection, Option<Arc<str>>) {
    let first = owners.first().map(|(owner, _)| owner.name.clone());
    let mut section =
        AlertingSection { group_wait: None, group_interval: None, repeat_interval: None };
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "alerting")) else {
        return (section, first);
    };
    let mut time = |name: &'static str, low: Duration, reader: &mut Reader<'_>| {
        let node = fields.get(name)?;
        reader.duration(node, name, low, 30 * DAY)
    };
    section.group_wait = time("group_wait", Duration::ZERO, reader);
    section.group_interval = time("group_interval", Duration::from_secs(1), reader);
    section.repeat_interval = time("repeat_interval", Duration::from_secs(1), reader);
    let fallback = fields.get("fallback").and_then(|node| {
        let name = reader.text(node, "fallback")?;
        known_owner(node, &name, owners, reader).then_some(name)
    });
    fields.finish(reader);
    (section, fallback.or(first))
}

/// Whether there is an owner of that name; a problem when not.
pub fn known_owner(
    node: &Node,
    name: &str,
    owners: &[(Owner, Position)],
    reader: &mut Reader<'_>,
) -> bool {
    let known = owners.iter().any(|(owner, _)| *owner.name == *name);
    if !known {
        let names = owners.iter().map(|(owner, _)| &*owner.name);
        let near = suggestion(name, names);
        reader.problem(node.at, format!("there is no owner `{name}` in `owners`{near}"));
    }
    known
}

/// `rules:`.
pub fn rules(
    node: Option<&Node>,
    owners: &[(Owner, Position)],
    reader: &mut Reader<'_>,
) -> RulesSection {
    let mut section = RulesSection {
        files: Vec::new(),
        shipped: true,
        disable: Vec::new(),
        tunings: Vec::new(),
        interval: Duration::from_secs(15),
    };
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "rules")) else {
        return section;
    };
    for node in fields.get("files").map(|node| reader.list(node)).unwrap_or_default() {
        section.files.extend(reader.path(node, "files"));
    }
    for node in fields.get("disable").map(|node| reader.list(node)).unwrap_or_default() {
        section.disable.extend(reader.text(node, "disable"));
    }
    let names: Vec<&str> = owners.iter().map(|(owner, _)| &*owner.name).collect();
    section.tunings = alerts::read(&mut fields, None, &names, reader);
    if let Some(shipped) = fields.get("shipped").and_then(|node| reader.boolean(node, "shipped")) {
        section.shipped = shipped;
    }
    let (low, high) = (Duration::from_secs(1), Duration::from_secs(3_600));
    if let Some(interval) =
        fields.get("interval").and_then(|node| reader.duration(node, "interval", low, high))
    {
        section.interval = interval;
    }
    fields.finish(reader);
    section
}

/// `storage:`.
pub fn storage(node: Option<&Node>, reader: &mut Reader<'_>) -> StorageSection {
    let mut section = StorageSection {
        retention: 400 * DAY,
        retention_size: None,
        out_of_order: 3_600 * SECOND,
        commit_delay: SECOND,
    };
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "storage")) else {
        return section;
    };
    let mut time = |name: &'static str, low, high, reader: &mut Reader<'_>| {
        let node = fields.get(name)?;
        Some((node.at, reader.duration(node, name, low, high)?))
    };
    if let Some((_, retention)) = time("retention", 3_600 * SECOND, 36_500 * DAY, reader) {
        section.retention = retention;
    }
    if let Some((_, window)) = time("out_of_order_window", Duration::ZERO, DAY, reader) {
        section.out_of_order = window;
    }
    let low = Duration::from_millis(10);
    let interval = time("commit_interval", low, 60 * SECOND, reader);
    if let Some((_, interval)) = interval {
        section.commit_delay = interval;
    }
    if let Some(node) = fields.get("sync")
        && let Some(every_append) = reader.choice(node, "sync", SYNC)
        && every_append
    {
        section.commit_delay = Duration::ZERO;
        if let Some((at, _)) = interval {
            let message = "`commit_interval` says nothing beside `sync: every-append`, which lets \
                           no sample wait; leave one of them out";
            reader.problem(at, message);
        }
    }
    if let Some(node) = fields.get("retention_size")
        && let Some(size) = reader.size(node, "retention_size")
    {
        if size < LEAST_SIZE {
            reader.expected::<()>(node, "retention_size", "at least `1MiB`");
        }
        section.retention_size = Some(size);
    }
    fields.finish(reader);
    section
}

/// The files that a list of paths names; `*` stands for any part of a file name. Sorted, each
/// once.
///
/// # Errors
/// A path without `*` that does not exist, or a folder that cannot be read.
pub fn expand(paths: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let mut files = std::collections::BTreeSet::new();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.contains('*') {
            std::fs::metadata(path)?;
            files.insert(path.clone());
            continue;
        }
        let parts: Vec<&str> = name.split('*').collect();
        let folder = path.parent().unwrap_or(std::path::Path::new("."));
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if fits(&entry.file_name().to_string_lossy(), &parts) {
                files.insert(entry.path());
            }
        }
    }
    Ok(files.into_iter().collect())
}

/// Whether a name consists of the parts in order, with anything between them.
fn fits(name: &str, parts: &[&str]) -> bool {
    let [first, middle @ .., last] = parts else { return false };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_part_of_a_name() {
        assert!(fits("web.yml", &["", ".yml"]));
        assert!(fits("web.rules.yml", &["web", "rules", ".yml"]));
        assert!(!fits("web.yaml", &["", ".yml"]));
        assert!(!fits("aa", &["aa", "a"]));
    }
}
