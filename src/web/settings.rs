use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::model::Secret;

/// How we are reached, and by whom. Already checked in form, made by `config`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Who may look from elsewhere.
    pub exposure: Exposure,
    /// Who may do what; when it is empty, see [`Exposure`].
    pub credentials: Credentials,
    /// Encryption; none when a proxy does it.
    pub tls: Option<TlsSettings>,
    /// Name of this installation, on every page.
    pub instance: Arc<str>,
    /// Where people reach us, when a proxy stands in between; without a slash at the end.
    pub external_url: Option<Arc<str>>,
    /// Zone of the times on the pages.
    pub timezone: TimeZone,
    /// BCP 47 language of the pages for browsers that ask for none that we know.
    pub language: Arc<str>,
    /// How often the overview loads itself again.
    pub refresh: Duration,
    /// Other web sites whose scripts may read the API in a visitor's browser
    /// (`https://grafana.example.org`), or `*` for all; none by default.
    pub cors_origins: Vec<Arc<str>>,
    /// What a peer may cost.
    pub limits: Limits,
    /// What a query may cost.
    pub queries: QueryLimits,
}

/// Who is known by password or token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// People.
    pub users: Vec<User>,
    /// Programs.
    pub tokens: Vec<Token>,
}

impl Credentials {
    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }
}

/// Somebody with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name, without a colon.
    pub name: Arc<str>,
    /// bcrypt, as `htpasswd -B` writes it.
    pub password_hash: Secret,
    /// What they may do.
    pub may: Rights,
}

/// A program with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Name in the configuration.
    pub name: Arc<str>,
    /// What it sends as `Authorization: Bearer …`.
    pub secret: Secret,
    /// What it may do.
    pub may: Rights,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// See everything.
    pub read: bool,
    /// Push samples and alerts.
    pub write: bool,
    /// Reload, silence, acknowledge.
    pub change: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true, change: true };
}

/// Files for encryption. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Certificates of clients must be signed by one of these, PEM.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without certificate is let in (and then needs a password or token).
    pub client_optional: bool,
    /// Refuse TLS 1.2.
    pub only_tls13: bool,
}

/// Who may look from elsewhere. Whatever changes something is for this machine only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    /// Nobody: only loopback addresses are listened on.
    #[default]
    Loopback,
    /// Everybody who reaches the port may read, because the configuration says so.
    ReadableByAll,
    /// Who has a password, a token or a certificate.
    Users,
}

/// What a peer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time; further ones are closed at once.
    pub connections: usize,
    /// How many of them one address may have, unless it is this machine.
    pub connections_per_peer: usize,
    /// How long a request's head may take, and how long a connection may be idle.
    pub head_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Lines of a request's head.
    pub head_lines: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// Bytes of a push of samples, as sent.
    pub push_bytes: usize,
    /// Bytes of all pushes that are on their way in at the same time.
    pub pushes_bytes: usize,
    /// How long a request's body may take, and how long an answer may stand unread.
    pub stall_timeout: Duration,
    /// How long requests may go on after the order to stop.
    pub drain: Duration,
}

/// What a query may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryLimits {
    /// Queries that run at the same time.
    pub concurrent: usize,
    /// Queries that may wait for their turn; further ones are turned away.
    pub waiting: usize,
    /// The longest a query may wait and run; a request may ask for less.
    pub timeout: Duration,
    /// Most samples held by one query at one time.
    pub samples: usize,
    /// Most series one selector of a query may find.
    pub series: usize,
    /// How far back an instant selector looks for a sample, unless the request says otherwise.
    pub lookback: Duration,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            concurrent: 4,
            waiting: 64,
            timeout: Duration::from_secs(120),
            samples: 10_000_000,
            series: 1_000_000,
            lookback: Duration::from_secs(300),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9797)),
            exposure: Exposure::default(),
            credentials: Credentials::default(),
            tls: None,
            instance: "augenmass".into(),
            external_url: None,
            timezone: TimeZone::UTC,
            language: "en".into(),
            refresh: Duration::from_secs(15),
            cors_origins: Vec::new(),
            limits: Limits::default(),
            queries: QueryLimits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            connections_per_peer: 128,
            head_timeout: Duration::from_secs(30),
            head_bytes: 32 << 10,
            head_lines: 100,
            body_bytes: 2 << 20,
            push_bytes: 16 << 20,
            pushes_bytes: 64 << 20,
            stall_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}
