//! Uninterruptible power supplies by the UPS-MIB (RFC 1628) and APC's PowerNet-MIB.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::device::{Device, Failed, Talk};
use super::session::Session;
use super::transport::{SnmpError, SnmpTransport};
use super::value::{Oid, Value};
use crate::model::{MetricMeta, MetricType};
use crate::ports::{Clock, Doing, Tick};
use crate::probe::{Observation, Outcome, Prober, Reading, Resolver, SnmpTarget};

/// What a UPS tells.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "ups_on_battery",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether the mains have failed and the battery carries the load (1) or not (0).",
    },
    MetricMeta {
        name: "ups_battery_charge_ratio",
        kind: MetricType::Gauge,
        unit: "ratio",
        help: "How full the battery is, 0 to 1. Absent where the device does not say.",
    },
    MetricMeta {
        name: "ups_battery_runtime_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long the battery would carry the present load. Absent where the device does not say.",
    },
    MetricMeta {
        name: "ups_load_ratio",
        kind: MetricType::Gauge,
        unit: "ratio",
        help: "Load of the most loaded output line as a share of what it can carry; above 1 is overload.",
    },
    MetricMeta {
        name: "ups_battery_temperature_celsius",
        kind: MetricType::Gauge,
        unit: "celsius",
        help: "Temperature of the battery.",
    },
    MetricMeta {
        name: "ups_battery_state",
        kind: MetricType::Gauge,
        unit: "",
        help: "State of the battery: 1 for the state it is in, 0 for the others.",
    },
];

const UPS: &[u32] = &[1, 3, 6, 1, 2, 1, 33, 1];
const APC: &[u32] = &[1, 3, 6, 1, 4, 1, 318, 1, 1, 1];

/// Output lines and alarms that are read at most.
const ROWS: usize = 32;

/// Looks at a UPS.
pub struct UpsProber {
    device: Device,
    /// One sign of battery power was seen last time.
    suspected: AtomicBool,
}

/// How a battery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Battery {
    Ok,
    Low,
    Depleted,
    Replace,
    Missing,
    Unknown,
}

impl Battery {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Ok, "ok"),
        (Self::Low, "low"),
        (Self::Depleted, "depleted"),
        (Self::Replace, "replace"),
        (Self::Missing, "missing"),
        (Self::Unknown, "unknown"),
    ];
}

/// What was read, in base units.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Seen {
    /// Signs that the battery carries the load, and whether anything was said about it.
    signs: u32,
    source_known: bool,
    charge: Option<f64>,
    runtime: Option<f64>,
    load: Option<f64>,
    temperature: Option<f64>,
    battery: Option<Battery>,
}

impl UpsProber {
    /// Asks nothing yet.
    pub fn new(
        target: &SnmpTarget,
        clock: Arc<dyn Clock>,
        resolver: Arc<Resolver>,
        snmp: Arc<dyn SnmpTransport>,
    ) -> Self {
        let device = Device::new(target, clock, resolver, snmp);
        Self { device, suspected: AtomicBool::new(false) }
    }

    /// Two signs are proof; one is proof when it is there twice in a row.
    fn on_battery(&self, seen: &Seen) -> bool {
        let before = self.suspected.swap(seen.signs > 0, Ordering::Relaxed);
        seen.signs >= 2 || (seen.signs == 1 && before)
    }

    fn outcome(&self, seen: &Seen) -> Outcome {
        if *seen == Seen::default() {
            let cause = "it answers SNMP, but shows nothing of a UPS";
            return Observation::down(cause, Vec::new()).into();
        }
        let on_battery = self.on_battery(seen);
        let mut readings = Vec::new();
        if seen.source_known {
            readings.push(Reading::new("ups_on_battery", f64::from(u8::from(on_battery))));
        }
        let values = [
            ("ups_battery_charge_ratio", seen.charge),
            ("ups_battery_runtime_seconds", seen.runtime),
            ("ups_load_ratio", seen.load),
            ("ups_battery_temperature_celsius", seen.temperature),
        ];
        let known = values.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
        readings.extend(known.map(|(metric, value)| Reading::new(metric, value)));
        if let Some(battery) = seen.battery {
            readings.extend(Battery::ALL.into_iter().map(|(state, name)| {
                let value = f64::from(u8::from(state == battery));
                Reading::new("ups_battery_state", value).with("state", name)
            }));
        }
        Observation::up(headline(seen, on_battery), readings).into()
    }
}

