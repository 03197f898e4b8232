use super::super::fake::Agent;
use super::*;
use crate::model::Secret;
use crate::ports::SystemClock;
use crate::probe::SnmpAuth;
use proptest::prelude::*;
use std::time::Duration;

fn prober(agent: Agent, waste: Waste) -> (PrinterProber, Arc<Agent>) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let target = SnmpTarget {
        host: "127.0.0.1".into(),
        port: 161,
        auth: SnmpAuth::V2c { community: Secret::new("canary-community") },
        retries: 2,
        waste,
    };
    let resolver = Arc::new(Resolver::from_system(clock.clone()));
    let agent = Arc::new(agent);
    (PrinterProber::new(&target, clock, resolver, agent.clone()), agent)
}

async fn look_at(agent: Agent) -> Outcome {
    let (prober, _) = prober(agent, Waste::Remaining);
    prober.probe(prober.device.clock.mono().after(Duration::from_secs(10))).await
}

pub async fn measured(agent: Agent) -> Observation {
    match look_at(agent).await {
        Outcome::Measured(seen) => seen,
        Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
    }
}

fn text_of(text: &str) -> Value {
    Value::Bytes(text.as_bytes().to_vec())
}

/// A printer whose device index is 3 and whose rows are 2 (black), 9 (waste).
fn printer() -> Agent {
    let mut agent = Agent::default();
    agent.put(SYS_OBJECT_ID, Value::Oid(Oid::new(&[1, 3, 6, 1, 4, 1, 11])));
    agent.put(
        &[HR_DEVICE_TYPE, &[1]].concat(),
        Value::Oid(Oid::new(&[1, 3, 6, 1, 2, 1, 25, 3, 1, 4])),
    );
    agent.put(&[HR_DEVICE_TYPE, &[3]].concat(), Value::Oid(Oid::new(HR_IS_PRINTER)));
    agent.put(&[HR_DEVICE_STATUS, &[1]].concat(), Value::Integer(5));
    agent.put(&[HR_DEVICE_STATUS, &[3]].concat(), Value::Integer(3));
    agent.put(&[HR_PRINTER_ERRORS, &[3]].concat(), Value::Bytes(vec![0x20]));
    let mut supply = |row: u32, column: u32, value: Value| {
        agent.put(&[SUPPLIES, &[column, 3, row]].concat(), value);
    };
    for (row, color, kind, text, level) in
        [(2, 7, 3, "Cartridge;SN1234567\0", 4), (9, 0, 4, "Waste Box", 80)]
    {
        supply(row, 3, Value::Integer(color));
        supply(row, 4, Value::Integer(if kind == 4 { 4 } else { 3 }));
        supply(row, 5, Value::Integer(kind));
        supply(row, 6, text_of(text));
        supply(row, 7, Value::Integer(19));
        supply(row, 8, Value::Integer(100));
        supply(row, 9, Value::Integer(level));
    }
    agent.put(&[COLORANT, &[3, 7]].concat(), text_of("black\0"));
    agent.put(&[LIFE_COUNT, &[3, 1]].concat(), Value::Integer(1234));
    agent
}

