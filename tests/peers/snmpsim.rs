//! Recorded devices played by snmpsim, and net-snmp's own agent: printers over real UDP.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use augenmass::model::Secret;
use augenmass::ports::{Clock, SystemClock};
use augenmass::probe::snmp::{
    DiskProber, InterfacesProber, Oid, Peer, PrinterProber, Session, SnmpError, SnmpTransport,
    UdpSnmp, UpsProber, Value,
};
use augenmass::probe::{Observation, Outcome, Prober, Resolver, SnmpAuth, SnmpTarget, Waste};

use crate::harness::{Running, free_udp_port, require, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

fn corpora() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    let named = std::env::var_os("AUGENMASS_CONFORMANCE").map(PathBuf::from);
    let folder = named.unwrap_or(beside).join("snmp");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no conformance corpora");
    None
}

/// The devices of a kind, as the index of the recordings has it.
fn devices(folder: &Path, kind: &str) -> Vec<String> {
    let index = fs::read(folder.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let of_kind = index.as_array().unwrap().iter().filter(|device| device["kind"] == kind);
    of_kind.map(|device| device["device"].as_str().unwrap().to_owned()).collect()
}

struct Simulator {
    _program: Running,
    _data: tempfile::TempDir,
    port: u16,
}

impl Simulator {
    /// Plays recordings, each under its name as community.
    fn start(recordings: &Path, names: &[String]) -> Option<Self> {
        let program = simulator()?;
        let (data, port) = (tempfile::tempdir().unwrap(), free_udp_port());
        let cache = data.path().join("cache");
        fs::create_dir(&cache).unwrap();
        for name in names {
            let file = format!("{name}.snmprec");
            fs::write(data.path().join(&file), fs::read(recordings.join(&file)).unwrap()).unwrap();
        }
        let mut command = Command::new(program);
        command.arg(format!("--data-dir={}", data.path().display()));
        command.arg(format!("--cache-dir={}", cache.display()));
        command.arg(format!("--agent-udpv4-endpoint=127.0.0.1:{port}"));
        command.arg("--logging-method=null");
        if fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
        {
            // It wants to be told; a Python below root's home could not be read by anybody else.
            command.args(["--process-user=root", "--process-group=root"]);
        }
        Some(Self { _program: Running::start(&mut command), _data: data, port })
    }
}

/// Debian's snmpsim (0.4), else snmpsim 1.x.
fn simulator() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("snmpsimd"));
    let named = std::env::var_os("AUGENMASS_PEERS").map(PathBuf::from);
    let new = named.is_some_and(|folder| folder.join("snmpsim-command-responder").is_file());
    match found.into_iter().find(|program| program.is_file()) {
        Some(debian) if !new => Some(debian),
        _ => require("snmpsim-command-responder"),
    }
}

/// A constructor of a prober.
type NewProber<P> = fn(&SnmpTarget, Arc<dyn Clock>, Arc<Resolver>, Arc<dyn SnmpTransport>) -> P;

struct Door {
    clock: Arc<SystemClock>,
    resolver: Arc<Resolver>,
    snmp: Arc<UdpSnmp>,
}

impl Door {
    fn new() -> Self {
        let clock = Arc::new(SystemClock::start());
        let resolver = Arc::new(Resolver::from_system(clock.clone()));
        Self { clock, resolver, snmp: Arc::new(UdpSnmp::new()) }
    }

    async fn look(&self, port: u16, auth: SnmpAuth, limit: Duration) -> Observation {
        self.look_by(PrinterProber::new, port, auth, limit).await
    }

    async fn look_by<P: Prober>(
        &self,
        new: NewProber<P>,
        port: u16,
        auth: SnmpAuth,
        limit: Duration,
    ) -> Observation {
        let host = "127.0.0.1".into();
        let target = SnmpTarget { host, port, auth, retries: 2, waste: Waste::Remaining };
        let (clock, resolver) = (self.clock.clone(), self.resolver.clone());
        let prober = new(&target, clock, resolver, self.snmp.clone());
        match prober.probe(self.clock.mono().after(limit)).await {
            Outcome::Measured(seen) => seen,
            Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
        }
    }
}

fn v2c(community: &str) -> SnmpAuth {
    SnmpAuth::V2c { community: Secret::new(community) }
}

fn v1(community: &str) -> SnmpAuth {
    SnmpAuth::V1 { community: Secret::new(community) }
}

