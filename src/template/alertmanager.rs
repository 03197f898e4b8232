//! Texts of notifications in an `alertmanager.yml`.
//!
//! Data, functions and escaping are those of Alertmanager (`docs/notifications.md` there and what
//! its `amtool template render` gives).

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::builtins::{bounded, too_long};
use super::prometheus::{pattern_of, replace_all};
use super::time::GoTime;
use super::value::{ListKind, MapKind, Safe, Value};
use super::{Functions, Library, Limits, Mode, Param, Signature, TemplateError, exec};
use super::{humanize, json};
use crate::model::Timestamp;

/// Names with values.
pub type Pairs = BTreeMap<String, String>;

/// One alert of a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertData {
    /// `firing` or `resolved`.
    pub status: String,
    /// Identity.
    pub labels: Pairs,
    /// Texts.
    pub annotations: Pairs,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; Go's zero time while it fires.
    pub ends_at: String,
    /// A page that shows the expression.
    pub generator_url: String,
    /// Hash of the labels, 16 hexadecimal digits.
    pub fingerprint: String,
}

/// What a template of a notification can see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Name of the receiver.
    pub receiver: String,
    /// `firing` or `resolved`.
    pub status: String,
    /// All alerts.
    pub alerts: Vec<AlertData>,
    /// Labels that the group was made by.
    pub group_labels: Pairs,
    /// Labels that all alerts share.
    pub common_labels: Pairs,
    /// Annotations that all alerts share.
    pub common_annotations: Pairs,
    /// Labels of the route.
    pub route_labels: Pairs,
    /// Address of our pages.
    pub external_url: String,
    /// Why it is told, in Alertmanager's words.
    pub notification_reason: String,
}

impl Data {
    /// Reads the JSON that `amtool template render --template.data` takes, and the webhook payload.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        if !value.is_object() {
            return Err("the data is not an object".to_owned());
        }
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = |value: &serde_json::Value| -> Pairs {
            let all = value.as_object().into_iter().flatten();
            all.map(|(name, value)| (name.clone(), text(value))).collect()
        };
        let alerts = value["alerts"].as_array().into_iter().flatten().map(|alert| AlertData {
            status: text(&alert["status"]),
            labels: pairs(&alert["labels"]),
            annotations: pairs(&alert["annotations"]),
            starts_at: text(&alert["startsAt"]),
            ends_at: text(&alert["endsAt"]),
            generator_url: text(&alert["generatorURL"]),
            fingerprint: text(&alert["fingerprint"]),
        });
        Ok(Self {
            receiver: text(&value["receiver"]),
            status: text(&value["status"]),
            alerts: alerts.collect(),
            group_labels: pairs(&value["groupLabels"]),
            common_labels: pairs(&value["commonLabels"]),
            common_annotations: pairs(&value["commonAnnotations"]),
            route_labels: pairs(&value["routeLabels"]),
            external_url: text(&value["externalURL"]),
            notification_reason: text(&value["notification_reason"]),
        })
    }

    fn value(&self) -> Result<Value, String> {
        let alerts: Result<Vec<Value>, String> = self.alerts.iter().map(alert_value).collect();
        Ok(Value::record(
            "template.Data",
            vec![
                ("Receiver", Value::text(&self.receiver)),
                ("Status", Value::text(&self.status)),
                ("Alerts", Value::list(ListKind::Alerts, alerts?)?),
                ("NotificationReason", Value::text(&self.notification_reason)),
                ("GroupLabels", kv(&self.group_labels)),
                ("CommonLabels", kv(&self.common_labels)),
                ("CommonAnnotations", kv(&self.common_annotations)),
                ("RouteLabels", kv(&self.route_labels)),
                ("ExternalURL", Value::text(&self.external_url)),
            ],
        ))
    }
}

