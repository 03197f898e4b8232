//! Carries messages to people: outbox, email, Matrix, webhook.

mod dispatcher;
mod outbox;
mod render;
mod settings;
mod teller;

pub use dispatcher::{
    DispatchError, DispatchSettings, Dispatcher, DispatcherHandle, Notifiers, Status,
};
pub use outbox::{Counts, DeadLetter, OpenTicket, Outbox, Patience};
pub use render::{Render, Unreached};
pub use settings::{EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings};
pub use teller::Teller;
mod email;
mod wire;

pub use email::EmailNotifier;
pub use wire::ChannelError;
