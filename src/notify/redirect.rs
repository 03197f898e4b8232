//! Where a call goes on to when the server says that what it wants is elsewhere.

use http::{StatusCode, header};
use url::Url;

use super::http::{Answer, AskError};

/// A call goes on so many times at most, as with programs written in Go.
pub(super) const MOST: usize = 10;

/// Where a call that was answered so goes on to; `None` when it was not sent elsewhere. Only the
/// two statuses that keep method and body count (RFC 9110 §15.4.8 and §15.4.9): with the others a
/// message would arrive empty.
///
/// # Errors
/// The place is none, or would be reached without the encryption that was asked for. The text does
/// not show it, it may hold a secret.
pub(super) fn next(from: &Url, answer: &Answer) -> Result<Option<Url>, AskError> {
    let kept = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
    if !kept.contains(&answer.status) {
        return Ok(None);
    }
    let refuse = |why: &str| AskError::Request(format!("it is sent elsewhere, {why}"));
    let place = answer.headers.get(header::LOCATION).and_then(|place| place.to_str().ok());
    let place = place.and_then(|place| from.join(place).ok());
    let place = place.ok_or_else(|| refuse("but not to a web address"))?;
    match (from.scheme(), place.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(place)),
        ("https", "http") => Err(refuse("but without encryption")),
        _ => Err(refuse("but not to a web address")),
    }
}

/// Whether what proves who we are may be shown there too.
pub(super) fn is_same_server(first: &Url, other: &Url) -> bool {
    let port = other.port_or_known_default() == first.port_or_known_default();
    let upgraded = (first.scheme(), other.scheme()) == ("http", "https");
    first.host() == other.host() && (port || upgraded && other.port().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(from: &str, status: u16, place: Option<&str>) -> Result<Option<String>, String> {
        let answer = Answer::of(status, place.map(|place| (header::LOCATION, place)));
        let next = next(&from.parse().unwrap(), &answer);
        next.map(|url| url.map(String::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn only_what_keeps_the_message_is_followed() {
        let from = "http://a.example/hook?x=1";
        let found = |place: &str| Ok(Some(place.to_owned()));
        assert_eq!(after(from, 307, Some("/new")), found("http://a.example/new"));
        assert_eq!(after(from, 308, Some("//b/new?y")), found("http://b/new?y"));
        assert_eq!(after(from, 308, Some("https://b:8443/")), found("https://b:8443/"));
        for status in [200, 301, 302, 303, 304, 404] {
            assert_eq!(after(from, status, Some("/new")), Ok(None), "{status}");
        }
        for place in [None, Some("http://"), Some("ftp://a/"), Some("mailto:geheim@a")] {
            let refused = after(from, 307, place).unwrap_err();
            assert!(refused.contains("not to a web address") && !refused.contains("geheim"));
        }
        let refused = after("https://a/", 307, Some("http://a/geheim")).unwrap_err();
        assert!(refused.contains("without encryption") && !refused.contains("geheim"));
    }

    #[test]
    fn secrets_go_to_the_same_server_only() {
        let same = |a: &str, b: &str| is_same_server(&a.parse().unwrap(), &b.parse().unwrap());
        assert!(same("http://a/x", "http://a:80/y") && same("http://a:81/", "http://a:81/"));
        assert!(same("http://a/", "https://a/") && same("http://a:8080/", "https://a/"));
        assert!(!same("http://a/", "http://b/") && !same("http://a/", "http://a:81/"));
        assert!(!same("http://a/", "https://a:81/") && !same("http://a/", "http://www.a/"));
    }
}
