//! Printers by the Printer-MIB (RFC 3805) and the HOST-RESOURCES-MIB (RFC 2790).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::condition::{Alert, Condition, condition, reason};
use super::device::{Device, Failed, Talk};
use super::session::{Column, Session};
use super::supply::{SupplyRow, SupplyState, quieten_twins};
use super::text::{needs_charset, supply_name, text};
use super::transport::{SnmpError, SnmpTransport};
use super::value::{Oid, Value};
use super::vendor::{self, enterprise};
use crate::model::{MetricMeta, MetricType};
use crate::ports::{Clock, Doing, Tick};
use crate::probe::{
    LabelValue, Observation, Outcome, Prober, Reading, Resolver, SnmpTarget, Waste,
};

/// What a printer tells.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "printer_supply_remaining_ratio",
        kind: MetricType::Gauge,
        unit: "ratio",
        help: "How much of a supply is left, 0 to 1; for waste containers how much room is left. Absent where the printer does not say.",
    },
    MetricMeta {
        name: "printer_supply_state",
        kind: MetricType::Gauge,
        unit: "",
        help: "State of a supply: 1 for the state it is in, 0 for the others.",
    },
    MetricMeta {
        name: "printer_state",
        kind: MetricType::Gauge,
        unit: "",
        help: "State of the printer: 1 for the state it is in, 0 for the others.",
    },
    MetricMeta {
        name: "printer_pages_total",
        kind: MetricType::Counter,
        unit: "",
        help: "Pages printed in the printer's life (impressions or sheets, as the printer counts).",
    },
];

/// At most this many supplies, colorants, markers or alerts are read.
const ROWS: usize = 64;

const HR_DEVICE_TYPE: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 2];
const HR_DEVICE_STATUS: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 5];
const HR_PRINTER_ERRORS: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 5, 1, 2];
const HR_IS_PRINTER: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 3, 1, 5];
const SYS_OBJECT_ID: &[u32] = &[1, 3, 6, 1, 2, 1, 1, 2, 0];
const LOCALIZATION: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 2];
const CHARSET: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 7, 1, 1, 4];
const LIFE_COUNT: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 10, 2, 1, 4];
const SUPPLIES: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 11, 1, 1];
const COLORANT: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 12, 1, 1, 4];
const ALERTS: &[u32] = &[1, 3, 6, 1, 2, 1, 43, 18, 1, 1];

/// Looks at a printer.
pub struct PrinterProber {
    device: Device,
    /// The printer's hrDeviceIndex, as far as known.
    index: AtomicU32,
}

/// All that was read of one printer.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By (device, row).
    supplies: BTreeMap<(u32, u32), SupplyRow>,
    alerts: Vec<Alert>,
    device_status: Option<i64>,
    errors: Option<Vec<u8>>,
    pages: Option<i64>,
    /// The vendor's enterprise number.
    vendor: Option<u32>,
}

impl PrinterProber {
    /// Asks nothing yet.
    pub fn new(
        target: &SnmpTarget,
        clock: Arc<dyn Clock>,
        resolver: Arc<Resolver>,
        snmp: Arc<dyn SnmpTransport>,
    ) -> Self {
        let device = Device::new(target, clock, resolver, snmp);
        Self { device, index: AtomicU32::new(1) }
    }

    async fn look(&self, deadline: Tick) -> Outcome {
        match self.device.ask(self, deadline).await {
            Ok(seen) => seen.outcome(self.device.target.waste),
            Err(outcome) => outcome,
        }
    }

    async fn read_all(&self, session: &Session<'_>) -> Result<Seen, Failed> {
        let mut seen = Seen::default();
        let device = self.index.load(Ordering::Relaxed);
        self.read_state(session, device, &mut seen).await.map_err(Failed::AtOnce)?;
        self.read_tables(session, &mut seen).await.map_err(Failed::Later)?;
        let told = seen.supplies.keys().next().map(|(device, _)| *device);
        let found = match told {
            Some(found) => found,
            None if seen.device_status.is_some() || seen.errors.is_some() => device,
            None => printer_device(session).await.map_err(Failed::Later)?.unwrap_or(device),
        };
        if found != device {
            self.read_state(session, found, &mut seen).await.map_err(Failed::Later)?;
            self.index.store(found, Ordering::Relaxed);
        }
        Ok(seen)
    }

