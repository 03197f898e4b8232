use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// Keeps what the server presents and lets the handshake go on, whatever it is. One for each
/// handshake; [`super::judgement`] judges afterwards.
#[derive(Debug)]
pub(super) struct Recorder {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Presented>,
}

/// What a server presented.
#[derive(Debug, Default)]
pub(super) struct Presented {
    /// Leaf first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Whether it proved to have the leaf's key; `None` when it did not come to that.
    pub(super) possession: Option<Result<(), Error>>,
}

impl Recorder {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider, seen: Mutex::default() }
    }

    pub(super) fn take(&self) -> Presented {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record(&self, verdict: Result<HandshakeSignatureValid, Error>) -> HandshakeSignatureValid {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.possession = Some(verdict.map(|_| ()));
        HandshakeSignatureValid::assertion()
    }
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(end_entity).chain(intermediates);
        let chain = all.map(|certificate| certificate.clone().into_owned()).collect();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).chain = chain;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.record(verify_tls12_signature(message, certificate, signed, algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        Ok(self.record(verify_tls13_signature(message, certificate, signed, algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Stands in the shared configuration until a [`Recorder`] takes its place for one handshake.
#[derive(Debug)]
pub(super) struct AcceptNothing;

impl ServerCertVerifier for AcceptNothing {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(nobody())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(nobody())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(nobody())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Vec::new()
    }
}

fn nobody() -> Error {
    Error::General("no recorder was set for this handshake".into())
}
