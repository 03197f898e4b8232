//! What people read: message texts, HTML, translations. Pure.
//!
//! A message is made for a person who reads it on a phone, perhaps at night: subject and first
//! line say what is wrong and since when; then the value, what it means and what to do, where, how
//! bad it is, and who else knows. Sentences are in `texts/*.ftl`; what rules write into the annotations
//! `summary` and `description` is taken in the reader's language (`summary_de`) when it exists.
//!
//! The subject tells the state ("Resolved: …"), because the lock screen of a phone shows nothing
//! else. Threads are kept by message ids, not by equal subjects.

mod addressees;
mod html;
mod level;
mod payload;
mod plain;
pub mod plot;
mod receivers;
mod story;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;
use std::sync::Arc;

pub use addressees::separated;
pub use receivers::{Facts, TemplateFiles, Voice, Way, Wording};
use story::{Reader, class_of};
use texts::Language;

pub use crate::template::TemplateError;
pub use html::PLOT;
pub use level::{Subject, level_report};

use crate::alerting::{Directory, LinkSigner, Notice, Owner};
use crate::model::{Alert, Labels};
use crate::ports::{Address, Channel, Message, Urgency};

/// Where a message may point, and who sends it.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// The name of this installation.
    pub instance: Arc<str>,
    /// Address of our own pages as readers reach them.
    pub pages: Option<Arc<str>>,
    /// Page with an anchor for each runbook; runbooks that are links themselves do not need it.
    pub runbooks: Option<Arc<str>>,
    /// Makes the links by which a reader says that they know; none where readers cannot reach our
    /// pages.
    pub acting: Option<LinkSigner>,
}

/// The expressions of alerts that can be drawn, by the alert's name.
#[derive(Clone, Debug, Default)]
pub struct Expressions(HashMap<Arc<str>, Vec<(Labels, Arc<str>)>>);

impl Expressions {
    /// Adds a rule: its name, the labels it gives to its alerts, its expression.
    pub fn add(&mut self, alert: Arc<str>, labels: Labels, expression: Arc<str>) {
        self.0.entry(alert).or_default().push((labels, expression));
    }

    /// Of the rule that made the alert: same name, and all labels that the rule writes as they are.
    fn of(&self, alert: &Alert) -> Option<&str> {
        let rules = self.0.get(alert.name())?;
        let fits = |labels: &Labels| {
            labels
                .iter()
                .all(|(name, value)| value.contains("{{") || alert.labels.get(name) == Some(value))
        };
        rules.iter().find(|(labels, _)| fits(labels)).map(|(_, expression)| &**expression)
    }
}

/// Somebody's own sentences, as the text of Fluent files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    /// `de.ftl`
    pub german: Option<String>,
    /// `en.ftl`
    pub english: Option<String>,
}

/// Turns decisions into messages.
pub struct Renderer {
    directory: Arc<Directory>,
    links: Links,
    expressions: Arc<Expressions>,
    english: Language,
    german: Language,
    voices: HashMap<(Arc<str>, Address), Voice>,
    templates: TemplateFiles,
    /// Templates that stand for addresses, by the receiver that has them.
    written: HashMap<Arc<str>, Vec<Address>>,
    /// Who is told when a template gives no address.
    default_addresses: Vec<Address>,
}

impl Renderer {
    /// For a directory of owners and services; make a new one when that changes.
    pub fn new(directory: Arc<Directory>, links: Links) -> Self {
        Self {
            directory,
            links,
            expressions: Arc::default(),
            english: Language::english(None),
            german: Language::german(None),
            voices: HashMap::new(),
            templates: TemplateFiles::default(),
            written: HashMap::new(),
            default_addresses: Vec::new(),
        }
    }

    /// Messages about these alerts want a picture.
    #[must_use]
    pub fn with_expressions(mut self, expressions: Arc<Expressions>) -> Self {
        self.expressions = expressions;
        self
    }

    /// With own sentences in the place of shipped ones.
    #[must_use]
    pub fn with_templates(mut self, templates: &Templates) -> Self {
        self.english = Language::english(templates.english.as_deref());
        self.german = Language::german(templates.german.as_deref());
        self
    }

    /// What cannot be used of the own sentences: `file:line` or `file: name`.
    pub fn damaged_templates(&self) -> Vec<String> {
        [&self.english, &self.german].iter().flat_map(|l| l.damaged().to_vec()).collect()
    }

    /// Gives receivers of an `alertmanager.yml` their own words: each by the name of the receiver
    /// and the address.
    #[must_use]
    pub fn with_voices(
        mut self,
        voices: HashMap<(Arc<str>, Address), Voice>,
        templates: TemplateFiles,
    ) -> Self {
        let written = voices
            .iter()
            .filter(|(_, voice)| matches!(voice.way, Way::Email { to: Some(_), .. }))
            .map(|((name, to), _)| (name.clone(), to.clone()));
        let mut by_name: HashMap<_, Vec<Address>> = HashMap::new();
        for (name, to) in written {
            by_name.entry(name).or_default().push(to);
        }
        by_name.values_mut().for_each(|all| all.sort());
        self.written = by_name;
        self.voices = voices;
        self.templates = templates;
        self
    }

    /// These are told when a template that should give an address gives none.
    #[must_use]
    pub fn with_default_addresses(mut self, addresses: Vec<Address>) -> Self {
        self.default_addresses = addresses;
        self
    }

    /// The message for one owner, in their language and time zone.
    pub fn message(&self, notice: &Notice, owner: &Owner) -> Message {
        let webhook = owner.addresses.iter().any(|a| a.channel() == Channel::Webhook);
        let pages = self.links.pages.as_deref().unwrap_or("");
        let payload = if webhook { payload::payload(notice, pages) } else { String::new() };
        Message { payload, ..self.letter(notice, owner) }
    }

    /// The message as a person reads it, without the payload for programs.
    fn letter(&self, notice: &Notice, owner: &Owner) -> Message {
        let language = if owner.language.starts_with("de") { &self.german } else { &self.english };
        let voice = language.voice();
        let reader = Reader {
            language: &voice,
            zone: texts::zone(&owner.timezone),
            owner,
            directory: &self.directory,
            links: &self.links,
            expressions: &self.expressions,
        };
        let mut story = reader.story(notice);
        let mut written = (plain::text(&story, &voice), html::document(&story, &voice));
        let broken = voice.broken();
        if !broken.is_empty() {
            let names = broken.join(", ");
            story.notes.push(voice.say("templates-broken", &[("names", names.into())]));
            written = (plain::text(&story, &voice), html::document(&story, &voice));
        }
        let (text, html) = written;
        Message {
            text,
            html,
            language: voice.tag().to_owned(),
            urgency: urgency(notice),
            resolved: story.resolved,
            incident: notice.incident.clone(),
            subject: story.subject,
            plot: story.picture,
            is_makeshift: !broken.is_empty(),
            ..Message::default()
        }
    }
}

/// The worst alert that fires decides; an end wakes nobody.
fn urgency(notice: &Notice) -> Urgency {
    let worst = notice
        .alerts
        .iter()
        .filter(|alert| alert.is_firing())
        .map(class_of)
        .min_by_key(|class| class.unwrap_or(3));
    match worst {
        None | Some(Some(4)) => Urgency::Low,
        Some(Some(1)) => Urgency::High,
        Some(_) => Urgency::Normal,
    }
}
