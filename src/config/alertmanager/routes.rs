use std::sync::Arc;
use std::time::Duration;

use super::super::reader::{Fields, Reader};
use super::super::yaml::{Kind, Node};
use super::scalars::{filled, flag};
use super::{Known, items, label_names, matchers, plain, span, unknown};
use crate::alerting::{GroupBy, RouteSpec};

/// The root: it must name a receiver and match everything (which [`crate::alerting::RouteTree`]
/// checks).
pub(super) fn root(node: &Node, known: &Known, reader: &mut Reader<'_>) -> Option<RouteSpec> {
    let spec = route(node, known, reader)?;
    if spec.receiver.is_none() {
        reader.problem(node.at, "the root route needs a `receiver`");
        return None;
    }
    Some(spec)
}

fn route(node: &Node, known: &Known, reader: &mut Reader<'_>) -> Option<RouteSpec> {
    if matches!(node.kind, Kind::Null) {
        return reader.expected(node, "routes", "a list of routes");
    }
    let mut fields = reader.fields(node, "a route")?;
    let receiver = fields.get("receiver").and_then(|node| {
        let name: Arc<str> = filled(node, "receiver", reader)?.into();
        if !known.receivers.contains(&name) {
            unknown(node, "receiver", &name, &known.receivers, reader);
        }
        Some(name)
    });
    let group_by = fields.get("group_by").map(|node| {
        let names = label_names(node, "group_by", reader);
        for (index, (item, name)) in names.iter().enumerate() {
            if *name != "..." && names[..index].iter().any(|(_, known)| known == name) {
                reader.problem(item.at, format!("`group_by` names `{name}` twice"));
            }
        }
        let names: Vec<&str> = names.into_iter().map(|(_, name)| name).collect();
        if names.iter().all(|name| *name != "...") {
            return GroupBy::labels(&names);
        }
        if names.iter().any(|name| *name != "...") {
            reader.problem(node.at, "`group_by` is either `['...']` alone, or label names");
        }
        GroupBy::All
    });
    let matchers = matchers(&mut fields, ["match", "match_re", "matchers"], reader);
    let go_on = fields.get("continue").and_then(|node| flag(node, "continue", reader));
    let group_wait = fields.get("group_wait").and_then(|node| span(node, "group_wait", reader));
    let group_interval = timer(&mut fields, "group_interval", reader);
    let repeat_interval = timer(&mut fields, "repeat_interval", reader);
    let mute = intervals(&mut fields, "mute_time_intervals", known, reader);
    let active = intervals(&mut fields, "active_time_intervals", known, reader);
    let children = fields.get("routes").map(|node| items(node, "routes", reader));
    let children = children.unwrap_or_default().into_iter();
    let children = children.filter_map(|child| route(child, known, reader)).collect();
    fields.finish(reader);
    Some(RouteSpec {
        receiver,
        matchers,
        go_on: go_on.unwrap_or(false),
        group_by,
        group_wait,
        group_interval,
        repeat_interval,
        mute,
        active,
        ends: None,
        children,
    })
}

/// A timer that must not be zero.
fn timer(fields: &mut Fields<'_>, name: &'static str, reader: &mut Reader<'_>) -> Option<Duration> {
    let node = fields.get(name)?;
    let span = span(node, name, reader)?;
    if span.is_zero() {
        reader.problem(node.at, format!("`{name}` must be more than 0s"));
    }
    Some(span)
}

fn intervals(
    fields: &mut Fields<'_>,
    name: &'static str,
    known: &Known,
    reader: &mut Reader<'_>,
) -> Vec<Arc<str>> {
    let Some(node) = fields.get(name) else { return Vec::new() };
    let mut found = Vec::new();
    for item in items(node, name, reader) {
        let Some(interval) = plain(item, name, reader) else { continue };
        let interval: Arc<str> = interval.into();
        if !known.intervals.contains(&interval) {
            unknown(item, "time interval", &interval, &known.intervals, reader);
        }
        found.push(interval);
    }
    found
}
