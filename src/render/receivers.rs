//! Messages to the receivers of an `alertmanager.yml`: their own templates where they have some,
//! the payload of a webhook with its limits, and ends only for those who want them.

use std::sync::Arc;

use super::{Renderer, html, payload};
use crate::alerting::{Notice, Owner, Why};
use crate::model::Alert;
use crate::ports::{Address, Message};
use crate::template::TemplateError;
use crate::template::alertmanager::{Data, Templates};

/// The definitions that every `alertmanager.yml` may call; its own files override them.
const SHIPPED: &str = include_str!("receivers.tmpl");

/// What an address is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Wording {
    /// The same as everybody.
    Usual,
    /// This.
    Own(Box<Message>),
    /// Nothing.
    Nothing,
}

/// How one integration of a receiver tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// Whether ends are told.
    pub send_resolved: bool,
    /// By which way, in which words.
    pub way: Way,
}

/// The way of an integration.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// The receiver has no integration: it is there to tell nobody.
    Nobody,
    /// Our own words.
    Usual,
    /// A mail through an account.
    Email {
        /// Name of the account.
        account: Arc<str>,
        /// Template of the subject.
        subject: Option<Arc<str>>,
        /// Template of the plain text; none when empty.
        text: Option<Arc<str>>,
        /// Template of the HTML; none when empty.
        html: Option<Arc<str>>,
        /// Further header fields with their templates.
        headers: Vec<(Arc<str>, Arc<str>)>,
    },
    /// A payload for programs.
    Webhook {
        /// At most so many alerts in one call; 0 = all.
        max_alerts: usize,
    },
}

/// The shipped definitions, and those of an installation's own files, which come first.
#[derive(Clone, Debug)]
pub struct TemplateFiles {
    all: Templates,
    own: Templates,
}

impl Default for TemplateFiles {
    fn default() -> Self {
        let mut all = Templates::default();
        // Held by a test: they are well-formed.
        let _ = all.add("shipped.tmpl", SHIPPED);
        Self { all, own: Templates::default() }
    }
}

impl TemplateFiles {
    /// Adds a file; `name` is its name without folders. A later definition wins.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), TemplateError> {
        self.own.add(name, text)?;
        self.all.add(name, text)
    }

    /// Reads a text that may call them, without running it.
    ///
    /// # Errors
    /// The first thing that is wrong in it.
    pub fn check(&self, text: &str) -> Result<(), TemplateError> {
        self.all.check(text)
    }
}

