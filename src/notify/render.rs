use std::sync::Arc;

use crate::alerting::{Notice, Owner};
use crate::ports::{Address, Channel, Message};

pub use crate::render::Wording;

/// Turns a decision into what a person reads.
pub trait Render: Send + Sync {
    /// The message for one owner, in their language.
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message;

    /// What this address of the owner is told, when it is not the usual message.
    fn for_address(&self, _notice: &Notice, _owner: &Owner, _to: &Address) -> Wording {
        Wording::Usual
    }

    /// The same message for the fallback owner, with a first line that says why they get it.
    fn escalated(&self, mut message: Message, unreached: &Unreached, _to: &Owner) -> Message {
        let line = unreached.line(message.language.starts_with("de"));
        message.text = format!("{line}\n\n{}", message.text);
        if !message.html.is_empty() {
            let line = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let at = message
                .html
                .find("<body")
                .and_then(|body| message.html[body..].find('>').map(|end| body + end + 1));
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
    fn line(&self, german: bool) -> String {
        let channel = match (self.channel, german) {
            (Channel::Email, false) => "email",
            (Channel::Email, true) => "E-Mail",
            (Channel::Matrix, _) => "Matrix",
            (Channel::Webhook, _) => "Webhook",
        };
        let (owner, reason) = (&self.owner, self.reason.trim());
        let because = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
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
