//! Requests to homeservers and webhooks over hyper: one connection each, bounded in time and size.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

use super::wire::{ChannelError, DialError, Dialer, Wire, scrubbed};
use crate::model::Secret;

/// An answer is read up to here: errors and event ids are short.
pub(super) const LARGEST_ANSWER: usize = 256 * 1024;

/// Where requests go: scheme, host and port of a URL, and its path.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    secure: bool,
    /// `host:port` for the `Host` header, without the port where it is the usual one.
    authority: String,
    /// User and password in the URL, for basic authentication.
    login: Option<Secret>,
}

impl Endpoint {
    /// From a http or https URL; `name` is what an error calls it.
    ///
    /// # Errors
    /// It is no such URL.
    pub(super) fn new(url: &url::Url, name: &str) -> Result<Self, ChannelError> {
        let bad = || ChannelError::Url(name.to_owned());
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let host = url.host_str().ok_or_else(bad)?.to_owned();
        let port = url.port_or_known_default().ok_or_else(bad)?;
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let login = (!url.username().is_empty()).then(|| {
            let decode = |text: &str| {
                percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
            };
            let password = decode(url.password().unwrap_or_default());
            Secret::new(&format!("{}:{password}", decode(url.username())))
        });
        Ok(Self { host, port, secure, authority, login })
    }
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: http::Method,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) bearer: Option<&'a Secret>,
    /// Further header fields.
    pub(super) headers: &'a [(std::sync::Arc<str>, Secret)],
    pub(super) content: Content,
    /// The answer is read up to here, in bytes.
    pub(super) most: usize,
}

/// What a request carries.
#[derive(Clone)]
pub(super) enum Content {
    None,
    Json(String),
    /// MIME type and bytes.
    File(String, Bytes),
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` when it is none.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `Retry-After` in seconds.
    pub(super) fn retry_after(&self) -> Option<std::time::Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(std::time::Duration::from_secs(seconds))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// There was no connection: the request was surely not seen.
    Dial(DialError),
    /// The request could not be written down; a fault of the configuration.
    Request(String),
    /// The connection broke: the request may have been seen.
    Lost(String),
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AskError::Dial(error) => write!(f, "{error}"),
            AskError::Request(why) => write!(f, "the request cannot be made: {why}"),
            AskError::Lost(why) => write!(f, "the connection broke: {why}"),
        }
    }
}

/// Asks once. The caller holds the deadline.
///
/// # Errors
/// There was no answer; any status is an answer.
pub(super) async fn ask(
    dialer: &Dialer,
    endpoint: &Endpoint,
    ask: Ask<'_>,
) -> Result<Answer, AskError> {
    let most = ask.most;
    let request = request(endpoint, ask)?;
    let stream = dialer.connect(&endpoint.host, endpoint.port).await.map_err(AskError::Dial)?;
    let wire = if endpoint.secure {
        let encrypted = dialer.encrypt(stream, &endpoint.host).await.map_err(AskError::Dial)?;
        Wire::Tls(Box::new(encrypted))
    } else {
        Wire::Plain(stream)
    };
    let lost = |error: hyper::Error| AskError::Lost(scrubbed(&error.to_string()));
    let handshake = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .max_headers(100)
        .handshake(TokioIo::new(wire))
        .await;
    let (mut sender, connection) = handshake.map_err(lost)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(lost)?;
        read(response, most).await
    };
    // The connection does its work while the exchange waits for it; both end here.
    tokio::pin!(connection);
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = &mut connection => {
            // What has arrived before the end may still be a whole answer.
            let answer = exchange.await;
            match (answer, ended) {
                (Err(AskError::Lost(_)), Err(error)) => Err(lost(error)),
                (answer, _) => answer,
            }
        }
    }
}

fn request(endpoint: &Endpoint, ask: Ask<'_>) -> Result<Request<Full<Bytes>>, AskError> {
    let bad = |error: http::Error| AskError::Request(error.to_string());
    let uri: Uri =
        ask.path.parse().map_err(|_| AskError::Request("its path is not valid".to_owned()))?;
    let mut builder = Request::builder()
        .method(ask.method)
        .uri(uri)
        .header(header::HOST, &endpoint.authority)
        .header(header::USER_AGENT, concat!("augenmass/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json");
    let credentials = match (ask.bearer, &endpoint.login) {
        (Some(token), _) => Some(format!("Bearer {}", token.reveal())),
        (None, Some(login)) => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(login.reveal());
            Some(format!("Basic {encoded}"))
        }
        _ => None,
    };
    if let Some(credentials) = credentials {
        let value = header::HeaderValue::try_from(credentials);
        // The error would show the secret.
        let mut value = value
            .map_err(|_| AskError::Request("the token holds impossible characters".to_owned()))?;
        value.set_sensitive(true);
        builder = builder.header(header::AUTHORIZATION, value);
    }
    for (name, value) in ask.headers {
        // The error would show the secret.
        let value = header::HeaderValue::try_from(value.reveal());
        let mut value = value.map_err(|_| {
            AskError::Request(format!("the header {name} holds impossible characters"))
        })?;
        value.set_sensitive(true);
        builder = builder.header(&**name, value);
    }
    let (mime, body) = match ask.content {
        Content::Json(json) => ("application/json".to_owned(), Bytes::from(json)),
        Content::File(mime, bytes) => (mime, bytes),
        Content::None => return builder.body(Full::new(Bytes::new())).map_err(bad),
    };
    builder.header(header::CONTENT_TYPE, mime).body(Full::new(body)).map_err(bad)
}

async fn read(response: Response<hyper::body::Incoming>, most: usize) -> Result<Answer, AskError> {
    let (parts, body) = response.into_parts();
    // With a status the fate of the request is known; a body that breaks off changes nothing.
    let body = match Limited::new(body, most).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}
