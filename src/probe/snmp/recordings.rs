//! The recordings of the conformance corpora, played without a network: what LibreNMS makes of
//! the same printers, and that no device breaks a look.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fake::Agent;
use super::printer::tests::measured;
use super::{disk, interfaces, ups};

/// Where we differ from LibreNMS on purpose: device, supply, and why.
fn differences() -> Vec<(&'static str, &'static str)> {
    include_str!("../../../tests/snmp-differences.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            let different = (words.next()?, words.next()?);
            words.next().map(|_reason| different)
        })
        .collect()
}

fn corpora() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    let folder =
        std::env::var_os("AUGENMASS_CONFORMANCE").map_or(beside, PathBuf::from).join("snmp");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no conformance corpora");
    None
}

#[tokio::test]
async fn no_recording_breaks_a_look() {
    let Some(folder) = corpora() else { return };
    let mut seen = 0;
    for entry in std::fs::read_dir(folder.join("recordings")).unwrap() {
        let path = entry.unwrap().path();
        let recording = std::fs::read(&path).unwrap();
        let changes: [fn(Agent) -> Agent; 3] = [|agent| agent, Agent::version_1, |a| a.at_most(3)];
        for change in changes {
            let agent = || change(Agent::recorded(&recording));
            // The other kinds in turn.
            let mut looks = vec![measured(agent()).await];
            looks.push(match seen % 3 {
                0 => disk::tests::look(agent()).await,
                1 => ups::tests::look(agent()).await,
                _ => interfaces::tests::look(agent()).await,
            });
            for look in looks {
                assert!(look.up || look.cause.is_some(), "{}", path.display());
                let mut series = std::collections::HashSet::new();
                for reading in &look.readings {
                    let labels: Vec<_> =
                        reading.labels.iter().map(|(n, v)| (*n, v.as_str().to_owned())).collect();
                    let once = series.insert((reading.metric, labels));
                    assert!(once, "{}: {reading:?} twice", path.display());
                }
            }
            seen += 1;
        }
        // So that the next one meets another kind first.
        seen += 1;
    }
    assert!(seen >= 100, "{seen} recordings");
}

