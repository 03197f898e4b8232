use std::io;
use std::net::SocketAddr;

use super::SnmpAgent;
use crate::probe::snmp::{Oid, Value};

/// The community it answers to.
const COMMUNITY: &str = "public";

const SUPPLIES: [u32; 10] = [1, 3, 6, 1, 2, 1, 43, 11, 1, 1];
const LIFE_COUNT: [u32; 13] = [1, 3, 6, 1, 2, 1, 43, 10, 2, 1, 4, 1, 1];
const DEVICE_STATUS: [u32; 12] = [1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 5, 1];
const ERROR_STATE: [u32; 12] = [1, 3, 6, 1, 2, 1, 25, 3, 5, 1, 2, 1];

/// A colour laser printer: four toners, a drum, a waste box.
pub struct Printer {
    agent: SnmpAgent,
}

/// Its toners, by the row they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toner {
    /// Row 1.
    Black = 1,
    /// Row 2.
    Cyan = 2,
    /// Row 3.
    Magenta = 3,
    /// Row 4.
    Yellow = 4,
}

impl Printer {
    /// On a free port of 127.0.0.1, idle, with so much black toner left (percent).
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(black: u8) -> io::Result<Self> {
        Ok(Self { agent: SnmpAgent::start(COMMUNITY, objects(black)).await? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.agent.address()
    }

    /// The community it answers to.
    pub fn community(&self) -> &'static str {
        COMMUNITY
    }

    /// So much of a toner is left, in percent.
    pub fn set_toner(&self, toner: Toner, percent: u8) {
        let level = [&SUPPLIES[..], &[9, 1, toner as u32]].concat();
        self.agent.set(&level, Value::Integer(i64::from(percent.min(100))));
    }

    /// So many pages printed in its life.
    pub fn set_pages(&self, pages: u32) {
        self.agent.set(&LIFE_COUNT, Value::Integer(i64::from(pages)));
    }

    /// Paper jammed (it stops), or pulled out again.
    pub fn set_jammed(&self, jammed: bool) {
        let (status, bits) = if jammed { (5, 0x04) } else { (2, 0x00) };
        self.agent.set(&DEVICE_STATUS, Value::Integer(status));
        self.agent.set(&ERROR_STATE, Value::Bytes(vec![bits]));
    }

    /// Switched off, or on again.
    pub fn set_off(&self, off: bool) {
        self.agent.set_silent(off);
    }
}

fn objects(black: u8) -> Vec<(Oid, Value)> {
    let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let mut objects = vec![
        (Oid::new(&[1, 3, 6, 1, 2, 1, 1, 1, 0]), text("augenmass demo printer")),
        (
            Oid::new(&[1, 3, 6, 1, 2, 1, 1, 2, 0]),
            Value::Oid(Oid::new(&[1, 3, 6, 1, 4, 1, 8072, 3, 2, 255])),
        ),
        (
            Oid::new(&[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 2, 1]),
            Value::Oid(Oid::new(&[1, 3, 6, 1, 2, 1, 25, 3, 1, 5])),
        ),
        (Oid::new(&[1, 3, 6, 1, 2, 1, 25, 3, 2, 1, 3, 1]), text("Demo LaserColor 100")),
        (Oid::new(&DEVICE_STATUS), Value::Integer(2)),
        (Oid::new(&[1, 3, 6, 1, 2, 1, 25, 3, 5, 1, 1, 1]), Value::Integer(3)),
        (Oid::new(&ERROR_STATE), Value::Bytes(vec![0])),
        (Oid::new(&LIFE_COUNT), Value::Integer(48_213)),
    ];
    // Row, colorant, class, type, description, unit, capacity, level.
    let supplies = [
        (1, 1, 3, 3, "Black Toner", 19, 100, i64::from(black.min(100))),
        (2, 2, 3, 3, "Cyan Toner", 19, 100, 61),
        (3, 3, 3, 3, "Magenta Toner", 19, 100, 72),
        (4, 4, 3, 3, "Yellow Toner", 19, 100, 55),
        (5, 0, 3, 9, "Drum Unit", 7, 30_000, 21_400),
        (6, 0, 4, 4, "Waste Toner Box", 19, -2, -3),
    ];
    for (row, colorant, class, kind, name, unit, max, level) in supplies {
        let numbers = [(3, colorant), (4, class), (5, kind), (7, unit), (8, max), (9, level)];
        let cell = |column: u32| Oid::new(&SUPPLIES).below(&[column, 1, row]);
        objects.extend(numbers.map(|(column, number)| (cell(column), Value::Integer(number))));
        objects.push((cell(6), text(name)));
    }
    for (row, color) in [(1, "black"), (2, "cyan"), (3, "magenta"), (4, "yellow")] {
        objects.push((Oid::new(&[1, 3, 6, 1, 2, 1, 43, 12, 1, 1, 4, 1, row]), text(color)));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use crate::ports::{Clock, SystemClock};
    use crate::probe::snmp::{PrinterProber, UdpSnmp};
    use crate::probe::{Observation, Outcome, Prober, Resolver, SnmpAuth, SnmpTarget, Waste};
    use std::sync::Arc;
    use std::time::Duration;

    fn prober(printer: &Printer, community: &str, version_1: bool) -> PrinterProber {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let community = Secret::new(community);
        let target = SnmpTarget {
            host: "127.0.0.1".into(),
            port: printer.address().port(),
            auth: if version_1 { SnmpAuth::V1 { community } } else { SnmpAuth::V2c { community } },
            retries: 1,
            waste: Waste::Remaining,
        };
        let resolver = Arc::new(Resolver::from_system(clock.clone()));
        PrinterProber::new(&target, clock, resolver, Arc::new(UdpSnmp::new()))
    }

    async fn look(prober: &PrinterProber, limit: Duration) -> Observation {
        let deadline = SystemClock::start().mono().after(limit);
        match prober.probe(deadline).await {
            Outcome::Measured(seen) => seen,
            Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
        }
    }

    fn value(seen: &Observation, metric: &str, label: &str) -> f64 {
        let has = |reading: &&crate::probe::Reading| {
            reading.metric == metric
                && reading.labels.iter().any(|(_, value)| value.as_str() == label)
        };
        seen.readings.iter().find(has).unwrap().value
    }

    #[tokio::test]
    async fn the_prober_sees_it_over_udp() {
        let printer = Printer::start(4).await.unwrap();
        let limit = Duration::from_secs(20);
        for version_1 in [false, true] {
            let prober = prober(&printer, printer.community(), version_1);
            let seen = look(&prober, limit).await;
            assert_eq!(&*seen.headline, "black toner 4 %");
            assert_eq!(value(&seen, "printer_supply_remaining_ratio", "black"), 0.04);
            assert_eq!(value(&seen, "printer_state", "ok"), 1.0);
            printer.set_jammed(true);
            printer.set_toner(Toner::Black, 100);
            let seen = look(&prober, limit).await;
            assert_eq!(value(&seen, "printer_state", "stopped"), 1.0);
            assert!(seen.headline.starts_with("stopped: paper jam"), "{}", seen.headline);
            printer.set_jammed(false);
            printer.set_toner(Toner::Black, 4);
        }
    }

    #[tokio::test]
    async fn off_and_another_community_look_the_same() {
        let printer = Printer::start(4).await.unwrap();
        let short = Duration::from_millis(400);
        let seen = look(&prober(&printer, "canary-community", false), short).await;
        assert!(!seen.up && !seen.cause.unwrap().contains("canary"));
        printer.set_off(true);
        let prober = prober(&printer, printer.community(), false);
        assert!(!look(&prober, short).await.up);
        printer.set_off(false);
        assert!(look(&prober, Duration::from_secs(20)).await.up);
    }
}
