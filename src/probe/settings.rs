use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Labels, Pattern, Secret};

/// What the schedule works on: already checked, made by `config`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All targets in configuration order.
    pub targets: Vec<Target>,
    /// How many probes may run at the same time.
    pub concurrency: usize,
}

/// One thing that is looked at.
#[derive(Clone, Debug)]
pub struct Target {
    /// Service it belongs to.
    pub service: Arc<str>,
    /// Who is responsible.
    pub owner: Arc<str>,
    /// The label `target`: what a person recognises. No userinfo, no query string, no fragment.
    pub name: Arc<str>,
    /// Further labels for each of its series (`class`, and what the user wrote).
    pub labels: Labels,
    /// Time from one probe to the next.
    pub interval: Duration,
    /// The longest a probe may take; at most `interval`.
    pub timeout: Duration,
    /// When a failure is believed.
    pub confirm: Confirm,
    /// What to look at, and how.
    pub kind: Kind,
}

/// Quick further tries after a failure, before anybody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    /// Failing tries in a row (the first one included) that make a target confirmed down; ≥ 1.
    pub tries: u32,
    /// Time between those tries.
    pub every: Duration,
}

impl Default for Confirm {
    fn default() -> Self {
        Self { tries: 3, every: Duration::from_secs(5) }
    }
}

/// The kinds of probes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A web page.
    Http(Box<HttpTarget>),
    /// The certificates of a TLS server.
    Certificate(Box<CertificateTarget>),
    /// The queue of a mail server.
    MailQueue(MailQueueTarget),
    /// A printer.
    Printer(Box<SnmpTarget>),
    /// The disks of a host or storage box that speaks SNMP.
    SnmpDisk(Box<SnmpTarget>),
    /// An uninterruptible power supply.
    Ups(Box<SnmpTarget>),
    /// The ports of a switch, router, access point or host.
    Interfaces(Box<SnmpTarget>),
    /// A mail server's greeting, and its STARTTLS.
    Smtp(Box<SmtpTarget>),
    /// A TCP port.
    Tcp(TcpTarget),
    /// A folder with backups.
    Backup(BackupTarget),
}

impl Kind {
    /// The label `probe`.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Http(_) => "http",
            Kind::Certificate(_) => "certificate",
            Kind::MailQueue(_) => "mail_queue",
            Kind::Printer(_) => "printer",
            Kind::SnmpDisk(_) => "snmp_disk",
            Kind::Ups(_) => "ups",
            Kind::Interfaces(_) => "interfaces",
            Kind::Smtp(_) => "smtp",
            Kind::Tcp(_) => "tcp",
            Kind::Backup(_) => "backup",
        }
    }
}

/// Which address family to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// IPv6 where there is one, else IPv4.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// How to judge and speak TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// PEM file with the trust anchors; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// Name for SNI and verification; the host when absent.
    pub server_name: Option<Arc<str>>,
    /// Accept whatever is presented (its dates are still measured and judged).
    pub skip_verify: bool,
}

/// A web page.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    /// Full URL, with userinfo and query where the user gave them: for the wire only.
    pub url: url::Url,
    /// Method.
    pub method: http::Method,
    /// Request headers; values may be secret.
    pub headers: Vec<(http::HeaderName, Secret)>,
    /// User name and password for Basic authentication.
    pub basic_auth: Option<(Secret, Secret)>,
    /// Bearer token.
    pub bearer: Option<Secret>,
    /// Request body.
    pub body: Vec<u8>,
    /// What the answer must be.
    pub expect: HttpExpect,
    /// At most this many redirects are followed; 0 for none.
    pub redirects: u32,
    /// The body is read up to here; more is a failure.
    pub body_limit: u64,
    /// Which address family to use.
    pub family: Family,
    /// How to judge TLS.
    pub tls: TlsSettings,
    /// Connect here instead of resolving the URL's host.
    pub address: Option<IpAddr>,
}

