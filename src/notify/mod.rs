//! Carries messages to people: outbox, email, Matrix, webhook.

mod settings;

pub use settings::{EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings};
