//! The same facts for programs: Alertmanager's webhook payload, version 4.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::alerting::{Notice, Why};
use crate::model::{Alert, EscapedValue, Labels, Phase, Timestamp};

/// Go's zero time, which stands for "not over".
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The JSON text. `external_url` is the address of our pages.
pub(super) fn payload(notice: &Notice, external_url: &str) -> String {
    let state = |firing: bool| if firing { "firing" } else { "resolved" };
    let group: Vec<String> = notice
        .group
        .iter()
        .map(|(name, value)| format!("{name}=\"{}\"", EscapedValue(value)))
        .collect();
    let payload = Payload {
        receiver: &notice.receiver,
        status: state(!notice.is_resolved()),
        alerts: Alerts(&notice.alerts),
        notification_reason: reason(notice.why),
        group_labels: Pairs(notice.group.iter().collect()),
        common_labels: common(notice, |alert| &alert.labels),
        common_annotations: common(notice, |alert| &alert.annotations),
        external_url,
        version: "4",
        group_key: format!("{}:{{{}}}", notice.route, group.join(", ")),
        truncated_alerts: notice.left_out,
        react_by: notice.react_by.map(|by| Instant(Some(by))),
    };
    // All keys are texts, so that nothing can be wrong with it.
    serde_json::to_string(&payload).unwrap_or_default()
}

/// Written as it goes, since it tells of thousands of alerts at times.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    receiver: &'a str,
    status: &'static str,
    alerts: Alerts<'a>,
    #[serde(rename = "notification_reason")]
    notification_reason: &'static str,
    group_labels: Pairs<'a>,
    common_labels: Pairs<'a>,
    common_annotations: Pairs<'a>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    version: &'static str,
    group_key: String,
    truncated_alerts: usize,
    /// Ours, and absent where nothing has a deadline: Alertmanager's payload has no such key.
    #[serde(skip_serializing_if = "Option::is_none")]
    react_by: Option<Instant>,
}

struct Alerts<'a>(&'a [Alert]);

impl Serialize for Alerts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for alert in self.0 {
            list.serialize_element(&Told::of(alert))?;
        }
        list.end()
    }
}

struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

struct All<'a>(&'a Labels);

impl Serialize for All<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    status: &'static str,
    labels: All<'a>,
    annotations: All<'a>,
    starts_at: Instant,
    ends_at: Instant,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    #[serde(serialize_with = "hexadecimal")]
    fingerprint: u64,
}

impl<'a> Told<'a> {
    fn of(alert: &'a Alert) -> Self {
        let (starts, ends) = match alert.phase {
            Phase::Resolved { fired, resolved } => (fired, Some(resolved)),
            Phase::Firing { fired, .. } => (fired, None),
            Phase::Pending { since } => (since, None),
        };
        Self {
            status: if alert.is_firing() { "firing" } else { "resolved" },
            labels: All(&alert.labels),
            annotations: All(&alert.annotations),
            starts_at: Instant(Some(starts)),
            ends_at: Instant(ends),
            generator_url: &alert.generator,
            fingerprint: fingerprint(&alert.labels),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn hexadecimal<S: Serializer>(fingerprint: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:016x}"))
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

/// What all alerts have in common.
fn common(notice: &Notice, of: impl Fn(&Alert) -> &Labels) -> Pairs<'_> {
    let Some((first, rest)) = notice.alerts.split_first() else { return Pairs(Vec::new()) };
    let shared = of(first)
        .iter()
        .filter(|(name, value)| rest.iter().all(|alert| of(alert).get(name) == Some(value)));
    Pairs(shared.collect())
}

/// RFC 3339 as Go's JSON writes it: fractions only where there are some.
struct Instant(Option<Timestamp>);

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let instant = self.0.map(|at| jiff::Timestamp::from_millisecond(at.millis()));
        match instant {
            Some(Ok(instant)) => serializer.collect_str(&instant),
            Some(Err(_)) | None => serializer.serialize_str(NEVER),
        }
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
