use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::access::Guard;
use super::people::People;
use super::settings::{Exposure, Settings};
use super::tls::{Encryption, TlsError};
use super::{connection, router};
use crate::alerting::LinkSigner;
use crate::ports::{Act, Board, Clock, Doing, Queryable, Receive};
use crate::rules::GroupView;
use crate::telemetry::Telemetry;

/// The rest of the program, as far as we may look at it.
#[derive(Clone)]
pub struct Doors {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Our own metrics.
    pub telemetry: Arc<Telemetry>,
    /// The state of all targets.
    pub board: Arc<dyn Board>,
    /// All samples.
    pub samples: Arc<dyn Queryable>,
    /// All rule groups with their alerts, as they are now.
    pub rules: Arc<dyn Fn() -> Arc<[GroupView]> + Send + Sync>,
    /// The configuration that runs, as YAML without its secrets.
    pub config: Arc<dyn Fn() -> String + Send + Sync>,
    /// Loads the configuration again; the error is for the person who asked.
    pub reload: Arc<dyn Fn() -> Doing<'static, Result<(), String>> + Send + Sync>,
    /// Who is told of what.
    pub people: Arc<dyn People>,
    /// Acknowledgements and silences.
    pub act: Arc<dyn Act>,
    /// Reads the links in messages; none where readers cannot reach us.
    pub acting: Arc<dyn Fn() -> Option<LinkSigner> + Send + Sync>,
    /// Takes pushed samples, if we take any.
    pub receive: Option<Arc<dyn Receive>>,
    /// Whether we do our work; the error says what is missing.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Why we cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Closed by default.
    #[error(
        "listening on {0} would show everything to everybody who reaches that address: listen on \
         a loopback address (127.0.0.1 or ::1), name users or tokens (web.users, web.tokens), or \
         allow it explicitly (web.readable_by: everybody)"
    )]
    NotLoopback(SocketAddr),
    /// Encryption.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// No random numbers.
    #[error("cannot keep secrets: {0}")]
    Random(std::io::Error),
    /// The address is taken, not ours, or needs a privilege.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// Listens already, answers when it runs.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    settings: Arc<Settings>,
    guard: Arc<Guard>,
    tls: Option<Arc<Encryption>>,
    doors: Doors,
}

impl Server {
    /// Takes the address.
    ///
    /// # Errors
    /// The address is not a loopback address and the settings do not allow that, or the system
    /// refuses it.
    pub async fn bind(settings: Settings, doors: Doors) -> Result<Self, StartError> {
        let wanted = settings.listen;
        if settings.exposure == Exposure::Loopback && !wanted.ip().to_canonical().is_loopback() {
            return Err(StartError::NotLoopback(wanted));
        }
        let refused = |source| StartError::Listen { address: wanted, source };
        let listener = TcpListener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let tls = match &settings.tls {
            Some(files) => Some(Arc::new(Encryption::new(files.clone(), doors.clock.clone())?)),
            None => None,
        };
        let guard = Guard::new(settings.credentials.clone()).map_err(StartError::Random)?;
        warn(&settings);
        Ok(Self { listener, address, settings: Arc::new(settings), guard, tls, doors })
    }

    /// Who may do what; can be changed while we run.
    pub fn guard(&self) -> Arc<Guard> {
        self.guard.clone()
    }

    /// Where we listen; tells the port when any was wanted.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to stop, then lets running requests end within [`super::Limits::drain`].
    pub async fn run(self, stop: CancellationToken) {
        let router = router::build(&self.settings, self.guard, &self.doors);
        let limits = self.settings.limits;
        connection::serve(self.listener, router, limits, self.tls, &self.doors, stop).await;
    }
}

/// What who opens the port to others should know.
fn warn(settings: &Settings) {
    if settings.listen.ip().to_canonical().is_loopback() {
        return;
    }
    let certified = settings.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if settings.credentials.is_empty() && !certified {
        tracing::warn!(
            "everybody who reaches {} may read everything; nobody from elsewhere may change anything \
             or push samples, since the configuration names no users and no tokens",
            settings.listen
        );
    } else if settings.tls.is_none() {
        tracing::warn!(
            "passwords and tokens reach {} readable for everybody on the way, unless a proxy in \
             front of it encrypts (web.tls does it here)",
            settings.listen
        );
    }
}