/// For each supply LibreNMS knows a percentage of: ours is within one of it.
#[tokio::test]
async fn supplies_are_what_librenms_says() {
    let Some(folder) = corpora() else { return };
    let (mut compared, mut wrong, mut unused) = (0, Vec::new(), differences());
    for entry in std::fs::read_dir(folder.join("librenms")).unwrap() {
        let path = entry.unwrap().path();
        let device = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let said: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let Some(supplies) = said["printer-supplies"]["discovery"]["printer_supplies"].as_array()
        else {
            continue;
        };
        let recording = folder.join("recordings").join(format!("{device}.snmprec"));
        let Ok(recording) = std::fs::read(recording) else { continue };
        let look = measured(Agent::recorded(&recording)).await;
        let ours: BTreeMap<&str, f64> = look
            .readings
            .iter()
            .filter(|reading| reading.metric == "printer_supply_remaining_ratio")
            .map(|reading| (reading.labels[0].1.as_str(), reading.value))
            .collect();
        for supply in supplies {
            let oid = supply["supply_oid"].as_str().unwrap_or_default();
            let Some(index) = oid.strip_prefix(".1.3.6.1.2.1.43.11.1.1.9.") else { continue };
            let theirs = supply["supply_current"].as_f64().unwrap_or(-1.0);
            let fits = ours.get(index).is_some_and(|ratio| (ratio * 100.0 - theirs).abs() <= 1.0);
            compared += 1;
            let listed = unused.iter().position(|known| *known == (device.as_str(), index));
            match (fits, listed) {
                (true, None) => {}
                (false, Some(at)) => {
                    unused.swap_remove(at);
                }
                (fits, _) => wrong.push(format!(
                    "{device} {index} {}: LibreNMS {theirs}, ours {:?}, fits {fits}",
                    supply["supply_descr"],
                    ours.get(index)
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(unused.is_empty() && compared >= 50, "{compared} compared, {unused:?}");
}

/// The rows of one metric on a page of snmp_exporter: one label's value, and the number.
fn page(folder: &Path, file: &str, metric: &str, label: &str) -> BTreeMap<String, f64> {
    let page = std::fs::read_to_string(folder.join("expected").join(file)).unwrap_or_default();
    let rows = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?.strip_prefix('{')?;
        let (labels, value) = rest.rsplit_once("} ")?;
        let start = labels.find(&format!("{label}=\""))? + label.len() + 2;
        let end = start + labels[start..].find('"')?;
        Some((labels[start..end].to_owned(), value.parse().ok()?))
    });
    rows.collect()
}

fn devices(folder: &Path, module: &str) -> Vec<String> {
    let ending = format!(".{module}.prom");
    let files = std::fs::read_dir(folder.join("expected")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(&ending).map(str::to_owned)).collect()
}

fn told(look: &crate::probe::Observation, metric: &str) -> BTreeMap<String, f64> {
    let of = look.readings.iter().filter(|reading| reading.metric == metric);
    of.map(|r| (r.labels.first().map_or("", |l| l.1.as_str()).to_owned(), r.value)).collect()
}

fn recorded(folder: &Path, device: &str) -> Agent {
    let path = folder.join("recordings").join(format!("{device}.snmprec"));
    Agent::recorded(&std::fs::read(path).unwrap())
}

/// Sizes and used bytes are what snmp_exporter read, times the unit.
#[tokio::test]
async fn disks_are_what_snmp_exporter_read() {
    let Some(folder) = corpora() else { return };
    let mut compared = 0;
    for device in devices(&folder, "hrStorage") {
        let look = disk::tests::look(recorded(&folder, &device)).await;
        let file = format!("{device}.hrStorage.prom");
        let units = page(&folder, &file, "hrStorageAllocationUnits", "hrStorageDescr");
        for (ours, theirs) in
            [("disk_size_bytes", "hrStorageSize"), ("disk_used_bytes", "hrStorageUsed")]
        {
            let theirs = page(&folder, &file, theirs, "hrStorageDescr");
            for (name, value) in told(&look, ours) {
                let (row, count) = theirs
                    .iter()
                    .find(|(row, _)| **row == name || row.starts_with(&format!("{name}\\")))
                    .unwrap_or_else(|| panic!("{device} {name}"));
                let wrapped = if *count < -1.0 { count + 4_294_967_296.0 } else { *count };
                assert_eq!(value, wrapped * units[row], "{device} {name}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 20, "{compared}");
}

/// Ports have the states, speeds and counters that snmp_exporter read.
#[tokio::test]
async fn ports_are_what_snmp_exporter_read() {
    let Some(folder) = corpora() else { return };
    let (mut compared, mut wrong) = (0, Vec::new());
    for device in devices(&folder, "if_mib") {
        let look = interfaces::tests::look(recorded(&folder, &device)).await;
        let file = format!("{device}.if_mib.prom");
        for metric in
            ["ifOperStatus", "ifAdminStatus", "ifHCInOctets", "ifHCOutOctets", "ifInErrors"]
        {
            let theirs = page(&folder, &file, metric, "ifName");
            for (name, value) in told(&look, metric) {
                // Ports without a name or with a common one are not comparable by name.
                let Some(expected) = theirs.get(&name).filter(|_| !name.contains('#')) else {
                    continue;
                };
                compared += 1;
                if (value - expected).abs() > expected.abs() * 1e-5 {
                    wrong.push(format!("{device} {metric} {name}: {expected}, ours {value}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= 500, "{compared}");
}

/// Charge, runtime and load of recorded UPS are what LibreNMS says.
#[tokio::test]
async fn power_supplies_are_what_librenms_says() {
    let Some(folder) = corpora() else { return };
    // Device, LibreNMS' sensor, ours, and how many of theirs are one of ours.
    let senses = [
        ("charge", "ups_battery_charge_ratio", 100.0),
        ("runtime", "ups_battery_runtime_seconds", 1.0 / 60.0),
    ];
    let mut compared = 0;
    for device in [
        "apc_smt750x-nmc2",
        "apc_sua750i",
        "eaton-mgeups_5px",
        "deltaups",
        "cyberpower_pr2200rt2uc",
        "netmanplus_204",
    ] {
        let look = ups::tests::look(recorded(&folder, device)).await;
        let said = std::fs::read(folder.join("librenms").join(format!("{device}.json"))).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        let sensors = said["sensors"]["discovery"]["sensors"].as_array().unwrap();
        for (class, metric, factor) in senses {
            let of = sensors.iter().filter(|sensor| sensor["sensor_class"] == class);
            let theirs: Vec<f64> = of.filter_map(|s| s["sensor_current"].as_f64()).collect();
            let Some(ours) = told(&look, metric).into_values().next() else { continue };
            if theirs.is_empty() {
                continue;
            }
            let fits =
                theirs.iter().any(|theirs| (ours * factor - theirs).abs() <= theirs.abs() * 0.01);
            assert!(fits, "{device} {class}: {theirs:?}, ours {}", ours * factor);
            compared += 1;
        }
    }
    assert!(compared >= 6, "{compared}");
}
