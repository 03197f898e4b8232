//! Proxies on the way to HTTP servers: requests handed over, tunnels by `CONNECT` (RFC 9110
//! §9.3.6), SOCKS 5 (RFC 1928, RFC 1929); and which hosts are called without, in the notation of
//! `NO_PROXY` as Go reads it.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, header};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Proxies;
use super::wire::{ChannelError, DialError, Wire, scrubbed};
use crate::model::Secret;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Https,
    Socks,
}

/// One proxy.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    /// User and password.
    login: Option<(Secret, Secret)>,
}

/// Which way requests go.
#[derive(Debug)]
pub(super) struct Router {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exceptions: Option<Vec<Exception>>,
    pub(super) headers: Vec<(Arc<str>, Secret)>,
}

/// Whether a URL is one of a proxy that can be used.
pub fn is_proxy(url: &str) -> bool {
    Proxy::new(url).is_some()
}

impl Router {
    pub(super) fn new(proxies: &Proxies) -> Result<Self, ChannelError> {
        let one = |url: &Option<Secret>| match url {
            Some(url) => Proxy::new(url.reveal()).map(Some).ok_or(ChannelError::Proxy),
            None => Ok(None),
        };
        Ok(Self {
            http: one(&proxies.http)?,
            https: one(&proxies.https)?,
            exceptions: proxies.exceptions.as_deref().map(exceptions),
            headers: proxies.connect_headers.clone(),
        })
    }

    /// The proxy on the way to a host; `secure`: to an `https` address.
    pub(super) fn proxy(&self, host: &str, port: u16, secure: bool) -> Option<&Proxy> {
        let proxy = if secure { self.https.as_ref() } else { self.http.as_ref() };
        let direct = self.exceptions.as_ref().is_some_and(|exceptions| {
            is_this_machine(host) || exceptions.iter().any(|exception| exception.fits(host, port))
        });
        proxy.filter(|_| !direct)
    }
}

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn is_this_machine(host: &str) -> bool {
    let address = bare(host).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A host that is called without a proxy.
#[derive(Debug, PartialEq, Eq)]
enum Exception {
    /// `*`
    All,
    /// Addresses whose first bits are these.
    Network(IpAddr, u8),
    Address(IpAddr, Option<u16>),
    /// A name, and those below it; `exact`: also itself.
    Domain {
        below: String,
        exact: bool,
        port: Option<u16>,
    },
}

fn exceptions(text: &str) -> Vec<Exception> {
    text.split(',').filter_map(exception).collect()
}

fn exception(word: &str) -> Option<Exception> {
    let word = word.trim().to_lowercase();
    if word == "*" {
        return Some(Exception::All);
    }
    if let Some((address, bits)) = word.split_once('/') {
        let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
        return Some(Exception::Network(address, bits));
    }
    if let Ok(address) = bare(&word).parse::<IpAddr>() {
        return Some(Exception::Address(address, None));
    }
    let (host, port) = match word.rsplit_once(':') {
        Some((host, port)) => (bare(host).to_owned(), Some(port.parse::<u16>().ok()?)),
        None => (word, None),
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Exception::Address(address, port));
    }
    let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(&host);
    if host.is_empty() {
        return None;
    }
    let exact = !host.starts_with('.');
    let below = if exact { format!(".{host}") } else { host.to_owned() };
    Some(Exception::Domain { below, exact, port })
}

