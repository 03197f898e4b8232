//! Annotations and labels of alerting rules.
//!
//! The variables and functions are those of Prometheus 3 (`template/template.go`), and so are the
//! texts of errors: they end up in annotations as `<error expanding template: …>`.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::sync::Arc;

use regex::{Captures, Regex, RegexBuilder};

use super::builtins::{bounded, query_escape, too_long};
use super::humanize;
use super::value::{ListKind, MapKind, Value};
use super::{Functions, Library, Limits, Mode, Param, Signature, TemplateError, exec};
use crate::model::{Labels, Timestamp, from_re2};

/// What a template of one alert can see.
#[derive(Clone, Copy, Debug)]
pub struct AlertContext<'a> {
    /// `$labels`: the labels of the expression's result, with the metric name if there is one.
    pub labels: &'a Labels,
    /// `$value`.
    pub value: f64,
    /// `$externalLabels`.
    pub external_labels: &'a Labels,
    /// `$externalURL`.
    pub external_url: &'a str,
    /// What the functions `externalURL` and `pathPrefix` give. `None` in unit tests of rules, where
    /// promtool does not know it: calling them is then an error, worded as there.
    pub functions_url: Option<&'a str>,
}

/// One element of the answer to `query`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuerySample {
    /// Its labels, with the metric name if there is one.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// Answers `query` at an instant with a vector (a scalar is one element without labels). The error
/// is what a person reads.
pub type Query<'a> = dyn Fn(&str, Timestamp) -> Result<Vec<QuerySample>, String> + 'a;

/// An annotation is read by people; what is longer than this is a mistake or an attack.
const LIMITS: Limits = Limits { steps: 100_000, depth: 120, output: 1 << 18 };

/// Prometheus puts these before each text; positions in errors count them.
const VARIABLES: &str = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}\
                         {{$externalURL := .ExternalURL}}{{$value := .Value}}";

/// Whether a text can be read as a template: syntax, functions and variables.
///
/// # Errors
/// The first thing that is wrong; the offset counts within `text`.
pub fn check(text: &str) -> Result<(), TemplateError> {
    if !text.contains("{{") {
        return Ok(());
    }
    let nobody = |_: &str, _: Timestamp| Ok(Vec::new());
    let own = Own { now: Timestamp::from_millis(0), url: Some(""), query: &nobody };
    let whole = format!("{VARIABLES}{text}");
    Library::default().add("", &whole, &own).map_err(|mut error| {
        error.offset = error.offset.saturating_sub(VARIABLES.len());
        error
    })
}

/// Expands a label or an annotation of the rule `name` (its alert name) at `now`.
///
/// # Errors
/// What Prometheus would put behind `error expanding template: `.
pub fn expand(
    name: &str,
    text: &str,
    context: &AlertContext<'_>,
    now: Timestamp,
    query: &Query<'_>,
) -> Result<String, TemplateError> {
    if !text.contains("{{") {
        return Ok(text.to_owned());
    }
    Template::parse(name, text)?.expand(context, now, query)
}

/// A label or an annotation of a rule, read once to be expanded often.
#[derive(Clone, Debug)]
pub struct Template {
    name: String,
    library: Library,
}

impl Template {
    /// Reads a text of the rule `name` (its alert name).
    ///
    /// # Errors
    /// What Prometheus would put behind `error expanding template: `.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let name = format!("__alert_{name}");
        let nobody = |_: &str, _: Timestamp| Ok(Vec::new());
        let own = Own { now: Timestamp::from_millis(0), url: None, query: &nobody };
        let mut library = Library::default();
        library
            .add(&name, &format!("{VARIABLES}{text}"), &own)
            .map_err(|error| moved(error, "parsing", &name))?;
        Ok(Self { name, library })
    }

    /// Expands it at `now`.
    ///
    /// # Errors
    /// As [`Template::parse`].
    pub fn expand(
        &self,
        context: &AlertContext<'_>,
        now: Timestamp,
        query: &Query<'_>,
    ) -> Result<String, TemplateError> {
        let own = Own { now, url: context.functions_url, query };
        let dot = Value::record(
            "template.tmplData",
            vec![
                ("Labels", Value::pairs(MapKind::Texts, context.labels)),
                ("ExternalLabels", Value::pairs(MapKind::Texts, context.external_labels)),
                ("ExternalURL", Value::text(context.external_url)),
                ("Value", Value::Float(context.value)),
            ],
        );
        exec::execute(&self.library, &self.name, &dot, &own, LIMITS, Mode::Text)
            .map_err(|error| moved(error, "executing", &self.name))
    }
}

