use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, PoisonError, RwLock};

use async_snmp::message::{CommunityMessage, CommunityPdu};
use async_snmp::pdu::{ErrorIndex, OutboundErrorStatus};
use async_snmp::{CommunityVersion, DecodeConfig, Pdu, PduType, ResponsePdu, VarBind, Version};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::probe::snmp::{Oid, Value};

/// No answer is longer: what fits an Ethernet frame.
const LONGEST: usize = 1472;

/// GETBULK gives at most so many rows.
const REPETITIONS: u32 = 50;

/// An SNMP agent (v1 and v2c, reading only) on a free port of 127.0.0.1. A question with another
/// community gets no answer, as the protocol has it.
pub struct SnmpAgent {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    _task: JoinSet<()>,
}

struct Shelf {
    community: Vec<u8>,
    objects: RwLock<Objects>,
}

#[derive(Default)]
struct Objects {
    values: BTreeMap<Oid, Value>,
    silent: bool,
}

impl SnmpAgent {
    /// With these objects.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(
        community: &str,
        objects: impl IntoIterator<Item = (Oid, Value)>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let objects = Objects { values: objects.into_iter().collect(), silent: false };
        let shelf = Arc::new(Shelf {
            community: community.as_bytes().to_vec(),
            objects: RwLock::new(objects),
        });
        let mut task = JoinSet::new();
        task.spawn(answer_all(socket, shelf.clone()));
        Ok(Self { address, shelf, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes or adds an object.
    pub fn set(&self, oid: &[u32], value: Value) {
        let mut objects = self.shelf.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.values.insert(Oid::new(oid), value);
    }

    /// Takes an object away.
    pub fn remove(&self, oid: &[u32]) {
        let mut objects = self.shelf.objects.write().unwrap_or_else(PoisonError::into_inner);
        objects.values.remove(&Oid::new(oid));
    }

    /// Whether it answers no more (switched off), or again.
    pub fn set_silent(&self, silent: bool) {
        self.shelf.objects.write().unwrap_or_else(PoisonError::into_inner).silent = silent;
    }
}

async fn answer_all(socket: UdpSocket, shelf: Arc<Shelf>) {
    let mut datagram = vec![0; 65_536];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else { continue };
        if let Some(answer) = shelf.answer(&datagram[..length]) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

impl Shelf {
    /// The answer to a datagram; `None` for what deserves none.
    fn answer(&self, datagram: &[u8]) -> Option<Bytes> {
        let decoded =
            CommunityMessage::decode(Bytes::copy_from_slice(datagram), DecodeConfig::DEFAULT)
                .ok()?;
        let (version, community, pdu) = decoded.value.into_parts();
        let CommunityPdu::Standard(pdu) = pdu else { return None };
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        if objects.silent || !community.matches(&self.community) {
            return None;
        }
        let said = match version {
            Version::V1 => CommunityVersion::V1,
            _ => CommunityVersion::V2c,
        };
        let encode = |response: ResponsePdu| {
            CommunityMessage::new(said, &community, response).ok()?.encode().ok()
        };
        let answer = encode(objects.respond(version, &pdu)?)?;
        if answer.len() <= LONGEST {
            return Some(answer);
        }
        encode(ResponsePdu::too_big(version, pdu.request_id(), Vec::new()).ok()?)
    }
}

impl Objects {
    fn respond(&self, version: Version, pdu: &Pdu) -> Option<ResponsePdu> {
        let (id, asked) = (pdu.request_id(), pdu.varbinds());
        let mut found = Vec::with_capacity(asked.len());
        match pdu.pdu_type() {
            PduType::GetRequest | PduType::GetNextRequest => {
                for (at, varbind) in asked.iter().enumerate() {
                    let next = pdu.pdu_type() == PduType::GetNextRequest;
                    let oid = Oid::new(varbind.oid.arcs());
                    let object =
                        if next { self.after(&oid) } else { self.values.get_key_value(&oid) };
                    match object {
                        Some((oid, value)) => found.push(wire(oid, value)),
                        None if version == Version::V1 => {
                            return no_such_name(id, asked, at);
                        }
                        None if next => found.push(VarBind::new(
                            varbind.oid.clone(),
                            async_snmp::Value::EndOfMibView,
                        )),
                        None => found.push(VarBind::new(
                            varbind.oid.clone(),
                            async_snmp::Value::NoSuchInstance,
                        )),
                    }
                }
            }
            PduType::GetBulkRequest => {
                let (single, rows) = pdu.get_bulk_fields()?;
                for (at, varbind) in asked.iter().enumerate() {
                    let once = u32::try_from(at).is_ok_and(|at| at < single);
                    let rows = if once { 1 } else { rows.min(REPETITIONS) };
                    let mut oid = Oid::new(varbind.oid.arcs());
                    for _ in 0..rows {
                        let Some((next, value)) = self.after(&oid) else { break };
                        found.push(wire(next, value));
                        oid = next.clone();
                    }
                }
            }
            _ => return None,
        }
        ResponsePdu::success(version, id, found).ok()
    }

    fn after(&self, oid: &Oid) -> Option<(&Oid, &Value)> {
        self.values.range((Excluded(oid), Unbounded)).next()
    }
}

fn no_such_name(id: i32, asked: &[VarBind], at: usize) -> Option<ResponsePdu> {
    let index = ErrorIndex::new(u32::try_from(at + 1).ok()?, asked.len()).ok()?;
    let status = OutboundErrorStatus::NoSuchName;
    ResponsePdu::new(Version::V1, id, status, Some(index), asked.to_vec()).ok()
}

fn wire(oid: &Oid, value: &Value) -> VarBind {
    use async_snmp::Value as Wire;
    let name = |oid: &Oid| async_snmp::Oid::new(oid.arcs().iter().copied());
    let value = match value {
        Value::Integer(number) => match i32::try_from(*number) {
            Ok(number) => Wire::Integer(number),
            Err(_) => Wire::Gauge32(u32::try_from(*number).unwrap_or(u32::MAX)),
        },
        Value::Counter64(number) => Wire::Counter64(*number),
        Value::Bytes(bytes) => Wire::OctetString(Bytes::copy_from_slice(bytes)),
        Value::Oid(oid) => Wire::ObjectIdentifier(name(oid)),
        Value::Absent | Value::EndOfView => Wire::Null,
    };
    VarBind::new(name(oid), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shelf() -> Shelf {
        let objects = BTreeMap::from([(Oid::new(&[1, 3, 6, 1]), Value::Integer(7))]);
        Shelf {
            community: b"public".to_vec(),
            objects: RwLock::new(Objects { values: objects, silent: false }),
        }
    }

    fn get(community: &str) -> Vec<u8> {
        let oid = async_snmp::Oid::new([1, 3, 6, 1]);
        let pdu = async_snmp::RequestPdu::get(Version::V2c, 5, &[oid]).unwrap();
        CommunityMessage::v2c(community, pdu).unwrap().encode().unwrap().to_vec()
    }

    #[test]
    fn another_community_gets_no_answer() {
        assert!(shelf().answer(&get("public")).is_some());
        assert!(shelf().answer(&get("private")).is_none());
        assert!(shelf().answer(b"GET / HTTP/1.1\r\n").is_none());
    }

    proptest! {
        #[test]
        fn damaged_questions_are_survived(at in 0usize..60, byte: u8, cut in 0usize..60) {
            let mut question = get("public");
            let last = question.len() - 1;
            question[at.min(last)] = byte;
            question.truncate(cut.max(1));
            if let Some(answer) = shelf().answer(&question) {
                prop_assert!(answer.len() <= LONGEST);
            }
        }
    }
}