impl Exception {
    fn fits(&self, host: &str, port: u16) -> bool {
        let at = |wanted: &Option<u16>| wanted.is_none_or(|wanted| wanted == port);
        let address = bare(host).parse::<IpAddr>().ok();
        match self {
            Exception::All => true,
            Exception::Network(network, bits) => {
                address.is_some_and(|address| is_within(address, *network, *bits))
            }
            Exception::Address(exception, wanted) => address == Some(*exception) && at(wanted),
            Exception::Domain { below, exact, port: wanted } => {
                let host = host.trim_end_matches('.').to_lowercase();
                (host.ends_with(below) || (*exact && host == below[1..])) && at(wanted)
            }
        }
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

impl Proxy {
    fn new(url: &str) -> Option<Self> {
        let url = url::Url::parse(url).ok()?;
        let (kind, usual) = match url.scheme() {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks, 1080),
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        let decoded = |text: &str| {
            Secret::new(&percent_encoding::percent_decode_str(text).decode_utf8_lossy())
        };
        let login = !url.username().is_empty();
        let login =
            login.then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())));
        Some(Self { kind, host, port: url.port().unwrap_or(usual), login })
    }

    /// Whether requests to `http` addresses are handed over as they are.
    pub(super) fn takes_requests(&self) -> bool {
        self.kind != ProxyKind::Socks
    }

    /// The value of `Proxy-Authorization`.
    pub(super) fn credentials(&self) -> Option<HeaderValue> {
        let (user, password) = self.login.as_ref()?;
        let encoded = STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// A tunnel to a host through a connection to this proxy.
    pub(super) async fn tunnel(
        &self,
        wire: Wire,
        host: &str,
        port: u16,
        headers: &[(Arc<str>, Secret)],
    ) -> Result<Wire, DialError> {
        let broken = |why: &dyn std::fmt::Display| DialError::Proxy(scrubbed(&why.to_string()));
        let authority = format!("{host}:{port}");
        let mut request = Request::connect(&authority).header(header::HOST, &authority);
        if let Some(credentials) = self.credentials() {
            request = request.header(header::PROXY_AUTHORIZATION, credentials);
        }
        for (name, value) in headers {
            let name = HeaderName::try_from(&**name).map_err(|error| broken(&error))?;
            // The error would show the value.
            let impossible = format!("the header {name} holds impossible characters");
            let value = HeaderValue::try_from(value.reveal()).map_err(|_| broken(&impossible))?;
            request = request.header(name, value);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| broken(&error))?;
        let handshake = hyper::client::conn::http1::Builder::new()
            .max_buf_size(64 * 1024)
            .max_headers(100)
            .handshake(TokioIo::new(wire))
            .await;
        let (mut sender, mut connection) = handshake.map_err(|error| broken(&error))?;
        let answer = sender.send_request(request);
        tokio::pin!(answer);
        let mut is_over = false;
        let answer = poll_fn(|context| {
            if !is_over {
                is_over = connection.poll_without_shutdown(context).is_ready();
            }
            answer.as_mut().poll(context)
        });
        let status = answer.await.map_err(|error| broken(&error))?.status();
        if !status.is_success() {
            return Err(broken(&format!("it answers {status}")));
        }
        if !is_over {
            let over = poll_fn(|context| connection.poll_without_shutdown(context)).await;
            over.map_err(|error| broken(&error))?;
        }
        let parts = connection.into_parts();
        // The other side speaks second in TLS; what is here already was said by nobody we know.
        if !parts.read_buf.is_empty() {
            return Err(broken(&"it speaks before it is asked"));
        }
        Ok(parts.io.into_inner())
    }

    /// The same by SOCKS 5. The proxy resolves the name.
    pub(super) async fn socks(
        &self,
        mut wire: Wire,
        host: &str,
        port: u16,
    ) -> Result<Wire, DialError> {
        let broken = |why: &str| DialError::Proxy(scrubbed(why));
        let failed = |error: std::io::Error| DialError::Proxy(error.to_string());
        let method = if self.login.is_some() { 2 } else { 0 };
        wire.write_all(&[5, 1, method]).await.map_err(failed)?;
        wire.flush().await.map_err(failed)?;
        let mut chosen = [0; 2];
        wire.read_exact(&mut chosen).await.map_err(failed)?;
        if chosen != [5, method] {
            return Err(broken("it wants another login, or does not speak SOCKS 5"));
        }
        if let Some((user, password)) = &self.login {
            let (user, password) = (user.reveal().as_bytes(), password.reveal().as_bytes());
            let (Ok(users), Ok(passwords)) =
                (u8::try_from(user.len()), u8::try_from(password.len()))
            else {
                return Err(broken("user name or password are too long for SOCKS 5"));
            };
            let login = [&[1, users][..], user, &[passwords], password].concat();
            wire.write_all(&login).await.map_err(failed)?;
            wire.flush().await.map_err(failed)?;
            let mut verdict = [0; 2];
            wire.read_exact(&mut verdict).await.map_err(failed)?;
            if verdict[1] != 0 {
                return Err(broken("it does not accept user name and password"));
            }
        }
        let to = match bare(host).parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => [&[1][..], &address.octets()].concat(),
            Ok(IpAddr::V6(address)) => [&[4][..], &address.octets()].concat(),
            Err(_) => {
                let Ok(length) = u8::try_from(host.len()) else {
                    return Err(broken("the name of the host is too long for SOCKS 5"));
                };
                [&[3, length][..], host.as_bytes()].concat()
            }
        };
        let request = [&[5, 1, 0][..], &to, &port.to_be_bytes()].concat();
        wire.write_all(&request).await.map_err(failed)?;
        wire.flush().await.map_err(failed)?;
        let mut answer = [0; 4];
        wire.read_exact(&mut answer).await.map_err(failed)?;
        if answer[..2] != [5, 0] {
            return Err(broken(&format!("it answers {} to SOCKS 5", answer[1])));
        }
        let length = match answer[3] {
            1 => 4,
            4 => 16,
            3 => usize::from(wire.read_u8().await.map_err(failed)?),
            _ => return Err(broken("an answer that is not SOCKS 5")),
        };
        // The address it calls from, which says nothing to us.
        let mut from = vec![0; length + 2];
        wire.read_exact(&mut from).await.map_err(failed)?;
        Ok(wire)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(exceptions: Option<&str>) -> Router {
        Router::new(&Proxies {
            http: Some(Secret::new("http://plain:3128")),
            https: Some(Secret::new("https://me:ge%20heim@secure")),
            exceptions: exceptions.map(Into::into),
            connect_headers: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let router = router(None);
        let http = router.proxy("localhost", 80, false).unwrap();
        assert_eq!((http.kind, &*http.host, http.port), (ProxyKind::Http, "plain", 3128));
        let https = router.proxy("example.org", 443, true).unwrap();
        assert_eq!((https.kind, &*https.host, https.port), (ProxyKind::Https, "secure", 443));
        let value = https.credentials().unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Basic {}", STANDARD.encode("me:ge heim")));
        assert!(!format!("{router:?} {value:?}").contains("heim"));
        for wrong in ["foo", "ftp://x", "http://", "socks4://x"] {
            assert!(!is_proxy(wrong), "{wrong}");
        }
        assert!(is_proxy("socks5://x"));
    }

    #[test]
    fn exceptions_are_read_as_go_reads_them() {
        let direct = |exceptions: &str, host: &str, port: u16| {
            router(Some(exceptions)).proxy(host, port, false).is_none()
        };
        assert!(direct("", "localhost", 80) && direct("", "127.0.0.9", 80));
        assert!(direct("", "[::1]", 80) && !direct("", "example.org", 80));
        assert!(direct("*", "example.org", 80));
        assert!(direct("a.org, example.org", "example.org", 80));
        assert!(direct("Example.org", "www.example.ORG", 80));
        assert!(!direct("example.org", "notexample.org", 80));
        assert!(direct(".example.org", "www.example.org", 80));
        assert!(!direct(".example.org", "example.org", 80));
        assert!(!direct("*.example.org", "example.org", 80));
        assert!(direct("example.org:81", "example.org", 81));
        assert!(!direct("example.org:81", "example.org", 80));
        assert!(direct("192.0.2.0/24", "192.0.2.7", 80));
        assert!(!direct("192.0.2.0/24", "192.0.3.7", 80));
        assert!(direct("0.0.0.0/0", "192.0.3.7", 80));
        assert!(direct("2001:db8::/32", "[2001:db8::1]", 80));
        assert!(
            direct("192.0.2.7:80", "192.0.2.7", 80) && !direct("192.0.2.7:81", "192.0.2.7", 80)
        );
        assert!(direct("2001:db8::1", "[2001:db8::1]", 80));
    }

    proptest! {
        #[test]
        fn any_exceptions_are_read(text in "[*.a-c0-9:/\\[\\], ]{0,40}", port: u16) {
            router(Some(&text)).proxy("a.b", port, true);
            router(Some(&text)).proxy("[::2]", port, false);
        }
    }
}