fn kv(pairs: &Pairs) -> Value {
    Value::pairs(MapKind::Kv, pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn alert_value(alert: &AlertData) -> Result<Value, String> {
    let time = |text: &str| -> Result<Value, String> {
        if text.is_empty() {
            return Ok(Value::Time(GoTime::zero()));
        }
        GoTime::parse(text).map(Value::Time).ok_or_else(|| format!("{text:?} is no RFC 3339 time"))
    };
    Ok(Value::record(
        "template.Alert",
        vec![
            ("Status", Value::text(&alert.status)),
            ("Labels", kv(&alert.labels)),
            ("Annotations", kv(&alert.annotations)),
            ("StartsAt", time(&alert.starts_at)?),
            ("EndsAt", time(&alert.ends_at)?),
            ("GeneratorURL", Value::text(&alert.generator_url)),
            ("Fingerprint", Value::text(&alert.fingerprint)),
        ],
    ))
}

/// Template files that texts may call.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    library: Library,
}

impl Templates {
    /// Adds a file; `name` is its name without folders. A later definition wins.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.library.add(name, text, &Own { now: Timestamp::from_millis(0) })
    }

    /// Whether a file defines this template.
    pub fn defines(&self, name: &str) -> bool {
        self.library.bodies.contains_key(name)
    }

    /// Reads a text as [`Templates::text`] would, without running it.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn check(&self, text: &str) -> Result<(), TemplateError> {
        self.library.clone().add("", text, &Own { now: Timestamp::from_millis(0) })
    }

    /// Renders as plain text.
    ///
    /// # Errors
    /// As Alertmanager words them.
    pub fn text(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, TemplateError> {
        self.render(text, data, now, Mode::Text)
    }

    /// Renders as HTML: values are escaped by where they land.
    ///
    /// # Errors
    /// As Alertmanager words them.
    pub fn html(&self, text: &str, data: &Data, now: Timestamp) -> Result<String, TemplateError> {
        self.render(text, data, now, Mode::Html)
    }

    fn render(
        &self,
        text: &str,
        data: &Data,
        now: Timestamp,
        mode: Mode,
    ) -> Result<String, TemplateError> {
        let own = Own { now };
        let mut library = self.library.clone();
        library.add("", text, &own)?;
        let dot = data.value().map_err(|message| TemplateError { message, line: 1, offset: 0 })?;
        exec::execute(&library, "", &dot, &own, Limits::default(), mode)
    }
}

struct Own {
    now: Timestamp,
}

impl Functions for Own {
    fn signature(&self, name: &str) -> Option<Signature> {
        use Param::{Any, List, Text, Texts, Time};
        Some(match name {
            "toUpper" | "toLower" | "title" | "trimSpace" | "safeHtml" | "safeUrl"
            | "urlUnescape" | "base64encode" | "base64decode" => Signature::new(&[Text]),
            "join" => Signature::new(&[Text, Texts]),
            "match" => Signature::new(&[Text, Text]),
            "reReplaceAll" => Signature::new(&[Text, Text, Text]),
            "stringSlice" => Signature::variadic(&[], Text),
            "list" | "dict" => Signature::variadic(&[], Any),
            "append" => Signature::variadic(&[List], Any),
            "date" | "tz" => Signature::new(&[Text, Time]),
            "since" => Signature::new(&[Time]),
            "now" => Signature::new(&[]),
            "humanizeDuration" | "toJson" => Signature::new(&[Any]),
            _ => return None,
        })
    }