/// An error as it counts within the text as it was written.
fn moved(mut error: TemplateError, doing: &str, template: &str) -> TemplateError {
    error.message = format!("error {doing} template {template}: {}", error.message);
    error.offset = error.offset.saturating_sub(VARIABLES.len());
    error
}

struct Own<'a> {
    now: Timestamp,
    url: Option<&'a str>,
    query: &'a Query<'a>,
}

const SAMPLE: &str = "*template.sample";

impl Functions for Own<'_> {
    fn signature(&self, name: &str) -> Option<Signature> {
        use Param::{Any, Sample, Text, Vector};
        Some(match name {
            "query" | "title" | "toUpper" | "toLower" | "graphLink" | "tableLink" | "stripPort"
            | "stripDomain" | "parseDuration" | "safeHtml" | "urlQueryEscape" => {
                Signature::new(&[Text])
            }
            "first" => Signature::new(&[Vector]),
            "value" | "strvalue" => Signature::new(&[Sample]),
            "label" => Signature::new(&[Text, Sample]),
            "sortByLabel" => Signature::new(&[Text, Vector]),
            "match" => Signature::new(&[Text, Text]),
            "reReplaceAll" => Signature::new(&[Text, Text, Text]),
            "args" => Signature::variadic(&[], Any),
            "humanize" | "humanize1024" | "humanizeDuration" | "humanizePercentage"
            | "humanizeTimestamp" | "toTime" | "toDuration" => Signature::new(&[Any]),
            "now" | "pathPrefix" | "externalURL" => Signature::new(&[]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value], limit: usize) -> Result<Value, String> {
        let text = |text: String| bounded(&text, limit);
        match (name, args) {
            ("query", [Value::Text(expression)]) => self.query(expression),
            ("first", [Value::List(vector)]) => match vector.items.first() {
                Some(sample) => Ok(sample.clone()),
                None => Err("first() called on vector with no elements".to_owned()),
            },
            ("value", [Value::Record(sample)]) => Ok(sample.field("Value")),
            ("strvalue", [sample]) => Ok(label("__value__", sample)),
            ("label", [Value::Text(name), sample]) => Ok(label(name, sample)),
            ("sortByLabel", [Value::Text(name), vector]) => sort_by_label(name, vector),
            ("args", args) => numbered(args),
            ("match", [Value::Text(pattern), Value::Text(subject)]) => {
                Ok(Value::Bool(pattern_of(pattern)?.is_match(subject)))
            }
            ("reReplaceAll", [Value::Text(pattern), Value::Text(with), Value::Text(subject)]) => {
                replace_all(pattern, with, subject, limit)
            }
            ("title", [Value::Text(subject)]) => text(title(subject)),
            ("toUpper", [Value::Text(subject)]) => text(subject.to_uppercase()),
            ("toLower", [Value::Text(subject)]) => text(subject.to_lowercase()),
            ("safeHtml", [subject]) => Ok(subject.clone()),
            ("urlQueryEscape", [Value::Text(subject)]) => text(query_escape(subject)),
            ("graphLink", [Value::Text(expression)]) => text(link(expression, 0)),
            ("tableLink", [Value::Text(expression)]) => text(link(expression, 1)),
            ("stripPort", [Value::Text(address)]) => {
                Ok(split_host_port(address).map_or(args[0].clone(), |(host, _)| Value::text(host)))
            }
            ("stripDomain", [Value::Text(address)]) => text(strip_domain(address)),
            ("parseDuration", [Value::Text(length)]) => {
                humanize::parse_duration(length).map(Value::Float)
            }
            #[allow(clippy::cast_precision_loss)]
            ("now", []) => Ok(Value::Float(self.now.millis() as f64 / 1000.0)),
            ("externalURL", []) => self.known_url().map(Value::text),
            ("pathPrefix", []) => self.known_url().map(|url| Value::text(path_of(url))),
            (name, [value]) => humanized(name, humanize::number(value)?),
            _ => Err("cannot be called like this".to_owned()),
        }
    }
}

impl Own<'_> {
    fn query(&self, expression: &str) -> Result<Value, String> {
        let samples = (self.query)(expression, self.now)?;
        let items = samples.iter().map(|sample| {
            let labels = Value::pairs(MapKind::Texts, &sample.labels);
            Value::record(SAMPLE, vec![("Labels", labels), ("Value", Value::Float(sample.value))])
        });
        Value::list(ListKind::Vector, items.collect())
    }

    fn known_url(&self) -> Result<&str, String> {
        self.url.ok_or_else(|| {
            "runtime error: invalid memory address or nil pointer dereference".to_owned()
        })
    }
}

