//! Encrypted connections. Certificates are renewed every few weeks by a program of its own, so the
//! files are looked at again while we run.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::Moving;
use super::settings::TlsSettings;
use crate::ports::{Clock, Tick};

/// How often the files are looked at, at most.
const LOOK: Duration = Duration::from_secs(30);

/// Why connections cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("web.tls: cannot use {path}: {reason}")]
    File {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificate and key do not fit together.
    #[error("web.tls: certificate and key: {0}")]
    Pair(rustls::Error),
}

/// When files changed last.
type Stamps = Vec<Option<SystemTime>>;

/// Encrypts connections with the newest certificate.
pub(super) struct Encryption {
    settings: TlsSettings,
    clock: Arc<dyn Clock>,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    stamps: Stamps,
    looked: Tick,
}

impl Encryption {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub(super) fn new(settings: TlsSettings, clock: Arc<dyn Clock>) -> Result<Self, TlsError> {
        let stamps = stamps(&settings);
        let acceptor = load(&settings)?;
        let current = Mutex::new(Current { acceptor, stamps, looked: clock.mono() });
        Ok(Self { settings, clock, current })
    }

    /// Shakes hands; tells whether the client showed a certificate that we trust.
    pub(super) async fn accept(
        self: &Arc<Self>,
        stream: Moving,
    ) -> std::io::Result<(TlsStream<Moving>, bool)> {
        let stream = self.acceptor().await.accept(stream).await?;
        let certified = stream.get_ref().1.peer_certificates().is_some_and(|c| !c.is_empty());
        Ok((stream, certified))
    }

    async fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let (acceptor, due) = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.mono();
            let due = now.since(current.looked) >= LOOK;
            if due {
                current.looked = now;
            }
            (current.acceptor.clone(), due)
        };
        if !due {
            return acceptor;
        }
        let this = self.clone();
        let renewed = tokio::task::spawn_blocking(move || this.renew()).await;
        renewed.ok().flatten().unwrap_or(acceptor)
    }

    /// A new acceptor if the files changed and are good.
    fn renew(&self) -> Option<TlsAcceptor> {
        let stamps = stamps(&self.settings);
        let same = |current: &Current| current.stamps == stamps;
        if same(&self.current.lock().unwrap_or_else(PoisonError::into_inner)) {
            return None;
        }
        match load(&self.settings) {
            Ok(acceptor) => {
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                current.acceptor = acceptor.clone();
                current.stamps = stamps;
                tracing::info!("the certificate of the web server was renewed");
                Some(acceptor)
            }
            Err(error) => {
                tracing::error!(%error, "the old certificate goes on");
                None
            }
        }
    }
}

fn stamps(settings: &TlsSettings) -> Stamps {
    let files = [Some(&settings.cert), Some(&settings.key), settings.client_ca.as_ref()];
    let changed = |path: &std::path::PathBuf| std::fs::metadata(path).and_then(|m| m.modified());
    files.into_iter().flatten().map(|path| changed(path).ok()).collect()
}

fn broken(path: &Path, reason: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.display().to_string(), reason: reason.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| broken(path, error))?;
    let read: Result<Vec<_>, _> = read.collect();
    let read = read.map_err(|error| broken(path, error))?;
    if read.is_empty() { Err(broken(path, "there is no certificate in it")) } else { Ok(read) }
}

fn load(settings: &TlsSettings) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = if settings.only_tls13 {
        &[&rustls::version::TLS13]
    } else {
        &[&rustls::version::TLS13, &rustls::version::TLS12]
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(TlsError::Pair)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            if roots.add_parsable_certificates(certificates(path)?).0 == 0 {
                return Err(broken(path, "there is no certificate in it"));
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier =
                if settings.client_optional { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().map_err(|e| broken(path, e))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&settings.key);
    let key = key.map_err(|error| broken(&settings.key, error))?;
    let chain = certificates(&settings.cert)?;
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
