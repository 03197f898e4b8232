//! `alerts:` below `rules` and below a service: what is to be different about shipped alerts.

use std::sync::Arc;
use std::time::Duration;

use super::problem::suggestion;
use super::reader::{Fields, Reader};
use super::yaml::{Kind, Node};
use crate::rules::pack::{self, Shipped};
use crate::rules::tune::{Parameter, Tuning, Unit};

const LONGEST: Duration = Duration::from_secs(366 * 86_400);
const CLASSES: &[(&str, &str)] = &[("1", "1"), ("2", "2"), ("3", "3"), ("4", "4")];

/// `alerts:` in `fields`; for one service, or for everything.
pub fn read(
    fields: &mut Fields<'_>,
    service: Option<&Arc<str>>,
    owners: &[&str],
    reader: &mut Reader<'_>,
) -> Vec<Tuning> {
    let Some(node) = fields.get("alerts") else { return Vec::new() };
    let Some(mut entries) = reader.fields(node, "alerts") else { return Vec::new() };
    let mut all = Vec::new();
    for (key, node) in entries.all() {
        let Some(shipped) = pack::alerts().iter().find(|one| *one.alert == *key.text) else {
            let near = suggestion(&key.text, pack::alerts().iter().map(|one| &*one.alert));
            let message = format!(
                "no shipped alert is called `{}`{near}; others are changed where they are written",
                key.text
            );
            reader.problem(key.at, message);
            continue;
        };
        if service.is_some() && !shipped.about_services {
            let message = format!(
                "the alert `{}` is not about a service; change it under `rules: alerts:`",
                key.text
            );
            reader.problem(key.at, message);
            continue;
        }
        all.extend(one(node, shipped, service, owners, reader));
    }
    all
}

fn one(
    node: &Node,
    shipped: &'static Shipped,
    service: Option<&Arc<str>>,
    owners: &[&str],
    reader: &mut Reader<'_>,
) -> Option<Tuning> {
    let mut tuning =
        Tuning { alert: shipped.alert.clone(), service: service.cloned(), ..Tuning::default() };
    if let Kind::Scalar { text, .. } = &node.kind {
        if !matches!(text.as_str(), "off" | "false") {
            return reader.expected(
                node,
                &shipped.alert,
                "`off` or a mapping such as `{for: 10m}`",
            );
        }
        tuning.off = true;
        return Some(tuning);
    }
    let mut fields = reader.fields(node, &format!("the alert `{}`", shipped.alert))?;
    for parameter in &shipped.parameters {
        if let Some(node) = fields.get(&parameter.name) {
            let value = number(node, parameter, reader)?;
            tuning.parameters.push((parameter.name.clone(), value));
        }
    }
    if let Some(node) = fields.get("for") {
        tuning.hold = reader.duration(node, "for", Duration::ZERO, LONGEST);
    }
    if let Some(node) = fields.get("keep_firing_for") {
        tuning.keep = reader.duration(node, "keep_firing_for", Duration::ZERO, LONGEST);
    }
    if let Some(node) = fields.get("class")
        && let Some(class) = reader.choice(node, "class", CLASSES)
    {
        tuning.labels.push(("class".into(), class.into()));
    }
    if let Some(node) = fields.get("owner")
        && let Some(owner) = reader.text(node, "owner")
    {
        if owners.contains(&&*owner) {
            tuning.labels.push(("owner".into(), owner));
        } else {
            let near = suggestion(&owner, owners.iter().copied());
            reader.problem(node.at, format!("there is no owner `{owner}` in `owners`{near}"));
        }
    }
    fields.finish(reader);
    Some(tuning)
}

/// A number as its unit is written, in seconds, bytes or as a share.
fn number(node: &Node, parameter: &Parameter, reader: &mut Reader<'_>) -> Option<f64> {
    let name = &parameter.name;
    let text = match &node.kind {
        Kind::Scalar { text, .. } => text.trim(),
        _ => "",
    };
    let plain = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    match parameter.unit {
        Unit::Seconds => {
            let low = Duration::from_millis(1);
            reader.duration(node, name, low, LONGEST).map(|length| length.as_secs_f64())
        }
        #[allow(clippy::cast_precision_loss)] // sizes of disks
        Unit::Bytes => reader.size(node, name).map(|bytes| bytes as f64),
        Unit::Ratio => {
            let percent = text.strip_suffix('%').and_then(|text| plain(text.trim_end()));
            let share = percent.map(|percent| percent / 100.0).or_else(|| plain(text));
            match share.filter(|share| (0.0..=1.0).contains(share)) {
                Some(share) => Some(share),
                None => reader.expected(node, name, "a share such as `5%` or `0.05`"),
            }
        }
        Unit::Number => match plain(text).filter(|number| *number >= 0.0) {
            Some(number) => Some(number),
            None => reader.expected(node, name, "a number from 0"),
        },
    }
}
