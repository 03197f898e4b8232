//! An agent without a network, for tests: answers from a table, and misbehaves on demand.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::transport::{Operation, Peer, Question, SnmpError, SnmpTransport};
use super::value::{Binding, Oid, Value};
use crate::model::Secret;
use crate::ports::{Clock, Doing, SystemClock};
use crate::probe::{Observation, Outcome, Prober, Resolver, SnmpAuth, SnmpTarget, Waste};

#[derive(Debug, Default)]
pub(super) struct Agent {
    objects: BTreeMap<Oid, Value>,
    asked: AtomicU32,
    version_1: bool,
    most: Option<usize>,
    gen_errs: AtomicU32,
    circling: bool,
    losing: bool,
    silent: bool,
    refusing: Option<i32>,
}

pub(super) fn fake_peer() -> Peer {
    Peer {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 161)),
        auth: SnmpAuth::V2c { community: Secret::new("public") },
        wait: Duration::from_secs(1),
        retries: 0,
    }
}

impl Agent {
    pub fn put(&mut self, oid: &[u32], value: Value) {
        self.objects.insert(Oid::new(oid), value);
    }

    pub fn remove(&mut self, oid: &[u32]) {
        self.objects.remove(&Oid::new(oid));
    }

    /// The objects of a recording: `OID|TYPE|VALUE` lines of snmpsim.
    pub fn recorded(text: &[u8]) -> Self {
        let mut agent = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((oid, value)) = recorded_line(line) {
                agent.objects.insert(oid, value);
            }
        }
        agent
    }

    pub fn silent() -> Self {
        Self { silent: true, ..Self::default() }
    }

    pub fn version_1(self) -> Self {
        Self { version_1: true, ..self }
    }

    pub fn at_most(self, names: usize) -> Self {
        Self { most: Some(names), ..self }
    }

    pub fn gen_err(self, times: u32) -> Self {
        Self { gen_errs: times.into(), ..self }
    }

    pub fn circling(self) -> Self {
        Self { circling: true, ..self }
    }

    pub fn losing_bindings(self) -> Self {
        Self { losing: true, ..self }
    }

    pub fn refusing(self, status: i32) -> Self {
        Self { refusing: Some(status), ..self }
    }

    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    fn answer(&self, question: Question<'_>) -> Result<Vec<Binding>, SnmpError> {
        let status = |status, index| SnmpError::Status { status, index };
        if let Some(refused) = self.refusing {
            return Err(status(refused, 0));
        }
        let left = self.gen_errs.load(Ordering::Relaxed);
        if left > 0 {
            self.gen_errs.store(left - 1, Ordering::Relaxed);
            return Err(status(SnmpError::GEN_ERR, 1));
        }
        if self.most.is_some_and(|most| question.oids.len() > most) {
            return Err(status(SnmpError::TOO_BIG, 0));
        }
        let mut bindings = Vec::new();
        if let Operation::GetBulk(rows) = question.operation {
            let mut oids = question.oids.to_vec();
            for _ in 0..rows {
                for oid in &mut oids {
                    let (next, value) = match self.after(oid) {
                        Some((next, value)) => (next.clone(), value.clone()),
                        None => (oid.clone(), Value::EndOfView),
                    };
                    *oid = next.clone();
                    bindings.push(Binding { oid: next, value });
                }
            }
            if self.losing {
                bindings.pop();
            }
            return Ok(bindings);
        }
        for (at, oid) in question.oids.iter().enumerate() {
            let found = match question.operation {
                Operation::Get => self.objects.get_key_value(oid),
                _ => self.after(oid),
            };
            bindings.push(match found {
                Some((oid, value)) => Binding { oid: oid.clone(), value: value.clone() },
                None if self.version_1 => {
                    return Err(status(SnmpError::NO_SUCH_NAME, at as u32 + 1));
                }
                None if question.operation == Operation::Get => {
                    Binding { oid: oid.clone(), value: Value::Absent }
                }
                None => Binding { oid: oid.clone(), value: Value::EndOfView },
            });
        }
        if self.losing && bindings.len() > 1 {
            bindings.pop();
        }
        Ok(bindings)
    }

    fn after(&self, oid: &Oid) -> Option<(&Oid, &Value)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let next = self.objects.range((Excluded(oid), Unbounded)).next();
        if self.circling && next.is_none_or(|(next, _)| next.arcs().last() == Some(&13)) {
            return self.objects.iter().next();
        }
        next
    }
}

/// A constructor of a prober.
type NewProber<P> = fn(&SnmpTarget, Arc<dyn Clock>, Arc<Resolver>, Arc<dyn SnmpTransport>) -> P;

/// One look at an agent by a prober of any kind; it must be measured.
pub(super) async fn look_at<P: Prober>(agent: Agent, prober: NewProber<P>) -> Observation {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let auth = fake_peer().auth;
    let waste = Waste::Remaining;
    let target = SnmpTarget { host: "127.0.0.1".into(), port: 161, auth, retries: 2, waste };
    let resolver = Arc::new(Resolver::from_system(clock.clone()));
    let prober = prober(&target, clock.clone(), resolver, Arc::new(agent));
    match prober.probe(clock.mono().after(Duration::from_secs(10))).await {
        Outcome::Measured(seen) => seen,
        Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
    }
}

impl SnmpTransport for Agent {
    fn ask<'a>(
        &'a self,
        _peer: &'a Peer,
        question: Question<'a>,
    ) -> Doing<'a, Result<Vec<Binding>, SnmpError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.silent { std::future::pending().await } else { self.answer(question) }
        })
    }
}

fn recorded_line(line: &[u8]) -> Option<(Oid, Value)> {
    let mut parts = line.splitn(3, |byte| *byte == b'|');
    let oid = oid(std::str::from_utf8(parts.next()?).ok()?)?;
    let kind = std::str::from_utf8(parts.next()?).ok()?;
    let text = parts.next()?;
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let words = || std::str::from_utf8(text).ok().map(str::trim);
    let value = match kind {
        "2" | "65" | "66" | "67" => Value::Integer(words()?.parse().ok()?),
        "70" => Value::Counter64(words()?.parse().ok()?),
        "4" | "64" | "68" => Value::Bytes(text.to_vec()),
        "4x" | "64x" | "68x" => Value::Bytes(unhex(words()?)?),
        "6" => Value::Oid(self::oid(words()?)?),
        "5" => Value::Absent,
        _ => return None,
    };
    Some((oid, value))
}

fn oid(text: &str) -> Option<Oid> {
    let arcs: Option<Vec<u32>> =
        text.trim().trim_start_matches('.').split('.').map(|arc| arc.parse().ok()).collect();
    arcs.map(|arcs| Oid::new(&arcs))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.get(..text.len() & !1)?;
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
        .collect()
}
