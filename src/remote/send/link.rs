//! The connection to a destination: HTTP/1.1 over TCP or TLS, kept open between requests.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::model::Secret;
use crate::remote::proto::Protocol;
use crate::remote::settings::{Destination, Login};

/// An answer is read up to here: it is a line of text.
const ANSWER: usize = 64 << 10;

/// What a destination said to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    /// It told how many samples it wrote: it understood protocol 2.0.
    pub(super) counted: bool,
    /// The beginning of its text, without addresses.
    pub(super) text: String,
}

/// Why a destination cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The file with trust anchors.
    #[error("remote_write: cannot use {path} as trust anchors: {reason}")]
    TrustAnchors {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that cannot stand in a request.
    #[error("remote_write: {0}")]
    Request(String),
}

type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A destination's address and how to get there.
pub(super) struct Link {
    host: String,
    port: u16,
    tls: Option<TlsConnector>,
    path: String,
    headers: HeaderMap,
    open: Option<(SendRequest<Full<Bytes>>, Driving)>,
}

/// Moves the bytes of a connection while a request is under way.
struct Driving(Driver);

impl Future for Driving {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Link {
    /// Reads trust anchors from the disk.
    ///
    /// # Errors
    /// The settings cannot work.
    pub(super) fn new(destination: &Destination) -> Result<Self, LinkError> {
        let url = &destination.url;
        let bad = |what: &str| LinkError::Request(format!("{}: {what}", destination.name));
        let host = url.host_str().ok_or_else(|| bad("the URL has no host"))?.to_owned();
        let port = url.port_or_known_default().ok_or_else(|| bad("the URL has no port"))?;
        let tls = (url.scheme() == "https").then(|| connector(destination)).transpose()?;
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let path = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let mut headers = HeaderMap::new();
        let value =
            |text: &str| HeaderValue::from_str(text).map_err(|_| bad("a header is not text"));
        headers.insert(header::HOST, value(&authority)?);
        let agent = concat!("augenmass/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
        for (name, text) in &destination.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let name = name.map_err(|_| bad("a header's name is not one"))?;
            headers.insert(name, secret(text, &bad)?);
        }
        match &destination.login {
            Some(Login::Bearer(token)) => {
                let token = Secret::new(&format!("Bearer {}", token.reveal()));
                headers.insert(header::AUTHORIZATION, secret(&token, &bad)?);
            }
            Some(Login::Basic(name, password)) => {
                use base64::Engine;
                let pair = format!("{name}:{}", password.reveal());
                let pair = base64::engine::general_purpose::STANDARD.encode(pair);
                let login = Secret::new(&format!("Basic {pair}"));
                headers.insert(header::AUTHORIZATION, secret(&login, &bad)?);
            }
            None => {}
        }
        Ok(Self { host, port, tls, path, headers, open: None })
    }

    /// Sends one request. The caller holds the deadline; when that is over, or after an error, the
    /// connection is not used again.
    ///
    /// # Errors
    /// There was no answer; the text names no secret.
    pub(super) async fn send(&mut self, protocol: Protocol, body: Bytes) -> Result<Reply, String> {
        let mut kept = self.open.take();
        if let Some((_, driving)) = &mut kept {
            // The other side may have closed it while we were not looking.
            let look =
                |context: &mut Context<'_>| Poll::Ready(Pin::new(&mut *driving).poll(context));
            if std::future::poll_fn(look).await.is_ready() {
                kept = None;
            }
        }
        let (mut sender, mut driving) = match kept {
            Some((sender, driving)) if !sender.is_closed() => (sender, driving),
            _ => self.connect().await?,
        };
        let mut request = Request::post(&self.path)
            .body(Full::new(body))
            .map_err(|_| "the request cannot be written down".to_owned())?;
        *request.headers_mut() = self.headers.clone();
        let kind = HeaderValue::from_static(protocol.content_type());
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        let version = HeaderValue::from_static(protocol.version());
        request.headers_mut().insert("x-prometheus-remote-write-version", version);
        let lost = |error: hyper::Error| format!("the connection broke: {error}");
        let exchange = async {
            let response = sender.send_request(request).await.map_err(lost)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER).collect().await;
            let body = body.map_err(|error| format!("the answer was cut off: {error}"))?;
            let reply = reply(head.status.as_u16(), &head.headers, &body.to_bytes());
            Ok::<_, String>((reply, sender))
        };
        let mut exchange = std::pin::pin!(exchange);
        let (reply, sender) = tokio::select! {
            biased;
            answered = &mut exchange => answered,
            () = &mut driving => exchange.await,
        }?;
        self.open = Some((sender, driving));
        Ok(reply)
    }

