//! Carries messages to people: outbox, email, Matrix, webhook.

mod dispatcher;
mod email;
mod http;
mod illustrated;
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
pub use illustrated::Illustrated;
pub use matrix::MatrixNotifier;
pub use outbox::{Counts, DeadLetter, OpenTicket, Outbox, Patience};
pub use render::{Render, Unreached, Wording};
pub use settings::{
    ClientCertificate, EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings,
};
pub use teller::Teller;
pub use webhook::WebhookNotifier;
pub use wire::ChannelError;
