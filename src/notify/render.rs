use std::sync::Arc;

use crate::alerting::{Notice, Owner};
use crate::ports::{Address, Channel, Message};

pub use crate::render::Wording;

/// Turns a decision into what a person reads.
pub trait Render: Send + Sync {
    /// The message for one owner, in their language.
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message;

    /// The addresses that one of the owner's stands for: itself, unless it is a template.
    fn places(&self, _notice: &Notice, _owner: &Owner, to: &Address) -> Vec<Address> {
        vec![to.clone()]
    }

    /// What this address of the owner is told, when it is not the usual message.
    fn for_address(&self, _notice: &Notice, _owner: &Owner, _to: &Address) -> Wording {
        Wording::Usual
    }

    /// The same message for the fallback owner, or by the owner's next way, which says why below its
    /// first line: that one is for what is wrong.
    fn escalated(&self, mut message: Message, unreached: &Unreached, to: &Owner) -> Message {
        let line = unreached.line(to.language.starts_with("de"), to);
        message.text = match message.text.split_once('\n') {
            Some((first, rest)) => {
                format!("{first}\n\n{line}\n\n{}", rest.trim_start_matches('\n'))
            }
            None => format!("{}\n\n{line}\n", message.text),
        };
        if !message.html.is_empty() {
            let line = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let at = message
                .html
                .find("<body")
                .and_then(|body| message.html[body..].find('>').map(|end| body + end + 1));
            let title = at.filter(|at| message.html[*at..].trim_start().starts_with("<h3"));
            let behind = title.and_then(|at| Some(at + message.html[at..].find("</h3>")? + 5));
            let at = behind.or(at);
            message.html.insert_str(at.unwrap_or(0), &format!("<p>{line}</p>"));
        }
        message
    }
}

impl<F: Fn(&Notice, &Owner) -> Message + Send + Sync> Render for F {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        self(notice, owner)
    }
}

/// Somebody could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Who.
    pub owner: Arc<str>,
    /// By which channel it was tried last.
    pub channel: Channel,
    /// What went wrong; empty when no answer came at all.
    pub reason: String,
}

impl Unreached {
    fn line(&self, german: bool, to: &Owner) -> String {
        let channel = match (self.channel, german) {
            (Channel::Email, false) => "email",
            (Channel::Email, true) => "E-Mail",
            (Channel::Matrix, _) => "Matrix",
            (Channel::Webhook, _) => "Webhook",
        };
        let (owner, reason) = (&self.owner, self.reason.trim());
        let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        if *owner == to.name {
            return if german {
                format!(
                    "{channel} kam nicht an{because}. Darum kommt diese Nachricht auf diesem Weg."
                )
            } else {
                format!(
                    "{channel} did not arrive{because}. That is why this message comes this way."
                )
            };
        }
        if german {
            format!(
                "{owner} ist nicht erreichbar: {channel} kam nicht an{because}. Darum geht diese Nachricht an dich."
            )
        } else {
            format!(
                "{owner} could not be reached: {channel} did not arrive{because}. That is why you get this message."
            )
        }
    }
}
