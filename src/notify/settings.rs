use std::collections::{BTreeMap, BTreeSet};
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
    /// File with an OAuth 2.0 access token for XOAUTH2, read before each login; something else
    /// keeps it fresh. In the place of the password.
    pub oauth_token: Option<(Arc<str>, PathBuf)>,
    /// Headers for every mail, names and values.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
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
    /// Renews the access token when it expires.
    pub refresh_token: Option<Secret>,
    /// PEM file with the trust anchors; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// Post in clear text even into encrypted rooms.
    pub allow_unencrypted: bool,
    /// The rooms that owners name, and the Matrix users who may answer for those owners.
    pub rooms: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Others may answer from this power level on (Matrix: 50 moderates, 100 administers).
    pub act_power_level: i64,
    /// The longest a request may take.
    pub timeout: Duration,
}

/// How we prove who we are in a TLS handshake: two PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
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
    /// What we show a server that asks who we are.
    pub certificate: Option<ClientCertificate>,
    /// Further header fields; values may be secrets.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// The longest a request may take.
    pub timeout: Duration,
}
