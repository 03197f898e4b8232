use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::Basics;
use super::people;
use super::problem::Position;
use super::quantity::parse_duration;
use super::reader::Reader;
use super::yaml::Node;
use crate::calendar::{DaySpan, Region, ServiceHours, parse_days};
use crate::service::{ReactionTimes, Within};

/// What `calendars:` says.
#[derive(Default)]
pub struct Calendars {
    /// With the place of each.
    pub all: Vec<(ServiceHours, Position)>,
    /// Within which time somebody must react, by the name of the calendar.
    pub reactions: BTreeMap<Arc<str>, ReactionTimes>,
}

/// `calendars:`.
pub fn read(node: Option<&Node>, basics: &Basics, reader: &mut Reader<'_>) -> Calendars {
    let mut calendars = Calendars::default();
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "calendars")) else {
        return calendars;
    };
    for (key, node) in fields.all() {
        let what = format!("calendar `{}`", key.text);
        let Some(mut one) = reader.fields(node, &what) else { continue };
        let zone = people::timezone(one.get("timezone"), reader);
        let zone = zone.unwrap_or_else(|| basics.timezone.clone());
        let week = one.need("hours", reader).map(|node| week(node, reader)).unwrap_or_default();
        let mut holidays = Vec::new();
        for node in one.get("holidays").map(|node| reader.list(node)).unwrap_or_default() {
            holidays.extend(region(node, reader));
        }
        let within = within(one.get("reaction"), reader);
        one.finish(reader);
        // The name was checked above, or is the checked one of the whole file.
        let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
        let name: Arc<str> = key.text.as_str().into();
        let hours = ServiceHours { name: name.clone(), zone, week, holidays };
        calendars.reactions.insert(name, ReactionTimes { hours: hours.clone(), within });
        calendars.all.push((hours, key.at));
    }
    calendars
}

/// `reaction: {1: 4h, 4: 5 days}`: other times than the usual ones.
fn within(node: Option<&Node>, reader: &mut Reader<'_>) -> [Within; 4] {
    let mut within = ReactionTimes::USUAL;
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "reaction")) else {
        return within;
    };
    for (key, node) in fields.all() {
        let class = key.text.parse::<usize>().ok().and_then(|class| class.checked_sub(1));
        let Some(place) = class.and_then(|class| within.get_mut(class)) else {
            let message = format!("`{}` should be a class: 1, 2, 3 or 4", key.text);
            reader.problem(key.at, message);
            continue;
        };
        let Some(text) = reader.text(node, "reaction") else { continue };
        let open = parse_duration(&text).filter(|length| !length.is_zero()).map(Within::Open);
        match open.or_else(|| Within::parse_days(&text)) {
            Some(time) => *place = time,
            None => {
                let wanted = "service hours such as `4h`, or service days such as `5 days`";
                reader.expected::<()>(node, "reaction", wanted);
            }
        }
    }
    within
}

fn week(node: &Node, reader: &mut Reader<'_>) -> [Vec<DaySpan>; 7] {
    let mut week: [Vec<DaySpan>; 7] = Default::default();
    let Some(mut fields) = reader.fields(node, "hours") else { return week };
    for (key, node) in fields.all() {
        let Some(days) = parse_days(&key.text) else {
            let message =
                format!("`{}` should be a day (`mon` … `sun`) or days such as `mon-thu`", key.text);
            reader.problem(key.at, message);
            continue;
        };
        for item in reader.list(node) {
            let Some(text) = reader.text(item, &key.text) else { continue };
            let Some(span) = DaySpan::parse(&text) else {
                reader.expected::<()>(item, &key.text, "hours such as `\"08:30-17:00\"`");
                continue;
            };
            for day in days.clone() {
                let overlaps = week[day].iter().any(|other| {
                    other.closes().is_none_or(|closes| span.opens() < closes)
                        && span.closes().is_none_or(|closes| other.opens() < closes)
                });
                if overlaps {
                    reader.problem(item.at, "these hours overlap with others of the same day");
                    break;
                }
                week[day].push(span);
            }
        }
    }
    for day in &mut week {
        day.sort_by_key(|span| span.opens());
    }
    week
}

/// ISO 3166-2: a country, or a country and a part of it, whose public holidays are known.
fn region(node: &Node, reader: &mut Reader<'_>) -> Option<std::sync::Arc<str>> {
    let text = reader.text(node, "holidays")?;
    let (country, part) = text.split_once('-').map_or((&*text, None), |(c, p)| (c, Some(p)));
    let upper = |text: &str| text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let fits = country.len() == 2
        && upper(country)
        && part.is_none_or(|part| (1..=3).contains(&part.len()) && upper(part));
    if !fits {
        return reader.expected(node, "holidays", "a region such as `DE-BY`");
    }
    if Region::parse(&text).is_none() {
        let known: Vec<String> = Region::known().collect();
        let message = format!(
            "the public holidays of `{text}` are not known; known are {}",
            known.join(", ")
        );
        reader.problem(node.at, message);
        return None;
    }
    Some(text)
}
