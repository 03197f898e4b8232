//! A web page as a new visitor meets it: a fresh connection each time, all phases measured, hostile
//! servers bounded in time and memory.

mod exchange;
mod redirect;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri, Version};
use http_body_util::Full;
use url::Url;

use super::connect::{Bell, Connected, Destination, Steps, Watch, connect};
use super::failure::Failure;
use super::prober::{Doors, ProberError};
use super::tls::{Handshake, Purpose, TlsClient, TlsStock, shake_hands};
use super::{HttpTarget, Outcome, Prober, TlsSettings};
use crate::ports::{Doing, Tick};
use exchange::Answer;
pub use report::METRICS;

const OUR_NAME: HeaderValue =
    HeaderValue::from_static(concat!("augenmass/", env!("CARGO_PKG_VERSION"), " (monitoring)"));

/// Looks at a web page.
pub struct HttpProber {
    target: HttpTarget,
    doors: Doors,
    /// What goes to the first server: its headers may be secret.
    request: Prepared,
    tls: TlsClient,
    stock: Arc<TlsStock>,
}

/// A request that is made once and sent again and again.
struct Prepared {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

/// How long each phase took, all hops together; what was not reached is absent.
#[derive(Clone, Copy, Debug, Default)]
struct Phases {
    resolve: Option<Duration>,
    connect: Option<Duration>,
    tls: Option<Duration>,
    processing: Option<Duration>,
    transfer: Option<Duration>,
}

/// All that is known at the end of a look.
#[derive(Default)]
struct Findings {
    phases: Phases,
    redirects: u32,
    peer: Option<std::net::IpAddr>,
    /// The last handshake, without its connection.
    shaken: Option<Handshake>,
    https: bool,
    answer: Option<Answer>,
    regex_failed: bool,
}

impl HttpProber {
    /// For one target.
    ///
    /// # Errors
    /// The file with trust anchors cannot be read.
    pub fn new(target: &HttpTarget, doors: &Doors) -> Result<Self, ProberError> {
        let host = target.url.host_str().unwrap_or("");
        let tls = doors.tls.client(&target.tls, host, Purpose::Web)?;
        let request = Prepared::first(target);
        let stock = doors.tls.clone();
        Ok(Self { target: target.clone(), doors: doors.clone(), request, tls, stock })
    }

    async fn look(&self, deadline: Tick) -> Outcome {
        let bell = Bell::default();
        let watch = Watch::start(&*self.doors.clock, deadline, &bell);
        let mut findings = Findings::default();
        let verdict = self.follow(watch, &mut findings).await;
        report::outcome(&findings, verdict, watch.elapsed())
    }

    /// Hop after hop until an answer that is no redirect, then judges it.
    async fn follow(&self, watch: Watch<'_>, findings: &mut Findings) -> Result<(), Failure> {
        let answer = self.hop(&self.target.url, &self.request, &self.tls, watch, findings).await?;
        let Some(next) = self.next_after(&self.target.url, &self.request, &answer, findings)?
        else {
            return self.judge(answer, findings);
        };
        // Few targets redirect: only they pay for what further hops need.
        Box::pin(self.follow_further(next, watch, findings)).await
    }

    async fn follow_further(
        &self,
        (mut url, mut request): (Url, Prepared),
        watch: Watch<'_>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        loop {
            let host = url.host_str().unwrap_or("");
            // The name the user gave is for the first host only.
            let same = url.host_str() == self.target.url.host_str();
            let named = if same { self.target.tls.server_name.clone() } else { None };
            let settings = TlsSettings { server_name: named, ..self.target.tls.clone() };
            let tls = self.stock.client(&settings, host, Purpose::Web);
            let tls = tls.map_err(|error| Failure::theirs(error.to_string()))?;
            let answer = self.hop(&url, &request, &tls, watch, findings).await?;
            match self.next_after(&url, &request, &answer, findings)? {
                Some((further, prepared)) => (url, request) = (further, prepared),
                None => return self.judge(answer, findings),
            }
        }
    }

    fn next_after(
        &self,
        url: &Url,
        request: &Prepared,
        answer: &Answer,
        findings: &mut Findings,
    ) -> Result<Option<(Url, Prepared)>, Failure> {
        if self.target.redirects == 0 {
            return Ok(None);
        }
        let Some(next) = redirect::target(url, answer)? else { return Ok(None) };
        if findings.redirects >= self.target.redirects {
            let limit = self.target.redirects;
            return Err(Failure::theirs(format!("more than {limit} redirects")));
        }
        if url.scheme() == "https"
            && next.scheme() == "http"
            && self.target.expect.tls != Some(false)
        {
            return Err(Failure::theirs("redirects from https to unencrypted http"));
        }
        findings.redirects += 1;
        let request = redirect::request(&self.target, request, answer.status, &next);
        Ok(Some((next, request)))
    }

