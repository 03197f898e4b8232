use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::judgement::Cache;
use super::recorder::AcceptNothing;

/// Trust anchors and TLS configurations, shared by all targets that use the same ones. A new
/// stock (at a reload) reads files again.
pub struct TlsStock {
    provider: Arc<CryptoProvider>,
    roots: Mutex<HashMap<Option<PathBuf>, Arc<Roots>>>,
}

/// Trust anchors, parsed once.
pub(super) struct Roots {
    pub(super) store: Arc<RootCertStore>,
    config: Arc<ClientConfig>,
    web: Arc<ClientConfig>,
}

/// Why trust anchors could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the certificates in {path}: {reason}")]
pub struct TrustError {
    /// The file.
    pub path: PathBuf,
    /// What went wrong.
    pub reason: String,
}

/// What TLS is spoken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::probe) enum Purpose {
    /// HTTP, offered by ALPN.
    Web,
    /// Only to see the certificates.
    Look,
    /// Behind a dialog in clear: a second connection would not begin with TLS.
    AfterStartTls,
}

/// How one target speaks TLS.
pub(in crate::probe) struct TlsClient {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) roots: Arc<Roots>,
    pub(super) name: ServerName<'static>,
    pub(super) purpose: Purpose,
    pub(super) cache: Cache,
    /// Whether a chain that is not trusted is no failure.
    pub(in crate::probe) skip_verify: bool,
}

impl TlsStock {
    /// With nothing read yet.
    pub fn new() -> Self {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // The cheap group goes first into the hello; the post-quantum one stays on offer for
        // servers that insist. A monitor's probe carries nothing worth recording for decades.
        provider.kx_groups.sort_by_key(|group| group.name() != rustls::NamedGroup::X25519);
        Self { provider: Arc::new(provider), roots: Mutex::default() }
    }

    /// How to speak TLS with `host`.
    pub(in crate::probe) fn client(
        &self,
        settings: &crate::probe::TlsSettings,
        host: &str,
        purpose: Purpose,
    ) -> Result<TlsClient, TrustError> {
        Ok(TlsClient {
            provider: self.provider.clone(),
            roots: self.roots(settings.ca_file.as_deref())?,
            name: server_name(settings.server_name.as_deref().unwrap_or(host)),
            purpose,
            cache: Cache::default(),
            skip_verify: settings.skip_verify,
        })
    }

    fn roots(&self, file: Option<&Path>) -> Result<Arc<Roots>, TrustError> {
        let mut all = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(roots) = all.get(&file.map(Path::to_owned)) {
            return Ok(roots.clone());
        }
        let mut store = RootCertStore::empty();
        match file {
            Some(path) => {
                let fail = |reason: String| TrustError { path: path.to_owned(), reason };
                let read = CertificateDer::pem_file_iter(path).map_err(|e| fail(e.to_string()))?;
                let read: Result<Vec<_>, _> = read.collect();
                let (added, _) =
                    store.add_parsable_certificates(read.map_err(|e| fail(e.to_string()))?);
                if added == 0 {
                    return Err(fail("there is no certificate in it".to_owned()));
                }
            }
            // A machine without trust anchors trusts nobody, and the reason says so.
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let roots = Arc::new(Roots {
            store: Arc::new(store),
            config: Arc::new(self.config(&[])),
            web: Arc::new(self.config(&[b"http/1.1"])),
        });
        all.insert(file.map(Path::to_owned), roots.clone());
        Ok(roots)
    }

    fn config(&self, alpn: &[&[u8]]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(self.provider.clone());
        #[allow(clippy::expect_used)] // the provider is aws-lc-rs' own, which has suites for both
        let builder = builder.with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3");
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptNothing))
            .with_no_client_auth();
        // What a new visitor pays, each time.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

impl Default for TlsStock {
    fn default() -> Self {
        Self::new()
    }
}

impl Roots {
    pub(super) fn config(&self, purpose: Purpose) -> &Arc<ClientConfig> {
        if purpose == Purpose::Web { &self.web } else { &self.config }
    }
}

/// The name for SNI and verification: an address, or a name in lower case without a final dot.
/// What is neither is nobody's name: `invalid.` can be in no certificate.
fn server_name(host: &str) -> ServerName<'static> {
    if let Some(address) = crate::probe::resolve::literal(host) {
        return ServerName::IpAddress(address.into());
    }
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    ServerName::try_from(host).unwrap_or_else(|_| {
        #[allow(clippy::expect_used)] // a constant that is a name
        ServerName::try_from("name.invalid").expect("a name")
    })
}