/// What an answer must be.
#[derive(Clone, Debug, Default)]
pub struct HttpExpect {
    /// Accepted status codes; any 2xx when empty.
    pub status: Vec<u16>,
    /// The body must match each (unanchored search).
    pub body: Vec<regex::bytes::Regex>,
    /// The body must match none.
    pub body_not: Vec<regex::bytes::Regex>,
    /// A header must match (fully anchored).
    pub headers: Vec<(http::HeaderName, Pattern)>,
    /// The last URL must be https (`Some(true)`) or must not be (`Some(false)`).
    pub tls: Option<bool>,
}

/// The certificates of a TLS server.
#[derive(Clone, Debug)]
pub struct CertificateTarget {
    /// Host name or address.
    pub host: Arc<str>,
    /// TCP port, 443 unless told otherwise.
    pub port: u16,
    /// How to judge TLS (`skip_verify` means: not trusted is no failure).
    pub tls: TlsSettings,
    /// Which address family to use.
    pub family: Family,
    /// Speak this protocol in clear before TLS begins.
    pub starttls: Option<StartTls>,
}

/// Protocols that turn to TLS on a clear connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 9051.
    Imap,
    /// RFC 2595.
    Pop3,
}

/// The queue of a mail server on this machine.
#[derive(Clone, Debug)]
pub struct MailQueueTarget {
    /// How it is read.
    pub source: MailQueueSource,
}

/// Ways to a mail queue.
#[derive(Clone, Debug)]
pub enum MailQueueSource {
    /// Postfix' `postqueue -j`.
    Postqueue {
        /// The program.
        program: PathBuf,
        /// Another configuration directory (`-c`).
        config_dir: Option<PathBuf>,
    },
    /// Postfix' showq socket.
    Showq {
        /// Usually `/var/spool/postfix/public/showq`.
        socket: PathBuf,
    },
    /// The socket when it can be opened, else the program.
    Local,
}

/// A device that speaks SNMP.
#[derive(Clone, Debug)]
pub struct SnmpTarget {
    /// Host name or address.
    pub host: Arc<str>,
    /// UDP port, 161 unless told otherwise.
    pub port: u16,
    /// Which version, and who we are.
    pub auth: SnmpAuth,
    /// How often a request is repeated, and how long each waits.
    pub retries: u32,
    /// What a waste container's level means (reality: vendors differ).
    pub waste: Waste,
}

/// Who we are to an SNMP agent.
#[derive(Clone, Debug)]
pub enum SnmpAuth {
    /// SNMP v1.
    V1 {
        /// Community.
        community: Secret,
    },
    /// SNMP v2c.
    V2c {
        /// Community.
        community: Secret,
    },
}

/// What a waste container's level means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waste {
    /// Space that is left (RFC 3805).
    #[default]
    Remaining,
    /// Space that is used.
    Used,
    /// Not looked at.
    Ignore,
}

/// A mail server.
#[derive(Clone, Debug)]
pub struct SmtpTarget {
    /// Host name or address.
    pub host: Arc<str>,
    /// TCP port, 25 unless told otherwise.
    pub port: u16,
    /// Whether STARTTLS must, may or must not be spoken.
    pub starttls: Requirement,
    /// How to judge TLS.
    pub tls: TlsSettings,
    /// Which address family to use.
    pub family: Family,
    /// The name we greet with.
    pub hello: Arc<str>,
}

/// Must it be?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requirement {
    /// Its absence is a failure.
    Required,
    /// Used where it is offered.
    #[default]
    Optional,
    /// Not used.
    Off,
}

/// A TCP port.
#[derive(Clone, Debug)]
pub struct TcpTarget {
    /// Host name or address.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Which address family to use.
    pub family: Family,
}

/// A folder with backups.
#[derive(Clone, Debug)]
pub struct BackupTarget {
    /// Where they lie.
    pub folder: PathBuf,
    /// How they are called; a `*` stands for any part of a name.
    pub pattern: Arc<str>,
}
