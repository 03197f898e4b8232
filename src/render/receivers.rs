//! Messages to the receivers of an `alertmanager.yml`: their own templates where they have some,
//! the payload of a webhook with its limits, and ends only for those who want them.

use std::sync::Arc;

use super::addressees::Addressees;
use super::{Renderer, html, payload};
use crate::alerting::{Notice, Owner, Why};
use crate::model::{Alert, Timestamp};
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
        /// Template of the recipients; none where the address is one.
        to: Option<Arc<str>>,
        /// Template of the sender; none where the account has one.
        from: Option<Arc<str>>,
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
    pub(super) all: Templates,
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

    /// What a webhook's payload tells, for [`TemplateFiles::write`].
    ///
    /// # Errors
    /// It is no payload.
    pub fn facts(payload: &str) -> Result<Facts, TemplateError> {
        let broken = |message: String| TemplateError { message, line: 1, offset: 0 };
        Data::from_json(payload).map(Facts).map_err(broken)
    }

    /// Runs a text over the facts of a webhook's payload.
    ///
    /// # Errors
    /// As Alertmanager words them.
    pub fn write(
        &self,
        text: &str,
        facts: &Facts,
        now: Timestamp,
    ) -> Result<String, TemplateError> {
        self.all.text(text, &facts.0, now)
    }
}

/// What templates of a webhook see.
#[derive(Clone, Debug)]
pub struct Facts(Data);

impl Renderer {
    /// What an address of an owner, or of a receiver of an `alertmanager.yml`, is told.
    pub fn for_address(&self, notice: &Notice, owner: &Owner, to: &Address) -> Wording {
        let known = self.voices.get(&(owner.name.clone(), to.clone()));
        let Some(voice) = known.or_else(|| self.voice_of_template(notice, owner, to)) else {
            return Wording::Usual;
        };
        if voice.way == Way::Nobody {
            return Wording::Nothing;
        }
        if voice.send_resolved && voice.way == Way::Usual {
            return Wording::Usual;
        }
        let Some(mut notice) = heard(notice, voice) else { return Wording::Nothing };
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
            Way::Email { account, to, from, subject, text, html: body, headers } => {
                let mut message = self.letter(&notice, owner);
                message.account = account.to_string();
                let mut trouble = Vec::new();
                let mut own = message.clone();
                let words = Words { subject, text, html: body, headers };
                match self.reword(&mut own, &notice, &words, pages) {
                    Ok(()) => message = own,
                    Err(error) => trouble.push(format!(
                        "The template of the receiver {} is broken, so this is the usual text: {}",
                        owner.name, error.message
                    )),
                }
                match from.as_ref().map(|template| self.sender(template, &notice)) {
                    Some(Ok(sender)) => message.from = sender,
                    Some(Err(why)) => trouble.push(format!(
                        "The template of `from` of the receiver {} is broken, so this comes from \
                         the usual sender: {why}",
                        owner.name
                    )),
                    None => {}
                }
                let to = to.as_ref().map(|template| self.addressees(template, &notice));
                if let Some(Addressees { trouble: Some(why), .. }) = to {
                    trouble.push(format!(
                        "The template of `to` of the receiver {} is broken, so that not all who \
                         should get this do: {why}",
                        owner.name
                    ));
                }
                confess(&mut message, &trouble);
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

/// What somebody hears of a notice, in Alertmanager's order; `None` when that is nothing.
pub(super) fn heard(notice: &Notice, voice: &Voice) -> Option<Notice> {
    // An end alone is no news for those who want none.
    let end = matches!(notice.why, Why::NewResolved | Why::AllResolved);
    if end && !voice.send_resolved {
        return None;
    }
    let mut notice = notice.clone();
    if !voice.send_resolved {
        notice.alerts.retain(Alert::is_firing);
    }
    let mut keyed: Vec<(Place<'_>, &Alert)> =
        notice.alerts.iter().map(|alert| (place(alert), alert)).collect();
    keyed.sort_by(|(a, of_a), (b, of_b)| a.cmp(b).then_with(|| of_a.labels.cmp(&of_b.labels)));
    notice.alerts = keyed.into_iter().map(|(_, alert)| alert.clone()).collect();
    Some(notice)
}

/// Says in the message what is wrong with its templates.
fn confess(message: &mut Message, trouble: &[String]) {
    for line in trouble {
        message.is_makeshift = true;
        message.text = format!("{}\n\n{line}\n", message.text.trim_end());
        if !message.html.is_empty() {
            let line = format!("<p>{}</p>", html::escape(line));
            let end = message.html.rfind("</body>").unwrap_or(message.html.len());
            message.html.insert_str(end, &line);
        }
    }
}

pub(super) fn data(notice: &Notice, pages: &str) -> Result<Data, TemplateError> {
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
#[path = "receivers_tests.rs"]
mod tests;
