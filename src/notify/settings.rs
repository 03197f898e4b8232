use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::Secret;
use crate::render::TemplateFiles;

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
    /// Who we are.
    pub login: Option<MailLogin>,
    /// File with an OAuth 2.0 access token for XOAUTH2, read before each login; something else
    /// keeps it fresh. In the place of the password.
    pub oauth_token: Option<(Arc<str>, PathBuf)>,
    /// Headers for every mail, names and values.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Encryption.
    pub tls: SmtpTls,
    /// Whom we trust, and what we show.
    pub handshake: Handshake,
    /// The longest a delivery may take.
    pub timeout: Duration,
}

/// Who we are at a mail server, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailLogin {
    /// User name.
    pub user: Arc<str>,
    /// For SCRAM, PLAIN and LOGIN.
    pub password: Option<Secret>,
    /// For CRAM-MD5 (RFC 2195), where it is another than the password.
    pub secret: Option<Secret>,
    /// As whom we act, where that is somebody else (RFC 4616 and RFC 5802: the authorization
    /// identity).
    pub identity: Option<Arc<str>>,
}

impl MailLogin {
    /// With a password alone, as almost everywhere.
    pub fn new(user: &str, password: &Secret) -> Self {
        let password = Some(password.clone());
        Self { user: user.into(), password, secret: None, identity: None }
    }
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

/// PEM, in a file or as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// Read when the channel is set up.
    File(PathBuf),
    /// As it is; may be a key.
    Text(Secret),
}

/// How we prove who we are in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: Pem,
    /// Its key.
    pub key: Pem,
}

/// Versions of TLS that may be spoken; older ones than 1.2 never are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3.
    #[default]
    Usual,
    /// 1.2 alone.
    Only12,
    /// 1.3 alone.
    Only13,
}

/// A TLS handshake from our side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// The trust anchors; the system's when absent.
    pub ca: Option<Pem>,
    /// What we show a server that asks who we are.
    pub certificate: Option<ClientCertificate>,
    /// The name that the certificate must be for; the host's when absent.
    pub server_name: Option<Arc<str>>,
    /// Trust any certificate: whoever stands in between can read and change everything.
    pub trusts_anybody: bool,
    /// Versions.
    pub versions: TlsVersions,
}

impl Handshake {
    /// Trusts the certificates of a PEM file, or those of the system.
    pub fn trusting(ca_file: Option<PathBuf>) -> Self {
        Self { ca: ca_file.map(Pem::File), ..Self::default() }
    }
}

/// Proxies on the way to HTTP servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// URL of the proxy to `http` addresses (`http`, `https`, `socks5`); may hold a password.
    pub http: Option<Secret>,
    /// URL of the proxy to `https` addresses.
    pub https: Option<Secret>,
    /// Hosts that are called without, as in `NO_PROXY`. When it is there, even empty, this machine
    /// is one of them; when it is absent, there is none.
    pub exceptions: Option<Arc<str>>,
    /// Header fields of `CONNECT`.
    pub connect_headers: Vec<(Arc<str>, Secret)>,
}

/// Where tokens come from (OAuth 2.0, RFC 6749).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// Who we are there.
    pub client_id: Arc<str>,
    /// What proves it.
    pub grant: Grant,
    /// The token endpoint; may hold a password.
    pub token_url: Secret,
    /// What the token should be good for.
    pub scopes: Vec<Arc<str>>,
    /// Further parameters of the request.
    pub parameters: Vec<(Arc<str>, Secret)>,
    /// Whom we trust there, and what we show.
    pub handshake: Handshake,
    /// The way there.
    pub proxies: Option<Proxies>,
}

/// What proves to a token endpoint who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Our password there (RFC 6749 §4.4).
    ClientCredentials(Secret),
    /// A statement that our key signs (RFC 7523 §2.1).
    Assertion(Arc<Assertion>),
}

/// A statement of who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// An RSA key, PKCS #8 or PKCS #1.
    pub key: Pem,
    /// What the key is called there.
    pub key_id: Option<Arc<str>>,
    /// How it signs.
    pub algorithm: SigningAlgorithm,
    /// Who says so; the client when absent.
    pub issuer: Option<Arc<str>>,
    /// To whom it is said; the token endpoint when absent.
    pub audience: Option<Arc<str>>,
    /// Further claims, before those above.
    pub claims: serde_json::Map<String, serde_json::Value>,
}

/// RSASSA-PKCS1-v1_5 with SHA-2 (RFC 7518 §3.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// With SHA-256.
    #[default]
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
}

/// How an HTTP server is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Bearer token.
    pub bearer: Option<Secret>,
    /// `user:password`, before those in the URL.
    pub login: Option<Secret>,
    /// Where a bearer token is fetched.
    pub oauth2: Option<Box<OAuth2>>,
    /// Further header fields; values may be secrets.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// Whom we trust, and what we show.
    pub handshake: Handshake,
    /// The way there; direct when absent.
    pub proxies: Option<Proxies>,
    /// Does not go on where the server sends us elsewhere.
    pub stays: bool,
}

/// An HTTP endpoint that takes Alertmanager's webhook payload.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// What owners refer to.
    pub name: Arc<str>,
    /// Where to; may hold a secret.
    pub url: Secret,
    /// What templates here may call: the URL, where it is one, and the body's texts.
    pub templates: Option<Arc<TemplateFiles>>,
    /// A body of its own in the place of the payload: its texts and keys are templates.
    pub body: Option<serde_json::Value>,
    /// How it is called.
    pub access: Access,
    /// The longest a request may take.
    pub timeout: Duration,
}