impl Talk for UpsProber {
    type Seen = Seen;

    fn read<'a>(&'a self, session: &'a Session<'a>) -> Doing<'a, Result<Seen, Failed>> {
        Box::pin(async move {
            session.hello().await.map_err(Failed::AtOnce)?;
            let mut seen = Seen::default();
            read_standard(session, &mut seen).await.map_err(Failed::Later)?;
            read_apc(session, &mut seen).await.map_err(Failed::Later)?;
            Ok(seen)
        })
    }
}

impl Prober for UpsProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(async move {
            match self.device.ask(self, deadline).await {
                Ok(seen) => self.outcome(&seen),
                Err(outcome) => outcome,
            }
        })
    }
}

async fn numbers<const N: usize>(
    session: &Session<'_>,
    base: &[u32],
    names: [&[u32]; N],
) -> Result<[Option<i64>; N], SnmpError> {
    let oids = names.map(|name| Oid::new(base).below(name).below(&[0]));
    let values = session.get(&oids).await?;
    let mut numbers = [None; N];
    for (number, value) in numbers.iter_mut().zip(values) {
        // -1, and every other negative number here, means that it is not known.
        *number = value.as_ref().and_then(Value::integer).filter(|number| *number >= 0);
    }
    Ok(numbers)
}

async fn read_standard(session: &Session<'_>, seen: &mut Seen) -> Result<(), SnmpError> {
    let names: [&[u32]; 6] = [&[2, 1], &[2, 2], &[2, 3], &[2, 4], &[2, 7], &[4, 1]];
    let [status, on_battery, minutes, charge, celsius, source] =
        numbers(session, UPS, names).await?;
    let columns = [Oid::new(UPS).below(&[4, 4, 1, 5]), Oid::new(UPS).below(&[6, 2, 1, 2])];
    let tables = session.walk(&columns, ROWS).await?;
    let alarm = |number: u32| {
        let name = Value::Oid(Oid::new(UPS).below(&[6, 3, number]));
        tables[1].values().any(|value| *value == name)
    };
    seen.source_known = on_battery.is_some() || source.is_some();
    let signs = [source == Some(5), on_battery.is_some_and(|seconds| seconds > 0), alarm(2)];
    // While a test runs, the battery carries the load because it was asked to.
    let testing = alarm(24);
    seen.signs = if testing { 0 } else { signs.into_iter().map(u32::from).sum() };
    seen.charge = charge.and_then(|percent| ratio(percent, 100));
    seen.runtime = minutes
        .filter(|minutes| *minutes <= 10_000 && !(*minutes == 0 && charge == Some(100)))
        .and_then(|minutes| seconds(minutes * 60));
    seen.load = tables[0]
        .values()
        .filter_map(Value::integer)
        .filter_map(|p| ratio(p, 200))
        .reduce(f64::max);
    seen.temperature = celsius.filter(|degrees| (1..=100).contains(degrees)).and_then(seconds);
    seen.battery = match (status, alarm(1)) {
        (_, true) => Some(Battery::Replace),
        (Some(2), _) => Some(Battery::Ok),
        (Some(3), _) => Some(Battery::Low),
        (Some(4), _) => Some(Battery::Depleted),
        (Some(_), _) => Some(Battery::Unknown),
        (None, _) => None,
    };
    Ok(())
}

