//! What was found, as text, JSON or a page of metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::query::show::Screen;
use crate::cli::query::table::Table;
use crate::exposition::{Family, Format, Sample, float_text, write};
use crate::model::{Labels, METRIC_NAME, MetricMeta, MetricType, Timestamp};
use crate::probe::{self, Looks, Outcome, Reading, ReadingLabels, Target, human, seconds};

/// What was found, each target with its looks.
type Found<'a> = [(&'a Target, Looks)];

/// Shares of the looks whose longest duration is shown, and how they are called.
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// Whether the target was as it should be at the last look.
pub fn is_up(looks: &Looks) -> bool {
    matches!(&looks.last, Outcome::Measured(seen) if seen.up)
}

/// For people.
pub fn text(found: &Found<'_>, now: Timestamp, screen: &Screen) -> String {
    let mut out = String::new();
    for (nth, (target, looks)) in found.iter().enumerate() {
        if nth > 0 {
            out.push('\n');
        }
        let (verdict, headline) = match &looks.last {
            Outcome::Measured(seen) if seen.up => ("up", seen.headline.to_string()),
            Outcome::Measured(seen) => ("DOWN", seen.headline.to_string()),
            Outcome::NotMeasured(obstacle) => ("NOT MEASURED", obstacle.to_string()),
        };
        out.push_str(&format!("{} {}: {verdict}, {headline}\n", target.kind.name(), target.name));
        if let Outcome::Measured(seen) = &looks.last {
            let units = units(target);
            let mut table = Table::new(&["value of".to_owned(), String::new()]);
            for reading in &seen.readings {
                let unit = units.get(reading.metric).copied().unwrap_or_default();
                let value = shown(reading, unit, now);
                table.row(vec![titled(reading.metric, &reading.labels), value]);
            }
            out.push_str(&table.text(screen));
        }
        if 1 < looks.tally.looked() {
            out.push_str(&all_looks(looks, screen));
        }
    }
    out
}

/// How many there were, and how long they took.
fn all_looks(looks: &Looks, screen: &Screen) -> String {
    let tally = &looks.tally;
    let mut out = format!("\n{} looks: {} up, {} down", tally.looked(), tally.up, tally.down);
    for (count, what) in [
        (tally.not_measured, "not measured"),
        (tally.skipped, "more could not begin in time and count as if they had waited"),
    ] {
        if count > 0 {
            out.push_str(&format!(", {count} {what}"));
        }
    }
    out.push('\n');
    let names = ["duration of", "looks", "least"].into_iter();
    let names = names.chain(SHARES.map(|(name, _)| name)).chain(["most"]);
    let mut table = Table::new(&names.map(str::to_owned).collect::<Vec<_>>());
    for timed in &tally.latencies {
        let latency = &timed.latency;
        let lengths = [latency.shortest()].into_iter();
        let lengths = lengths.chain(SHARES.map(|(_, share)| latency.quantile(share)));
        let name = [titled(timed.metric, &timed.labels), latency.count().to_string()];
        let cells = lengths.chain([latency.longest()]).map(length);
        table.row(name.into_iter().chain(cells).collect());
    }
    out.push_str(&table.text(screen));
    out
}

fn titled(metric: &str, labels: &ReadingLabels) -> String {
    if labels.is_empty() {
        return metric.to_owned();
    }
    let pairs = labels.iter().map(|(name, value)| format!("{name}={:?}", value.as_str()));
    format!("{metric}{{{}}}", pairs.collect::<Vec<_>>().join(","))
}

/// A duration for a person; on loopback phases take microseconds.
fn length(took: Duration) -> String {
    match took < Duration::from_millis(1) {
        true => format!("{} µs", took.as_micros()),
        false => human(took),
    }
}

fn metas(target: &Target) -> impl Iterator<Item = &'static MetricMeta> {
    [probe::METRICS].into_iter().chain(target.kind.catalogue()).flatten()
}

fn units(target: &Target) -> BTreeMap<&'static str, &'static str> {
    metas(target).map(|meta| (meta.name, meta.unit)).collect()
}

/// A value with its unit, as a person reads it.
fn shown(reading: &Reading, unit: &str, now: Timestamp) -> String {
    let value = reading.value;
    let is_instant =
        reading.metric.ends_with("_timestamp_seconds") || reading.metric.ends_with("_expiry");
    match unit {
        "seconds" if is_instant => {
            let Some(at) = Timestamp::from_seconds(value) else { return float_text(value) };
            let days = (at.seconds() - now.seconds()) / 86_400.0;
            match days < 0.0 {
                true => format!("{at} ({:.0} days ago)", -days),
                false => format!("{at} (in {days:.0} days)"),
            }
        }
        "seconds" => Duration::try_from_secs_f64(value).map_or(float_text(value), length),
        "ratio" => format!("{} %", float_text((value * 1000.0).round() / 10.0)),
        "celsius" => format!("{} °C", float_text(value)),
        "" => float_text(value),
        unit => format!("{} {unit}", float_text(value)),
    }
}

