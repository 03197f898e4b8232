use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{Method, header};
use http_body_util::{BodyExt, Limited};
use std::sync::Arc;

use super::super::router::Shared;
use super::reply::Failure;
use crate::model::{Matcher, Timestamp, Window};
use crate::promql;

/// The parameters of a request: those of its body before those of its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl FromRequest<Arc<Shared>> for Form {
    type Rejection = Failure;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Failure> {
        let address = request.uri().query().unwrap_or("").to_owned();
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim();
        // Bodies of another kind are not read, as Prometheus does not.
        let has_form = request.method() == Method::POST
            && kind.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let mut pairs = Vec::new();
        if has_form {
            let limits = shared.settings.limits;
            let body = Limited::new(request.into_body(), limits.body_bytes).collect();
            let body = match tokio::time::timeout(limits.stall_timeout, body).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(error)) => return Err(form_error(error)),
                Err(_) => return Err(form_error("the body did not arrive in time")),
            };
            let text = std::str::from_utf8(&body).map_err(form_error)?;
            decode(text, &mut pairs)?;
        }
        decode(&address, &mut pairs)?;
        Ok(Self(pairs))
    }
}

fn form_error(reason: impl std::fmt::Display) -> Failure {
    Failure::bad_data(format!("error parsing form values: {reason}"))
}

/// `a=b&c=d` with percent-encoding.
fn decode(text: &str, into: &mut Vec<(String, String)>) -> Result<(), Failure> {
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        into.push((decode_word(name)?, decode_word(value)?));
    }
    Ok(())
}

fn decode_word(word: &str) -> Result<String, Failure> {
    let mut rest = word;
    while let Some(at) = rest.find('%') {
        let hex = rest.as_bytes().get(at + 1..at + 3);
        if !hex.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
            let found: String = rest[at..].chars().take(3).collect();
            return Err(form_error(format_args!("invalid URL escape {found:?}")));
        }
        rest = &rest[at + 1..];
    }
    let word = word.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&word).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(form_error)
}

impl Form {
    /// The first value of a parameter; empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or("")
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A time that must be given.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, Failure> {
        let text = self.get(name);
        time(text).ok_or_else(|| {
            Failure::parameter(name, format_args!("cannot parse {text:?} to a valid timestamp"))
        })
    }

    /// A time that may be left out.
    pub(super) fn time_or(&self, name: &str, absent: Timestamp) -> Result<Timestamp, Failure> {
        if self.get(name).is_empty() { Ok(absent) } else { self.time(name) }
    }

    /// A length in milliseconds that must be given.
    pub(super) fn length(&self, name: &str) -> Result<i64, Failure> {
        length(self.get(name)).map_err(|reason| Failure::parameter(name, reason))
    }

    /// A positive length that may be left out.
    pub(super) fn length_or(&self, name: &str, absent: Duration) -> Result<Duration, Failure> {
        if self.get(name).is_empty() {
            return Ok(absent);
        }
        match u64::try_from(self.length(name)?) {
            Ok(millis @ 1..) => Ok(Duration::from_millis(millis)),
            _ => Err(Failure::parameter(name, "value must be greater than 0")),
        }
    }

    /// `limit`: at most so many; without limit when it is 0 or absent.
    pub(super) fn limit(&self) -> Result<usize, Failure> {
        self.count("limit").map(|count| if count == 0 { usize::MAX } else { count })
    }

    /// A number that is not negative; 0 when absent.
    pub(super) fn count(&self, name: &str) -> Result<usize, Failure> {
        let text = self.get(name);
        match text.parse::<i64>() {
            _ if text.is_empty() => Ok(0),
            Ok(count) => usize::try_from(count)
                .map_err(|_| Failure::parameter(name, format_args!("{name} must be non-negative"))),
            Err(_) => Err(Failure::parameter(name, format_args!("{text:?} is not a whole number"))),
        }
    }

    /// The selectors in `match[]`.
    pub(super) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Failure> {
        let read = |text: &str| {
            let selector = promql::parse_selector(text);
            let matchers = selector.map_err(|e| Failure::parameter("match[]", e))?.matchers;
            if matchers.iter().all(|matcher| matcher.accepts("")) {
                let reason = "match[] must contain at least one non-empty matcher";
                return Err(Failure::parameter("match[]", reason));
            }
            Ok(matchers)
        };
        self.all("match[]").map(read).collect()
    }

