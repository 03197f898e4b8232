//! Who may do what. Without credentials in the configuration everybody who reaches the port may look
//! (the settings decide who that is), and only requests that come straight from this machine may
//! change anything or push samples. With credentials each request says who it is: by a password
//! (Basic), a token (Bearer), or a certificate of the connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::HashMap;
use tokio::sync::Semaphore;

use super::answer;
use super::connection::Peer;
use super::router::Shared;
use super::settings::{Credentials, Exposure, Rights};

/// Passwords that are checked at the same time: each costs a core for a tenth of a second.
const CHECKS: usize = 2;
/// The longest a request waits for that.
const PATIENCE: Duration = Duration::from_secs(10);
/// Passwords whose verdict is remembered.
const REMEMBERED: usize = 1024;
/// A hash of nothing that anybody uses: an unknown name must not be quicker to refuse than a known.
const NOBODY: &str = "$2b$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa";

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// To see.
    Look,
    /// To push samples or alerts.
    Push,
    /// To change what we do.
    Change,
}

impl Wish {
    /// By method and path. Whatever is not known to be harmless is a change.
    fn of(method: &Method, path: &str) -> Self {
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Wish::Look;
        }
        let path = path.trim_end_matches('/');
        match path.strip_prefix("/api/v1/") {
            // Queries that are too long for an address.
            Some(
                "query" | "query_range" | "query_exemplars" | "format_query" | "parse_query"
                | "series" | "labels",
            ) if *method == Method::POST => Wish::Look,
            Some("write") => Wish::Push,
            _ if path == "/api/v2/alerts" => Wish::Push,
            _ => Wish::Change,
        }
    }

    fn granted(self, rights: Rights) -> bool {
        match self {
            Wish::Look => rights.read,
            Wish::Push => rights.write,
            Wish::Change => rights.change,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Wish::Look => "read",
            Wish::Push => "push samples",
            Wish::Change => "change anything",
        }
    }
}

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
            Refusal::NotLocal => {
                "only requests from this machine may change anything, unless the configuration \
                 names users or tokens (web.users, web.tokens)"
            }
            Refusal::Forwarded => {
                "a request that a proxy passes on may come from anywhere; for it the configuration \
                 must name users or tokens (web.users, web.tokens)"
            }
            Refusal::Foreign => "another web site made your browser send this request",
        }
    }
}

/// Whether a request may change something: who sent it proved to be allowed to, or it comes from
/// this machine, straight; and not at the wish of a foreign web page that is open in a browser.
pub(super) fn may_change(peer: Peer, headers: &HeaderMap) -> Result<(), Refusal> {
    if peer.trusted {
        return if same_site(headers, false) { Ok(()) } else { Err(Refusal::Foreign) };
    }
    if !peer.address.ip().to_canonical().is_loopback() {
        return Err(Refusal::NotLocal);
    }
    let passed_on = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    if passed_on.iter().any(|name| headers.contains_key(*name)) {
        return Err(Refusal::Forwarded);
    }
    if same_site(headers, true) { Ok(()) } else { Err(Refusal::Foreign) }
}

/// Whether no browser says that a foreign page is behind a request. `local`: the page's name must be
/// one of this machine, for a foreign name may be made to lead here.
fn same_site(headers: &HeaderMap, local: bool) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin" || site == "none");
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().unwrap_or("");
        let same = origin.split_once("://").is_some_and(|(_, from)| from == host);
        same && (!local || is_loopback_name(host))
    });
    site && origin
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

/// Knows the credentials; can be given others while it works.
pub struct Guard {
    /// Random: what is remembered of passwords is of no use to anybody else.
    key: hmac::Key,
    known: RwLock<Arc<Known>>,
    checks: Arc<Semaphore>,
}

struct Known {
    credentials: Credentials,
    /// Keyed hashes of the tokens.
    tokens: Vec<hmac::Tag>,
    /// Keyed hash of user and password → whether they fit.
    verdicts: RwLock<HashMap<Vec<u8>, bool>>,
}

/// What a request proves.
enum Proof {
    Nothing,
    Wrong,
    Busy,
    May(Rights),
}