    fn call(&self, name: &str, args: &[Value], limit: usize) -> Result<Value, String> {
        let text = |text: String| bounded(&text, limit);
        match (name, args) {
            ("toUpper", [Value::Text(subject)]) => text(mapped(subject, char::to_uppercase)),
            ("toLower", [Value::Text(subject)]) => text(mapped(subject, char::to_lowercase)),
            ("title", [Value::Text(subject)]) => text(title(&subject.to_lowercase())),
            ("trimSpace", [Value::Text(subject)]) => text(subject.trim().to_owned()),
            ("safeHtml", [Value::Text(subject)]) => Ok(Value::Safe(Safe::Html, subject.clone())),
            ("safeUrl", [Value::Text(subject)]) => Ok(Value::Safe(Safe::Url, subject.clone())),
            ("urlUnescape", [Value::Text(subject)]) => text(query_unescape(subject)?),
            ("base64encode", [Value::Text(subject)]) => text(STANDARD.encode(&**subject)),
            ("base64decode", [Value::Text(subject)]) => {
                let bytes = STANDARD.decode(&**subject).map_err(|error| error.to_string())?;
                text(String::from_utf8_lossy(&bytes).into_owned())
            }
            ("join", [Value::Text(between), Value::List(list)]) => {
                join(between, &list.items, limit)
            }
            ("match", [Value::Text(pattern), Value::Text(subject)]) => {
                Ok(Value::Bool(pattern_of(pattern)?.is_match(subject)))
            }
            ("reReplaceAll", [Value::Text(pattern), Value::Text(with), Value::Text(subject)]) => {
                replace_all(pattern, with, subject, limit)
            }
            ("stringSlice", items) => Value::list(ListKind::Texts, items.to_vec()),
            ("list", items) => Value::list(ListKind::Any, items.to_vec()),
            ("append", [Value::List(list), items @ ..]) => {
                Value::list(ListKind::Any, [&list.items[..], items].concat())
            }
            ("dict", items) => dict(items),
            ("date", [Value::Text(layout), Value::Time(time)]) => {
                if layout.len() > limit / 8 {
                    return Err(too_long(limit));
                }
                text(time.format(layout))
            }
            ("tz", [Value::Text(zone), Value::Time(time)]) => time.within(zone).map(Value::Time),
            ("since", [Value::Time(time)]) => Ok(Value::Duration(GoTime::at(self.now).since(time))),
            ("now", []) => Ok(Value::Time(GoTime::at(self.now))),
            ("humanizeDuration", [value]) => text(humanize::duration(humanize::number(value)?)),
            ("toJson", [value]) => text(json::write(value)?),
            _ => Err("cannot be called like this".to_owned()),
        }
    }
}

/// Each character for itself, as Go's `strings.ToUpper` does: one that would become several (`ß`)
/// stays, or becomes the first of them (`İ`).
fn mapped<I: ExactSizeIterator<Item = char>>(text: &str, to: fn(char) -> I) -> String {
    let one = |c: char| {
        let mut all = to(c);
        match (all.len(), c) {
            (1, _) | (_, '\u{130}') => all.next().unwrap_or(c),
            _ => c,
        }
    };
    text.chars().map(one).collect()
}

/// The first letter of each word in upper case, be there digits before it.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let (mut inside, mut done) = (false, false);
    for c in text.chars() {
        let word = c.is_alphanumeric() || c == '_' || (inside && matches!(c, '\'' | '\u{2019}'));
        done &= inside && word;
        if word && !done && c.is_alphabetic() {
            let mut upper = c.to_uppercase();
            let first = upper.next().unwrap_or(c);
            titled.push(match c {
                '\u{1c6}' => '\u{1c5}',
                '\u{1c9}' => '\u{1c8}',
                '\u{1cc}' => '\u{1cb}',
                '\u{1f3}' => '\u{1f2}',
                _ => first,
            });
            titled.extend(upper.flat_map(char::to_lowercase));
            done = true;
        } else {
            titled.push(c);
        }
        inside = word;
    }
    titled
}

fn join(between: &str, items: &[Value], limit: usize) -> Result<Value, String> {
    let mut out = String::new();
    for (index, item) in items.iter().filter_map(Value::as_text).enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        out.push_str(item);
        if out.len() > limit {
            return Err(too_long(limit));
        }
    }
    Ok(Value::text(&out))
}

fn dict(items: &[Value]) -> Result<Value, String> {
    if !items.len().is_multiple_of(2) {
        return Err("dict expects an even number of arguments".to_owned());
    }
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for pair in items.chunks_exact(2) {
        let Value::Text(key) = &pair[0] else {
            return Err("dict keys must be strings".to_owned());
        };
        entries.insert(key.clone(), pair[1].clone());
    }
    Value::map(MapKind::Any, entries)
}

