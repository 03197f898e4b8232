use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION};
use http::{Method, StatusCode};
use url::Url;

use super::exchange::Answer;
use super::{Prepared, origin_form, plain_headers};
use crate::probe::HttpTarget;
use crate::probe::failure::Failure;

/// Where an answer sends us; `None` when it is no redirect.
pub(super) fn target(from: &Url, answer: &Answer) -> Result<Option<Url>, Failure> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers.get(LOCATION) else { return Ok(None) };
    let nonsense = || Failure::theirs("redirects to something that is no address of a web page");
    let location = location.to_str().map_err(|_| nonsense())?;
    let next = from.join(location).map_err(|_| nonsense())?;
    let web = matches!(next.scheme(), "http" | "https") && next.has_host();
    if web { Ok(Some(next)) } else { Err(nonsense()) }
}

/// The request for the next hop (RFC 9110 §15.4). Credentials, cookies and the user's own headers
/// go to the first origin only.
pub(super) fn request(
    target: &HttpTarget,
    before: &Prepared,
    status: StatusCode,
    next: &Url,
) -> Prepared {
    let mut headers = plain_headers(next);
    if next.origin() == target.url.origin() {
        let host = headers.remove(HOST);
        headers = Prepared::first(target).headers;
        if let Some(host) = host
            && !target.headers.iter().any(|(name, _)| *name == HOST)
        {
            headers.insert(HOST, host);
        }
    } else {
        debug_assert!(!headers.contains_key(AUTHORIZATION) && !headers.contains_key(COOKIE));
    }
    let keep =
        matches!(status.as_u16(), 307 | 308) || matches!(before.method, Method::GET | Method::HEAD);
    let (method, body) = if keep {
        (before.method.clone(), before.body.clone())
    } else {
        (Method::GET, Bytes::new())
    };
    Prepared { method, uri: origin_form(next), headers, body }
}
