use std::collections::HashMap;
use std::sync::Arc;

use super::alerts;
use super::probes::{self, Timing};
use super::problem::{Position, suggestion};
use super::process::known_owner;
use super::reactions;
use super::reader::{Fields, Reader};
use super::yaml::{Key, Node};
use crate::alerting::{Owner, Service};
use crate::calendar::ServiceHours;
use crate::model::Labels;
use crate::probe::Target;
use crate::rules::tune::Tuning;

/// What `services:` means.
#[derive(Default)]
pub struct Services {
    pub services: Vec<Service>,
    pub targets: Vec<Target>,
    pub tunings: Vec<Tuning>,
    /// Hours of the services that name a calendar.
    pub hours: HashMap<Arc<str>, Arc<ServiceHours>>,
}

/// What a service hands down to its probes.
pub struct Surroundings {
    pub service: Arc<str>,
    pub owner: Arc<str>,
    pub timing: Timing,
    pub labels: Labels,
}

/// `services:`.
pub fn read(
    node: Option<&Node>,
    owners: &[(Owner, Position)],
    calendars: &[(ServiceHours, Position)],
    defaults: &Timing,
    common: &Labels,
    reader: &mut Reader<'_>,
) -> Services {
    let mut all = Services::default();
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "services")) else {
        return all;
    };
    let entries = fields.all();
    let mut places: HashMap<(Arc<str>, &'static str, Arc<str>), Position> = HashMap::new();
    for (key, node) in entries {
        let what = format!("service `{}`", key.text);
        let Some(mut one) = reader.fields(node, &what) else { continue };
        let owner = one.need("owner", reader);
        let owner = owner.and_then(|node| {
            let name = reader.text(node, "owner")?;
            known_owner(node, &name, owners, reader).then_some(name)
        });
        let title = one.get("title").and_then(|node| reader.text(node, "title"));
        let depends_on = dependencies(&mut one, key, entries, reader);
        if let Some(hours) = reactions::hours(&mut one, calendars, reader) {
            all.hours.insert(key.text.as_str().into(), hours);
        }
        // Read by `promises`.
        let _ = one.get("promise");
        let timing = defaults.read(Some(node), "", reader).taken(&mut one);
        let labels = labels(&mut one, common, reader);
        let names: Vec<&str> = owners.iter().map(|(owner, _)| &*owner.name).collect();
        let name: Arc<str> = key.text.as_str().into();
        all.tunings.extend(alerts::read(&mut one, Some(&name), &names, reader));
        let probes = one.get("probes");
        one.finish(reader);
        let surroundings = Surroundings {
            service: key.text.as_str().into(),
            owner: owner.clone().unwrap_or_else(|| "".into()),
            timing,
            labels,
        };
        for node in probes.map(|node| reader.list(node)).unwrap_or_default() {
            let Some(target) = probes::read(node, &surroundings, reader) else { continue };
            let identity = (target.service.clone(), target.kind.name(), target.name.clone());
            if let Some(first) = places.insert(identity, node.at) {
                let message = format!(
                    "service `{}` has this {} target twice, first in line {}; give one of them a `name`",
                    key.text,
                    target.kind.name(),
                    first.line
                );
                reader.problem(node.at, message);
            }
            all.targets.push(target);
        }
        let Some(owner) = owner else { continue };
        all.services.push(Service { name: surroundings.service, owner, title, depends_on });
    }
    cycles(&all.services, entries, reader);
    all
}

fn dependencies(
    fields: &mut Fields<'_>,
    own: &Key,
    services: &[(Key, std::rc::Rc<Node>)],
    reader: &mut Reader<'_>,
) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for node in fields.get("depends_on").map(|node| reader.list(node)).unwrap_or_default() {
        let Some(name) = reader.text(node, "depends_on") else { continue };
        if *name == *own.text {
            reader.problem(node.at, format!("service `{name}` cannot depend on itself"));
        } else if services.iter().any(|(key, _)| key.text == *name) {
            names.push(name);
        } else {
            let near = suggestion(&name, services.iter().map(|(key, _)| key.text.as_str()));
            reader.problem(node.at, format!("there is no service `{name}`{near}"));
        }
    }
    names
}

/// Services that wait for each other in a ring would hide each other's alerts.
fn cycles(services: &[Service], entries: &[(Key, std::rc::Rc<Node>)], reader: &mut Reader<'_>) {
    let by_name: HashMap<&str, &Service> = services.iter().map(|s| (&*s.name, s)).collect();
    for start in services {
        let mut todo: Vec<&str> = start.depends_on.iter().map(|name| &**name).collect();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = todo.pop() {
            if name == &*start.name {
                let at = entries.iter().find(|(key, _)| key.text == *start.name);
                let at = at.map_or(Position::default(), |(key, _)| key.at);
                let message = format!("service `{name}` depends on itself through others");
                reader.problem(at, message);
                break;
            }
            if seen.insert(name)
                && let Some(service) = by_name.get(name)
            {
                todo.extend(service.depends_on.iter().map(|name| &**name));
            }
        }
    }
}

/// `labels:` over those that every series has.
pub fn labels(fields: &mut Fields<'_>, common: &Labels, reader: &mut Reader<'_>) -> Labels {
    const OURS: &[&str] = &["service", "owner", "target", "probe", "job", "instance"];
    let Some(node) = fields.get("labels") else { return common.clone() };
    let Some(mut own) = reader.fields(node, "labels") else { return common.clone() };
    let mut labels = common.clone();
    for (key, node) in own.all() {
        let Some(value) = reader.text(node, &key.text) else { continue };
        if OURS.contains(&key.text.as_str()) || key.text.starts_with("__") {
            let message = format!("the label `{}` is set by augenmass itself", key.text);
            reader.problem(key.at, message);
        } else if crate::model::is_legacy_label_name(&key.text) {
            labels = labels.with(&key.text, &value);
        } else {
            let message = format!("`{}` should be a label name (letters, digits, `_`)", key.text);
            reader.problem(key.at, message);
        }
    }
    labels
}