fn run<T>(work: impl std::future::Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn wait_for_answer(port: u16, community: &str) {
    let prober = Door::new();
    wait_for("snmpsim", LIMIT, || {
        let seen = run(prober.look(port, v2c(community), Duration::from_secs(1)));
        seen.up.then_some(())
    });
}

/// Percentages by supply.
fn percentages(seen: &Observation) -> BTreeMap<String, f64> {
    let of = seen.readings.iter().filter(|r| r.metric == "printer_supply_remaining_ratio");
    of.map(|r| (r.labels[0].1.as_str().to_owned(), r.value * 100.0)).collect()
}

fn pages(seen: &Observation) -> Option<f64> {
    seen.readings.iter().find(|r| r.metric == "printer_pages_total").map(|r| r.value)
}

/// What the recording itself and LibreNMS say about the supplies of a printer.
fn expected(folder: &Path, device: &str) -> BTreeMap<String, f64> {
    let Ok(said) = fs::read(folder.join(format!("librenms/{device}.json"))) else {
        return BTreeMap::new();
    };
    let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
    let supplies = said["printer-supplies"]["discovery"]["printer_supplies"].as_array();
    let known = |index: &str| {
        include_str!("../snmp-differences.txt").contains(&format!("{device} {index} "))
    };
    supplies
        .into_iter()
        .flatten()
        .filter_map(|supply| {
            let oid = supply["supply_oid"].as_str()?;
            let index = oid.strip_prefix(".1.3.6.1.2.1.43.11.1.1.9.")?;
            let percent = supply["supply_current"].as_f64()?;
            (!known(index)).then(|| (index.to_owned(), percent))
        })
        .collect()
}

/// What snmp_exporter read as the first marker's page count.
fn expected_pages(folder: &Path, device: &str) -> Option<f64> {
    let page =
        fs::read_to_string(folder.join(format!("expected/{device}.printer_mib.prom"))).ok()?;
    let line = page.lines().find(|line| line.starts_with("prtMarkerLifeCount{"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn recorded_printers() {
    let Some(folder) = corpora() else { return };
    let names = devices(&folder, "printer");
    let Some(simulator) = Simulator::start(&folder.join("recordings"), &names) else { return };
    wait_for_answer(simulator.port, "sharp");
    let prober = Door::new();
    let (mut compared, mut counted, mut wrong) = (0, 0, Vec::new());
    for name in &names {
        for auth in [v2c(name), v1(name)] {
            let seen = run(prober.look(simulator.port, auth.clone(), LIMIT));
            let ours = percentages(&seen);
            for (supply, theirs) in expected(&folder, name) {
                compared += 1;
                if ours.get(&supply).is_none_or(|ours| (ours - theirs).abs() > 1.0) {
                    wrong.push(format!("{name} {supply} {auth:?}: {theirs}, ours {ours:?}"));
                }
            }
            if let Some(theirs) = expected_pages(&folder, name) {
                counted += 1;
                if pages(&seen) != Some(theirs) {
                    wrong.push(format!("{name} pages: {theirs}, ours {:?}", pages(&seen)));
                }
            }
            let told = format!("{seen:?}");
            for secret in ["SN4817", "CRUM-", "S/N"] {
                assert!(!told.contains(secret), "{name}: {told}");
            }
        }
    }
    println!("{} printers: {compared} supplies and {counted} page counts compared", names.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 100 && counted > 4);
}

#[test]
fn another_community_and_a_stopped_device_are_down() {
    let Some(folder) = corpora() else { return };
    let names = ["brother".to_owned()];
    let Some(simulator) = Simulator::start(&folder.join("recordings"), &names) else { return };
    wait_for_answer(simulator.port, "brother");
    let prober = Door::new();
    let short = Duration::from_secs(1);
    let seen = run(prober.look(simulator.port, v2c("canary-community"), short));
    let cause = seen.cause.unwrap();
    assert!(!seen.up && cause.contains("community") && !cause.contains("canary"), "{cause}");
    let port = simulator.port;
    drop(simulator);
    assert!(!run(prober.look(port, v2c("brother"), short)).up);
}

/// Twenty printers at once over the one socket.
#[test]
fn many_printers_share_one_socket() {
    let Some(folder) = corpora() else { return };
    let names = devices(&folder, "printer");
    let Some(simulator) = Simulator::start(&folder.join("recordings"), &names) else { return };
    wait_for_answer(simulator.port, "sharp");
    let prober = Arc::new(Door::new());
    let port = simulator.port;
    let up = run(async {
        let mut looks = tokio::task::JoinSet::new();
        for name in names.iter().cycle().take(20) {
            let (prober, auth) = (prober.clone(), v2c(name));
            looks.spawn(async move { prober.look(port, auth, LIMIT).await });
        }
        let seen = looks.join_all().await;
        seen.iter().filter(|seen| seen.readings.iter().any(|r| r.metric.contains("supply"))).count()
    });
    assert!(up >= 12, "{up} of 20 have supplies");
}

/// What a prober of each kind tells of recorded devices, over GETBULK and over version 1: the same.
#[test]
fn other_recorded_devices() {
    let Some(folder) = corpora() else { return };
    let names: Vec<String> =
        ["ups", "nas", "net"].iter().flat_map(|kind| devices(&folder, kind)).collect();
    let mut all = names.clone();
    all.push("brother".to_owned());
    let Some(simulator) = Simulator::start(&folder.join("recordings"), &all) else { return };
    wait_for_answer(simulator.port, "brother");
    let (door, port) = (Door::new(), simulator.port);
    let mut series = 0;
    for name in names {
        let both = [v2c(&name), v1(&name)].map(|auth| {
            run(async {
                let disks = door.look_by(DiskProber::new, port, auth.clone(), LIMIT).await;
                let power = door.look_by(UpsProber::new, port, auth.clone(), LIMIT).await;
                let ports = door.look_by(InterfacesProber::new, port, auth, LIMIT).await;
                // Version 1 has no Counter64.
                let told = [disks, power, ports].into_iter().flat_map(|seen| seen.readings);
                told.filter(|r| !r.metric.contains("Octets")).collect::<Vec<_>>()
            })
        });
        assert_eq!(both[0], both[1], "{name}");
        series += both[0].len();
    }
    println!("{series} series, the same in both versions");
    assert!(series > 1_000, "{series}");
}

struct NetSnmp {
    _program: Running,
    _folder: tempfile::TempDir,
    port: u16,
}

impl NetSnmp {
    fn start() -> Option<Self> {
        let program = require("snmpd")?;
        let (folder, port) = (tempfile::tempdir().unwrap(), free_udp_port());
        let config = folder.path().join("snmpd.conf");
        fs::write(&config, "rocommunity public 127.0.0.1\nsysName real-agent\n").unwrap();
        let mut command = Command::new(program);
        command.args(["-f", "-Ln", "-C", "-c"]).arg(&config);
        command.arg("-p").arg(folder.path().join("pid"));
        command.arg(format!("udp:127.0.0.1:{port}"));
        command.env("SNMP_PERSISTENT_DIR", folder.path());
        Some(Self { _program: Running::start(&mut command), _folder: folder, port })
    }

    fn peer(&self, auth: SnmpAuth) -> Peer {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Peer { address, auth, wait: Duration::from_secs(1), retries: 1 }
    }
}

#[test]
fn the_agent_of_every_linux_machine() {
    let Some(agent) = NetSnmp::start() else { return };
    let (clock, snmp) = (SystemClock::start(), UdpSnmp::new());
    let name = Oid::new(&[1, 3, 6, 1, 2, 1, 1, 5, 0]);
    let absent = Oid::new(&[1, 3, 6, 1, 2, 1, 43, 5, 1, 1, 2, 1]);
    run(async {
        for auth in [v2c("public"), v1("public")] {
            let peer = agent.peer(auth);
            let deadline = clock.mono().after(LIMIT);
            let session = Session::new(&snmp, &clock, &peer, deadline);
            // It needs a moment until it listens: the same question until then.
            let mut tries = 0;
            let values = loop {
                match session.get(&[absent.clone(), name.clone()]).await {
                    Err(SnmpError::Silence) if tries < 20 => tries += 1,
                    other => break other.unwrap(),
                }
            };
            assert_eq!(values, [None, Some(Value::Bytes(b"real-agent".to_vec()))]);
            let interfaces = Oid::new(&[1, 3, 6, 1, 2, 1, 2, 2, 1]);
            let columns = [1, 2, 8].map(|column| interfaces.below(&[column]));
            let found = session.walk(&columns, 100).await.unwrap();
            assert!(!found[0].is_empty() && found[0].len() == found[1].len(), "{found:?}");
        }
    });
    let prober = Door::new();
    let seen = run(prober.look(agent.port, v2c("public"), LIMIT));
    assert!(!seen.up && seen.cause.unwrap().contains("nothing of a printer"));

    // Its ports and disks are this machine's.
    let ports = run(prober.look_by(InterfacesProber::new, agent.port, v2c("public"), LIMIT));
    let lo = |r: &&augenmass::probe::Reading| {
        r.metric == "ifOperStatus" && r.labels[0].1.as_str() == "lo"
    };
    assert_eq!(ports.readings.iter().find(lo).unwrap().value, 1.0);
    let disks = run(prober.look_by(DiskProber::new, agent.port, v2c("public"), LIMIT));
    let size_of_root = disks
        .readings
        .iter()
        .find(|reading| reading.metric == "disk_size_bytes" && reading.labels[0].1.as_str() == "/");
    let df = Command::new("df").args(["--output=size", "-B1", "/"]).output().unwrap();
    let df = String::from_utf8(df.stdout).unwrap();
    let size: f64 = df.lines().nth(1).unwrap().trim().parse().unwrap();
    // Containers may hide their root from the agent.
    if let Some(ours) = size_of_root {
        assert!((ours.value - size).abs() <= size * 0.01, "{} {size}", ours.value);
        println!("/ has {size} bytes, and so says the agent");
    }
}
