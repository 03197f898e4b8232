//! Connections to mail servers, homeservers and webhooks: TCP, proxies, and TLS.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::handshake::client_config;
use super::proxy::{Proxy, ProxyKind, Router};
use super::{Handshake, Proxies};
use crate::model::{redacted, visible_line};
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
    /// The URL of a proxy; it is not shown, it may hold a password.
    #[error("the URL of a proxy is not a http, https or socks5 URL with a host")]
    Proxy,
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
    /// The proxy does not let us through.
    Proxy(String),
    /// The token endpoint gives no token.
    Token(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::Resolve(why) => write!(f, "cannot resolve the name: {why}"),
            DialError::Connect(why) => write!(f, "cannot connect: {why}"),
            DialError::Tls(why) => write!(f, "no secure connection: {why}"),
            DialError::Token(why) => write!(f, "the token endpoint gives no token: {why}"),
            DialError::Proxy(why) => write!(f, "the proxy does not let us through: {why}"),
        }
    }
}

/// Makes connections.
pub(super) struct Dialer {
    tls: Arc<ClientConfig>,
    server_name: Option<Arc<str>>,
    router: Option<Router>,
}

impl Dialer {
    /// Reads the disk.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should.
    pub(super) fn new(handshake: &Handshake) -> Result<Self, ChannelError> {
        let (tls, server_name) =
            (Arc::new(client_config(handshake)?), handshake.server_name.clone());
        Ok(Self { tls, server_name, router: None })
    }

    /// HTTP requests go by these proxies.
    ///
    /// # Errors
    /// One of them is no URL of a proxy.
    pub(super) fn by(mut self, proxies: Option<&Proxies>) -> Result<Self, ChannelError> {
        self.router = proxies.map(Router::new).transpose()?;
        Ok(self)
    }

    /// The proxy on the way to a host.
    pub(super) fn proxy(&self, host: &str, port: u16, secure: bool) -> Option<&Proxy> {
        self.router.as_ref()?.proxy(host, port, secure)
    }

    /// A connection for HTTP requests to a host, through a proxy where one is on the way.
    pub(super) async fn reach(
        &self,
        host: &str,
        port: u16,
        secure: bool,
    ) -> Result<Wire, DialError> {
        let wire = match (self.proxy(host, port, secure), &self.router) {
            (Some(proxy), Some(router)) => {
                let mut wire = Wire::Plain(self.connect(&proxy.host, proxy.port).await?);
                if proxy.kind == ProxyKind::Https {
                    wire = self.secured(wire, &proxy.host).await?;
                }
                // Requests to `http` addresses are handed to the proxy as they are.
                match (proxy.kind, secure) {
                    (ProxyKind::Socks, _) => proxy.socks(wire, host, port).await?,
                    (_, true) => proxy.tunnel(wire, host, port, &router.headers).await?,
                    (_, false) => wire,
                }
            }
            _ => Wire::Plain(self.connect(host, port).await?),
        };
        if secure { self.encrypt(wire, host).await } else { Ok(wire) }
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

    /// TLS over an open connection; the certificate must be for `host`, unless the settings name
    /// another.
    pub(super) async fn encrypt(&self, wire: Wire, host: &str) -> Result<Wire, DialError> {
        self.secured(wire, self.server_name.as_deref().unwrap_or(host)).await
    }

    async fn secured(&self, wire: Wire, name: &str) -> Result<Wire, DialError> {
        let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|error| DialError::Tls(error.to_string()))?;
        let connected = TlsConnector::from(self.tls.clone()).connect(name, wire).await;
        let stream = connected.map_err(|error| DialError::Tls(error.to_string()))?;
        Ok(Wire::Tls(Box::new(stream)))
    }
}

/// A connection with or without encryption.
pub(super) enum Wire {
    Plain(TcpStream),
    /// Through a proxy that is itself called under TLS, one lies in the other.
    Tls(Box<TlsStream<Wire>>),
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

/// Foreign words for a reason: on one line, short, without mail addresses, links, addresses of
/// machines (whose they are, nobody can know) and what is called a secret.
pub(super) fn scrubbed(text: &str) -> String {
    let line = without_ips(&redacted(&visible_line(text)));
    let words = line.split(' ');
    let shown =
        words.map(|word| if word.contains('@') || word.contains("://") { "…" } else { word });
    let line = shown.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Hides addresses of the internet protocols: in what another server says, they may be somebody's.
fn without_ips(text: &str) -> String {
    let part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(part) {
        clean.push_str(&rest[..start]);
        let tail = &rest[start..];
        let end = tail.find(|c| !part(c)).unwrap_or(tail.len());
        let word = &tail[..end];
        let joined = clean.ends_with(|c: char| c.is_alphanumeric() || c == '-' || c == '_')
            || tail[end..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let bare = word.trim_matches(['.', ':']);
        let bare = if word.starts_with("::") { word.trim_end_matches(['.', ':']) } else { bare };
        let v4 = bare.split(':').next().unwrap_or("");
        let address =
            bare.parse::<Ipv6Addr>().is_ok() && bare.len() > 2 || v4.parse::<Ipv4Addr>().is_ok();
        if address && !joined {
            clean.push('…');
        } else {
            clean.push_str(word);
        }
        rest = &tail[end..];
    }
    clean.push_str(rest);
    clean
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
        assert_eq!(
            scrubbed(
                "550 client [203.0.113.77] (2001:db8::77) refused\u{202e}, token=abc \u{1b}[31m"
            ),
            "550 client […] (…) refused, token=… [31m"
        );
        assert_eq!(scrubbed(&"ü".repeat(300)).chars().count(), 201);
    }

    #[test]
    fn addresses_of_machines_are_hidden_where_they_are_asked_to_be() {
        for (text, shown) in [
            ("rejected from 203.0.113.77 now", "rejected from … now"),
            ("client [203.0.113.77]: blocked", "client […]: blocked"),
            ("host 192.0.2.1:25 says 5.1.1 at 10:02:33", "host … says 5.1.1 at 10:02:33"),
            ("from 2001:db8::77.", "from …"),
            ("dead::beef and ::1, not 1.2.3", "… and …, not 1.2.3"),
            ("version 1.2.3.4a, v1.2.3.4 and deadbeef", "version 1.2.3.4a, v1.2.3.4 and deadbeef"),
        ] {
            assert_eq!(without_ips(text), shown, "{text}");
        }
    }
}