    /// From `start` to `end`, both included; everything where they are left out.
    pub(super) fn window(&self) -> Result<Window, Failure> {
        let start = self.time_or("start", Timestamp::MIN)?;
        let end = self.time_or("end", Timestamp::MAX)?;
        if end < start {
            return Err(Failure::bad_data("end timestamp must not be before start timestamp"));
        }
        Ok(Window { after: start - Duration::from_millis(1), through: end })
    }
}

/// Unix time in seconds, or RFC 3339. The two bounds that Prometheus' clients know are the
/// earliest and the latest instant.
fn time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Timestamp::from_seconds(seconds);
    }
    match text {
        "-292273086-05-16T16:47:06Z" => Some(Timestamp::MIN),
        "292277025-08-18T07:12:54.999999999Z" => Some(Timestamp::MAX),
        _ => text
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|at| Timestamp::from_millis(at.as_millisecond())),
    }
}

/// Seconds as a number, or a length as PromQL writes it; in milliseconds.
fn length(text: &str) -> Result<i64, String> {
    let bad = || format!("cannot parse {text:?} to a valid duration");
    if let Ok(seconds) = text.parse::<f64>() {
        let nanos = seconds * 1e9;
        if !(-(2f64.powi(63))..2f64.powi(63)).contains(&nanos) {
            return Err(format!("{}. It overflows int64", bad()));
        }
        #[allow(clippy::cast_possible_truncation)]
        return Ok((seconds * 1000.0).round() as i64);
    }
    let units = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let (mut rest, mut total, mut next) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits =
            rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(bad)?;
        let count: i64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        // From large to small, each unit once.
        let at = units.iter().skip(next).position(|(unit, _)| *unit == &rest[..letters]);
        next += at.ok_or_else(bad)? + 1;
        let part = count.checked_mul(units[next - 1].1).ok_or_else(bad)?;
        total = total.checked_add(part).filter(|t| *t <= i64::MAX / 1_000_000).ok_or_else(bad)?;
        rest = &rest[letters..];
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        let check = |text: &str, millis: Option<i64>| {
            assert_eq!(time(text), millis.map(Timestamp::from_millis), "{text}");
        };
        check("1435781430.781", Some(1_435_781_430_781));
        check("2015-07-01T20:10:30.781Z", Some(1_435_781_430_781));
        check("2015-07-01T22:10:30+02:00", Some(1_435_781_430_000));
        check("-5", Some(-5_000));
        check("292277025-08-18T07:12:54.999999999Z", Some(i64::MAX));
        check("now", None);
        check("NaN", None);
        check("1e300", None);
        check("", None);
    }

    #[test]
    fn lengths() {
        assert_eq!(length("15"), Ok(15_000));
        assert_eq!(length("0.5"), Ok(500));
        assert_eq!(length("1h30m"), Ok(5_400_000));
        assert_eq!(length("100ms"), Ok(100));
        assert_eq!(length("-5"), Ok(-5_000));
        for bad in ["", "x", "5", "m5", "5m5m", "30m1h", "5q", "999999999999y"] {
            assert!(length(bad).is_err() || bad == "5", "{bad}");
        }
        assert_eq!(
            length("1e300"),
            Err("cannot parse \"1e300\" to a valid duration. It overflows int64".to_owned())
        );
    }

    #[test]
    fn forms() {
        let mut pairs = Vec::new();
        decode("query=a%2Bb+c&match[]=x&match%5B%5D=y&flag", &mut pairs).unwrap();
        let form = Form(pairs);
        assert_eq!(form.get("query"), "a+b c");
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert!(decode("a=%zz", &mut Vec::new()).is_err());
        assert!(decode("a=%ff", &mut Vec::new()).is_err());
        assert!(decode("a=%", &mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = (time(&text), length(&text), decode(&text, &mut Vec::new()));
        }

        #[test]
        fn nearly_right_lengths(text in "[0-9ywdhms.eE+-]{0,20}") {
            let _ = length(&text);
        }
    }
}
