//! Carries messages to people: outbox, email, Matrix, webhook.

mod assertion;
mod dispatcher;
mod email;
mod handshake;
mod http;
mod illustrated;
mod matrix;
mod oauth2;
mod outbox;
mod proxy;
mod redirect;
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
pub use proxy::is_proxy;
pub use render::{Render, Unreached, Wording};
pub use settings::{
    Access, Assertion, ClientCertificate, EmailSettings, Grant, Handshake, MailLogin,
    MatrixSettings, OAuth2, Pem, Proxies, Settings, SigningAlgorithm, SmtpTls, TlsVersions,
    WebhookSettings,
};
pub use teller::Teller;
pub use webhook::WebhookNotifier;
pub use wire::ChannelError;
