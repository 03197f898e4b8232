//! Disks of hosts and storage boxes by the HOST-RESOURCES-MIB (RFC 2790, hrStorageTable).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::device::{Device, Failed, Talk};
use super::session::{Column, Session};
use super::text::text;
use super::transport::SnmpTransport;
use super::value::{Oid, Value};
use crate::model::{MetricMeta, MetricType};
use crate::ports::{Clock, Doing, Tick};
use crate::probe::{LabelValue, Observation, Outcome, Prober, Reading, Resolver, SnmpTarget};

/// What disks tell.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "disk_size_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "Size of a file system.",
    },
    MetricMeta {
        name: "disk_used_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "How much of a file system is used; what is reserved for root counts as free.",
    },
];

/// At most this many rows are read: hosts with containers have hundreds.
const ROWS: usize = 1_000;

const STORAGE: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 2, 3, 1];
const TYPES: &[u32] = &[1, 3, 6, 1, 2, 1, 25, 2, 1];
/// hrStorageFixedDisk, hrStorageFlashMemory, hrStorageNetworkDisk.
const DISKS: [u32; 3] = [4, 9, 10];

/// Looks at the disks of a host.
pub struct DiskProber {
    device: Device,
}

/// A disk as it is told.
#[derive(Debug, PartialEq)]
pub(super) struct Disk {
    name: String,
    size: f64,
    used: f64,
}

impl DiskProber {
    /// Asks nothing yet.
    pub fn new(
        target: &SnmpTarget,
        clock: Arc<dyn Clock>,
        resolver: Arc<Resolver>,
        snmp: Arc<dyn SnmpTransport>,
    ) -> Self {
        Self { device: Device::new(target, clock, resolver, snmp) }
    }
}

impl Talk for DiskProber {
    type Seen = Vec<Disk>;

    fn read<'a>(&'a self, session: &'a Session<'a>) -> Doing<'a, Result<Vec<Disk>, Failed>> {
        Box::pin(async move {
            session.hello().await.map_err(Failed::AtOnce)?;
            let columns = [2, 3, 4, 5, 6].map(|column| Oid::new(STORAGE).below(&[column]));
            let found = session.walk_fast(&columns, ROWS).await.map_err(Failed::Later)?;
            Ok(disks(&found))
        })
    }
}

impl Prober for DiskProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(async move {
            match self.device.ask(self, deadline).await {
                Ok(disks) => outcome(&disks),
                Err(outcome) => outcome,
            }
        })
    }
}

fn outcome(disks: &[Disk]) -> Outcome {
    let fullest = disks.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    let Some(fullest) = fullest else {
        return Observation::down("it answers SNMP, but shows no disks", Vec::new()).into();
    };
    let headline = format!("{} {:.0} % full", fullest.name, fullest.ratio() * 100.0);
    let mut readings = Vec::with_capacity(disks.len() * 2);
    for disk in disks {
        let name: Arc<str> = disk.name.as_str().into();
        let values = [disk.size, disk.used];
        readings.extend(METRICS.iter().zip(values).map(|(meta, value)| {
            Reading::new(meta.name, value).with("disk", LabelValue::Shared(name.clone()))
        }));
    }
    Observation::up(headline, readings).into()
}

impl Disk {
    fn ratio(&self) -> f64 {
        self.used / self.size
    }
}

fn disks(columns: &[Column]) -> Vec<Disk> {
    let [kinds, names, units, sizes, used] = columns else { return Vec::new() };
    let mut known = BTreeSet::new();
    let mut disks = Vec::new();
    for (index, size) in sizes {
        let name = names.get(index).and_then(Value::bytes).map(|bytes| text(bytes, None));
        let Some(name) = name.map(|name| disk_name(&name)).filter(|name| !name.is_empty()) else {
            continue;
        };
        let count = |value: Option<&Value>| value.and_then(Value::integer).and_then(unwrapped);
        let unit = units.get(index).and_then(Value::integer).filter(|unit| *unit > 0);
        let (Some(size), Some(used), Some(unit)) =
            (count(Some(size)).filter(|size| *size > 0), count(used.get(index)), unit)
        else {
            continue;
        };
        if !is_disk(kinds.get(index), &name) || !known.insert(name.clone()) {
            continue;
        }
        #[allow(clippy::cast_precision_loss)] // bytes of a disk, to 15 digits
        let bytes = |count: i64| count as f64 * unit as f64;
        disks.push(Disk { name, size: bytes(size), used: bytes(used) });
    }
    disks
}

