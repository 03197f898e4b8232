//! Requests to homeservers and webhooks over hyper, bounded in time and size: one connection each,
//! unless the caller keeps it for the next one.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::proxy::Proxy;
use super::wire::{ChannelError, DialError, Dialer, Wire, scrubbed};
use crate::model::Secret;
use crate::ports::{Clock, Tick};

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

/// Path and query of a URL; may hold a secret.
pub(super) fn path_of(url: &url::Url) -> Secret {
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    Secret::new(&format!("{}{query}", url.path()))
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: http::Method,
    /// Path and query.
    pub(super) path: &'a str,
    pub(super) bearer: Option<&'a Secret>,
    /// `user:password`, before those in the URL.
    pub(super) login: Option<&'a Secret>,
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
    /// `application/x-www-form-urlencoded`
    Form(String),
    /// MIME type and bytes.
    File(String, Bytes),
}

/// What is answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The connection can carry a further request.
    keeps_open: bool,
}

impl Answer {
    /// Without a body.
    #[cfg(test)]
    pub(super) fn of(status: u16, field: Option<(header::HeaderName, &str)>) -> Self {
        let field = field.map(|(name, value)| (name, value.parse().unwrap()));
        let (headers, body) = (field.into_iter().collect(), Bytes::new());
        Self { status: status.try_into().unwrap(), headers, body, keeps_open: false }
    }

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

/// A connection that can carry a further request.
struct Open {
    sender: SendRequest<Full<Bytes>>,
    /// Does its work only while somebody waits for an answer.
    connection: Pin<Box<Connection<TokioIo<Wire>, Full<Bytes>>>>,
    since: Tick,
}

/// Connections to one endpoint that wait for the next request.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<Open>>);

/// So long. Servers keep them for five seconds and more: one that is used within this time is
/// still there.
const KEPT_OPEN: Duration = Duration::from_secs(2);
/// So many.
const MOST_KEPT: usize = 4;

impl Kept {
    /// Asks once, over a connection that an earlier request left open where there is one. The
    /// caller holds the deadline.
    ///
    /// # Errors
    /// There was no answer; any status is an answer.
    pub(super) async fn ask(
        &self,
        clock: &dyn Clock,
        dialer: &Dialer,
        endpoint: &Endpoint,
        ask: Ask<'_>,
    ) -> Result<Answer, AskError> {
        let most = ask.most;
        let request = request(dialer, endpoint, ask)?;
        let kept = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let now = clock.mono();
            kept.retain(|open| now.since(open.since) < KEPT_OPEN);
            kept.pop()
        };
        // One that was closed meanwhile says so before anything is sent.
        let mut usable = None;
        if let Some(mut open) = kept
            && is_ready(&mut open).await
        {
            usable = Some(open);
        }
        let mut open = match usable {
            Some(open) => open,
            None => connect(dialer, endpoint, clock.mono()).await?,
        };
        let answer = exchange(&mut open, request, most).await?;
        if answer.keeps_open && is_ready(&mut open).await {
            open.since = clock.mono();
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MOST_KEPT {
                kept.push(open);
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
impl Kept {
    /// How many would be used again.
    pub(super) async fn open_after_a_look(&self) -> usize {
        let kept = std::mem::take(&mut *self.0.lock().unwrap());
        let mut good = Vec::new();
        for mut open in kept {
            if is_ready(&mut open).await {
                good.push(open);
            }
        }
        let count = good.len();
        *self.0.lock().unwrap() = good;
        count
    }
}

/// Whether it takes a request now. The connection notices here when the other side has closed it.
async fn is_ready(open: &mut Open) -> bool {
    let Open { sender, connection, .. } = open;
    // It is not waited for: an answer that came is not delayed by what becomes of the connection.
    std::future::poll_fn(|context| {
        let is_over = connection.as_mut().poll(context).is_ready();
        let is_ready = !is_over && matches!(sender.poll_ready(context), Poll::Ready(Ok(())));
        Poll::Ready(is_ready)
    })
    .await
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
    let request = request(dialer, endpoint, ask)?;
    let mut open = connect(dialer, endpoint, Tick::default()).await?;
    exchange(&mut open, request, most).await
}

fn lost(error: hyper::Error) -> AskError {
    AskError::Lost(scrubbed(&error.to_string()))
}

async fn connect(dialer: &Dialer, endpoint: &Endpoint, since: Tick) -> Result<Open, AskError> {
    let Endpoint { host, port, secure, .. } = endpoint;
    let wire = dialer.reach(host, *port, *secure).await.map_err(AskError::Dial)?;
    let handshake = hyper::client::conn::http1::Builder::new()
        .max_buf_size(64 * 1024)
        .max_headers(100)
        .handshake(TokioIo::new(wire))
        .await;
    let (sender, connection) = handshake.map_err(lost)?;
    Ok(Open { sender, connection: Box::pin(connection), since })
}

async fn exchange(
    open: &mut Open,
    request: Request<Full<Bytes>>,
    most: usize,
) -> Result<Answer, AskError> {
    let Open { sender, connection, .. } = open;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(lost)?;
        read(response, most).await
    };
    // The connection does its work while the exchange waits for it.
    tokio::pin!(exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => {
            // What has arrived before the end may still be a whole answer.
            let answer = exchange.await;
            match (answer, ended) {
                (Err(AskError::Lost(_)), Err(error)) => Err(lost(error)),
                (answer, _) => answer,
            }
        }
    }
}

fn request(
    dialer: &Dialer,
    endpoint: &Endpoint,
    ask: Ask<'_>,
) -> Result<Request<Full<Bytes>>, AskError> {
    let bad = |error: http::Error| AskError::Request(error.to_string());
    let Endpoint { host, port, secure, authority, .. } = endpoint;
    let proxy = dialer.proxy(host, *port, *secure).filter(|p| !secure && p.takes_requests());
    let uri = match proxy {
        Some(_) => format!("http://{authority}{}", ask.path).parse::<Uri>(),
        None => ask.path.parse(),
    };
    let uri = uri.map_err(|_| AskError::Request("its path is not valid".to_owned()))?;
    let mut builder = Request::builder()
        .method(ask.method)
        .uri(uri)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, concat!("augenmass/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "application/json");
    if let Some(credentials) = proxy.and_then(Proxy::credentials) {
        builder = builder.header(header::PROXY_AUTHORIZATION, credentials);
    }
    let credentials = match (ask.bearer, ask.login.or(endpoint.login.as_ref())) {
        (Some(token), _) => Some(format!("Bearer {}", token.reveal())),
        (None, Some(login)) => {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(login.reveal());
            Some(format!("Basic {encoded}"))
        }
        _ => None,
    };
    if let Some(credentials) = credentials {
        builder = builder.header(header::AUTHORIZATION, sensitive("token", &credentials)?);
    }
    for (name, value) in ask.headers {
        let value = sensitive(&format!("header {name}"), value.reveal())?;
        builder = builder.header(&**name, value);
    }
    let (mime, body) = match ask.content {
        Content::Json(json) => ("application/json".to_owned(), Bytes::from(json)),
        Content::Form(form) => ("application/x-www-form-urlencoded".to_owned(), Bytes::from(form)),
        Content::File(mime, bytes) => (mime, bytes),
        Content::None => return builder.body(Full::new(Bytes::new())).map_err(bad),
    };
    builder.header(header::CONTENT_TYPE, mime).body(Full::new(body)).map_err(bad)
}

/// A header's value that may be a secret.
fn sensitive(what: &str, value: &str) -> Result<header::HeaderValue, AskError> {
    // The error itself would show the secret.
    let mut value = header::HeaderValue::try_from(value)
        .map_err(|_| AskError::Request(format!("the {what} holds impossible characters")))?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(response: Response<hyper::body::Incoming>, most: usize) -> Result<Answer, AskError> {
    let (parts, body) = response.into_parts();
    let closes = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"close");
    let keeps_open = parts.version == http::Version::HTTP_11
        && !parts.headers.get(header::CONNECTION).is_some_and(closes);
    // With a status the fate of the request is known; a body that breaks off changes nothing.
    let body = match Limited::new(body, most).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => {
            let (status, headers) = (parts.status, parts.headers);
            return Ok(Answer { status, headers, body: Bytes::new(), keeps_open: false });
        }
    };
    Ok(Answer { status: parts.status, headers: parts.headers, body, keeps_open })
}