/// For programs: `{"targets": […]}`, durations in seconds.
pub fn json(found: &Found<'_>) -> String {
    let targets: Vec<Value> = found.iter().map(|(target, looks)| one(target, looks)).collect();
    json!({ "targets": targets }).to_string()
}

fn one(target: &Target, looks: &Looks) -> Value {
    let labels = |labels: &ReadingLabels| -> Value {
        labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value.as_str()))).collect()
    };
    let (readings, cause, remedy) = match &looks.last {
        Outcome::Measured(seen) => (&seen.readings[..], seen.cause.as_deref(), None),
        Outcome::NotMeasured(obstacle) => {
            (&[][..], Some(&*obstacle.what), obstacle.remedy.as_deref())
        }
    };
    let readings = readings.iter().map(|reading| {
        // JSON has no number for these.
        let value = match reading.value.is_finite() {
            true => json!(reading.value),
            false => json!(float_text(reading.value)),
        };
        json!({"name": reading.metric, "labels": labels(&reading.labels), "value": value})
    });
    let latencies = looks.tally.latencies.iter().map(|timed| {
        let latency = &timed.latency;
        let mut row = json!({
            "name": timed.metric, "labels": labels(&timed.labels), "count": latency.count(),
            "min": seconds(latency.shortest()), "max": seconds(latency.longest()),
        });
        for (name, share) in SHARES {
            row[name] = json!(seconds(latency.quantile(share)));
        }
        row
    });
    let tally = &looks.tally;
    json!({
        "service": &*target.service, "owner": &*target.owner, "probe": target.kind.name(),
        "target": &*target.name, "up": is_up(looks),
        "measured": matches!(looks.last, Outcome::Measured(_)),
        "cause": cause, "remedy": remedy, "duration_seconds": seconds(looks.took),
        "readings": readings.collect::<Vec<_>>(),
        "looks": {
            "up": tally.up, "down": tally.down, "not_measured": tally.not_measured,
            "not_begun": tally.skipped,
        },
        "latencies": latencies.collect::<Vec<_>>(),
    })
}

/// A page of the last values in Prometheus' text format 0.0.4.
pub fn metrics(found: &Found<'_>) -> String {
    let mut families: Vec<Family> = Vec::new();
    for (target, looks) in found {
        let own = [
            ("service", &*target.service),
            ("owner", &*target.owner),
            ("target", &*target.name),
            ("probe", target.kind.name()),
        ];
        let common = own.into_iter().filter(|(_, value)| !value.is_empty());
        let common = common.fold(Labels::default(), |all, (name, value)| all.with(name, value));
        let measured = matches!(looks.last, Outcome::Measured(_));
        let mut add = |metric: &'static str, labels: &ReadingLabels, value: f64| {
            let all = common.with(METRIC_NAME, metric);
            let all = labels.iter().fold(all, |all, (name, value)| all.with(name, value.as_str()));
            let family = family(&mut families, target, metric);
            family.samples.push(Sample::new(all, value));
        };
        let none = ReadingLabels::new();
        add("probe_measured", &none, f64::from(u8::from(measured)));
        let Outcome::Measured(seen) = &looks.last else { continue };
        add("probe_success", &none, f64::from(u8::from(seen.up)));
        add("probe_duration_seconds", &none, seconds(looks.took));
        for reading in &seen.readings {
            add(reading.metric, &reading.labels, reading.value);
        }
    }
    write(&families, Format::Text0_0_4)
}

fn family<'a>(
    families: &'a mut Vec<Family>,
    target: &Target,
    metric: &'static str,
) -> &'a mut Family {
    let known = families.iter().position(|family| family.name == metric);
    let place = known.unwrap_or_else(|| {
        let meta = metas(target).find(|meta| meta.name == metric);
        families.push(Family {
            name: metric.to_owned(),
            help: meta.map_or("", |meta| meta.help).to_owned(),
            kind: meta.map_or(MetricType::Unknown, |meta| meta.kind),
            unit: meta.map_or("", |meta| meta.unit).to_owned(),
            samples: Vec::new(),
        });
        families.len() - 1
    });
    &mut families[place]
}