impl Renderer {
    /// What an address of an owner, or of a receiver of an `alertmanager.yml`, is told.
    pub fn for_address(&self, notice: &Notice, owner: &Owner, to: &Address) -> Wording {
        let Some(voice) = self.voices.get(&(owner.name.clone(), to.clone())) else {
            return Wording::Usual;
        };
        if voice.way == Way::Nobody {
            return Wording::Nothing;
        }
        if voice.send_resolved && voice.way == Way::Usual {
            return Wording::Usual;
        }
        let mut notice = notice.clone();
        if !voice.send_resolved {
            // An end alone is no news for them.
            if matches!(notice.why, Why::NewResolved | Why::AllResolved) {
                return Wording::Nothing;
            }
            notice.alerts.retain(Alert::is_firing);
        }
        let mut keyed: Vec<(Place<'_>, &Alert)> =
            notice.alerts.iter().map(|alert| (place(alert), alert)).collect();
        keyed.sort_by(|(a, of_a), (b, of_b)| a.cmp(b).then_with(|| of_a.labels.cmp(&of_b.labels)));
        notice.alerts = keyed.into_iter().map(|(_, alert)| alert.clone()).collect();
        let pages = self.links.pages.as_deref().unwrap_or("");
        match &voice.way {
            Way::Nobody => Wording::Nothing,
            Way::Usual => Wording::Own(Box::new(self.message(&notice, owner))),
            Way::Webhook { max_alerts } => {
                if *max_alerts > 0 && notice.alerts.len() > *max_alerts {
                    notice.left_out += notice.alerts.len() - max_alerts;
                    notice.alerts.truncate(*max_alerts);
                }
                let resolved = notice.is_resolved();
                let (incident, subject) = (notice.incident.clone(), title(&notice));
                let payload = payload::payload(&notice, pages);
                let message =
                    Message { subject, resolved, incident, payload, ..Message::default() };
                Wording::Own(Box::new(message))
            }
            Way::Email { account, subject, text, html: body, headers } => {
                let mut message = self.letter(&notice, owner);
                message.account = account.to_string();
                let words = Words { subject, text, html: body, headers };
                if let Err(error) = self.reword(&mut message, &notice, &words, pages) {
                    let line = format!(
                        "The template of the receiver {} is broken, so this is the usual text: {}",
                        owner.name, error.message
                    );
                    message.text = format!("{}\n\n{line}\n", message.text.trim_end());
                    message.html = String::new();
                }
                Wording::Own(Box::new(message))
            }
        }
    }

    /// Puts the receiver's own words in place of ours.
    fn reword(
        &self,
        message: &mut Message,
        notice: &Notice,
        words: &Words<'_>,
        pages: &str,
    ) -> Result<(), TemplateError> {
        let templates = &self.templates.all;
        let asked = |own: &Option<Arc<str>>, name: &str| -> Option<Arc<str>> {
            let call = || format!("{{{{ template \"{name}\" . }}}}").into();
            own.clone().or_else(|| self.templates.own.defines(name).then(call))
        };
        let subject = asked(words.subject, "email.default.subject");
        let body = asked(words.html, "email.default.html");
        if body.is_none() && words.text.is_none() {
            // Whoever sends alerts from elsewhere tells them apart by labels we know nothing of.
            let facts = facts(notice);
            message.text = format!("{}\n\n{facts}", message.text.trim_end());
            let list = format!("<p>{}</p>", html::escape(&facts));
            let end = message.html.rfind("</body>").unwrap_or(message.html.len());
            message.html.insert_str(end, &list);
            if subject.is_none() && words.headers.is_empty() {
                return Ok(());
            }
        }
        let data = data(notice, pages)?;
        let now = notice.at;
        if let Some(subject) = subject {
            let subject = templates.text(&subject, &data, now)?;
            message.subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        let own_html = body.as_ref().map(|body| templates.html(body, &data, now)).transpose()?;
        let own_text =
            words.text.as_ref().map(|text| templates.text(text, &data, now)).transpose()?;
        match (own_text, own_html) {
            (None, None) => {}
            (Some(text), body) => {
                message.text = text;
                message.html = body.unwrap_or_default();
            }
            // Readers without HTML get our own words.
            (None, Some(body)) => message.html = body,
        }
        for (name, value) in words.headers {
            message.headers.push((name.to_string(), templates.text(value, &data, now)?));
        }
        Ok(())
    }
}

/// The templates of a mail.
struct Words<'v> {
    subject: &'v Option<Arc<str>>,
    text: &'v Option<Arc<str>>,
    html: &'v Option<Arc<str>>,
    headers: &'v [(Arc<str>, Arc<str>)],
}

fn data(notice: &Notice, pages: &str) -> Result<Data, TemplateError> {
    let broken = |message: String| TemplateError { message, line: 1, offset: 0 };
    Data::from_json(&payload::payload(notice, pages)).map_err(broken)
}

/// All labels and annotations of all alerts.
fn facts(notice: &Notice) -> String {
    let mut text = String::new();
    for alert in &notice.alerts {
        text.push_str(if alert.is_firing() { "firing\n" } else { "resolved\n" });
        for (name, value) in alert.labels.iter().chain(&alert.annotations) {
            text.extend(["  ", name, " = ", value, "\n"]);
        }
        if !alert.generator.is_empty() {
            text.extend(["  ", &*alert.generator, "\n"]);
        }
    }
    text
}

/// A line for lists of messages; a webhook does not see it.
fn title(notice: &Notice) -> String {
    let firing = notice.alerts.iter().filter(|alert| alert.is_firing()).count();
    let over = notice.alerts.len() - firing;
    format!("{firing} firing, {over} resolved: {}", notice.group)
}

/// The places of `job` and `instance`, those without behind the others; then fewer labels first.
type Place<'a> = ((bool, &'a str), (bool, &'a str), usize);

/// Alertmanager's order: by `job`, then `instance`, then fewer labels first, then the labels.
fn place(alert: &Alert) -> Place<'_> {
    let of = |name: &str| alert.labels.get(name).map_or((true, ""), |value| (false, value));
    (of("job"), of("instance"), alert.labels.len())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use crate::model::Labels;

    use super::*;
    use crate::alerting::Directory;
    use crate::model::{NonEmpty, Phase, Timestamp};
    use crate::render::Links;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
    }

    fn alert(name: &str, firing: bool) -> Alert {
        let pairs = [("alertname", "X"), ("instance", name)];
        Alert {
            labels: Labels::from_pairs(pairs).unwrap(),
            annotations: Labels::from_pairs([("summary", "it <burns>")]).unwrap(),
            phase: match firing {
                true => Phase::Firing { since: at(0), fired: at(0) },
                false => Phase::Resolved { fired: at(0), resolved: at(60) },
            },
            value: None,
            ends: None,
            generator: "http://prom.example/g".into(),
        }
    }

    fn notice(why: Why) -> Notice {
        Notice {
            receiver: "team".into(),
            route: "{}".into(),
            group: Labels::from_pairs([("alertname", "X")]).unwrap(),
            alerts: vec![alert("b", true), alert("a", true), alert("c", false)],
            why,
            incident: "i1".into(),
            at: at(90),
            also_told: Vec::new(),
            flapping: false,
            left_out: 0,
            acknowledged: None,
        }
    }

    fn said(way: Way, send_resolved: bool, why: Why, files: &[&str]) -> Wording {
        let to = Address::Email("a@example.org".into());
        let owner = Owner {
            name: "team".into(),
            addresses: NonEmpty::of(to.clone()),
            language: "en".into(),
            timezone: "UTC".into(),
        };
        let voice = Voice { send_resolved, way };
        let mut templates = TemplateFiles::default();
        for file in files {
            templates.add("own.tmpl", file).unwrap();
        }
        let links = Links { pages: Some("http://am.example".into()), ..Links::default() };
        let directory = Arc::new(Directory { owners: vec![owner.clone()], ..Directory::default() });
        Renderer::new(directory, links)
            .with_voices(HashMap::from([(("team".into(), to.clone()), voice)]), templates)
            .for_address(&notice(why), &owner, &to)
    }

    fn own(wording: Wording) -> Message {
        match wording {
            Wording::Own(message) => *message,
            other => panic!("{other:?}"),
        }
    }

    fn email(subject: Option<&str>, text: Option<&str>, html: Option<&str>) -> Way {
        let (subject, text) = (subject.map(Into::into), text.map(Into::into));
        let html = html.map(Into::into);
        Way::Email { account: "acc".into(), subject, text, html, headers: Vec::new() }
    }

    #[test]
    fn whoever_wants_no_ends_hears_none() {
        let way = Way::Webhook { max_alerts: 0 };
        assert_eq!(said(way.clone(), false, Why::NewResolved, &[]), Wording::Nothing);
        assert_eq!(said(way.clone(), false, Why::AllResolved, &[]), Wording::Nothing);
        let message = own(said(way, false, Why::NewAlerts, &[]));
        assert!(!message.payload.contains("resolved\""), "{}", message.payload);
        assert_eq!(said(Way::Nobody, true, Why::First, &[]), Wording::Nothing);
        assert_eq!(said(Way::Usual, true, Why::First, &[]), Wording::Usual);
    }

    #[test]
    fn a_webhook_gets_as_many_alerts_as_it_can_take_in_alertmanagers_order() {
        let message = own(said(Way::Webhook { max_alerts: 1 }, true, Why::First, &[]));
        let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
        assert_eq!(payload["truncatedAlerts"], 2);
        assert_eq!(payload["alerts"][0]["labels"]["instance"], "a");
    }

    #[test]
    fn own_templates_word_a_mail() {
        let way =
            email(Some("{{ .Status }} {{ template \"x\" . }}"), Some("t {{ len .Alerts }}"), None);
        let message = own(said(way, true, Why::First, &["{{ define \"x\" }}of us{{ end }}"]));
        assert_eq!((&*message.subject, &*message.text), ("firing of us", "t 3"));
        assert_eq!((&*message.html, &*message.account), ("", "acc"));
        let shipped = "{{ template \"email.default.subject\" . }}";
        let message = own(said(
            email(Some(shipped), None, Some("{{ template \"email.default.html\" . }}")),
            true,
            Why::First,
            &[],
        ));
        assert_eq!(message.subject, "[FIRING:2] X");
        assert!(message.html.contains("it &lt;burns&gt;"), "{}", message.html);
        let over = "{{ define \"email.default.subject\" }}mine{{ end }}";
        assert_eq!(own(said(email(None, None, None), true, Why::First, &[over])).subject, "mine");
    }

    #[test]
    fn without_own_words_all_labels_are_shown() {
        let message = own(said(email(None, None, None), true, Why::First, &[]));
        assert!(message.text.contains("instance = a"), "{}", message.text);
        assert!(message.html.contains("summary = it &lt;burns&gt;"), "{}", message.html);
    }

    #[test]
    fn a_broken_template_costs_nobody_the_message() {
        let way = email(None, Some("{{ template \"gone\" . }}"), None);
        let message = own(said(way, true, Why::First, &[]));
        assert!(message.text.contains("is broken, so this is the usual text"), "{}", message.text);
        assert!(message.text.contains("gone") && message.text.contains("it <burns>"));
    }

    #[test]
    fn the_shipped_definitions_are_well_formed() {
        let mut templates = Templates::default();
        templates.add("shipped.tmpl", SHIPPED).unwrap();
        let data = data(&notice(Why::First), "http://am.example").unwrap();
        let text = |name: &str| {
            templates.text(&format!("{{{{ template \"{name}\" . }}}}"), &data, at(0)).unwrap()
        };
        assert_eq!(text("__subject"), "[FIRING:2] X");
        assert!(text("email.default.text").contains("instance = c"));
    }
}
