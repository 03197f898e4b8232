use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::Basics;
use super::problem::{Position, suggestion};
use super::reader::Reader;
use super::yaml::{Kind, Node};
use crate::alerting::{Owner, OwnerHours};
use crate::calendar::ServiceHours;
use crate::model::NonEmpty;
use crate::notify;
use crate::ports::Address;

/// Languages that messages are written in.
const LANGUAGES: &[(&str, &str)] = &[("de", "de"), ("en", "en")];

/// Whether the first address that works is enough.
const TELL: &[(&str, bool)] = &[("all", false), ("first", true)];

/// What `owners:` says.
#[derive(Default)]
pub struct People {
    /// With the place of each.
    pub owners: Vec<(Owner, Position)>,
    /// Those who are told by the first of their addresses that works.
    pub first_that_works: BTreeSet<Arc<str>>,
    /// Those who are told at certain hours.
    pub hours: BTreeMap<Arc<str>, OwnerHours>,
}

/// `language:`.
pub fn language(node: Option<&Node>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    node.and_then(|node| reader.choice(node, "language", LANGUAGES)).map(Into::into)
}

/// `timezone:`, an IANA name.
pub fn timezone(node: Option<&Node>, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let node = node?;
    let name = reader.text(node, "timezone")?;
    if jiff::tz::TimeZone::get(&name).is_err() {
        let known: Vec<_> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        let near = suggestion(&name, known.iter().map(String::as_str));
        let message =
            format!("`timezone` should be a zone such as `Europe/Berlin`, found `{name}`{near}");
        reader.problem(node.at, message);
        return None;
    }
    Some(name)
}

/// `owners:` with the place of each.
pub fn owners(
    node: Option<&Node>,
    basics: &Basics,
    channels: &mut notify::Settings,
    calendars: &[(ServiceHours, Position)],
    reader: &mut Reader<'_>,
) -> People {
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "owners")) else {
        return People::default();
    };
    let mut owners = Vec::new();
    let mut first_that_works = BTreeSet::new();
    let mut hours = BTreeMap::new();
    for (key, node) in fields.all() {
        let Some(mut one) = reader.fields(node, &format!("owner `{}`", key.text)) else {
            continue;
        };
        let language = language(one.get("language"), reader);
        let timezone = timezone(one.get("timezone"), reader);
        let notify = one.get("notify");
        let addresses = notify.map(|notify| addresses(notify, channels, reader));
        let tell = one.get("tell").and_then(|node| reader.choice(node, "tell", TELL));
        if tell == Some(true) {
            first_that_works.insert(key.text.as_str().into());
        }
        if let Some(open) = one.get("hours").and_then(|node| hours_of(node, calendars, reader)) {
            hours.insert(key.text.as_str().into(), open);
        }
        let users = one.get("matrix_users").map(|node| matrix_users(node, reader));
        one.finish(reader);
        if let Some(matrix) = &mut channels.matrix {
            for address in addresses.iter().flatten() {
                if let Address::Matrix(room) = address {
                    let allowed = matrix.rooms.entry(room.clone()).or_default();
                    allowed.extend(users.iter().flatten().cloned());
                }
            }
        }
        let addresses = match addresses.map(NonEmpty::from_vec) {
            Some(Some(addresses)) => addresses,
            usable => {
                // A list with nothing usable in it has told its problems already.
                let told =
                    usable.is_some() && notify.is_some_and(|node| !reader.list(node).is_empty());
                if !told {
                    let message = format!(
                        "owner `{}` cannot be reached: it needs `notify: [{{email: …}}]` or another channel",
                        key.text
                    );
                    reader.problem(key.at, message);
                }
                // A stand-in, so that nobody is told that there is no such owner.
                NonEmpty::of(Address::Webhook("".into()))
            }
        };
        owners.push((
            Owner {
                name: key.text.as_str().into(),
                addresses,
                language: language.unwrap_or_else(|| basics.language.clone()),
                timezone: timezone.unwrap_or_else(|| basics.timezone.clone()),
            },
            key.at,
        ));
    }
    if owners.is_empty()
        && let Some(node) = node
        && matches!(&node.kind, Kind::Null)
    {
        reader.problem(node.at, "`owners` is empty: somebody must be responsible");
    }
    People { owners, first_that_works, hours }
}

