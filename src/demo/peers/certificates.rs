use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::model::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);

/// How long a leaf lives, as most authorities have it.
const LIFETIME: Duration = DAY.saturating_mul(90);

/// A certificate authority with a root and an intermediate, as real ones have.
pub struct Authority {
    root: CertificateDer<'static>,
    root_pem: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The authority refuses.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The TLS library refuses.
    #[error("cannot use a certificate: {0}")]
    Use(#[from] rustls::Error),
}

/// A chain with its key, ready for a server.
#[derive(Clone)]
pub struct ServerCertificate {
    pub(super) config: Arc<ServerConfig>,
    /// When the leaf ends.
    pub ends: Timestamp,
}

impl Authority {
    /// A new one, valid from a year ago to years ahead.
    ///
    /// # Errors
    /// No keys or certificates can be made.
    pub fn new(now: Timestamp) -> Result<Self, CertificateError> {
        let year = DAY * 365;
        let root = params(
            "augenmass demo root",
            now - year,
            now + year * 9,
            IsCa::Ca(BasicConstraints::Unconstrained),
        )?;
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;
        let constrained = IsCa::Ca(BasicConstraints::Constrained(0));
        let intermediate =
            params("augenmass demo authority", now - year, now + year * 4, constrained)?;
        let intermediate = CertifiedIssuer::signed_by(intermediate, KeyPair::generate()?, &root)?;
        Ok(Self { root: root.der().clone(), root_pem: root.pem(), intermediate })
    }

    /// The root in PEM, for a `ca_file`.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// A server certificate for `localhost`, `127.0.0.1` and `names`, that ends at `ends`.
    ///
    /// # Errors
    /// A name is no DNS name, or no key or certificate can be made.
    pub fn issue(
        &self,
        names: &[&str],
        ends: Timestamp,
    ) -> Result<ServerCertificate, CertificateError> {
        let mut leaf = params("localhost", ends - LIFETIME, ends, IsCa::ExplicitNoCa)?;
        let names = ["localhost", "127.0.0.1"].iter().chain(names).map(|name| (*name).to_owned());
        leaf.subject_alt_names =
            CertificateParams::new(names.collect::<Vec<_>>())?.subject_alt_names;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let leaf = leaf.signed_by(&key, &self.intermediate)?;
        // As many servers do, the root is not sent.
        let chain = vec![leaf.der().clone(), self.intermediate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok(ServerCertificate { config: Arc::new(config), ends })
    }

    /// The root in DER.
    pub fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }
}

fn params(
    name: &str,
    begins: Timestamp,
    ends: Timestamp,
    is_ca: IsCa,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, name);
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = |at: Timestamp| at.since(Timestamp::default()).unwrap_or_default();
    // Certificates know whole seconds.
    params.not_before = epoch + Duration::from_secs(since_epoch(begins).as_secs());
    params.not_after = epoch + Duration::from_secs(since_epoch(ends).as_secs());
    if let IsCa::Ca(_) = is_ca {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    }
    params.is_ca = is_ca;
    Ok(params)
}
