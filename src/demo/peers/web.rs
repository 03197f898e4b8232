use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::ServerCertificate;

/// No more connections at once.
const CONNECTIONS: usize = 256;

/// A connection that asks nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// How a page behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Answers at once, 200.
    #[default]
    Fine,
    /// Answers after so long, 200.
    Slow(Duration),
    /// Answers at once, with this status.
    Failing(StatusCode),
    /// Takes the request and closes without a word.
    Silent,
}

/// A web server, in clear or over TLS. Every path is a page.
pub struct WebServer {
    address: SocketAddr,
    secure: bool,
    pages: Arc<Pages>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Pages(Mutex<HashMap<String, Mood>>);

impl WebServer {
    /// HTTP on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> io::Result<Self> {
        Self::serve(None).await
    }

    /// HTTPS on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start_tls(certificate: &ServerCertificate) -> io::Result<Self> {
        Self::serve(Some(TlsAcceptor::from(certificate.config.clone()))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, pages, secure) = (listener.local_addr()?, Arc::default(), tls.is_some());
        let mut task = JoinSet::new();
        task.spawn(accept(listener, tls, Arc::clone(&pages)));
        Ok(Self { address, secure, pages, _task: task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a page; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }

    /// From now on the page behaves so.
    pub fn set(&self, path: &str, mood: Mood) {
        self.pages.lock().insert(path.to_owned(), mood);
    }
}

impl Pages {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Mood>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let path = request.uri().path();
        let mood = self.lock().get(path).copied().unwrap_or_default();
        let status = match mood {
            Mood::Fine => StatusCode::OK,
            Mood::Slow(delay) => {
                tokio::time::sleep(delay).await;
                StatusCode::OK
            }
            Mood::Failing(status) => status,
            Mood::Silent => return None,
        };
        let words = if status.is_success() { "Welcome" } else { "Something is wrong" };
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><title>{words}</title></head><body><h1>{words}</h1></body></html>\n"
        );
        let mut response = Response::new(Full::new(Bytes::from(page)));
        *response.status_mut() = status;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
        Some(response)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, pages: Arc<Pages>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, pages) = (tls.clone(), pages.clone());
        connections.spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            match tls {
                None => talk(stream, pages).await,
                Some(tls) => talk_tls(tls, stream, pages).await,
            }
        });
    }
}

async fn talk_tls(tls: TlsAcceptor, stream: TcpStream, pages: Arc<Pages>) {
    if let Ok(Ok(stream)) = tokio::time::timeout(IDLE, tls.accept(stream)).await {
        talk(stream, pages).await;
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<Pages>) {
    let service = service_fn(|request: Request<Incoming>| {
        let pages = pages.clone();
        async move { pages.answer(&request).await.ok_or(Silent) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(IDLE);
    // Whoever hangs up in the middle has got what it wanted.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Makes hyper close the connection.
#[derive(Debug, thiserror::Error)]
#[error("this page says nothing")]
struct Silent;

impl From<Infallible> for Silent {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::Authority;
    use super::*;
    use crate::model::Timestamp;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str) -> String {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    #[tokio::test]
    async fn pages_have_moods_and_come_back() {
        let server = WebServer::start().await.unwrap();
        let ask =
            async |path: &str| get(TcpStream::connect(server.address()).await.unwrap(), path).await;
        assert!(ask("/").await.starts_with("HTTP/1.1 200 "));
        server.set("/", Mood::Failing(StatusCode::BAD_GATEWAY));
        assert!(ask("/").await.starts_with("HTTP/1.1 502 "));
        assert!(ask("/other?q=1").await.starts_with("HTTP/1.1 200 "));
        server.set("/", Mood::Silent);
        assert_eq!(ask("/").await, "");
        server.set("/", Mood::Slow(Duration::from_millis(1)));
        assert!(ask("/").await.contains("Welcome"));
        assert_eq!(server.url("/x"), format!("http://localhost:{}/x", server.address().port()));
    }

    #[tokio::test]
    async fn the_chain_is_valid_and_ends_when_it_should() {
        // Within the life of the demo's authority, whatever the machine's clock says.
        let now = Timestamp::from_seconds(1_795_000_000.0).unwrap();
        let authority = Authority::new(now).unwrap();
        let ends = now + Duration::from_secs(9 * 86_400);
        let certificate = authority.issue(&["www.example.org"], ends).unwrap();
        let server = WebServer::start_tls(&certificate).await.unwrap();

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.root().clone()).unwrap();
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
            roots.into(),
            provider.clone(),
        )
        .build()
        .unwrap();
        let fixed = Arc::new(At { verifier, now });
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(fixed)
            .with_no_client_auth();
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let name = ServerName::try_from("www.example.org").unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut tls = connector.connect(name, stream).await.unwrap();
        let chain = tls.get_ref().1.peer_certificates().unwrap().to_vec();
        assert_eq!(chain.len(), 2);
        let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
        assert_eq!(leaf.validity().not_after.timestamp() * 1000, ends.millis());
        assert!(get(&mut tls, "/").await.starts_with("HTTP/1.1 200 "));
        assert!(authority.root_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    }

    /// The usual judgement at another time than the machine's.
    #[derive(Debug)]
    struct At {
        verifier: Arc<rustls::client::WebPkiServerVerifier>,
        now: Timestamp,
    }

    impl rustls::client::danger::ServerCertVerifier for At {
        fn verify_server_cert(
            &self,
            end_entity: &rustls::pki_types::CertificateDer<'_>,
            intermediates: &[rustls::pki_types::CertificateDer<'_>],
            server_name: &ServerName<'_>,
            ocsp: &[u8],
            _: rustls::pki_types::UnixTime,
        ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
            let since = self.now.since(Timestamp::default()).unwrap();
            let now = rustls::pki_types::UnixTime::since_unix_epoch(since);
            self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
        }

        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            self.verifier.verify_tls12_signature(message, cert, dss)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &rustls::pki_types::CertificateDer<'_>,
            dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            self.verifier.verify_tls13_signature(message, cert, dss)
        }

        fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
            self.verifier.supported_verify_schemes()
        }
    }
}
