use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_snmp::{
    Auth, Client, ClientBuilder, Error, ErrorKind, Retry, UdpHandle, UdpTransport, VarBind,
};
use tokio::sync::Mutex;

use super::transport::{Operation, Peer, Question, SnmpError, SnmpTransport};
use super::value::{Binding, Oid, Value};
use crate::ports::Doing;
use crate::probe::SnmpAuth;

/// The biggest datagram: Linux agents answer genErr when told a smaller limit.
const MOST: usize = 65_507;

/// Room for answers that arrive at once; the system may grant less.
const RECEIVE: usize = 512 * 1024;

/// SNMP over one UDP socket for all devices. The socket is opened with the first question, and
/// again with the next one after it broke.
#[derive(Default)]
pub struct UdpSnmp {
    socket: Mutex<Option<UdpTransport>>,
}

impl UdpSnmp {
    /// Opens nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    async fn socket(&self) -> Result<UdpTransport, SnmpError> {
        let mut socket = self.socket.lock().await;
        if let Some(open) = socket.as_ref().filter(|open| !open.control().is_shutdown()) {
            return Ok(open.clone());
        }
        let opened = match open("[::]:0").await {
            Ok(opened) => opened,
            // No IPv6 on this machine.
            Err(_) => open("0.0.0.0:0").await.map_err(|error| {
                SnmpError::Ours(format!("cannot open a UDP socket: {}", root(&error)).into())
            })?,
        };
        Ok(socket.insert(opened).clone())
    }

    async fn exchange(
        &self,
        peer: &Peer,
        question: Question<'_>,
    ) -> Result<Vec<Binding>, SnmpError> {
        let socket = self.socket().await?;
        let client = client(&socket, peer)?;
        let oids: Vec<_> = question
            .oids
            .iter()
            .map(|oid| async_snmp::Oid::new(oid.arcs().iter().copied()))
            .collect();
        let answer = match question.operation {
            Operation::Get => client.get_many(&oids).await.map(|answer| answer.varbinds),
            Operation::GetNext => client.get_next_many(&oids).await.map(|answer| answer.varbinds),
            Operation::GetBulk(rows) => client.get_bulk(&oids, 0, rows).await,
        };
        match answer {
            Ok(varbinds) => Ok(varbinds.into_iter().map(binding).collect()),
            Err(error) => {
                if error.kind() == ErrorKind::Closed {
                    *self.socket.lock().await = None;
                }
                Err(translate(&error))
            }
        }
    }
}

impl SnmpTransport for UdpSnmp {
    fn ask<'a>(
        &'a self,
        peer: &'a Peer,
        question: Question<'a>,
    ) -> Doing<'a, Result<Vec<Binding>, SnmpError>> {
        Box::pin(self.exchange(peer, question))
    }
}

async fn open(address: &str) -> async_snmp::Result<UdpTransport> {
    let socket = UdpTransport::builder().bind(address).max_message_size(MOST);
    socket.recv_buffer_size(RECEIVE).warn_on_source_mismatch(false).build().await
}

fn client(socket: &UdpTransport, peer: &Peer) -> Result<Client<UdpHandle>, SnmpError> {
    let ours = |error: Box<Error>| SnmpError::Ours(root(&error).into());
    let auth = match &peer.auth {
        SnmpAuth::V1 { community } => Auth::v1(community.reveal()),
        SnmpAuth::V2c { community } => Auth::v2c(community.reveal()),
    };
    // At most 16 repetitions are what the library takes.
    let retry =
        Retry::fixed(peer.retries.min(16), Duration::ZERO).unwrap_or_else(|_| Retry::none());
    let handle = socket.handle(peer.address).map_err(ours)?.strict_source(true);
    ClientBuilder::new(auth)
        .request_timeout(peer.wait)
        .retry(retry)
        .max_oids_per_request(64)
        .build_with_transport(handle)
        .map_err(ours)
}

fn binding(varbind: VarBind) -> Binding {
    use async_snmp::Value as Wire;
    let oid = |oid: &async_snmp::Oid| Oid::new(oid.arcs());
    let value = match &varbind.value {
        Wire::Integer(number) => Value::Integer(i64::from(*number)),
        Wire::Counter32(number)
        | Wire::Gauge32(number)
        | Wire::UInteger32(number)
        | Wire::TimeTicks(number) => Value::Integer(i64::from(*number)),
        Wire::Counter64(number) => Value::Counter64(*number),
        Wire::OctetString(bytes) | Wire::Opaque(bytes) | Wire::Nsap(bytes) => {
            Value::Bytes(bytes.to_vec())
        }
        Wire::IpAddress(bytes) => Value::Bytes(bytes.to_vec()),
        Wire::ObjectIdentifier(name) => Value::Oid(oid(name)),
        Wire::EndOfMibView => Value::EndOfView,
        _ => Value::Absent,
    };
    Binding { oid: oid(&varbind.oid), value }
}

fn translate(error: &Error) -> SnmpError {
    match error.exchange_source() {
        Error::Timeout { .. } => SnmpError::Silence,
        Error::Snmp { status, index, .. } => {
            SnmpError::Status { status: status.as_i32(), index: *index }
        }
        Error::Network { target, source } => network(*target, source),
        Error::Closed { .. } => SnmpError::Ours("the UDP socket broke".into()),
        Error::Decode(_) | Error::MalformedResponse { .. } | Error::ResponseShape { .. } => {
            SnmpError::Malformed(root(error).into())
        }
        Error::Auth { .. } | Error::Report { .. } => SnmpError::Status { status: 16, index: 0 },
        _ => SnmpError::Ours(root(error).into()),
    }
}

/// An error of the network near the device is theirs; one of our own network is ours.
fn network(target: SocketAddr, error: &std::io::Error) -> SnmpError {
    use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable};
    let what: Arc<str> = format!("{}: {error}", target.ip()).into();
    match error.kind() {
        HostUnreachable | ConnectionRefused | ConnectionReset => SnmpError::Unreachable(what),
        _ => SnmpError::Ours(what),
    }
}

/// The innermost reason, which is the telling one.
fn root(error: &Error) -> String {
    match error.exchange_source() {
        Error::Network { source, .. } => source.to_string(),
        other => other.to_string(),
    }
}