impl Guard {
    /// Lets in who has these credentials.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(super) fn new(credentials: Credentials) -> Result<Arc<Self>, std::io::Error> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random)
            .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
        let known = RwLock::new(Arc::new(Known::new(credentials, &key)));
        Ok(Arc::new(Self { key, known, checks: Arc::new(Semaphore::new(CHECKS)) }))
    }

    /// From now on these credentials count.
    pub fn replace(&self, credentials: Credentials) {
        let known = Arc::new(Known::new(credentials, &self.key));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn proof(&self, known: &Arc<Known>, headers: &HeaderMap) -> Proof {
        let Some(given) = headers.get(header::AUTHORIZATION) else { return Proof::Nothing };
        let Ok(given) = given.to_str() else { return Proof::Wrong };
        let Some((scheme, rest)) = given.trim().split_once(' ') else { return Proof::Wrong };
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return known.token(&self.key, rest);
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Proof::Wrong;
        }
        let Ok(pair) = STANDARD.decode(rest) else { return Proof::Wrong };
        let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return Proof::Wrong };
        let (name, password) = (&pair[..colon], &pair[colon + 1..]);
        // A token may stand where programs know passwords only.
        if let Proof::May(rights) = known.token_bytes(&self.key, password) {
            return Proof::May(rights);
        }
        let user = known.credentials.users.iter().find(|user| user.name.as_bytes() == name);
        let (hash, rights) = match user {
            Some(user) => (user.password_hash.reveal().to_owned(), user.may),
            None => (NOBODY.to_owned(), Rights::default()),
        };
        let mut of = hmac::Context::with_key(&self.key);
        of.update(hash.as_bytes());
        of.update(&pair);
        let tag = of.sign().as_ref().to_vec();
        let seen = known.verdicts.read().unwrap_or_else(PoisonError::into_inner).get(&tag).copied();
        let fits = match seen {
            Some(fits) => fits,
            None => {
                let turn = tokio::time::timeout(PATIENCE, self.checks.clone().acquire_owned());
                let Ok(Ok(turn)) = turn.await else { return Proof::Busy };
                let password = password.to_vec();
                let check = tokio::task::spawn_blocking(move || {
                    let _turn = turn;
                    bcrypt::verify(&password, &hash).unwrap_or(false)
                });
                let fits = check.await.unwrap_or(false);
                known.remember(tag, fits);
                fits
            }
        };
        if fits && user.is_some() { Proof::May(rights) } else { Proof::Wrong }
    }
}

impl Known {
    fn new(credentials: Credentials, key: &hmac::Key) -> Self {
        let sign =
            |token: &super::settings::Token| hmac::sign(key, token.secret.reveal().as_bytes());
        let tokens = credentials.tokens.iter().map(sign).collect();
        Self { credentials, tokens, verdicts: RwLock::default() }
    }

    fn token(&self, key: &hmac::Key, token: &str) -> Proof {
        self.token_bytes(key, token.as_bytes())
    }

    /// Compares with all tokens, in a time that tells nothing.
    fn token_bytes(&self, key: &hmac::Key, token: &[u8]) -> Proof {
        let tag = hmac::sign(key, token);
        let mut proof = Proof::Wrong;
        for (known, named) in self.tokens.iter().zip(&self.credentials.tokens) {
            let same =
                aws_lc_rs::constant_time::verify_slices_are_equal(known.as_ref(), tag.as_ref());
            if same.is_ok() {
                proof = Proof::May(named.may);
            }
        }
        proof
    }

    fn remember(&self, tag: Vec<u8>, fits: bool) {
        let mut verdicts = self.verdicts.write().unwrap_or_else(PoisonError::into_inner);
        if verdicts.len() >= REMEMBERED {
            verdicts.clear();
        }
        verdicts.insert(tag, fits);
    }
}

