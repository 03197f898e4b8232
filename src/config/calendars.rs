use jiff::tz::TimeZone;

use super::Basics;
use super::people;
use super::problem::Position;
use super::reader::Reader;
use super::yaml::Node;
use crate::calendar::{DaySpan, Region, ServiceHours, parse_days};

/// `calendars:` with the place of each.
pub fn read(
    node: Option<&Node>,
    basics: &Basics,
    reader: &mut Reader<'_>,
) -> Vec<(ServiceHours, Position)> {
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "calendars")) else {
        return Vec::new();
    };
    let mut calendars = Vec::new();
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
        one.finish(reader);
        // The name was checked above, or is the checked one of the whole file.
        let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
        let name = key.text.as_str().into();
        calendars.push((ServiceHours { name, zone, week, holidays }, key.at));
    }
    calendars
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
