//! `reactions:`: by when somebody must react to what.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use super::problem::{Position, suggestion};
use super::quantity::{parse_duration, show_duration};
use super::reader::{Fields, Reader};
use super::yaml::Node;
use crate::calendar::ServiceHours;
use crate::service::reaction::{Reactions, Within};

const CLASSES: [&str; 4] = ["1", "2", "3", "4"];
const SHORTEST: Duration = Duration::from_secs(60);
/// Of service time; more is meant as days.
const LONGEST: Duration = Duration::from_secs(1000 * 3600);
const MOST_DAYS: u16 = 250;

/// `reactions:`, and the calendars of the services that have one.
pub fn read(
    node: Option<&Node>,
    calendars: &[(ServiceHours, Position)],
    services: HashMap<Arc<str>, Arc<ServiceHours>>,
    reader: &mut Reader<'_>,
) -> Reactions {
    let mut reactions = Reactions { services, ..Reactions::default() };
    let fields = node.and_then(|node| Some((node, reader.fields(node, "reactions")?)));
    let Some((node, mut fields)) = fields else {
        // A calendar at a service is there for this.
        if !reactions.services.is_empty() {
            reactions.within = Reactions::usual();
        }
        return reactions;
    };
    let named = fields.get("calendar");
    reactions.hours = named.and_then(|node| calendar(node, calendars, reader));
    if named.is_none() && reactions.services.is_empty() {
        let message = "reactions needs `calendar`: the hours that count, one of `calendars`";
        reader.problem(node.at, message);
    }
    reactions.within = match fields.get("within") {
        Some(node) => classes(node, reader),
        None => Reactions::usual(),
    };
    fields.finish(reader);
    reactions
}

/// `calendar: NAME` in `fields`: hours in which something is looked after.
pub fn hours(
    fields: &mut Fields<'_>,
    calendars: &[(ServiceHours, Position)],
    reader: &mut Reader<'_>,
) -> Option<Arc<ServiceHours>> {
    let node = fields.get("calendar")?;
    calendar(node, calendars, reader)
}

fn calendar(
    node: &Node,
    calendars: &[(ServiceHours, Position)],
    reader: &mut Reader<'_>,
) -> Option<Arc<ServiceHours>> {
    let name = reader.text(node, "calendar")?;
    let Some((hours, _)) = calendars.iter().find(|(hours, _)| *hours.name == *name) else {
        let near = suggestion(&name, calendars.iter().map(|(hours, _)| &*hours.name));
        reader.problem(node.at, format!("there is no calendar `{name}` in `calendars`{near}"));
        return None;
    };
    if hours.is_never_open() {
        let message = format!("the calendar `{name}` is never open: no reaction would be due");
        reader.problem(node.at, message);
        return None;
    }
    Some(Arc::new(hours.clone()))
}

fn classes(node: &Node, reader: &mut Reader<'_>) -> BTreeMap<Arc<str>, Within> {
    let mut all = BTreeMap::new();
    let Some(mut fields) = reader.fields(node, "within") else { return all };
    let entries = fields.all();
    for (key, node) in entries {
        if !CLASSES.contains(&key.text.as_str()) {
            let message = format!("`{}` should be a fault class: 1, 2, 3 or 4", key.text);
            reader.problem(key.at, message);
            continue;
        }
        if let Some(within) = within(node, &key.text, reader) {
            all.insert(key.text.as_str().into(), within);
        }
    }
    if entries.is_empty() {
        let message = "`within` has no class: leave it out for 4h, 6h, 8h and 5 service days";
        reader.problem(node.at, message);
    }
    all
}

/// `4h`, `90m`: service time. `5 service days`.
fn within(node: &Node, class: &str, reader: &mut Reader<'_>) -> Option<Within> {
    let text = reader.text(node, class)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let days =
        |count: &str| count.parse::<NonZeroU16>().ok().filter(|days| days.get() <= MOST_DAYS);
    let wanted = "service time such as `4h` or `90m`, or days such as `5 service days`";
    match words.as_slice() {
        [count, "service", "day" | "days"] => match days(count) {
            Some(days) => Some(Within::Days(days)),
            None => reader.expected(node, class, &format!("1 to {MOST_DAYS} service days")),
        },
        // Does it mean 24 hours of service time, or a day of service?
        [count, "day" | "days" | "working" | "business" | "workdays", ..] => {
            let found = node.describe();
            let message = format!("`{class}` should be {wanted}, found {found}");
            reader.problem(node.at, format!("{message}, did you mean `{count} service days`?"));
            None
        }
        [time] => match parse_duration(time) {
            Some(_) if time.contains(['d', 'w', 'y']) => {
                let digits = time.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
                let found = node.describe();
                let message = format!("`{class}` should be {wanted}, found {found}");
                let count = &time[..digits];
                let near = match time.ends_with('d') {
                    true => format!(", did you mean `{count} service days`?"),
                    false => String::new(),
                };
                reader.problem(node.at, message + &near);
                None
            }
            Some(time) if (SHORTEST..=LONGEST).contains(&time) => Some(Within::Open(time)),
            Some(_) => {
                let (least, most) = (show_duration(SHORTEST), "1000h");
                reader.expected(node, class, &format!("service time from {least} to {most}"))
            }
            None => reader.expected(node, class, wanted),
        },
        _ => reader.expected(node, class, wanted),
    }
}