    /// One connection, one request, one answer.
    async fn hop(
        &self,
        url: &Url,
        request: &Prepared,
        tls: &TlsClient,
        watch: Watch<'_>,
        findings: &mut Findings,
    ) -> Result<Answer, Failure> {
        findings.https = url.scheme() == "https";
        findings.shaken = None;
        let first = std::ptr::eq(request, &raw const self.request);
        let to = Destination {
            host: url.host_str().unwrap_or(""),
            port: url.port_or_known_default().unwrap_or(80),
            family: self.target.family,
            address: if first { self.target.address } else { None },
        };
        let mut steps = Steps::default();
        let connected = connect(to, &self.doors.resolver, watch, &mut steps).await;
        let phases = &mut findings.phases;
        add(&mut phases.resolve, steps.resolve);
        add(&mut phases.connect, steps.connect);
        let Connected { stream, peer } = connected?;
        findings.peer = Some(peer.ip());
        let wants = exchange::Wants {
            limit: self.target.body_limit,
            keep: self.target.expect.looks_into_body(),
        };
        if !findings.https {
            let begin = watch.now();
            return exchange::exchange(stream, request.to_http(), wants, begin, watch, phases)
                .await;
        }
        // The last flight of the handshake and the request are two small writes in a row.
        let _ = stream.set_nodelay(true);
        let begin = watch.now();
        let mut shaken = shake_hands(tls, stream, watch).await;
        let done = watch.now();
        add(&mut phases.tls, Some(done.since(begin)));
        let distrust = shaken.distrust(tls);
        let stream = shaken.take_stream();
        findings.shaken = Some(shaken);
        if let Some(distrust) = distrust {
            return Err(distrust);
        }
        exchange::exchange(stream?, request.to_http(), wants, done, watch, phases).await
    }

    /// Status, headers, body, encryption: in the order of blackbox_exporter.
    fn judge(&self, answer: Answer, findings: &mut Findings) -> Result<(), Failure> {
        let answer = findings.answer.insert(answer);
        let expect = &self.target.expect;
        let status = answer.status.as_u16();
        let accepted = match &expect.status[..] {
            [] => answer.status.is_success(),
            some => some.contains(&status),
        };
        if !accepted {
            let reason = answer.status.canonical_reason().unwrap_or("");
            return Err(Failure::theirs(format!("answered {status} {reason}").trim_end()));
        }
        for (name, pattern) in &expect.headers {
            let mut values = answer.headers.get_all(name).iter();
            if !values.any(|value| value.to_str().is_ok_and(|text| pattern.is_match(text))) {
                return Err(Failure::theirs(format!("the header {name} is not as expected")));
            }
        }
        if let Some(failure) = answer.failure.take() {
            return Err(failure);
        }
        if !expect.body.iter().all(|wanted| wanted.is_match(&answer.body)) {
            findings.regex_failed = true;
            return Err(Failure::theirs("the page does not contain what it should"));
        }
        if expect.body_not.iter().any(|unwanted| unwanted.is_match(&answer.body)) {
            findings.regex_failed = true;
            return Err(Failure::theirs("the page contains what it should not"));
        }
        match expect.tls {
            Some(true) if !findings.https => Err(Failure::theirs("the page is not encrypted")),
            Some(false) if findings.https => Err(Failure::theirs("the page is encrypted")),
            _ => Ok(()),
        }
    }
}

impl super::HttpExpect {
    fn looks_into_body(&self) -> bool {
        !(self.body.is_empty() && self.body_not.is_empty())
    }
}

impl Prober for HttpProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look(deadline))
    }
}

impl Prepared {
    fn first(target: &HttpTarget) -> Self {
        let mut headers = plain_headers(&target.url);
        for (name, value) in &target.headers {
            if let Ok(value) = HeaderValue::from_str(value.reveal()) {
                headers.insert(name.clone(), value);
            }
        }
        if let Some(value) = authorization(target) {
            headers.insert(AUTHORIZATION, value);
        }
        let body = Bytes::from(target.body.clone());
        Self { method: target.method.clone(), uri: origin_form(&target.url), headers, body }
    }

    fn to_http(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What any server gets from us.
fn plain_headers(url: &Url) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    let host = url.host_str().unwrap_or("");
    let host = match url.port() {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::try_from(host),
    };
    headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("")));
    headers.insert(USER_AGENT, OUR_NAME);
    headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers
}

/// From the settings, else from the URL's userinfo.
fn authorization(target: &HttpTarget) -> Option<HeaderValue> {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let basic = |user: &str, password: &str| {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    };
    let text = if let Some(token) = &target.bearer {
        format!("Bearer {}", token.reveal())
    } else if let Some((user, password)) = &target.basic_auth {
        basic(user.reveal(), password.reveal())
    } else if target.url.username().is_empty() && target.url.password().is_none() {
        return None;
    } else {
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
        };
        basic(&decoded(target.url.username()), &decoded(target.url.password().unwrap_or("")))
    };
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Path and query, as HTTP/1.1 sends them to the server itself (RFC 9112 §3.2.1).
fn origin_form(url: &Url) -> Uri {
    let text = &url[url::Position::BeforePath..url::Position::AfterQuery];
    text.parse().unwrap_or(Uri::from_static("/"))
}

fn add(sum: &mut Option<Duration>, more: Option<Duration>) {
    if let Some(more) = more {
        *sum = Some(sum.unwrap_or_default() + more);
    }
}