    async fn read_state(
        &self,
        session: &Session<'_>,
        device: u32,
        seen: &mut Seen,
    ) -> Result<(), SnmpError> {
        let of_device = |column: &[u32]| Oid::new(column).below(&[device]);
        // sysObjectID is what every agent has: it tells "no printer" from "no answer" in v1 too.
        let names =
            [Oid::new(SYS_OBJECT_ID), of_device(HR_DEVICE_STATUS), of_device(HR_PRINTER_ERRORS)];
        let values = session.get(&names).await?;
        let value = |at: usize| values.get(at).and_then(Option::as_ref);
        seen.vendor = enterprise(value(0));
        seen.device_status = value(1).and_then(Value::integer);
        seen.errors = value(2).and_then(Value::bytes).map(<[u8]>::to_vec);
        Ok(())
    }

    async fn read_tables(&self, session: &Session<'_>, seen: &mut Seen) -> Result<(), SnmpError> {
        let supply = |column: u32| Oid::new(SUPPLIES).below(&[column]);
        let alert = |column: u32| Oid::new(ALERTS).below(&[column]);
        let supplies = session
            .walk(
                &[
                    supply(3),
                    supply(4),
                    supply(5),
                    supply(6),
                    supply(7),
                    supply(8),
                    supply(9),
                    Oid::new(COLORANT),
                ],
                ROWS,
            )
            .await?;
        let others = session
            .walk(&[Oid::new(LIFE_COUNT), alert(2), alert(4), alert(5), alert(7)], ROWS)
            .await?;
        if let [pages, severity, group, row, code] = &others[..] {
            // "Others mostly duplicate": the first marker counts.
            seen.pages = pages.values().next().and_then(Value::integer);
            let keys =
                severity.keys().chain(code.keys()).collect::<std::collections::BTreeSet<_>>();
            let number = |column: &Column, key: &Vec<u32>| column.get(key).and_then(Value::integer);
            seen.alerts = keys
                .into_iter()
                .map(|key| Alert {
                    severity: number(severity, key),
                    group: number(group, key),
                    row: number(row, key),
                    code: number(code, key),
                })
                .collect();
        }
        let charset = charset(session, &supplies).await?;
        seen.supplies = join(&supplies, charset, &seen.alerts);
        vendor::fill(session, seen.vendor, &mut seen.supplies).await
    }
}

impl Talk for PrinterProber {
    type Seen = Seen;

    fn read<'a>(&'a self, session: &'a Session<'a>) -> Doing<'a, Result<Seen, Failed>> {
        Box::pin(self.read_all(session))
    }
}

impl Prober for PrinterProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look(deadline))
    }
}

/// The hrDeviceIndex of the first device that says it is a printer.
async fn printer_device(session: &Session<'_>) -> Result<Option<u32>, SnmpError> {
    let types = session.walk(&[Oid::new(HR_DEVICE_TYPE)], ROWS).await?;
    let printer = Value::Oid(Oid::new(HR_IS_PRINTER));
    let device = types.iter().flatten().find(|(_, value)| **value == printer);
    Ok(device.and_then(|(index, _)| index.first().copied()))
}

/// prtLocalizationCharacterSet, asked only when a text cannot be read without it.
async fn charset(session: &Session<'_>, supplies: &[Column]) -> Result<Option<i64>, SnmpError> {
    let texts = [&supplies[3], &supplies[7]].into_iter().flatten();
    let mut unclear = texts.filter(|(_, value)| value.bytes().is_some_and(needs_charset));
    let Some((index, _)) = unclear.next() else { return Ok(None) };
    let Some(device) = index.first() else { return Ok(None) };
    let current = session.get(&[Oid::new(LOCALIZATION).below(&[*device])]).await?;
    let current = current.into_iter().flatten().next().and_then(|value| value.integer());
    let Some(row) = current.and_then(|row| u32::try_from(row).ok()) else { return Ok(None) };
    let charset = session.get(&[Oid::new(CHARSET).below(&[*device, row])]).await?;
    Ok(charset.into_iter().flatten().next().and_then(|value| value.integer()))
}

/// Rows out of columns, by index: never by counting, since devices skip numbers.
fn join(
    columns: &[Column],
    charset: Option<i64>,
    alerts: &[Alert],
) -> BTreeMap<(u32, u32), SupplyRow> {
    let [colorant, class, kind, name, unit, max, level, colorants] = columns else {
        return BTreeMap::new();
    };
    let mut rows = BTreeMap::new();
    for index in name.keys().chain(level.keys()).chain(max.keys()) {
        let [device, row] = index[..] else { continue };
        let number = |column: &Column| column.get(index).and_then(Value::integer);
        let words = |value: &Value| value.bytes().map(|bytes| text(bytes, charset));
        let color = number(colorant)
            .and_then(|at| u32::try_from(at).ok())
            .filter(|at| *at > 0)
            .and_then(|at| colorants.get(&[device, at][..]))
            .and_then(words);
        rows.entry((device, row)).or_insert_with(|| SupplyRow {
            class: number(class),
            kind: number(kind),
            unit: number(unit),
            max: number(max),
            level: number(level),
            text: supply_name(&name.get(index).and_then(words).unwrap_or_default()),
            colorant: color,
            alerts: alerts
                .iter()
                .filter(|alert| alert.is_about_supply(row))
                .filter_map(|alert| alert.code)
                .collect(),
        });
    }
    rows
}

