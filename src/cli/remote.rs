//! Talks to a running augenmass.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::output::complain;
use crate::model::{visible, visible_line};

/// Where the running program is.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// The running program; https and a name with password in it are possible
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9797")]
    server: url::Url,
    /// File with a token for it
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// How long an answer may take, and how large it may be.
const PATIENCE: Duration = Duration::from_secs(30);
const LARGEST: usize = 256 << 20;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

impl Server {
    /// Asks, and gives the answer's body.
    ///
    /// # Errors
    /// For the person: there is no such program, or it refuses.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Bytes, String> {
        let work = self.exchange(method, path, body);
        let (status, body) = tokio::time::timeout(PATIENCE, work)
            .await
            .map_err(|_| format!("{}: no answer in {PATIENCE:?}", self.shown()))??;
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let reason = match serde_json::from_slice::<Value>(&body) {
            Ok(Value::String(text)) => text,
            Ok(value) => {
                let told = value["error"].as_str().or_else(|| value["message"].as_str());
                told.map_or_else(|| text.trim().to_owned(), str::to_owned)
            }
            Err(_) => text.trim().to_owned(),
        };
        Err(if reason.is_empty() { status.to_string() } else { reason })
    }

    /// Asks for JSON.
    ///
    /// # Errors
    /// As [`Server::ask`]; or the answer is no JSON.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, String> {
        let answer = self.ask(method, path, body).await?;
        let shown = self.shown();
        serde_json::from_slice(&answer).map_err(|_| format!("{shown}: this is no augenmass"))
    }

    fn shown(&self) -> String {
        format!("{}://{}", self.server.scheme(), self.authority())
    }

    fn authority(&self) -> String {
        let host = self.server.host_str().unwrap_or("");
        match self.server.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Bytes), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.shown());
        let stream = self.connect().await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(|error| failed(&error))?;
        let cut = |error: hyper::Error| self.cut_off(&error);
        let base = self.server.path().trim_end_matches('/');
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{base}{path}"))
            .header(header::HOST, self.authority());
        if let Some(value) = self.credentials()? {
            request = request.header(header::AUTHORIZATION, value);
        }
        let body = body.map(|value| value.to_string());
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| failed(&error))?;
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(connection);
        let answer = sender.send_request(request).await.map_err(cut)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        Ok((status, body.map_err(|error| failed(&error))?.to_bytes()))
    }

    fn credentials(&self) -> Result<Option<String>, String> {
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file)
                .map_err(|error| format!("{}: {error}", file.display()))?;
            return Ok(Some(format!("Bearer {}", token.trim())));
        }
        if self.server.username().is_empty() {
            return Ok(None);
        }
        let decode = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        let user = decode(self.server.username());
        let password = decode(self.server.password().unwrap_or(""));
        Ok(Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))))
    }

    /// Why there is no answer although somebody listens.
    fn cut_off(&self, error: &hyper::Error) -> String {
        let shown = self.shown();
        match self.server.scheme() {
            "https" => format!("{shown}: {error}"),
            _ => format!(
                "{shown}: {error}; if it expects encryption, name it with --server https://{}",
                self.authority()
            ),
        }
    }

    /// Why there is no connection, and what to do.
    fn unreachable(&self, error: &std::io::Error) -> String {
        let shown = self.shown();
        match error.kind() {
            std::io::ErrorKind::ConnectionRefused => format!(
                "nothing listens at {shown}: start `augenmass run`, or name the one that runs \
                 with --server URL"
            ),
            _ => format!("{shown} cannot be reached: {error}; name another one with --server URL"),
        }
    }

    /// Why a connection is not trusted, and what to do.
    fn untrusted(&self, error: &std::io::Error) -> String {
        format!(
            "{}: no secure connection: {error}; if its certificate is signed by an authority of \
             your own, name that authority's PEM file in the environment variable SSL_CERT_FILE",
            self.shown()
        )
    }

    async fn connect(&self) -> Result<Box<dyn Wire>, String> {
        let host = self.server.host_str().ok_or("the address has no host")?;
        let port = self.server.port_or_known_default().ok_or("the address has no port")?;
        let bare = host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((bare, port)).await;
        let stream = stream.map_err(|error| self.unreachable(&error))?;
        if self.server.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = rustls::pki_types::ServerName::try_from(bare.to_owned())
            .map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream =
            connector.connect(name, stream).await.map_err(|error| self.untrusted(&error))?;
        Ok(Box::new(stream))
    }
}

/// Who orders something, when nobody says: the name of the account.
pub fn account() -> String {
    std::env::var("USER").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "cli".to_owned())
}

/// Says what went wrong.
pub fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&visible(&problem));
            ExitCode::FAILURE
        }
    }
}

/// A part of a path: an id that somebody mistyped leads nowhere else.
pub fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A query parameter.
pub fn parameter(name: &str, value: &str) -> String {
    format!("{name}={}", segment(value))
}

/// Labels of an object, as people write them. Whatever they hold, the terminal stays as it is.
pub fn labels(value: &Value) -> String {
    let pairs = value.as_object().into_iter().flatten();
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or(""))).collect();
    visible_line(&pairs.join(" "))
}