/// What APC says is finer than the standard, and there when the standard is not.
async fn read_apc(session: &Session<'_>, seen: &mut Seen) -> Result<(), SnmpError> {
    let names: [&[u32]; 10] = [
        &[2, 1, 1],
        &[2, 1, 2],
        &[2, 2, 1],
        &[2, 2, 2],
        &[2, 2, 3],
        &[2, 2, 4],
        &[2, 3, 1],
        &[4, 1, 1],
        &[4, 2, 3],
        &[4, 3, 3],
    ];
    let [status, on_battery, charge, celsius, ticks, replace, fine_charge, output, load, fine_load] =
        numbers(session, APC, names).await?;
    if let Some(output) = output {
        seen.source_known = true;
        // 15 and 28 are tests.
        let testing = matches!(output, 15 | 28);
        let signs = [output == 3, on_battery.is_some_and(|ticks| ticks > 0)];
        seen.signs = if testing { 0 } else { signs.into_iter().map(u32::from).sum() };
    }
    let tenths = |fine: Option<i64>, whole: Option<i64>, most: i64| {
        fine.and_then(|tenths| ratio(tenths, most * 10).map(|r| r / 10.0))
            .or_else(|| whole.and_then(|percent| ratio(percent, most)))
    };
    seen.charge = tenths(fine_charge, charge, 100).or(seen.charge);
    seen.load = tenths(fine_load, load, 200).or(seen.load);
    seen.runtime = ticks.and_then(|ticks| seconds(ticks / 100)).or(seen.runtime);
    let celsius = celsius.filter(|degrees| (1..=100).contains(degrees));
    seen.temperature = celsius.and_then(seconds).or(seen.temperature);
    seen.battery = match (status, replace) {
        (Some(5), _) => Some(Battery::Missing),
        (_, Some(2)) | (Some(4), _) => Some(Battery::Replace),
        (Some(2), _) => Some(Battery::Ok),
        (Some(3), _) => Some(Battery::Low),
        (None, Some(1)) if seen.battery.is_none() => Some(Battery::Ok),
        _ => seen.battery,
    };
    Ok(())
}

/// A percentage as a share; `None` above `most` percent.
fn ratio(percent: i64, most: i64) -> Option<f64> {
    #[allow(clippy::cast_precision_loss)] // small numbers
    (0..=most).contains(&percent).then_some(percent as f64 / 100.0)
}

#[allow(clippy::cast_precision_loss, clippy::unnecessary_wraps)] // small numbers
fn seconds(number: i64) -> Option<f64> {
    Some(number as f64)
}

