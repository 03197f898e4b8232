use std::sync::Arc;
use std::time::Duration;

use super::Doing;
use crate::model::{Labels, Timestamp};

/// A way to reach people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// SMTP.
    Email,
    /// A Matrix room.
    Matrix,
    /// An HTTP POST.
    Webhook,
}

/// Whom to reach through a channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// One mail address.
    Email(Arc<str>),
    /// Room id (`!…`) or alias (`#…`).
    Matrix(Arc<str>),
    /// Name of a configured webhook (its URL may hold a secret).
    Webhook(Arc<str>),
}

impl Address {
    /// The channel that carries it.
    pub fn channel(&self) -> Channel {
        match self {
            Address::Email(_) => Channel::Email,
            Address::Matrix(_) => Channel::Matrix,
            Address::Webhook(_) => Channel::Webhook,
        }
    }
}

/// How loudly to knock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// For the record.
    Low,
    /// The ordinary case.
    #[default]
    Normal,
    /// Stops operation.
    High,
}

/// A file inside a message, such as a plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name without a path.
    pub name: Arc<str>,
    /// MIME type.
    pub mime: Arc<str>,
    /// What a person who does not see it should read instead.
    pub alt: Arc<str>,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// A picture that a message wants: what an alert's expression looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plot {
    /// The alert's expression (PromQL).
    pub expression: String,
    /// The alert's labels: they say which of the expression's series it is about.
    pub labels: Labels,
    /// When it began.
    pub since: Timestamp,
    /// When it ended; the instant of the message while it goes on.
    pub until: Timestamp,
    /// Whether it goes on.
    pub firing: bool,
    /// IANA zone of the reader.
    pub zone: String,
    /// What a person who does not see it should read instead.
    pub alt: String,
}

/// Draws what messages want. A message never waits long for its picture, and goes without one
/// when there is none.
pub trait Draw: Send + Sync {
    /// The picture, or nothing: no data, too busy, no such expression. Within two seconds.
    fn draw<'a>(&'a self, plot: &'a Plot, language: &'a str) -> Doing<'a, Option<Attachment>>;
}

/// What a person reads, rendered once and stored with the ticket, so that a repeat after a crash
/// is the same to the letter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// One line.
    pub subject: String,
    /// Complete by itself.
    pub text: String,
    /// The same for the eye; empty when there is none.
    pub html: String,
    /// BCP 47 language of the texts.
    pub language: String,
    /// How loudly to knock.
    pub urgency: Urgency,
    /// Whether it tells the end of something.
    pub resolved: bool,
    /// Names the incident: messages with the same one belong to one thread.
    pub incident: String,
    /// The same facts for programs (Alertmanager's webhook payload, version 4); empty when the
    /// channel needs none.
    pub payload: String,
    /// Pictures.
    pub attachments: Vec<Attachment>,
    /// A picture that is drawn when the message is sent.
    pub plot: Option<Plot>,
    /// Header fields of a mail that its configuration asks for; they go before our own.
    pub headers: Vec<(String, String)>,
    /// Name of the account that carries it; empty for the usual one of the channel.
    pub account: String,
    /// Sender of a mail; empty for the one of the account.
    pub from: String,
    /// A template of its own was broken, so that our own words stand in. For the count alone: it
    /// is not kept.
    pub is_makeshift: bool,
}

/// One message to one address. `key` is the same before and after a crash: it becomes the
/// Message-ID of a mail and the transaction id of a Matrix event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Idempotency key, unique across installations; `[a-z0-9-]` only.
    pub key: String,
    /// To whom.
    pub to: Address,
    /// What.
    pub message: Message,
}

/// What the other side answered, kept as evidence (the SMTP `250` line without addresses, the
/// Matrix event id).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt(pub String);

/// Why a message did not arrive. Reasons are for a person and hold no secret and no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// Not now; surely not delivered.
    #[error("not delivered yet: {reason}")]
    Retry {
        /// What happened.
        reason: String,
        /// The other side asked to wait for so long.
        after: Option<Duration>,
    },
    /// The channel itself does not work now, whatever the message: no connection, no login for
    /// anybody. Surely not delivered.
    #[error("not delivered yet: {reason}")]
    Down {
        /// What happened.
        reason: String,
        /// The other side asked to wait for so long.
        after: Option<Duration>,
    },
    /// Never; trying the same again is useless.
    #[error("refused: {reason}")]
    Rejected {
        /// What the other side said.
        reason: String,
    },
    /// Perhaps delivered: the answer was lost. Try again with the same key.
    #[error("perhaps delivered: {reason}")]
    Unsure {
        /// What happened.
        reason: String,
    },
}

/// Carries messages through one channel.
pub trait Notifier: Send + Sync {
    /// Delivers one message under the notifier's own deadline.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>>;
}
