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

    /// As often as it takes to get past a socket that broke since the last question: twice.
    async fn exchange(
        &self,
        peer: &Peer,
        question: Question<'_>,
    ) -> Result<Vec<Binding>, SnmpError> {
        for _ in 0..2 {
            let socket = self.socket().await?;
            match over(&socket, peer, question).await {
                Ok(varbinds) => return Ok(varbinds.into_iter().map(binding).collect()),
                Err(error) if error.kind() == ErrorKind::Closed => {
                    *self.socket.lock().await = None;
                }
                Err(error) => return Err(translate(&error)),
            }
        }
        Err(SnmpError::Ours("the UDP socket breaks".into()))
    }
}

async fn over(
    socket: &UdpTransport,
    peer: &Peer,
    question: Question<'_>,
) -> async_snmp::Result<Vec<VarBind>> {
    let client = client(socket, peer)?;
    let wire = |oid: &Oid| async_snmp::Oid::new(oid.arcs().iter().copied());
    let oids: Vec<_> = question.oids.iter().map(wire).collect();
    match question.operation {
        Operation::Get => client.get_many(&oids).await.map(|answer| answer.varbinds),
        Operation::GetNext => client.get_next_many(&oids).await.map(|answer| answer.varbinds),
        Operation::GetBulk(rows) => client.get_bulk(&oids, 0, rows).await,
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

fn client(socket: &UdpTransport, peer: &Peer) -> async_snmp::Result<Client<UdpHandle>> {
    let auth = match &peer.auth {
        SnmpAuth::V1 { community } => Auth::v1(community.reveal()),
        SnmpAuth::V2c { community } => Auth::v2c(community.reveal()),
    };
    // At most 16 repetitions are what the library takes.
    let retry =
        Retry::fixed(peer.retries.min(16), Duration::ZERO).unwrap_or_else(|_| Retry::none());
    let handle = socket.handle(peer.address)?.strict_source(true);
    ClientBuilder::new(auth)
        .request_timeout(peer.wait)
        .retry(retry)
        .max_oids_per_request(64)
        .build_with_transport(handle)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use async_snmp::message::{CommunityMessage, CommunityPdu};
    use async_snmp::{DecodeConfig, ResponsePdu, Version};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use tokio::net::UdpSocket;

    const WAIT: Duration = Duration::from_millis(150);

    struct Rogue {
        socket: UdpSocket,
        peer: Peer,
    }

    impl Rogue {
        async fn new() -> Self {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let peer = Peer {
                address: socket.local_addr().unwrap(),
                auth: SnmpAuth::V2c { community: Secret::new("public") },
                wait: WAIT,
                retries: 1,
            };
            Self { socket, peer }
        }

        /// Asks it for one object while it answers each question with `answers`, from its own
        /// address or from another one.
        async fn ask(
            &self,
            elsewhere: bool,
            answers: impl Fn(&[u8]) -> Vec<Vec<u8>>,
        ) -> Result<Vec<Binding>, SnmpError> {
            let snmp = UdpSnmp::new();
            let other = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let names = [Oid::new(&[1, 3, 6, 1, 2, 1, 1, 2, 0])];
            let question = Question { operation: Operation::Get, oids: &names };
            let serve = async {
                let mut datagram = [0; 2048];
                loop {
                    let (length, from) = self.socket.recv_from(&mut datagram).await.unwrap();
                    for answer in answers(&datagram[..length]) {
                        let socket = if elsewhere { &other } else { &self.socket };
                        let _ = socket.send_to(&answer, from).await;
                    }
                }
            };
            tokio::select! {
                answer = snmp.ask(&self.peer, question) => answer,
                () = serve => panic!("it serves for ever"),
            }
        }
    }

    fn answer(question: &[u8], id_shift: i32, size: usize) -> Vec<u8> {
        let bytes = bytes::Bytes::copy_from_slice(question);
        let decoded = CommunityMessage::decode(bytes, DecodeConfig::DEFAULT).unwrap();
        let (_, community, pdu) = decoded.value.into_parts();
        let CommunityPdu::Standard(pdu) = pdu else { panic!("no trap was sent") };
        let value = async_snmp::Value::OctetString(vec![b'x'; size].into());
        let found = pdu.varbinds().iter().map(|v| VarBind::new(v.oid.clone(), value.clone()));
        let id = pdu.request_id().wrapping_add(id_shift);
        let response = ResponsePdu::success(Version::V2c, id, found.collect()).unwrap();
        CommunityMessage::v2c(community, response).unwrap().encode().unwrap().to_vec()
    }

    #[tokio::test]
    async fn an_honest_answer_counts_and_an_enormous_one_too() {
        let rogue = Rogue::new().await;
        for size in [5, 60_000] {
            let got = rogue.ask(false, |q| vec![answer(q, 0, size)]).await.unwrap();
            assert_eq!(got[0].value, Value::Bytes(vec![b'x'; size]));
        }
    }

    #[tokio::test]
    async fn what_does_not_belong_to_the_question_is_no_answer() {
        let rogue = Rogue::new().await;
        let garbage = |_: &[u8]| vec![vec![0xFF; 1400], Vec::new(), b"HTTP/1.1 200 OK".to_vec()];
        assert_eq!(rogue.ask(false, garbage).await, Err(SnmpError::Silence));
        assert_eq!(rogue.ask(false, |q| vec![answer(q, 1, 5)]).await, Err(SnmpError::Silence));
        assert_eq!(rogue.ask(true, |q| vec![answer(q, 0, 5)]).await, Err(SnmpError::Silence));
        assert!(rogue.ask(false, |q| vec![q.to_vec()]).await.is_err());
        // Rubbish before the answer does not hide it.
        let both = |q: &[u8]| vec![vec![0x30, 0x84], answer(q, 0, 5)];
        assert!(rogue.ask(false, both).await.is_ok());
    }

    #[tokio::test]
    async fn a_closed_port_is_silence_in_bounded_time() {
        let rogue = Rogue::new().await;
        let peer = rogue.peer.clone();
        drop(rogue);
        let names = [Oid::new(&[1, 3, 6, 1])];
        let question = Question { operation: Operation::GetNext, oids: &names };
        let seen = UdpSnmp::new().ask(&peer, question).await;
        assert!(matches!(seen, Err(SnmpError::Silence | SnmpError::Unreachable(_))), "{seen:?}");
    }

    #[test]
    fn a_broken_socket_is_opened_again() {
        let snmp = UdpSnmp::new();
        let once = || {
            // The receiving task ends with its runtime, and the socket with it.
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let rogue = Rogue::new().await;
                let names = [Oid::new(&[1, 3, 6, 1])];
                let question = Question { operation: Operation::Get, oids: &names };
                let serve = async {
                    let mut datagram = [0; 2048];
                    let (length, from) = rogue.socket.recv_from(&mut datagram).await.unwrap();
                    let answer = answer(&datagram[..length], 0, 5);
                    rogue.socket.send_to(&answer, from).await.unwrap();
                };
                tokio::join!(snmp.ask(&rogue.peer, question), serve).0
            })
        };
        assert!(once().is_ok() && once().is_ok());
    }

    #[test]
    fn faults_of_our_own_network_are_ours() {
        let of = |kind: std::io::ErrorKind| network(([192, 0, 2, 1], 161).into(), &kind.into());
        assert!(matches!(of(std::io::ErrorKind::HostUnreachable), SnmpError::Unreachable(_)));
        assert!(matches!(of(std::io::ErrorKind::NetworkUnreachable), SnmpError::Ours(_)));
        assert!(matches!(of(std::io::ErrorKind::PermissionDenied), SnmpError::Ours(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// An answer with any byte changed, and cut anywhere: an answer, an error or silence, in time.
        #[test]
        fn damaged_answers_are_survived(at in 0usize..60, byte: u8, cut in 20usize..70) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let limit = Duration::from_secs(5);
            runtime.block_on(async {
                let mut rogue = Rogue::new().await;
                rogue.peer.wait = Duration::from_millis(20);
                let damaged = |q: &[u8]| {
                    let mut answer = answer(q, 0, 20);
                    let last = answer.len() - 1;
                    answer[at.min(last)] = byte;
                    answer.truncate(cut);
                    vec![answer]
                };
                let _ = tokio::time::timeout(limit, rogue.ask(false, damaged)).await.unwrap();
            });
        }
    }
}
