//! Carries messages to people: outbox, email, Matrix, webhook.

mod dispatcher;
mod email;
mod http;
mod matrix;
mod outbox;
mod render;
mod settings;
mod teller;
mod webhook;
mod wire;

pub use dispatcher::{
    DispatchError, DispatchSettings, Dispatcher, DispatcherHandle, Notifiers, Status,
};
pub use email::{EmailAccounts, EmailNotifier};
pub use matrix::MatrixNotifier;
pub use outbox::{Counts, DeadLetter, OpenTicket, Outbox, Patience};
pub use render::{Render, Unreached, Wording};
pub use settings::{EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings};
pub use teller::Teller;
pub use webhook::WebhookNotifier;
pub use wire::ChannelError;
