//! Ports of switches, routers, access points and hosts by the IF-MIB (RFC 2863).

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

/// What ports tell; the names are those of the IF-MIB, as everybody's dashboards have them.
pub static METRICS: &[MetricMeta] = &[
    gauge("ifAdminStatus", "", "What the port should be: 1 up, 2 down, 3 testing."),
    gauge(
        "ifOperStatus",
        "",
        "What the port is: 1 up, 2 down, 3 testing, 4 unknown, 5 dormant, 6 not present, 7 lower layer down.",
    ),
    gauge("ifHighSpeed", "", "Speed of the port in millions of bits per second."),
    counter("ifHCInOctets", "bytes", "Bytes received."),
    counter("ifHCOutOctets", "bytes", "Bytes sent."),
    counter(
        "ifInOctets",
        "bytes",
        "Bytes received, where the device has only a counter of 32 bits.",
    ),
    counter("ifOutOctets", "bytes", "Bytes sent, where the device has only a counter of 32 bits."),
    counter("ifInErrors", "", "Packets received with errors."),
    counter("ifOutErrors", "", "Packets that could not be sent because of errors."),
    counter("ifInDiscards", "", "Good packets thrown away on receipt."),
    counter("ifOutDiscards", "", "Good packets thrown away instead of being sent."),
];

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> MetricMeta {
    MetricMeta { name, kind: MetricType::Gauge, unit, help }
}

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> MetricMeta {
    // OpenMetrics wants `_total` on a counter's name, and dashboards want the name as it is.
    MetricMeta { name, kind: MetricType::Unknown, unit, help }
}

/// At most this many ports are read.
const ROWS: usize = 1_000;

/// A counter of 32 bits wraps in 28 minutes at this speed (Mbit/s), in half a minute at 1,000.
const SLOW: i64 = 20;

const IF: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1];
const IFX: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1];

/// Looks at the ports of a device.
pub struct InterfacesProber {
    device: Device,
}

/// A port as it is told.
#[derive(Debug)]
pub(super) struct Port {
    name: Arc<str>,
    values: Vec<(&'static str, f64)>,
    up: bool,
    wanted: bool,
}

impl InterfacesProber {
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

impl Talk for InterfacesProber {
    type Seen = Vec<Port>;

    fn read<'a>(&'a self, session: &'a Session<'a>) -> Doing<'a, Result<Vec<Port>, Failed>> {
        Box::pin(async move {
            session.hello().await.map_err(Failed::AtOnce)?;
            let plain = [2, 5, 7, 8, 10, 13, 14, 16, 19, 20].map(|c| Oid::new(IF).below(&[c]));
            let wide = [1, 6, 10, 15].map(|c| Oid::new(IFX).below(&[c]));
            let plain = session.walk_fast(&plain, ROWS).await.map_err(Failed::Later)?;
            let wide = session.walk_fast(&wide, ROWS).await.map_err(Failed::Later)?;
            Ok(ports(&plain, &wide))
        })
    }
}

impl Prober for InterfacesProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(async move {
            match self.device.ask(self, deadline).await {
                Ok(ports) => outcome(&ports),
                Err(outcome) => outcome,
            }
        })
    }
}

fn outcome(ports: &[Port]) -> Outcome {
    if ports.is_empty() {
        return Observation::down("it answers SNMP, but shows no ports", Vec::new()).into();
    }
    let (up, wanted) = (ports.iter().filter(|p| p.up).count(), ports.iter().filter(|p| p.wanted));
    let headline = format!("{up} of {} ports up", wanted.count());
    let readings = ports.iter().flat_map(|port| {
        port.values.iter().map(|(metric, value)| {
            Reading::new(metric, *value).with("ifName", LabelValue::Shared(port.name.clone()))
        })
    });
    Observation::up(headline, readings.collect()).into()
}

