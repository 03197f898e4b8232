use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, header};

use super::connection::Peer;

/// Why somebody may not change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Not from this machine.
    NotLocal,
    /// A proxy on this machine speaks for somebody whom we do not know.
    Forwarded,
    /// A web page of somebody else made the browser ask.
    Foreign,
}

impl Refusal {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Refusal::NotLocal => "only requests from this machine may change anything",
            Refusal::Forwarded => {
                "a request that a proxy passes on may not change anything: it may come from anywhere"
            }
            Refusal::Foreign => "another web site made your browser send this request",
        }
    }
}

/// Whether a request may change something: it must come from this machine, straight, and not at
/// the wish of a foreign web page that is open in a browser here.
pub(super) fn may_change(peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    if !peer.0.ip().to_canonical().is_loopback() {
        return Err(Refusal::NotLocal);
    }
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    if passed_on.iter().any(|name| headers.contains_key(*name)) {
        return Err(Refusal::Forwarded);
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    // The names must be ours too: a foreign name may be made to lead to this machine.
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().unwrap_or("");
        origin.split_once("://").is_some_and(|(_, from)| from == host) && is_loopback_name(host)
    });
    if site && origin { Ok(()) } else { Err(Refusal::Foreign) }
}

/// `localhost` or a loopback address, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let name = if host.ends_with(']') { host } else { name };
    name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, headers: &[(&'static str, &'static str)], want: Result<(), Refusal>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        assert_eq!(may_change(Peer(peer.parse().unwrap()), &map), want, "{peer} {headers:?}");
    }

    #[test]
    fn who_may_change_something() {
        check("127.0.0.1:5", &[], Ok(()));
        check("[::ffff:127.0.0.1]:5", &[], Ok(()));
        check("[::1]:5", &[("host", "[::1]:1"), ("origin", "http://[::1]:1")], Ok(()));
        check("[::1]:5", &[("host", "[::1]"), ("origin", "http://[::1]")], Ok(()));
        check("[::1]:5", &[("host", "localhost:1"), ("origin", "http://localhost:1")], Ok(()));
        check("[::1]:5", &[("host", "a.b:1"), ("origin", "http://a.b:1")], Err(Refusal::Foreign));
        check("192.0.2.1:5", &[], Err(Refusal::NotLocal));
        check("127.0.0.1:5", &[("x-forwarded-for", "192.0.2.1")], Err(Refusal::Forwarded));
        check("127.0.0.1:5", &[("host", "h:1"), ("origin", "http://evil")], Err(Refusal::Foreign));
        check("127.0.0.1:5", &[("origin", "null")], Err(Refusal::Foreign));
        check("127.0.0.1:5", &[("sec-fetch-site", "cross-site")], Err(Refusal::Foreign));
    }
}
