use std::collections::HashMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::super::reader::{Fields, Reader};
use super::super::yaml::Node;
use super::scalars::some_text;
use super::{items, plain};
use crate::calendar::{
    BadInterval, TimeInterval, parse_days_of_month, parse_months, parse_times, parse_weekdays,
    parse_years,
};

/// Adds the intervals of `time_intervals:` or `mute_time_intervals:`.
pub(super) fn read(
    node: &Node,
    into: &mut HashMap<Arc<str>, Vec<TimeInterval>>,
    reader: &mut Reader<'_>,
) {
    for item in items(node, "time_intervals", reader) {
        let Some(mut fields) = reader.fields(item, "a time interval") else { continue };
        let name = fields
            .need("name", reader)
            .and_then(|node| some_text(node, "name", reader))
            .map(Arc::<str>::from);
        let parts = fields.get("time_intervals");
        let parts = parts.map(|node| items(node, "time_intervals", reader)).unwrap_or_default();
        let parts = parts.into_iter().filter_map(|part| interval(part, reader)).collect();
        fields.finish(reader);
        if let Some(name) = name
            && into.insert(name.clone(), parts).is_some()
        {
            reader.problem(item.at, format!("the time interval `{name}` is given twice"));
        }
    }
}

fn interval(node: &Node, reader: &mut Reader<'_>) -> Option<TimeInterval> {
    let mut fields = reader.fields(node, "a time interval")?;
    let interval = TimeInterval {
        times: times(&mut fields, reader),
        weekdays: ranges(&mut fields, "weekdays", parse_weekdays, reader),
        days_of_month: ranges(&mut fields, "days_of_month", parse_days_of_month, reader),
        months: ranges(&mut fields, "months", parse_months, reader),
        years: ranges(&mut fields, "years", parse_years, reader),
        except: Vec::new(),
        zone: zone(&mut fields, reader),
    };
    fields.finish(reader);
    Some(interval)
}

fn times(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Vec<(u16, u16)>> {
    let node = fields.get("times")?;
    let mut found = Vec::new();
    for item in items(node, "times", reader) {
        let Some(mut fields) = reader.fields(item, "a range of times") else { continue };
        let start = fields.need("start_time", reader);
        let end = fields.need("end_time", reader);
        fields.finish(reader);
        let (Some(start), Some(end)) = (start, end) else { continue };
        let (Some(start), Some(end)) =
            (plain(start, "start_time", reader), plain(end, "end_time", reader))
        else {
            continue;
        };
        match parse_times(start, end) {
            Ok(range) => found.push(range),
            Err(error) => reader.problem(item.at, error.to_string()),
        }
    }
    Some(found)
}

fn ranges(
    fields: &mut Fields<'_>,
    name: &'static str,
    parse: fn(&str) -> Result<(i64, i64), BadInterval>,
    reader: &mut Reader<'_>,
) -> Option<Vec<(i64, i64)>> {
    let node = fields.get(name)?;
    let mut found = Vec::new();
    for item in items(node, name, reader) {
        let Some(text) = plain(item, name, reader) else { continue };
        match parse(text) {
            Ok(range) => found.push(range),
            Err(error) => reader.problem(item.at, error.to_string()),
        }
    }
    Some(found)
}

/// Without a zone it is UTC, as in Alertmanager. `Local` is UTC too: the zone of a machine is an
/// accident.
fn zone(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> TimeZone {
    let Some(node) = fields.get("location") else { return TimeZone::UTC };
    match plain(node, "location", reader) {
        None | Some("" | "Local" | "UTC") => TimeZone::UTC,
        Some(name) => TimeZone::get(name).unwrap_or_else(|_| {
            let message = format!("`{name}` is not a time zone such as `Europe/Berlin`");
            reader.problem(node.at, message);
            TimeZone::UTC
        }),
    }
}