/// `hours: CALENDAR`, or `{calendar: CALENDAR, any_time: [CLASS…]}`.
fn hours_of(
    node: &Node,
    calendars: &[(ServiceHours, Position)],
    reader: &mut Reader<'_>,
) -> Option<OwnerHours> {
    let mut any_time = Vec::new();
    let calendar = match &node.kind {
        Kind::Map(_) => {
            let mut fields = reader.fields(node, "hours")?;
            let calendar = fields.need("calendar", reader);
            for item in fields.get("any_time").map(|node| reader.list(node)).unwrap_or_default() {
                if let Some(class) = reader.number(item, "any_time", 1, 4) {
                    any_time.push(class.to_string().into());
                }
            }
            fields.finish(reader);
            calendar?
        }
        _ => node,
    };
    let name = reader.text(calendar, "hours")?;
    let Some((hours, _)) = calendars.iter().find(|(hours, _)| *hours.name == *name) else {
        let near = suggestion(&name, calendars.iter().map(|(hours, _)| &*hours.name));
        let message = format!("there is no calendar `{name}` in `calendars`{near}");
        reader.problem(calendar.at, message);
        return None;
    };
    if hours.week.iter().all(Vec::is_empty) {
        let message = format!("the calendar `{name}` is never open: this owner would not be told");
        reader.problem(calendar.at, message);
    }
    Some(OwnerHours { calendar: hours.clone(), any_time })
}

/// Who may acknowledge and silence in an owner's rooms, whatever their power level.
fn matrix_users(node: &Node, reader: &mut Reader<'_>) -> Vec<Arc<str>> {
    let mut users = Vec::new();
    for item in reader.list(node) {
        let Some(text) = reader.text(item, "matrix_users") else { continue };
        let fits = text.starts_with('@')
            && text[1..].split_once(':').is_some_and(|(name, server)| {
                !name.is_empty() && !server.is_empty() && !text.contains(char::is_whitespace)
            });
        if fits {
            users.push(text);
        } else {
            let wanted = "a Matrix user such as `\"@alice:example.org\"`";
            let _ = reader.expected::<()>(item, "matrix_users", wanted);
        }
    }
    users
}

fn addresses(node: &Node, channels: &notify::Settings, reader: &mut Reader<'_>) -> Vec<Address> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for item in reader.list(node) {
        let Some(mut fields) = reader.fields(item, "an entry of `notify`") else { continue };
        let email = fields.get("email");
        let matrix = fields.get("matrix");
        let webhook = fields.get("webhook");
        fields.finish(reader);
        let address = match (email, matrix, webhook) {
            (Some(node), None, None) => email_address(node, channels, reader),
            (None, Some(node), None) => matrix_room(node, channels, reader),
            (None, None, Some(node)) => webhook_name(node, channels, reader),
            _ => {
                let message = "an entry of `notify` should be one of `{email: …}`, `{matrix: …}`, `{webhook: …}`";
                reader.problem(item.at, message);
                None
            }
        };
        if let Some(address) = address {
            if seen.insert(address.clone()) {
                found.push(address);
            } else {
                reader.problem(item.at, "this address is already in the list");
            }
        }
    }
    found
}

fn email_address(
    node: &Node,
    channels: &notify::Settings,
    reader: &mut Reader<'_>,
) -> Option<Address> {
    let text = reader.text(node, "email")?;
    if text.parse::<lettre::Address>().is_err() {
        return reader.expected(node, "email", "a mail address such as `web@example.org`");
    }
    if channels.email.is_none() {
        reader.problem(node.at, "mail is not set up: `notify.email` is missing");
    }
    Some(Address::Email(text))
}

fn matrix_room(
    node: &Node,
    channels: &notify::Settings,
    reader: &mut Reader<'_>,
) -> Option<Address> {
    let text = reader.text(node, "matrix")?;
    let name = text.get(1..).unwrap_or_default();
    let has_server = name.split_once(':').is_some_and(|(room, server)| {
        !room.is_empty() && !server.is_empty() && !text.contains(char::is_whitespace)
    });
    // Room ids of version 12 rooms have no server part.
    let fits = (text.starts_with('#') && has_server) || (text.starts_with('!') && text.len() > 1);
    if !fits {
        return reader.expected(node, "matrix", "a room such as `\"#web:example.org\"` or `!id`");
    }
    if channels.matrix.is_none() {
        reader.problem(node.at, "Matrix is not set up: `notify.matrix` is missing");
    }
    Some(Address::Matrix(text))
}

fn webhook_name(
    node: &Node,
    channels: &notify::Settings,
    reader: &mut Reader<'_>,
) -> Option<Address> {
    let name = reader.text(node, "webhook")?;
    let known: Vec<&str> = channels.webhooks.iter().map(|webhook| &*webhook.name).collect();
    if !known.contains(&&*name) {
        let near = suggestion(&name, known);
        let message = format!("there is no webhook `{name}` in `notify.webhooks`{near}");
        reader.problem(node.at, message);
    }
    Some(Address::Webhook(name))
}
