//! Our routing in the form of an `alertmanager.yml`, for programs that read one. Addresses are left
//! out: receivers are names.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{GroupBy, InhibitRule, Plan, RouteId};
use crate::calendar::TimeInterval;
use crate::model::Matcher;

impl Plan {
    /// The routes, receivers without addresses, inhibition rules and time intervals, as JSON, which
    /// is YAML too.
    pub fn to_alertmanager(&self) -> String {
        let receivers: BTreeSet<&str> =
            self.routes.iter().map(|(_, route)| &*route.receiver).collect();
        let receivers: Vec<Value> =
            receivers.into_iter().map(|name| json!({ "name": name })).collect();
        let mut names: Vec<_> = self.intervals.keys().collect();
        names.sort_unstable();
        let intervals = names.into_iter().map(|name| {
            let parts: Vec<Value> = self.intervals[name].iter().map(interval).collect();
            json!({ "name": &**name, "time_intervals": parts })
        });
        let file = json!({
            "global": { "resolve_timeout": span(self.resolve_timeout) },
            "route": self.exported(self.routes.root(), None),
            "inhibit_rules": self.inhibit.iter().map(inhibition).collect::<Vec<_>>(),
            "receivers": receivers,
            "time_intervals": intervals.collect::<Vec<_>>(),
        });
        serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
    }

    fn exported(&self, id: RouteId, above: Option<RouteId>) -> Value {
        let route = self.routes.get(id);
        let above = above.map(|id| self.routes.get(id));
        let mut out = Map::new();
        out.insert("receiver".to_owned(), json!(&*route.receiver));
        if above.is_none_or(|above| above.group_by != route.group_by) {
            let names = match &route.group_by {
                GroupBy::All => vec!["..."],
                GroupBy::Labels(names) => names.iter().map(|name| &**name).collect(),
            };
            out.insert("group_by".to_owned(), json!(names));
        }
        for (name, own, inherited) in [
            ("group_wait", route.group_wait, above.map(|above| above.group_wait)),
            ("group_interval", route.group_interval, above.map(|above| above.group_interval)),
            ("repeat_interval", route.repeat_interval, above.map(|above| above.repeat_interval)),
        ] {
            if inherited != Some(own) {
                out.insert(name.to_owned(), json!(span(own)));
            }
        }
        for (name, list) in [
            ("matchers", texts(&route.matchers)),
            ("mute_time_intervals", route.mute.iter().map(ToString::to_string).collect()),
            ("active_time_intervals", route.active.iter().map(ToString::to_string).collect()),
        ] {
            if !list.is_empty() {
                out.insert(name.to_owned(), json!(list));
            }
        }
        if route.go_on {
            out.insert("continue".to_owned(), json!(true));
        }
        if !route.children.is_empty() {
            let children = route.children.iter().map(|child| self.exported(*child, Some(id)));
            out.insert("routes".to_owned(), children.collect());
        }
        Value::Object(out)
    }
}

fn texts(matchers: &[Matcher]) -> Vec<String> {
    matchers.iter().map(ToString::to_string).collect()
}

fn inhibition(rule: &InhibitRule) -> Value {
    json!({
        "source_matchers": texts(&rule.source),
        "target_matchers": texts(&rule.target),
        "equal": rule.equal.iter().map(|name| &**name).collect::<Vec<_>>(),
    })
}

/// In Prometheus' notation; intervals have no part below a millisecond.
fn span(length: Duration) -> String {
    match length.subsec_millis() {
        0 => format!("{}s", length.as_secs()),
        _ => format!("{}ms", length.as_millis()),
    }
}

fn interval(part: &TimeInterval) -> Value {
    let mut out = Map::new();
    if let Some(times) = &part.times {
        let clock = |minute: &u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let range = |(start, end): &(u16, u16)| json!({ "start_time": clock(start), "end_time": clock(end) });
        out.insert("times".to_owned(), times.iter().map(range).collect());
    }
    const DAYS: [&str; 7] =
        ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let day = |number: i64| {
        let day = usize::try_from(number).ok().and_then(|number| DAYS.get(number));
        day.copied().unwrap_or("sunday").to_owned()
    };
    for (name, ranges, word) in [
        ("weekdays", &part.weekdays, &day as &dyn Fn(i64) -> String),
        ("days_of_month", &part.days_of_month, &|number| number.to_string()),
        ("months", &part.months, &|number| number.to_string()),
        ("years", &part.years, &|number| number.to_string()),
    ] {
        if let Some(ranges) = ranges {
            let range = |(from, to): &(i64, i64)| json!(format!("{}:{}", word(*from), word(*to)));
            out.insert(name.to_owned(), ranges.iter().map(range).collect());
        }
    }
    // An `alertmanager.yml` has no word for public holidays.
    if let Some(zone) = part.zone.iana_name() {
        out.insert("location".to_owned(), json!(zone));
    }
    Value::Object(out)
}
