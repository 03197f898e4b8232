use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Secret;

/// The channels that are configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Mail.
    pub email: Option<EmailSettings>,
    /// Matrix.
    pub matrix: Option<MatrixSettings>,
    /// Webhooks by name.
    pub webhooks: Vec<WebhookSettings>,
}

/// How to hand in mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// Host name or address of the submission server.
    pub host: Arc<str>,
    /// Its port: 587, 465 or 25.
    pub port: u16,
    /// Sender, `name <address>` or an address.
    pub from: Arc<str>,
    /// Where answers go.
    pub reply_to: Option<Arc<str>>,
    /// The name we greet with; the part behind `@` of `from` when absent.
    pub hello: Option<Arc<str>>,
    /// User name and password.
    pub credentials: Option<(Arc<str>, Secret)>,
    /// Encryption.
    pub tls: SmtpTls,
    /// PEM file with the trust anchors; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The longest a delivery may take.
    pub timeout: Duration,
}

/// Encryption of a submission connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// From the first byte (port 465).
    Implicit,
    /// STARTTLS, or no mail.
    Required,
    /// STARTTLS where it is offered.
    Opportunistic,
    /// None; loopback only.
    Off,
}

/// Our account on a homeserver.
#[derive(Clone, Debug)]
pub struct MatrixSettings {
    /// Base URL of the client API.
    pub homeserver: url::Url,
    /// Access token.
    pub token: Secret,
    /// PEM file with the trust anchors; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// Post in clear text even into encrypted rooms.
    pub clear_text_in_encrypted_rooms: bool,
    /// The longest a request may take.
    pub timeout: Duration,
}

/// An HTTP endpoint that takes Alertmanager's webhook payload.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// What owners refer to.
    pub name: Arc<str>,
    /// Where to; may hold a secret.
    pub url: Secret,
    /// Bearer token.
    pub bearer: Option<Secret>,
    /// PEM file with the trust anchors; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The longest a request may take.
    pub timeout: Duration,
}