/// "on battery, 80 %, 12 min left".
fn headline(seen: &Seen, on_battery: bool) -> String {
    let mut parts = Vec::new();
    if seen.source_known {
        parts.push(if on_battery { "on battery" } else { "on mains" }.to_owned());
    }
    if let Some(charge) = seen.charge {
        parts.push(format!("{:.0} %", charge * 100.0));
    }
    if let Some(runtime) = seen.runtime {
        parts.push(format!("{:.0} min left", runtime / 60.0));
    }
    match seen.battery {
        Some(Battery::Replace) => parts.push("replace the battery".to_owned()),
        Some(Battery::Missing) => parts.push("no battery".to_owned()),
        Some(Battery::Depleted) => parts.push("battery empty".to_owned()),
        _ => {}
    }
    if parts.is_empty() { "answers".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fake::{Agent, look_at};
    use super::*;

    pub async fn look(agent: Agent) -> Observation {
        look_at(agent, UpsProber::new).await
    }

    fn value(seen: &Observation, metric: &str) -> Option<f64> {
        seen.readings.iter().find(|reading| reading.metric == metric).map(|reading| reading.value)
    }

    fn ups(cells: &[(&[u32], i64)]) -> Agent {
        let mut agent = Agent::default();
        for (name, value) in cells {
            agent.put(&[UPS, name].concat(), Value::Integer(*value));
        }
        agent
    }

    #[tokio::test]
    async fn the_standard() {
        let seen = look(ups(&[
            (&[2, 1, 0], 2),
            (&[2, 2, 0], 0),
            (&[2, 3, 0], 43),
            (&[2, 4, 0], 100),
            (&[2, 7, 0], 0),
            (&[4, 1, 0], 3),
            (&[4, 4, 1, 5, 1], 59),
            (&[4, 4, 1, 5, 2, 0], 61),
        ]))
        .await;
        assert_eq!(&*seen.headline, "on mains, 100 %, 43 min left");
        assert_eq!(value(&seen, "ups_on_battery"), Some(0.0));
        assert_eq!(value(&seen, "ups_load_ratio"), Some(0.61));
        assert_eq!(value(&seen, "ups_battery_runtime_seconds"), Some(2_580.0));
        assert_eq!(value(&seen, "ups_battery_temperature_celsius"), None);
    }

    #[tokio::test]
    async fn apc_counts_in_hundredths_of_a_second_and_tenths_of_a_percent() {
        let mut agent = Agent::default();
        for (name, value) in [
            ([2, 2, 3, 0], 456_000),
            ([2, 3, 1, 0], 1_000),
            ([4, 3, 3, 0], 176),
            ([4, 1, 1, 0], 2),
            ([2, 2, 4, 0], 2),
        ] {
            agent.put(&[APC, &name].concat(), Value::Integer(value));
        }
        let seen = look(agent).await;
        assert_eq!(value(&seen, "ups_battery_runtime_seconds"), Some(4_560.0));
        assert_eq!(value(&seen, "ups_battery_charge_ratio"), Some(1.0));
        assert!((value(&seen, "ups_load_ratio").unwrap() - 0.176).abs() < 1e-9);
        assert_eq!(&*seen.headline, "on mains, 100 %, 76 min left, replace the battery");
    }

    #[tokio::test]
    async fn unknown_is_not_zero() {
        for minutes in [65_535, 4_294_967_295, -1, 0] {
            let seen =
                look(ups(&[(&[2, 3, 0], minutes), (&[2, 4, 0], 100), (&[2, 7, 0], -273)])).await;
            assert_eq!(value(&seen, "ups_battery_runtime_seconds"), None, "{minutes}");
            assert_eq!(value(&seen, "ups_battery_temperature_celsius"), None);
            assert_eq!(value(&seen, "ups_on_battery"), None);
        }
        let mut other = Agent::default();
        other.put(&[1, 3, 6, 1, 2, 1, 1, 2, 0], Value::Oid(Oid::new(&[1, 3])));
        assert!(!look(other).await.up);
    }

    #[tokio::test]
    async fn battery_power_needs_two_signs_or_one_twice() {
        let both = look(ups(&[(&[4, 1, 0], 5), (&[2, 2, 0], 7)])).await;
        assert_eq!(value(&both, "ups_on_battery"), Some(1.0));
        let one = || ups(&[(&[4, 1, 0], 5), (&[2, 2, 0], 0)]);
        assert_eq!(value(&look(one()).await, "ups_on_battery"), Some(0.0));
        let seen = Seen { signs: 1, ..Seen::default() };
        let suspected = AtomicBool::new(false);
        let twice = |signs: u32| {
            let before = suspected.swap(signs > 0, Ordering::Relaxed);
            signs >= 2 || (signs == 1 && before)
        };
        assert!(!twice(seen.signs) && twice(1) && !twice(0) && !twice(1));
        let mut testing = ups(&[(&[4, 1, 0], 5), (&[2, 2, 0], 7)]);
        let name = Value::Oid(Oid::new(UPS).below(&[6, 3, 24]));
        testing.put(&[UPS, &[6, 2, 1, 2, 1]].concat(), name);
        assert_eq!(value(&look(testing).await, "ups_on_battery"), Some(0.0));
    }
}
