//! Carries messages to people: outbox, email, Matrix, webhook.

mod outbox;
mod render;
mod settings;
mod teller;

pub use outbox::{Counts, DeadLetter, OpenTicket, Outbox, Patience};
pub use render::{Render, Unreached};
pub use settings::{EmailSettings, MatrixSettings, Settings, SmtpTls, WebhookSettings};
pub use teller::Teller;
