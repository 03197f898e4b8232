use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, ProtocolVersion};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::judgement::Judgement;
use super::legacy::{self, Shown};
use super::recorder::{Presented, Recorder};
use super::trust::{Purpose, TlsClient};
use crate::probe::connect::Watch;
use crate::probe::failure::{Failure, of_connection};

/// What a handshake gave.
pub(in crate::probe) struct Handshake {
    /// The connection, or why there is none.
    stream: Result<TlsStream<TcpStream>, Failure>,
    /// The chain, judged; absent when the server did not come to present one.
    pub(in crate::probe) judgement: Option<Arc<Judgement>>,
    /// `TLS 1.2` or `TLS 1.3`.
    pub(super) version: Option<&'static str>,
    /// The cipher suite's name in the IANA registry.
    pub(super) cipher: Option<&'static str>,
}

impl Handshake {
    /// Whether the server could not be spoken to although it has shown certificates: too old.
    pub(in crate::probe) fn is_too_old(&self) -> bool {
        self.stream.is_err() && self.version.is_some()
    }

    /// Takes the connection out; what is known about it stays.
    pub(in crate::probe) fn take_stream(&mut self) -> Result<TlsStream<TcpStream>, Failure> {
        std::mem::replace(&mut self.stream, Err(Failure::theirs("the connection is over")))
    }

    /// Why nothing must be sent over this connection: the reasons, for a person.
    pub(in crate::probe) fn distrust(&self, client: &TlsClient) -> Option<Failure> {
        let judgement = self.judgement.as_ref()?;
        if client.skip_verify || judgement.reasons.is_empty() {
            return None;
        }
        let told: Vec<_> = judgement.reasons.iter().map(|reason| reason.told()).collect();
        Some(Failure::theirs(told.join("; ")))
    }
}

/// Shakes hands, whatever the server presents, and judges it. Sends nothing else. A server that is
/// too old for that is asked once more, over a second connection, only to show its certificates.
pub(in crate::probe) async fn shake_hands(
    client: &TlsClient,
    stream: TcpStream,
    watch: Watch<'_>,
) -> Handshake {
    let peer = stream.peer_addr().ok();
    let recorder = Arc::new(Recorder::new(client.provider.clone()));
    let mut config = ClientConfig::clone(client.roots.config(client.purpose));
    config.dangerous().set_certificate_verifier(recorder.clone());
    let connector = TlsConnector::from(Arc::new(config));
    let connecting = connector.connect(client.name.clone(), stream);
    let shaken = watch.within("TLS handshake", connecting).await;
    let presented = recorder.take();
    let came_so_far = !presented.chain.is_empty();
    if let (false, Ok(Err(error)), Some(peer)) = (came_so_far, &shaken, peer)
        && client.purpose != Purpose::AfterStartTls
        && may_be_old(error)
        && let Some(old) = Box::pin(ask_old(client, peer, watch)).await
    {
        return old;
    }
    let judgement = came_so_far.then(|| client.judge(&presented, watch.wall()));
    let stream = match shaken {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(of_handshake(&error)),
        Err(late) => Err(late),
    };
    let (version, cipher) = match &stream {
        Ok(stream) => {
            let connection = stream.get_ref().1;
            let suite = connection.negotiated_cipher_suite();
            let suite = suite.and_then(|suite| suite.suite().as_str());
            (connection.protocol_version().and_then(version_name), suite)
        }
        Err(_) => (None, None),
    };
    Handshake { stream, judgement, version, cipher }
}

async fn ask_old(client: &TlsClient, peer: SocketAddr, watch: Watch<'_>) -> Option<Handshake> {
    let stream = watch.within("connecting", TcpStream::connect(peer)).await.ok()?.ok()?;
    let Shown { version, chain } = legacy::ask(stream, &client.name, watch).await.ok()?;
    let presented = Presented { chain, possession: None };
    let judgement = Some(client.judge(&presented, watch.wall()));
    let told = match version {
        "TLS 1.2" => "the server speaks TLS 1.2 only with outdated ciphers".to_owned(),
        old => format!("the server speaks only the outdated {old}"),
    };
    Some(Handshake {
        stream: Err(Failure::theirs(told)),
        judgement,
        version: Some(version),
        cipher: None,
    })
}

/// Whether the refusal is one of those that old servers give.
fn may_be_old(error: &io::Error) -> bool {
    use rustls::AlertDescription::{HandshakeFailure, InsufficientSecurity, ProtocolVersion};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(
            rustls::Error::AlertReceived(HandshakeFailure | InsufficientSecurity | ProtocolVersion)
                | rustls::Error::PeerIncompatible(_)
        )
    ) || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

/// As Go writes them, since dashboards ask for that.
fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        _ => None,
    }
}

fn of_handshake(error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)) => {
            Failure::theirs("the server speaks only TLS versions older than 1.2")
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            Failure::theirs(format!("the server refused the TLS handshake ({alert:?})"))
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            Failure::theirs("the server does not speak TLS on this port")
        }
        Some(other) => Failure::theirs(format!("TLS handshake failed: {other}")),
        None => match of_connection(error) {
            Failure::Theirs(cause) => Failure::theirs(format!("TLS handshake failed: {cause}")),
            ours @ Failure::Ours(_) => ours,
        },
    }
}
