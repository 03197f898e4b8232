//! What people read: message texts, HTML, translations. Pure.
//!
//! A message is made for a person who reads it on a phone, perhaps at night: subject and first
//! line say what is wrong and since when; then the value, what it means and what to do, where, how
//! bad it is, and who else knows. Sentences are in `texts/*.ftl`; what rules write into the annotations
//! `summary` and `description` is taken in the reader's language (`summary_de`) when it exists.
//!
//! The subject tells the state ("Resolved: …"), because the lock screen of a phone shows nothing
//! else. Threads are kept by message ids, not by equal subjects.

mod html;
mod payload;
mod plain;
mod receivers;
mod story;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;
use std::sync::Arc;

pub use receivers::{TemplateFiles, Voice, Way, Wording};
use story::{Reader, class_of};
use texts::Language;

use crate::alerting::{Directory, LinkSigner, Notice, Owner};
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

/// Turns decisions into messages.
pub struct Renderer {
    directory: Arc<Directory>,
    links: Links,
    english: Language,
    german: Language,
    voices: HashMap<(Arc<str>, Address), Voice>,
    templates: TemplateFiles,
}

impl Renderer {
    /// For a directory of owners and services; make a new one when that changes.
    pub fn new(directory: Arc<Directory>, links: Links) -> Self {
        Self {
            directory,
            links,
            english: Language::english(),
            german: Language::german(),
            voices: HashMap::new(),
            templates: TemplateFiles::default(),
        }
    }

    /// Gives receivers of an `alertmanager.yml` their own words: each by the name of the receiver
    /// and the address.
    #[must_use]
    pub fn with_voices(
        mut self,
        voices: HashMap<(Arc<str>, Address), Voice>,
        templates: TemplateFiles,
    ) -> Self {
        self.voices = voices;
        self.templates = templates;
        self
    }

    /// The message for one owner, in their language and time zone.
    pub fn message(&self, notice: &Notice, owner: &Owner) -> Message {
        let language = if owner.language.starts_with("de") { &self.german } else { &self.english };
        let reader = Reader {
            language,
            zone: texts::zone(&owner.timezone),
            owner,
            directory: &self.directory,
            links: &self.links,
        };
        let story = reader.story(notice);
        let webhook = owner.addresses.iter().any(|a| a.channel() == Channel::Webhook);
        let pages = self.links.pages.as_deref().unwrap_or("");
        Message {
            text: plain::text(&story, language),
            html: html::document(&story, language),
            language: language.tag.to_owned(),
            urgency: urgency(notice),
            resolved: story.resolved,
            incident: notice.incident.clone(),
            payload: if webhook { payload::payload(notice, pages) } else { String::new() },
            subject: story.subject,
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
