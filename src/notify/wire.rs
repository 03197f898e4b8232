//! Connections to mail servers, homeservers and webhooks: TCP, and TLS with rustls on aws-lc-rs.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ClientCertificate;
use crate::ports::Clock;

/// Why a channel cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The file with trust anchors.
    #[error("cannot use {path} as trust anchors: {reason}")]
    TrustAnchors {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate of our own.
    #[error("cannot use {path} as our own certificate: {reason}")]
    Certificate {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The sender of mail.
    #[error("the sender of mail is not an address: {0}")]
    Sender(String),
    /// A URL of a homeserver or webhook; it is not shown, it may hold a secret.
    #[error("the URL of {0} is not a http or https URL")]
    Url(String),
}

/// Why there is no connection. The text names no address of a person.
#[derive(Debug)]
pub(super) enum DialError {
    /// The name has no address, or the resolver failed.
    Resolve(String),
    /// Nobody listens, or the network is gone.
    Connect(String),
    /// The handshake failed: certificate, name, versions.
    Tls(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Resolve(why) => write!(f, "cannot resolve the name: {why}"),
            DialError::Connect(why) => write!(f, "cannot connect: {why}"),
            DialError::Tls(why) => write!(f, "no secure connection: {why}"),
        }
    }
}

/// Makes connections that trust the given anchors.
pub(super) struct Dialer {
    tls: Arc<ClientConfig>,
}

impl Dialer {
    /// Trusts the certificates of a PEM file, or those of the system. Reads the disk.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, ChannelError> {
        Self::showing(ca_file, None)
    }

    /// The same, with a certificate of our own for servers that ask for one. Reads the disk.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub(super) fn showing(
        ca_file: Option<&Path>,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Self, ChannelError> {
        let mut roots = RootCertStore::empty();
        match ca_file {
            Some(path) => {
                let fail = |reason: String| ChannelError::TrustAnchors {
                    path: path.display().to_string(),
                    reason,
                };
                let read = CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?;
                let read: Result<Vec<_>, _> = read.collect();
                let read = read.map_err(|e| fail(e.to_string()))?;
                if roots.add_parsable_certificates(read).0 == 0 {
                    return Err(fail("there is no certificate in it".to_owned()));
                }
            }
            // A machine without anchors trusts nobody; the handshake says so.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        #[allow(clippy::expect_used)] // aws-lc-rs has suites for both versions
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("TLS 1.2 and 1.3");
        let builder = builder.with_root_certificates(roots);
        let tls = match certificate {
            None => builder.with_no_client_auth(),
            Some(ClientCertificate { cert_file, key_file }) => {
                let fail = |path: &Path, reason: String| ChannelError::Certificate {
                    path: path.display().to_string(),
                    reason,
                };
                let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert_file)
                    .map_err(|error| fail(cert_file, error.to_string()))?
                    .collect();
                let chain = chain.map_err(|error| fail(cert_file, error.to_string()))?;
                let key = PrivateKeyDer::from_pem_file(key_file)
                    .map_err(|error| fail(key_file, error.to_string()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| fail(cert_file, error.to_string()))?
            }
        };
        Ok(Self { tls: Arc::new(tls) })
    }

    /// The first address of the host that answers.
    pub(super) async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, DialError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((bare, port)).await;
        let addresses = found.map_err(|error| DialError::Resolve(error.to_string()))?;
        let mut last = DialError::Resolve("it has no address".to_owned());
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Commands are short and wait for answers.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = DialError::Connect(error.to_string()),
            }
        }
        Err(last)
    }

    /// TLS over an open connection; the certificate must be for `host`.
    pub(super) async fn encrypt(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, DialError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| DialError::Tls(error.to_string()))?;
        let connected = TlsConnector::from(self.tls.clone()).connect(name, stream).await;
        connected.map_err(|error| DialError::Tls(error.to_string()))
    }
}

/// A connection with or without encryption.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Wire::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

/// The result of `work`, or `None` when it takes longer than `limit`.
pub(super) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let end = clock.mono().after(limit);
    tokio::select! {
        biased;
        result = work => Some(result),
        () = clock.sleep_until(end) => None,
    }
}

/// Foreign words for a reason: on one line, short, without mail addresses and links.
pub(super) fn scrubbed(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let shown = words
        .filter(|word| !word.is_empty())
        .map(|word| if word.contains('@') || word.contains("://") { "…" } else { word });
    let line = shown.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_made_harmless() {
        assert_eq!(
            scrubbed(
                "5.1.1 <joe@example.org>: Recipient\r\n address rejected, see https://x.org/?a=b"
            ),
            "5.1.1 … Recipient address rejected, see …"
        );
        assert_eq!(scrubbed(&"ü".repeat(300)).chars().count(), 201);
    }

    #[test]
    fn trust_anchors_must_be_certificates() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        let error = Dialer::new(Some(file.path())).err().unwrap();
        assert!(error.to_string().contains("no certificate"), "{error}");
        assert!(Dialer::new(Some(Path::new("/does/not/exist.pem"))).is_err());
    }
}