/// An Integer32 that big volumes let overflow; -1 is unknown.
fn unwrapped(number: i64) -> Option<i64> {
    match number {
        -1 => None,
        0.. => Some(number),
        _ => u32::try_from(number + (1 << 32)).ok().map(i64::from),
    }
}

/// What fills up over months. What the kernel makes up, what is full by nature (images) and what
/// shows another disk again (containers) is none.
fn is_disk(kind: Option<&Value>, name: &str) -> bool {
    const NONE: [&str; 10] = [
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/var/run",
        "/snap",
        "/var/lib/docker",
        "/var/lib/containers",
        "/var/lib/kubelet",
        "/var/lib/snapd",
    ];
    let below = |folder: &&str| {
        name.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if NONE.iter().any(below) {
        return false;
    }
    match kind {
        Some(Value::Oid(kind)) => {
            kind.index_in(&Oid::new(TYPES)).is_some_and(|n| n.len() == 1 && DISKS.contains(&n[0]))
        }
        // Without a type, only what is named like a disk.
        _ => name.starts_with('/') || name.ends_with(':'),
    }
}

/// `C:\ Label:  Serial Number 10f82425` is `C:`.
fn disk_name(told: &str) -> String {
    let bytes = told.as_bytes();
    let drive = bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
    if drive && bytes.get(2).is_none_or(|byte| *byte == b'\\') {
        return told[..2].to_ascii_uppercase();
    }
    told.to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fake::{Agent, look_at};
    use super::*;

    pub async fn look(agent: Agent) -> Observation {
        look_at(agent, DiskProber::new).await
    }

    fn row(agent: &mut Agent, index: u32, kind: u32, name: &str, cells: [i64; 3]) {
        let cell = |column: u32| [STORAGE, &[column, index]].concat();
        agent.put(&cell(2), Value::Oid(Oid::new(TYPES).below(&[kind])));
        agent.put(&cell(3), Value::Bytes(name.as_bytes().to_vec()));
        for (column, value) in (4..).zip(cells) {
            agent.put(&cell(column), Value::Integer(value));
        }
    }

    #[tokio::test]
    async fn only_what_fills_up_is_told() {
        let mut agent = Agent::default();
        row(&mut agent, 1, 2, "Physical memory", [1024, 1_000_000, 900_000]);
        row(&mut agent, 31, 4, "/", [4096, 1_000, 930]);
        row(&mut agent, 32, 4, "/run", [4096, 100, 99]);
        row(&mut agent, 33, 4, "/runs", [4096, 100, 10]);
        row(&mut agent, 34, 4, "/var/lib/docker/overlay2/x", [4096, 100, 99]);
        row(&mut agent, 35, 4, "/big", [4096, -4_012_904, 1]);
        row(&mut agent, 36, 4, "/unknown", [4096, -1, 1]);
        row(&mut agent, 37, 7, "/cdrom", [2048, 100, 100]);
        row(&mut agent, 38, 4, "C:\\ Label:  Serial Number 10f82425", [4096, 100, 5]);
        row(&mut agent, 39, 4, "/", [4096, 5, 5]);
        row(&mut agent, 40, 4, "/nothing", [0, 5, 5]);
        let seen = look(agent).await;
        assert_eq!(&*seen.headline, "/ 93 % full");
        let told: Vec<_> = seen
            .readings
            .iter()
            .filter(|reading| reading.metric == "disk_size_bytes")
            .map(|reading| (reading.labels[0].1.as_str(), reading.value))
            .collect();
        let big = 4_290_954_392.0 * 4096.0;
        assert_eq!(
            told,
            [("/", 4_096_000.0), ("/runs", 409_600.0), ("/big", big), ("C:", 409_600.0)]
        );
    }

    #[tokio::test]
    async fn a_device_without_disks_is_down() {
        let mut agent = Agent::default();
        agent.put(&[1, 3, 6, 1, 2, 1, 1, 2, 0], Value::Oid(Oid::new(&[1, 3])));
        let seen = look(agent).await;
        assert!(!seen.up && seen.cause.unwrap().contains("no disks"));
    }
}