/// Lets a request through, or says why not.
pub(super) async fn guard(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    // Whether we live is no secret, and neither is the style. The address of a signed link is its own
    // credential: it was sent to the owner of the incident alone, and its page checks it.
    if matches!(path, "/-/healthy" | "/-/ready" | "/style.css") || path.starts_with("/act/") {
        return next.run(request).await;
    }
    let wish = Wish::of(request.method(), path);
    let Some(mut peer) = request.extensions().get::<Peer>().copied() else {
        return answer::plain(StatusCode::FORBIDDEN, "refused: nobody is there\n");
    };
    let known = shared.guard.known();
    // Who took all users out of the file did not mean to let everybody in.
    let nobody = known.credentials.is_empty()
        && (shared.settings.exposure != Exposure::Users || peer.certified);
    let refused = if nobody {
        peer.trusted = peer.certified;
        None
    } else if wish == Wish::Look && shared.settings.exposure == Exposure::ReadableByAll {
        None
    } else {
        match shared.guard.proof(&known, request.headers()).await {
            Proof::May(rights) if wish.granted(rights) => {
                peer.trusted = true;
                None
            }
            Proof::May(_) => {
                let words = wish.words();
                Some((StatusCode::FORBIDDEN, format!("these credentials may not {words}")))
            }
            Proof::Nothing | Proof::Wrong => {
                let words = wish.words();
                Some((StatusCode::UNAUTHORIZED, format!("to {words}, say who you are")))
            }
            Proof::Busy => Some((
                StatusCode::SERVICE_UNAVAILABLE,
                "too many passwords are being checked; try again".to_owned(),
            )),
        }
    };
    if let Some((status, text)) = refused {
        let mut response = answer::plain(status, format!("refused: {text}\n"));
        if status == StatusCode::UNAUTHORIZED {
            let challenge =
                HeaderValue::from_static("Basic realm=\"augenmass\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        return response;
    }
    if wish != Wish::Look
        && let Err(refusal) = may_change(peer, request.headers())
    {
        return answer::plain(StatusCode::FORBIDDEN, format!("refused: {}\n", refusal.reason()));
    }
    request.extensions_mut().insert(peer);
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Secret;
    use crate::web::settings::{Token, User};

    fn check(peer: &str, headers: &[(&'static str, &'static str)], want: Result<(), Refusal>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let peer = Peer::new(peer.parse().unwrap());
        assert_eq!(may_change(peer, &map), want, "{peer:?} {headers:?}");
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

    #[test]
    fn who_proved_to_be_allowed_still_comes_from_our_own_pages() {
        let peer = Peer { trusted: true, ..Peer::new("192.0.2.1:5".parse().unwrap()) };
        let mut headers = HeaderMap::new();
        headers.insert("host", "orwell.example.org".parse().unwrap());
        assert_eq!(may_change(peer, &headers), Ok(()));
        headers.insert("origin", "https://orwell.example.org".parse().unwrap());
        assert_eq!(may_change(peer, &headers), Ok(()));
        headers.insert("origin", "https://evil.example.org".parse().unwrap());
        assert_eq!(may_change(peer, &headers), Err(Refusal::Foreign));
    }

    #[test]
    fn what_a_request_wants() {
        let check =
            |method: Method, path, want| assert_eq!(Wish::of(&method, path), want, "{path}");
        check(Method::GET, "/anything", Wish::Look);
        check(Method::POST, "/api/v1/query_range", Wish::Look);
        check(Method::POST, "/api/v1/write", Wish::Push);
        check(Method::POST, "/api/v2/alerts", Wish::Push);
        check(Method::POST, "/api/v2/silences", Wish::Change);
        check(Method::POST, "/-/reload", Wish::Change);
        check(Method::DELETE, "/api/v1/query", Wish::Change);
        check(Method::PUT, "/whatever/comes", Wish::Change);
    }

    fn basic(name: &str, password: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let text = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        headers
    }

    #[tokio::test]
    async fn passwords_and_tokens() {
        let hash = bcrypt::hash("correct horse", 4).unwrap();
        let all = Rights { read: true, write: true, change: true };
        let push = Rights { read: false, write: true, change: false };
        let user = User { name: "alice".into(), password_hash: Secret::new(&hash), may: all };
        let token = Token {
            name: "office".into(),
            secret: Secret::new("a-token-of-many-characters"),
            may: push,
        };
        let credentials = Credentials { users: vec![user], tokens: vec![token] };
        let guard = Guard::new(credentials.clone()).unwrap();
        let ask = async |headers: HeaderMap| match guard.proof(&guard.known(), &headers).await {
            Proof::May(rights) => Some(rights),
            _ => None,
        };
        for _ in 0..2 {
            assert_eq!(ask(basic("alice", "correct horse")).await, Some(all));
            assert_eq!(ask(basic("alice", "wrong")).await, None);
            assert_eq!(ask(basic("bob", "correct horse")).await, None);
        }
        assert_eq!(ask(basic("anybody", "a-token-of-many-characters")).await, Some(push));
        let mut bearer = HeaderMap::new();
        bearer.insert("authorization", "Bearer a-token-of-many-characters".parse().unwrap());
        assert_eq!(ask(bearer.clone()).await, Some(push));
        bearer.insert("authorization", "Bearer a-token-of-many-character".parse().unwrap());
        assert_eq!(ask(bearer).await, None);
        assert_eq!(ask(HeaderMap::new()).await, None);
        guard.replace(Credentials { users: Vec::new(), ..credentials });
        assert_eq!(ask(basic("alice", "correct horse")).await, None, "she is gone");
    }
}