#[allow(clippy::cast_possible_truncation)]
fn humanized(name: &str, value: f64) -> Result<Value, String> {
    let text = match name {
        "humanize" => humanize::humanize(value),
        "humanize1024" => humanize::humanize1024(value),
        "humanizeDuration" => humanize::duration(value),
        "humanizePercentage" => humanize::percentage(value),
        "humanizeTimestamp" => humanize::timestamp(value)?,
        "toTime" => return humanize::to_time(value).map(Value::Time),
        _ => return Ok(Value::Duration((value * 1e9) as i64)),
    };
    Ok(Value::text(&text))
}

fn label(name: &str, sample: &Value) -> Value {
    match sample {
        Value::Record(sample) => match sample.field("Labels") {
            Value::Map(labels) => labels.get(name),
            _ => Value::text(""),
        },
        _ => Value::text(""),
    }
}

fn sort_by_label(name: &str, vector: &Value) -> Result<Value, String> {
    let Value::List(list) = vector else {
        return Ok(vector.clone());
    };
    let mut items = list.items.clone();
    items.sort_by_cached_key(|sample| label(name, sample).shown());
    Value::list(ListKind::Vector, items)
}

fn numbered(args: &[Value]) -> Result<Value, String> {
    let entries: BTreeMap<Arc<str>, Value> = args
        .iter()
        .enumerate()
        .map(|(index, value)| (format!("arg{index}").into(), value.clone()))
        .collect();
    Value::map(MapKind::Any, entries)
}

/// A pattern, found anywhere in a text.
pub(super) fn pattern_of(pattern: &str) -> Result<Regex, String> {
    // The crate's message spans lines; what matters is that it is wrong.
    let bad = || format!("error parsing regexp: {pattern:?}");
    let text = from_re2(pattern).map_err(|_| bad())?;
    let built = RegexBuilder::new(&text).size_limit(1 << 20).dfa_size_limit(1 << 20).build();
    built.map_err(|_| bad())
}

/// Replaces all matches; `$1` and `${name}` in `with` stand for groups.
pub(super) fn replace_all(
    pattern: &str,
    with: &str,
    subject: &str,
    limit: usize,
) -> Result<Value, String> {
    let pattern = pattern_of(pattern)?;
    let (mut out, mut end) = (String::new(), 0);
    for groups in pattern.captures_iter(subject) {
        let (from, to) = span(&groups);
        out.push_str(&subject[end..from]);
        groups.expand(with, &mut out);
        end = to;
        if out.len() > limit {
            return Err(too_long(limit));
        }
    }
    out.push_str(&subject[end..]);
    bounded(&out, limit)
}

