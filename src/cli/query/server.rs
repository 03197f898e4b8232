//! Any server that speaks Prometheus' HTTP API.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::answer::Answered;
use super::source::{Form, Trouble};

/// An answer is read up to here.
const LARGEST_ANSWER: usize = 1 << 30;

/// A server, with what it takes to be let in.
pub struct Server {
    /// Without user and password, which are never shown.
    url: url::Url,
    credentials: Option<HeaderValue>,
    limit: Duration,
}

/// What came back.
struct Reply {
    status: StatusCode,
    body: Bytes,
}

impl Server {
    pub fn new(url: &url::Url, token: Option<&Path>, limit: Duration) -> Result<Self, Trouble> {
        if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
            return Err(Trouble::Usage("--server is not a http or https URL".to_owned()));
        }
        let credentials = match token {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text =
                    text.map_err(|error| Trouble::Failed(format!("{}: {error}", file.display())))?;
                Some(format!("Bearer {}", text.trim()))
            }
            None if url.username().is_empty() => None,
            None => {
                use base64::Engine as _;
                let plain = |text: &str| {
                    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
                };
                let password = plain(url.password().unwrap_or_default());
                let login = format!("{}:{password}", plain(url.username()));
                let code = base64::engine::general_purpose::STANDARD.encode(login);
                Some(format!("Basic {code}"))
            }
        };
        let credentials = credentials.map(|text| {
            let value = HeaderValue::try_from(text);
            // The error would show the secret.
            value.map_err(|_| Trouble::Usage("the token holds impossible characters".to_owned()))
        });
        let mut url = url.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { url, credentials: credentials.transpose()?, limit })
    }

    /// Asks `/api/v1/` + `path`.
    pub async fn get(&self, path: &str, form: Form<'_>) -> Result<Answered, Trouble> {
        let values = path.starts_with("label/");
        let post = !values && !form.is_empty();
        let mut reply = self.send(path, form, post).await?;
        let refused = [StatusCode::METHOD_NOT_ALLOWED, StatusCode::NOT_IMPLEMENTED];
        if post && refused.contains(&reply.status) {
            reply = self.send(path, form, false).await?;
        }
        self.understand(&reply)
    }

    fn failed(&self, why: impl std::fmt::Display) -> Trouble {
        Trouble::Failed(format!("{}: {why}", self.url))
    }

    fn understand(&self, reply: &Reply) -> Result<Answered, Trouble> {
        let Ok(Value::Object(mut body)) = serde_json::from_slice(&reply.body) else {
            let status = reply.status;
            return Err(self.failed(format!(
                "answered {status}, and not as Prometheus' HTTP API does; is the URL right?"
            )));
        };
        if body.get("status").and_then(Value::as_str) != Some("success") {
            let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("");
            let message = match text("error") {
                "" => format!("answered {}", reply.status),
                message => message.to_owned(),
            };
            return Err(match text("errorType") {
                "bad_data" | "invalid" => Trouble::Usage(message),
                _ => Trouble::Failed(message),
            });
        }
        let mut notes = |name: &str| -> Vec<String> {
            let found = body.remove(name).unwrap_or_default();
            let all = found.as_array().into_iter().flatten();
            all.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (warnings, infos) = (notes("warnings"), notes("infos"));
        Ok(Answered { data: body.remove("data").unwrap_or_default(), warnings, infos })
    }

    async fn send(&self, path: &str, form: Form<'_>, post: bool) -> Result<Reply, Trouble> {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        let encoded = encoded.extend_pairs(form).finish();
        let base = self.url.path().trim_end_matches('/');
        let mut target = format!("{base}/api/v1/{path}");
        if !post {
            target = format!("{target}?{encoded}");
        }
        let host = self.url.host_str().unwrap_or_default();
        let authority = self.url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
        let mut request = Request::builder()
            .method(if post { Method::POST } else { Method::GET })
            .uri(target)
            .header(header::HOST, authority)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("augenmass/", env!("CARGO_PKG_VERSION")));
        if let Some(credentials) = &self.credentials {
            request = request.header(header::AUTHORIZATION, credentials);
        }
        let body = if post {
            let kind = "application/x-www-form-urlencoded";
            request = request.header(header::CONTENT_TYPE, kind);
            Bytes::from(encoded)
        } else {
            Bytes::new()
        };
        let request = request.body(Full::new(body)).map_err(|error| self.failed(error))?;
        let exchange = tokio::time::timeout(self.limit, self.exchange(request));
        exchange.await.map_err(|_| self.failed(format!("no answer within {:?}", self.limit)))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Reply, Trouble> {
        let host = self.url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.url.port_or_known_default().unwrap_or(80);
        let stream = TcpStream::connect((bare, port)).await;
        let stream = stream.map_err(|error| self.failed(format!("cannot connect: {error}")))?;
        if self.url.scheme() == "http" {
            return self.talk(stream, request).await;
        }
        let unsafe_ = |error: String| self.failed(format!("no secure connection: {error}"));
        let name = ServerName::try_from(bare.to_owned()).map_err(|e| unsafe_(e.to_string()))?;
        let connected = TlsConnector::from(trusting()?).connect(name, stream).await;
        self.talk(connected.map_err(|e| unsafe_(e.to_string()))?, request).await
    }

    async fn talk(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, Trouble> {
        let lost = |error: String| self.failed(format!("the connection broke: {error}"));
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| lost(e.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| lost(e.to_string()))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await;
            let body = body.map_err(|e| lost(e.to_string()))?.to_bytes();
            Ok(Reply { status: parts.status, body })
        };
        // The connection does its work while the exchange waits for it; both end here.
        tokio::pin!(connection, exchange);
        tokio::select! {
            reply = &mut exchange => reply,
            _ = &mut connection => exchange.await,
        }
    }
}

/// TLS that trusts what this machine trusts.
fn trusting() -> Result<Arc<rustls::ClientConfig>, Trouble> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| Trouble::Failed(error.to_string()))?;
    Ok(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()))
}