    async fn connect(&mut self) -> Result<(SendRequest<Full<Bytes>>, Driving), String> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let found = tokio::net::lookup_host((bare.as_str(), self.port)).await;
        let addresses = found.map_err(|error| format!("cannot resolve the name: {error}"))?;
        let mut last = "the name has no address".to_owned();
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Requests are written whole.
                    let _ = stream.set_nodelay(true);
                    return self.shake_hands(stream, &bare).await;
                }
                Err(error) => last = format!("cannot connect: {error}"),
            }
        }
        Err(last)
    }

    async fn shake_hands(
        &mut self,
        stream: TcpStream,
        host: &str,
    ) -> Result<(SendRequest<Full<Bytes>>, Driving), String> {
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned());
                let name = name.map_err(|error| format!("no secure connection: {error}"))?;
                let secure = tls.connect(name, stream).await;
                Box::new(secure.map_err(|error| format!("no secure connection: {error}"))?)
            }
        };
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|error| format!("cannot speak HTTP: {error}"))?;
        let driving: Driver = Box::pin(async move {
            // The request that is under way tells of the error.
            let _ = connection.await;
        });
        Ok((sender, Driving(driving)))
    }
}

fn secret(text: &Secret, bad: &dyn Fn(&str) -> LinkError) -> Result<HeaderValue, LinkError> {
    let value = HeaderValue::from_str(text.reveal());
    let mut value = value.map_err(|_| bad("a secret cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn reply(status: u16, headers: &HeaderMap, body: &[u8]) -> Reply {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seconds = text("retry-after").and_then(|text| text.trim().parse::<u64>().ok());
    let counted = headers.contains_key("x-prometheus-remote-write-samples-written")
        || headers.contains_key("x-prometheus-remote-write-histograms-written");
    Reply {
        status,
        retry_after: seconds.map(|seconds| Duration::from_secs(seconds.min(3600))),
        counted,
        text: harmless(&String::from_utf8_lossy(&body[..body.len().min(400)])),
    }
}

/// Foreign words on one short line, without mail addresses, links and label values.
fn harmless(text: &str) -> String {
    let mut line = String::new();
    let mut quoted = false;
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        let hide = quoted || word.contains(['@', '"']) || word.contains("://");
        quoted ^= word.matches('"').count() % 2 == 1;
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(if hide { "…" } else { word });
        if line.len() > 160 {
            break;
        }
    }
    line
}

fn connector(destination: &Destination) -> Result<TlsConnector, LinkError> {
    let mut roots = RootCertStore::empty();
    match &destination.ca_file {
        Some(path) => roots_of(path, &mut roots)?,
        // A machine without anchors trusts nobody; the handshake says so.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| LinkError::Request(error.to_string()))?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_of(path: &Path, roots: &mut RootCertStore) -> Result<(), LinkError> {
    let fail =
        |reason: String| LinkError::TrustAnchors { path: path.display().to_string(), reason };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let read: Result<Vec<_>, _> = read.collect();
    let read = read.map_err(|error| fail(error.to_string()))?;
    if roots.add_parsable_certificates(read).0 == 0 {
        return Err(fail("there is no certificate in it".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_are_made_harmless() {
        let text =
            "out of order sample for {user=\"joe smith\"} see https://x/?t=1\n or ask me@x.org";
        assert_eq!(harmless(text), "out of order sample for … … see … or ask …");
        assert!(harmless(&"wort ".repeat(100)).len() < 200);
    }
}