/// A supply as it is told.
struct Told<'a> {
    labels: [(&'static str, Arc<str>); 4],
    row: &'a SupplyRow,
    ratio: Option<f64>,
    state: SupplyState,
}

impl Seen {
    fn outcome(&self, waste: Waste) -> Outcome {
        let nothing = self.supplies.is_empty() && self.pages.is_none();
        if nothing && self.device_status.is_none() && self.errors.is_none() {
            let cause = "it answers SNMP, but shows nothing of a printer";
            return Observation::down(cause, Vec::new()).into();
        }
        let condition = condition(self.device_status, self.errors.as_deref(), &self.alerts);
        let told = self.told(waste);
        let mut readings = Vec::new();
        for supply in &told {
            supply.read(&mut readings);
        }
        if let Some(condition) = condition {
            for state in Condition::ALL {
                let value = f64::from(u8::from(state == condition));
                readings.push(Reading::new("printer_state", value).with("state", state.name()));
            }
        }
        if let Some(pages) = self.pages.filter(|pages| *pages >= 0) {
            #[allow(clippy::cast_precision_loss)] // 2^53 pages
            readings.push(Reading::new("printer_pages_total", pages as f64));
        }
        Observation::up(self.headline(condition, &told), readings).into()
    }

    fn told(&self, waste: Waste) -> Vec<Told<'_>> {
        let keys: Vec<_> = self
            .supplies
            .iter()
            .filter(|(_, row)| waste != Waste::Ignore || !row.kind().waste)
            .collect();
        let mut judged: Vec<_> = keys
            .iter()
            .map(|(_, row)| {
                let (ratio, state) = row.judge(waste);
                (*row, ratio, state)
            })
            .collect();
        quieten_twins(&mut judged);
        keys.into_iter()
            .zip(judged)
            .map(|(((device, number), _), (row, ratio, state))| {
                let (kind, color) = (row.kind().name, row.color());
                let name = match row.text.as_str() {
                    "" => format!("{color} {}", kind.replace('_', " ")).trim().to_owned(),
                    text => text.to_owned(),
                };
                let labels = [
                    ("supply", format!("{device}.{number}").into()),
                    ("name", name.into()),
                    ("kind", kind.into()),
                    ("color", color.into()),
                ];
                Told { labels, row, ratio, state }
            })
            .collect()
    }

    /// "black toner 4 %", after the trouble where there is some.
    fn headline(&self, condition: Option<Condition>, told: &[Told<'_>]) -> String {
        let mut parts = Vec::new();
        if let Some(condition @ (Condition::Stopped | Condition::Warning)) = condition {
            let why = reason(self.errors.as_deref(), &self.alerts);
            match (condition, why) {
                (Condition::Stopped, "") => parts.push("stopped".to_owned()),
                (Condition::Stopped, why) => parts.push(format!("stopped: {why}")),
                (_, "") => {}
                (_, why) => parts.push(why.to_owned()),
            }
        }
        let known = told.iter().filter_map(|supply| Some((supply.ratio?, supply)));
        let least = known.min_by(|one, other| one.0.total_cmp(&other.0));
        match least {
            Some((ratio, supply)) => parts.push(supply.words(ratio)),
            None if parts.is_empty() => parts.push("prints".to_owned()),
            None => {}
        }
        parts.join(", ")
    }
}

impl Told<'_> {
    fn read(&self, into: &mut Vec<Reading>) {
        let labelled = |metric, value| {
            self.labels.iter().fold(Reading::new(metric, value), |reading, (name, value)| {
                reading.with(name, LabelValue::Shared(value.clone()))
            })
        };
        if let Some(ratio) = self.ratio {
            into.push(labelled("printer_supply_remaining_ratio", ratio));
        }
        for state in SupplyState::ALL {
            let value = f64::from(u8::from(state == self.state));
            into.push(labelled("printer_supply_state", value).with("state", state.name()));
        }
    }

    fn words(&self, ratio: f64) -> String {
        let kind = self.row.kind();
        let (percent, color) = ((ratio * 100.0).round(), self.row.color());
        let what = match kind.name {
            "other" => self.labels[1].1.to_string(),
            name => format!("{color} {}", name.replace('_', " ")).trim().to_owned(),
        };
        let room = if kind.waste { " room" } else { "" };
        format!("{what}{room} {percent} %")
    }
}

#[cfg(test)]
#[path = "printer_tests.rs"]
pub(super) mod tests;