fn span(groups: &Captures<'_>) -> (usize, usize) {
    groups.get(0).map_or((0, 0), |whole| (whole.start(), whole.end()))
}

/// The first letter of each word in upper case, the rest as it is.
pub(super) fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_' || (inside && matches!(c, '\'' | '’'));
        if word && !inside {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        inside = word;
    }
    titled
}

fn link(expression: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expression))
}

/// Go's `net.SplitHostPort`.
fn split_host_port(address: &str) -> Option<(&str, &str)> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        let clean = !host.contains(['[', ']']) && !port.contains([':', '[', ']']);
        return clean.then_some((host, port));
    }
    let (host, port) = address.rsplit_once(':')?;
    (!host.contains([':', '[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

fn strip_domain(address: &str) -> String {
    let (host, port) = split_host_port(address).unwrap_or((address, ""));
    if host.parse::<IpAddr>().is_ok() {
        return address.to_owned();
    }
    let host = host.split('.').next().unwrap_or(host);
    if port.is_empty() { host.to_owned() } else { format!("{host}:{port}") }
}

fn path_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = behind.find('/').map_or("", |slash| &behind[slash..]);
    path.split(['?', '#']).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn answer(expression: &str, _: Timestamp) -> Result<Vec<QuerySample>, String> {
        let other = |n: &str, value| QuerySample {
            labels: labels(&[("__name__", "other"), ("n", n)]),
            value,
        };
        match expression {
            "other" => Ok(vec![other("2", 20.0), other("10", 10.0), other("1", -5.0)]),
            "sum(other)" => Ok(vec![QuerySample { labels: Labels::empty(), value: 25.0 }]),
            "up{" => Err("1:4: parse error: unexpected end of input inside braces".to_owned()),
            _ => Ok(Vec::new()),
        }
    }

    fn at(text: &str, value: f64) -> Result<String, TemplateError> {
        let labels = labels(&[
            ("__name__", "m"),
            ("instance", "srv-a.example.org:9100"),
            ("job", "node"),
            ("path", "/var/lib"),
        ]);
        let external = self::labels(&[("site", "Zürich"), ("replica", "a")]);
        let context = AlertContext {
            labels: &labels,
            value,
            external_labels: &external,
            external_url: "https://mon.example/prom",
            functions_url: Some("https://mon.example/prom"),
        };
        expand("X", text, &context, Timestamp::from_millis(60_000), &answer)
    }

    #[track_caller]
    fn is(text: &str, expected: &str) {
        assert_eq!(at(text, 1_234_567.891).unwrap(), expected, "{text}");
    }

    #[track_caller]
    fn fails(text: &str, expected: &str) {
        assert_eq!(at(text, 1.0).unwrap_err().to_string(), expected, "{text}");
    }

    #[test]
    fn numbers_for_people() {
        is(
            "{{ $value | humanize }} {{ humanize 0.0 }} {{ humanize 999.0 }} {{ humanize 1000.0 }}",
            "1.235M 0 999 1k",
        );
        is(
            "{{ humanize -1234.5 }} {{ humanize .00012 }} {{ humanize 1e-30 }} {{ humanize 123456789012345678.0 }}",
            "-1.234k 120u 1e-06y 123.5P",
        );
        is(
            "{{ humanizePercentage 0.12345 }} {{ humanizePercentage 1.0 }} {{ $value | humanizePercentage }}",
            "12.35% 100% 1.235e+08%",
        );
        is(
            "{{ humanize1024 0.0 }} {{ humanize1024 1023.0 }} {{ humanize1024 1048576.0 }} {{ humanize1024 1.5e12 }}",
            "0 1023 1Mi 1.364Ti",
        );
        is(
            "{{ humanizeDuration 59.9 }} {{ humanizeDuration 60.0 }} {{ humanizeDuration -90061.0 }} {{ humanizeDuration 0.0000012 }} {{ humanizeDuration 1e9 }}",
            "59.9s 1m 0s -1d 1h 1m 1s 1.2us 11574d 1h 46m 40s",
        );
        is("{{ parseDuration \"1h30m\" }} {{ parseDuration \"2d\" }}", "5400 172800");
        is(
            "{{ $value }} {{ printf \"%g\" $value }} {{ printf \"%.3f\" $value }} {{ $value | toTime }}",
            "1.234567891e+06 1.234567891e+06 1234567.891 1970-01-15 06:56:07.891 +0000 UTC",
        );
        is(
            "{{ 1.0 }} {{ 1e21 }} {{ 100000.0 }} {{ 0.1 }} {{ 1 }} {{ printf \"%v\" 1e6 }}",
            "1 1e+21 100000 0.1 1 1e+06",
        );
        is(
            "{{ humanizeTimestamp 1600000000.5 }} {{ (toTime 0.0).Year }} {{ now }}",
            "2020-09-13 12:26:40.5 +0000 UTC 1970 60",
        );
        assert_eq!(at("{{ $value | humanize }}", f64::MAX).unwrap(), "1.798e+284Y");
        assert_eq!(
            at("{{ $value | humanizeDuration }}", f64::MAX).unwrap(),
            "-106751991167300d -15h -30m -8s"
        );
        assert_eq!(at("{{ $value | humanize1024 }}", f64::INFINITY).unwrap(), "+Inf");
    }

    #[test]
    fn texts() {
        is(
            "{{ title \"hello wörld straße\" }} {{ toUpper \"über\" }} {{ toLower \"ÄÖÜ\" }}",
            "Hello Wörld Straße ÜBER äöü",
        );
        is(
            "{{ stripPort \"srv:9100\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"no-port\" }} {{ stripDomain \"srv-a.example.org\" }} {{ stripDomain \"10.1.2.3\" }} {{ stripDomain \"srv-a.example.org:9100\" }}",
            "srv ::1 no-port srv-a 10.1.2.3 srv-a:9100",
        );
        is(
            "{{ if match \"^srv\" $labels.instance }}server{{ else }}other{{ end }} {{ reReplaceAll \"(.*)\\\\.example\\\\.org:(.*)\" \"$2@$1\" $labels.instance }}",
            "server 9100@srv-a",
        );
        is(
            "{{ graphLink \"up{job=\\\"a b\\\"} > 0\" }}",
            "/graph?g0.expr=up%7Bjob%3D%22a+b%22%7D+%3E+0&g0.tab=0",
        );
        is(
            "{{ pathPrefix }} {{ externalURL }} {{ \"<b>\" | safeHtml }}",
            "/prom https://mon.example/prom <b>",
        );
        is(
            "{{ $labels.path | reReplaceAll \"/\" \"\\\\\" }} {{ reReplaceAll \"(?i)VAR\" \"<$0>\" $labels.path }}",
            "\\var\\lib /<var>/lib",
        );
        is(
            "  {{- 1 -}}  x  {{ 2 }}  \n line {{/* c */}} {{- /* c */ -}} end",
            "1x  2  \n line end",
        );
        is(
            "{{ `raw {{ }}` }} {{ \"\\u00fc\\n\" }} {{ printf \"%q\" \"日本\" }}",
            "raw {{ }} ü\n \"日本\"",
        );
    }

    #[test]
    fn variables() {
        is(
            "{{ $externalLabels.site }}/{{ .ExternalLabels.replica }}/{{ $externalURL }}/{{ .ExternalURL }}",
            "Zürich/a/https://mon.example/prom/https://mon.example/prom",
        );
        is(
            "{{ $labels.instance }} {{ .Labels.job }} {{ .Value }} {{ $labels.nope }}|{{ $labels }}",
            "srv-a.example.org:9100 node 1.234567891e+06 |map[__name__:m instance:srv-a.example.org:9100 job:node path:/var/lib]",
        );
        is(
            "{{ range $k, $v := $labels }}{{ $k }}:{{ $v }} {{ end }}",
            "__name__:m instance:srv-a.example.org:9100 job:node path:/var/lib ",
        );
        is(
            "{{ $x := 3 }}{{ if and (gt $x 2) (lt $x 4) }}drei{{ else if eq $x 4 }}vier{{ end }} {{ len \"abc\" }} {{ index $labels \"job\" }} {{ not true }} {{ or \"\" \"dflt\" }}",
            "drei 3 node false dflt",
        );
        is(
            "{{ define \"x\" }}[{{ .arg0 }}-{{ .arg1 }}]{{ end }}{{ template \"x\" (args \"a\" 1) }}",
            "[a-1]",
        );
        is("{{ $x := 1 }}{{ range query \"other\" }}{{ $x = .Value }}{{ end }}{{ $x }}", "-5");
    }

    #[test]
    fn queries() {
        is("{{ query \"other\" | first | value }} {{ len (query \"other\") }}", "20 3");
        is(
            "{{ range query \"other\" | sortByLabel \"n\" }}{{ . | label \"n\" }},{{ end }}",
            "1,10,2,",
        );
        is("{{ with query \"nothing\" }}{{ . | first | value }}{{ else }}none{{ end }}", "none");
        is(
            "{{ query \"sum(other)\" | first | strvalue }}|{{ query \"other\" | first | label \"nope\" }}",
            "|",
        );
    }

    #[test]
    fn errors_are_worded_as_prometheus_words_them() {
        let at_first = |column, context, why| {
            format!(
                "error executing template __alert_X: template: __alert_X:1:{column}: executing \"__alert_X\" at <{context}>: error calling {why}"
            )
        };
        fails(
            "{{ humanize \"abc\" }}",
            &at_first(
                115,
                "humanize \"abc\"",
                "humanize: strconv.ParseFloat: parsing \"abc\": invalid syntax",
            ),
        );
        fails(
            "{{ query \"up{\" | first | value }}",
            &at_first(
                115,
                "query \"up{\"",
                "query: 1:4: parse error: unexpected end of input inside braces",
            ),
        );
        fails(
            "{{ query \"nothing\" | first | value }}",
            &at_first(133, "first", "first: first() called on vector with no elements"),
        );
        fails(
            "{{ index $labels 5 }}",
            &at_first(115, "index $labels 5", "index: value has type int; should be string"),
        );
        let parse = at("{{ nope }}", 1.0).unwrap_err();
        assert_eq!(
            parse.to_string(),
            "error parsing template __alert_X: template: __alert_X:1: function \"nope\" not defined"
        );
        assert_eq!(check("ab\n{{ nope }}").unwrap_err().offset, 6);
        assert_eq!(check("plain"), Ok(()));
    }

    #[test]
    fn work_is_bounded() {
        for hostile in [
            "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}",
            "{{ range 1000000000000 }}{{ end }}",
            "{{ range 1000000000000 }}xxxxxxxxxxxxxxxx{{ end }}",
            "{{ $x := \"xxxxxxxx\" }}{{ range 100 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
            "{{ $x := \"x\" }}{{ range 100 }}{{ $x = reReplaceAll \".\" \"$0$0\" $x }}{{ end }}",
            "{{ $x := args 1 }}{{ range 100 }}{{ $x = args $x $x }}{{ end }}{{ $x }}",
            "{{ $x := args 1 }}{{ range 30 }}{{ $x = args $x $x }}{{ end }}{{ $x }}",
            "{{ reReplaceAll \"(a{1000}){1000}\" \"\" \"x\" }}",
        ] {
            let error = at(hostile, 1.0).unwrap_err().to_string();
            assert!(error.len() < 5_000, "{hostile}: {} bytes", error.len());
        }
    }
}
