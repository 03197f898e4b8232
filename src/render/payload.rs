//! The same facts for programs: Alertmanager's webhook payload, version 4.

use serde_json::{Map, Value, json};

use crate::alerting::{Notice, Why};
use crate::model::{Alert, EscapedValue, Labels, Phase, Timestamp};

/// Go's zero time, which stands for "not over".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The JSON text. `external_url` is the address of our pages.
pub(super) fn payload(notice: &Notice, external_url: &str) -> String {
    value(notice, external_url).to_string()
}

fn value(notice: &Notice, external_url: &str) -> Value {
    let alerts: Vec<Value> = notice.alerts.iter().map(alert).collect();
    let state = |firing: bool| if firing { "firing" } else { "resolved" };
    let group: Vec<String> = notice
        .group
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", EscapedValue(value)))
        .collect();
    json!({
        "receiver": &*notice.receiver,
        "status": state(!notice.is_resolved()),
        "alerts": alerts,
        "notification_reason": reason(notice.why),
        "groupLabels": object(&notice.group),
        "commonLabels": common(notice, |alert| &alert.labels),
        "commonAnnotations": common(notice, |alert| &alert.annotations),
        "externalURL": external_url,
        "version": "4",
        "groupKey": format!("{}:{{{}}}", notice.route, group.join(", ")),
        "truncatedAlerts": notice.left_out,
    })
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::First => "first notification",
        Why::NewAlerts => "new alerts added",
        Why::NewResolved => "some alerts resolved",
        Why::AllResolved => "all alerts resolved",
        Why::Repeat => "repeat interval elapsed",
        Why::Fallback => "fallback",
        Why::Acknowledged => "acknowledged",
        Why::Digest => "time interval over",
    }
}

fn object(labels: &Labels) -> Value {
    let entries = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(entries.collect::<Map<String, Value>>())
}

/// What all alerts have in common.
fn common(notice: &Notice, of: impl Fn(&Alert) -> &Labels) -> Value {
    let Some((first, rest)) = notice.alerts.split_first() else {
        return object(&Labels::empty());
    };
    let shared: Map<String, Value> = of(first)
        .iter()
        .filter(|(name, value)| rest.iter().all(|alert| of(alert).get(name) == Some(value)))
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    Value::Object(shared)
}

fn alert(alert: &Alert) -> Value {
    let (starts, ends) = match alert.phase {
        Phase::Resolved { fired, resolved } => (fired, instant(resolved)),
        Phase::Firing { fired, .. } => (fired, NEVER.to_owned()),
        Phase::Pending { since } => (since, NEVER.to_owned()),
    };
    json!({
        "status": if alert.is_firing() { "firing" } else { "resolved" },
        "labels": object(&alert.labels),
        "annotations": object(&alert.annotations),
        "startsAt": instant(starts),
        "endsAt": ends,
        "generatorURL": &*alert.generator,
        "fingerprint": format!("{:016x}", fingerprint(&alert.labels)),
    })
}

/// RFC 3339 as Go's JSON writes it: fractions only where there are some.
fn instant(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.millis()) {
        Ok(instant) => instant.to_string(),
        Err(_) => NEVER.to_owned(),
    }
}

/// Prometheus' fingerprint of a label set: FNV-1a with 64 bits over names and values, each ended
/// by 0xff (`model.LabelSet.Fingerprint`).
fn fingerprint(labels: &Labels) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for (name, value) in labels {
        name.bytes().for_each(&mut add);
        add(0xff);
        value.bytes().for_each(&mut add);
        add(0xff);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_alertmanagers() {
        let labels = Labels::from_pairs([("alertname", "X"), ("i", "1")]).unwrap();
        assert_eq!(format!("{:016x}", fingerprint(&labels)), "b915815a9d04c3be");
    }
}
