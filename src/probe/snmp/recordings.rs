//! The recordings of the conformance corpora, played without a network: what LibreNMS makes of
//! the same printers, and that no device breaks a look.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::fake::Agent;
use super::printer::tests::measured;

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
        let agent = || Agent::recorded(&std::fs::read(&path).unwrap());
        for agent in [agent(), agent().version_1(), agent().at_most(3)] {
            let look = measured(agent).await;
            assert!(look.up || look.cause.is_some(), "{}", path.display());
            seen += 1;
        }
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