/// `url.QueryUnescape`.
fn query_unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = behind.get(..2).and_then(|digits| core::str::from_utf8(digits).ok());
                let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let shown: String = String::from_utf8_lossy(&behind[..behind.len().min(2)]).into();
                bytes.push(byte.ok_or_else(|| format!("invalid URL escape \"%{shown}\""))?);
                rest = &behind[2..];
            }
            byte => bytes.push(*byte),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PIECES: &[&str] = &[
        "{{",
        "}}",
        "{{ ",
        " }}",
        "range",
        "if",
        "end",
        "else",
        "define",
        "template",
        "block",
        "with",
        ".Alerts",
        ".CommonLabels.b",
        "$x",
        ":=",
        "|",
        "\"a\"",
        "`",
        "'",
        "toJson",
        "printf",
        "%9999d",
        "(",
        ")",
        "dict",
        "<a href=",
        "<script>",
        "</script>",
        "<!--",
        ">",
        "break",
        "-",
        "9",
        "\u{e4}",
    ];

    proptest! {
        /// Any text is rendered or refused, in bounded time and size.
        #[test]
        fn no_template_panics(
            pieces in proptest::collection::vec((proptest::sample::select(PIECES), any::<bool>()), 0..24),
        ) {
            let text: String =
                pieces.iter().flat_map(|(piece, blank)| [*piece, if *blank { " " } else { "" }]).collect();
            let data = r#"{"receiver": "r", "alerts": [{"labels": {"alertname": "A"}}], "commonLabels": {"b": "<2>"}}"#;
            let data = Data::from_json(data).unwrap();
            let now = Timestamp::from_millis(1_749_992_400_000);
            for rendered in [Templates::default().text(&text, &data, now), Templates::default().html(&text, &data, now)] {
                prop_assert!(rendered.map_or(0, |text| text.len()) < 1 << 20);
            }
        }
    }

    #[test]
    fn texts_of_a_notification() {
        let data = Data::from_json(
            r#"{"receiver": "r", "status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "A"},
            "startsAt": "2025-06-15T12:00:00Z"}], "commonLabels": {"b": "<2>", "alertname": "A"}}"#,
        )
        .unwrap();
        let now = Timestamp::from_millis(1_749_992_400_000);
        let text = |text: &str| Templates::default().text(text, &data, now).unwrap();
        assert_eq!(text("{{ .CommonLabels }} {{ len .Alerts.Firing }}"), "alertname=A, b=<2> 1");
        assert_eq!(text("{{ range .Alerts }}{{ since .StartsAt }}{{ end }}"), "1h0m0s");
        assert_eq!(
            text("{{ (dict \"a\" 1).a }} {{ title \"ab CD\" }} {{ base64encode \"a\" }}"),
            "1 Ab Cd YQ=="
        );
        assert_eq!(
            text("{{ toUpper `Straße ﬁ` }} {{ toLower `İΟΣ` }} {{ title `$1x ß ǆ 2ab3c a_b` }}"),
            "STRAßE ﬁ iοσ $1X Ss ǅ 2Ab3c A_b"
        );
        assert_eq!(text("{{ .Status | }}"), "firing", "as in Go, the last `|` is idle");
        let all = text("{{ . }}");
        assert!(
            all.starts_with("{r firing [{firing alertname=A ") && all.contains("}]  "),
            "{all}"
        );
        assert_eq!(text("{{ toJson .CommonLabels }}"), r#"{"alertname":"A","b":"\u003c2\u003e"}"#);
        let html = |text: &str| Templates::default().html(text, &data, now).unwrap();
        assert_eq!(
            html("<a title={{ .CommonLabels.b }}>{{ .CommonLabels.b }}</a><!-- x -->"),
            "<a title=&lt;2&gt;>&lt;2&gt;</a>"
        );
        assert_eq!(
            html("{{ .CommonLabels.b | html }} {{ toUpper (html .CommonLabels.b) }}"),
            "&lt;2&gt; &amp;LT;2&amp;GT;"
        );
        assert!(Templates::default().html("<a href=\"", &data, now).is_err());
    }
}
