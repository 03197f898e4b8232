//! Carries messages to people: outbox, email, Matrix, webhook.

mod email;
mod settings;
mod wire;

pub use email::EmailNotifier;
pub use settings::{EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings};
pub use wire::ChannelError;