/// Ports by name: ifIndex changes when a device starts anew, ifName stays.
fn ports(plain: &[Column], wide: &[Column]) -> Vec<Port> {
    let [
        descriptions,
        speeds,
        admin,
        oper,
        r#in,
        in_discards,
        in_errors,
        out,
        out_discards,
        out_errors,
    ] = plain
    else {
        return Vec::new();
    };
    let [names, hc_in, hc_out, high_speeds] = wide else { return Vec::new() };
    let mut known = BTreeSet::new();
    let mut ports = Vec::new();
    let rows: BTreeSet<&Vec<u32>> = oper.keys().chain(descriptions.keys()).collect();
    for index in rows {
        let words = |column: &Column| {
            let text = column.get(index).and_then(Value::bytes).map(|bytes| text(bytes, None));
            text.filter(|text| !text.is_empty())
        };
        let number = |column: &Column| column.get(index).and_then(count);
        let row = index.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        let name = words(names).or_else(|| words(descriptions)).unwrap_or_else(|| row.clone());
        // Two ports of one name keep their number.
        let name = if known.contains(&name) { format!("{name} #{row}") } else { name };
        known.insert(name.clone());
        let speed = number(high_speeds).filter(|speed| *speed > 0.0).or_else(|| {
            // 2^32 - 1 says "look at ifHighSpeed", 0 says nothing.
            let bits = number(speeds).filter(|bits| *bits > 0.0 && *bits < f64::from(u32::MAX));
            bits.map(|bits| bits / 1e6)
        });
        #[allow(clippy::cast_precision_loss)]
        let slow = speed.is_none_or(|speed| speed <= SLOW as f64);
        let narrow = |wide: &Column, narrow: &Column| {
            if wide.contains_key(index) || !slow { None } else { number(narrow) }
        };
        let values = [
            ("ifAdminStatus", number(admin)),
            ("ifOperStatus", number(oper)),
            ("ifHighSpeed", speed),
            ("ifHCInOctets", number(hc_in)),
            ("ifHCOutOctets", number(hc_out)),
            ("ifInOctets", narrow(hc_in, r#in)),
            ("ifOutOctets", narrow(hc_out, out)),
            ("ifInErrors", number(in_errors)),
            ("ifOutErrors", number(out_errors)),
            ("ifInDiscards", number(in_discards)),
            ("ifOutDiscards", number(out_discards)),
        ];
        ports.push(Port {
            name: name.into(),
            up: number(oper) == Some(1.0),
            wanted: number(admin) != Some(2.0),
            values: values.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        });
    }
    ports
}

/// Any number; a Counter64 to 15 digits, as Prometheus has it.
#[allow(clippy::cast_precision_loss)]
fn count(value: &Value) -> Option<f64> {
    match value {
        Value::Counter64(number) => Some(*number as f64),
        other => other.integer().filter(|number| *number >= 0).map(|number| number as f64),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::fake::{Agent, look_at};
    use super::*;

    pub async fn look(agent: Agent) -> Observation {
        look_at(agent, InterfacesProber::new).await
    }

    #[tokio::test]
    async fn ports_have_names_and_wide_counters() {
        let mut agent = Agent::default();
        let mut port = |index: u32, name: &str, oper: i64, speed: i64, wide: bool| {
            agent.put(&[IF, &[2, index]].concat(), Value::Bytes(b"port".to_vec()));
            agent.put(&[IF, &[5, index]].concat(), Value::Integer(speed));
            agent.put(&[IF, &[7, index]].concat(), Value::Integer(if oper == 6 { 2 } else { 1 }));
            agent.put(&[IF, &[8, index]].concat(), Value::Integer(oper));
            agent.put(&[IF, &[10, index]].concat(), Value::Integer(5));
            if wide {
                agent.put(&[IFX, &[1, index]].concat(), Value::Bytes(name.as_bytes().to_vec()));
                agent.put(&[IFX, &[6, index]].concat(), Value::Counter64(1 << 40));
                agent.put(&[IFX, &[15, index]].concat(), Value::Integer(10_000));
            }
        };
        port(1, "Gi0/1", 1, 4_294_967_295, true);
        port(2, "Gi0/1", 2, 4_294_967_295, true);
        port(7, "", 1, 10_000_000, false);
        port(9, "", 6, 1_000_000_000, false);
        let seen = look(agent).await;
        assert_eq!(&*seen.headline, "2 of 3 ports up");
        let told = |metric: &str| -> Vec<(String, f64)> {
            let of = seen.readings.iter().filter(|reading| reading.metric == metric);
            of.map(|r| (r.labels[0].1.as_str().to_owned(), r.value)).collect()
        };
        let names: Vec<String> = told("ifOperStatus").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["Gi0/1", "Gi0/1 #2", "port", "port #9"]);
        assert_eq!(told("ifHCInOctets")[0].1, 1_099_511_627_776.0);
        assert_eq!(told("ifHighSpeed")[0].1, 10_000.0);
        // Ten megabits may be counted with 32 bits, a gigabit may not.
        assert_eq!(told("ifInOctets"), [("port".to_owned(), 5.0)]);
    }
}
