//! TLS with rustls on aws-lc-rs: whom we trust, and what we show.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::wire::ChannelError;
use super::{ClientCertificate, Handshake, Pem, TlsVersions};

impl Pem {
    fn place(&self) -> String {
        match self {
            Pem::File(path) => path.display().to_string(),
            Pem::Text(_) => "the text in the configuration".to_owned(),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read: Result<Vec<_>, _> = match self {
            Pem::File(path) => match CertificateDer::pem_file_iter(path) {
                Ok(all) => all.collect(),
                Err(error) => Err(error),
            },
            Pem::Text(text) => CertificateDer::pem_slice_iter(text.reveal().as_bytes()).collect(),
        };
        match read {
            Ok(all) if all.is_empty() => Err("there is no certificate in it".to_owned()),
            Ok(all) => Ok(all),
            Err(error) => Err(reason(&error)),
        }
    }

    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        let read = match self {
            Pem::File(path) => PrivateKeyDer::from_pem_file(path),
            Pem::Text(text) => PrivateKeyDer::from_pem_slice(text.reveal().as_bytes()),
        };
        read.map_err(|error| reason(&error))
    }
}

/// Shows nothing of what was read: it may be a key.
fn reason(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it is not there".to_owned(),
        _ => "it is not well-formed PEM".to_owned(),
    }
}

/// What rustls needs for our side of a handshake. Reads the disk.
///
/// # Errors
/// Files that cannot be read, or do not hold what they should.
pub(super) fn client_config(handshake: &Handshake) -> Result<ClientConfig, ChannelError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match handshake.versions {
        TlsVersions::Usual => rustls::DEFAULT_VERSIONS,
        TlsVersions::Only12 => &[&rustls::version::TLS12],
        TlsVersions::Only13 => &[&rustls::version::TLS13],
    };
    #[allow(clippy::expect_used)] // aws-lc-rs has suites for both versions
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("TLS 1.2 and 1.3");
    let builder = if handshake.trusts_anybody {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        builder.with_root_certificates(roots(handshake.ca.as_ref())?)
    };
    let Some(ClientCertificate { certificate, key }) = &handshake.certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let fail = |pem: &Pem, reason| ChannelError::Certificate { path: pem.place(), reason };
    let chain = certificate.certificates().map_err(|reason| fail(certificate, reason))?;
    let private = key.key().map_err(|reason| fail(key, reason))?;
    let built = builder.with_client_auth_cert(chain, private);
    built.map_err(|error| fail(certificate, error.to_string()))
}

fn roots(ca: Option<&Pem>) -> Result<RootCertStore, ChannelError> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = ca else {
        // A machine without anchors trusts nobody; the handshake says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let fail = |reason| ChannelError::TrustAnchors { path: pem.place(), reason };
    if roots.add_parsable_certificates(pem.certificates().map_err(fail)?).0 == 0 {
        return Err(fail("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate, since the configuration asks for it. Whoever shows one must still own
/// its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::Secret;

    fn refused(handshake: &Handshake) -> String {
        client_config(handshake).err().unwrap().to_string()
    }

    #[test]
    fn trust_anchors_must_be_certificates() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        let error = refused(&Handshake::trusting(Some(file.path().to_owned())));
        assert!(error.contains("no certificate"), "{error}");
        let error = refused(&Handshake::trusting(Some(Path::new("/no/such.pem").to_owned())));
        assert!(error.contains("/no/such.pem as trust anchors"), "{error}");
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_shown() {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(["x".to_owned()]).unwrap();
        let leaf = leaf.self_signed(&key).unwrap().pem();
        let with = |key: &str| Handshake {
            certificate: Some(ClientCertificate {
                certificate: Pem::Text(Secret::new(&leaf)),
                key: Pem::Text(Secret::new(key)),
            }),
            ..Handshake::default()
        };
        assert!(client_config(&with(&key.serialize_pem())).is_ok());
        for broken in ["-----BEGIN geheim", "-----BEGIN PRIVATE KEY-----\ngeheim", "geheim"] {
            let error = refused(&with(broken));
            assert!(error.contains("as our own certificate"), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
        let other = rcgen::KeyPair::generate().unwrap();
        assert!(client_config(&with(&other.serialize_pem())).is_err());
    }
}