fn series(seen: &Observation) -> Vec<String> {
    let mut lines: Vec<String> = seen
        .readings
        .iter()
        .filter(|reading| reading.value != 0.0)
        .map(|reading| {
            let labels = reading
                .labels
                .iter()
                .filter(|(_, value)| !value.as_str().is_empty())
                .map(|(name, value)| format!("{name}={}", value.as_str()))
                .collect::<Vec<_>>();
            format!("{}{{{}}} {}", reading.metric, labels.join(","), reading.value)
        })
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_printer_with_four_percent_of_black() {
    let seen = measured(printer()).await;
    assert!(seen.up);
    assert_eq!(&*seen.headline, "little toner, black toner 4 %");
    assert_eq!(
        series(&seen),
        [
            "printer_pages_total{} 1234",
            "printer_state{state=warning} 1",
            "printer_supply_remaining_ratio{supply=3.2,name=Cartridge,kind=toner,color=black} 0.04",
            "printer_supply_remaining_ratio{supply=3.9,name=Waste Box,kind=waste_toner} 0.8",
            "printer_supply_state{supply=3.2,name=Cartridge,kind=toner,color=black,state=low} 1",
            "printer_supply_state{supply=3.9,name=Waste Box,kind=waste_toner,state=ok} 1",
        ]
    );
    let known = |reading: &Reading| METRICS.iter().any(|meta| meta.name == reading.metric);
    assert!(seen.readings.iter().all(known));
}

#[tokio::test]
async fn the_device_index_is_learned_once() {
    let (prober, agent) = prober(printer(), Waste::Remaining);
    let deadline = || prober.device.clock.mono().after(Duration::from_secs(10));
    prober.probe(deadline()).await;
    let first = agent.asked();
    prober.probe(deadline()).await;
    assert_eq!(agent.asked() - first, first - 1);
    // State, three steps through the supplies, two through the rest.
    assert!(agent.asked() - first <= 6, "{}", agent.asked() - first);
}

#[tokio::test]
async fn waste_can_be_ignored() {
    let (prober, _) = prober(printer(), Waste::Ignore);
    let outcome = prober.probe(prober.device.clock.mono().after(Duration::from_secs(10))).await;
    let Outcome::Measured(seen) = outcome else { panic!("not measured") };
    assert!(series(&seen).iter().all(|line| !line.contains("waste")));
}

#[tokio::test]
async fn a_jam_stops_it_and_an_alert_names_the_supply() {
    let mut agent = printer();
    let mut alert = |row: u32, severity, group, about, code| {
        for (column, value) in [(2, severity), (4, group), (5, about), (7, code)] {
            agent.put(&[ALERTS, &[column, 3, row]].concat(), Value::Integer(value));
        }
    };
    alert(1, 3, 13, 1, 8);
    alert(2, 4, 11, 9, 1109);
    let seen = measured(agent).await;
    assert!(seen.up);
    assert_eq!(&*seen.headline, "stopped: paper jam, black toner 4 %");
    let lines = series(&seen);
    assert!(lines.contains(&"printer_state{state=stopped} 1".to_owned()));
    assert!(lines.iter().any(|line| line.contains("supply=3.9") && line.contains("state=empty")));
}

#[tokio::test]
async fn charsets_are_asked_for_when_needed() {
    let mut agent = printer();
    agent.put(&[SUPPLIES, &[6, 3, 2]].concat(), Value::Bytes(b"Patrone f\xcfr".to_vec()));
    agent.put(&[LOCALIZATION, &[3]].concat(), Value::Integer(2));
    agent.put(&[CHARSET, &[3, 2]].concat(), Value::Integer(2004));
    let seen = measured(agent).await;
    assert!(series(&seen).iter().any(|line| line.contains("name=Patrone für")));
}

#[tokio::test]
async fn a_brother_is_asked_where_it_keeps_its_levels() {
    let mut agent = printer();
    agent.put(SYS_OBJECT_ID, Value::Oid(Oid::new(&[1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 1])));
    agent.put(&[SUPPLIES, &[9, 3, 2]].concat(), Value::Integer(-3));
    let maintenance = [1, 3, 6, 1, 4, 1, 2435, 2, 3, 9, 4, 2, 1, 5, 5, 8, 0];
    agent.put(&maintenance, Value::Bytes(vec![0x6F, 1, 4, 0, 0, 0x09, 0xC4, 0xFF]));
    let seen = measured(agent).await;
    assert!(seen.headline.ends_with("black toner 25 %"), "{}", seen.headline);
}

#[tokio::test]
async fn version_1_and_partial_devices() {
    let seen = measured(printer().version_1()).await;
    assert!(seen.up && seen.headline.contains("4 %"), "{seen:?}");
    let mut partial = printer();
    for column in [3, 4, 5, 7] {
        for row in [2, 9] {
            partial.remove(&[SUPPLIES, &[column, 3, row]].concat());
        }
    }
    let seen = measured(partial).await;
    assert!(series(&seen).iter().any(|line| line.contains("kind=waste_toner")), "{seen:?}");
}

#[tokio::test]
async fn wrong_types_are_absent_values() {
    let mut agent = printer();
    agent.put(&[SUPPLIES, &[9, 3, 2]].concat(), text_of("full"));
    agent.put(&[SUPPLIES, &[6, 3, 2]].concat(), Value::Integer(7));
    agent.put(&[HR_DEVICE_STATUS, &[3]].concat(), text_of("running"));
    agent.put(&[LIFE_COUNT, &[3, 1]].concat(), Value::Counter64(u64::MAX));
    let seen = measured(agent).await;
    let lines = series(&seen);
    assert!(lines.iter().any(|line| line.contains("supply=3.2") && line.contains("state=unknown")));
    assert!(lines.iter().any(|line| line.contains("name=black toner")), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("pages")));
}

#[tokio::test]
async fn what_is_no_printer_is_down() {
    let mut agent = Agent::default();
    agent.put(SYS_OBJECT_ID, Value::Oid(Oid::new(&[1, 3, 6, 1, 4, 1, 9])));
    let seen = measured(agent).await;
    assert!(!seen.up && seen.cause.unwrap().contains("nothing of a printer"));
}

#[tokio::test(start_paused = true)]
async fn silence_and_refusal_are_down_and_say_why() {
    let seen = measured(Agent::silent()).await;
    let cause = seen.cause.unwrap();
    assert!(!seen.up && cause.contains("community") && !cause.contains("canary"), "{cause}");
    let seen = measured(printer().refusing(16)).await;
    assert!(!seen.up && seen.cause.unwrap().contains("authorizationError"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever values and rows an agent gives, a look ends, and no ratio leaves 0 to 1.
    #[test]
    fn no_printer_breaks_it(
        cells in proptest::collection::vec((3u32..10, 0u32..3, 0u32..70, -5i64..200, any::<bool>()), 0..120),
        version_1: bool,
    ) {
        let mut agent = printer();
        for (column, device, row, value, number) in cells {
            let value = if number { Value::Integer(value) } else { Value::Bytes(value.to_be_bytes().to_vec()) };
            agent.put(&[SUPPLIES, &[column, device, row]].concat(), value);
        }
        let agent = if version_1 { agent.version_1() } else { agent };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(measured(agent));
        for reading in &seen.readings {
            if reading.metric == "printer_supply_remaining_ratio" {
                prop_assert!((0.0..=1.0).contains(&reading.value));
            }
        }
    }
}
