use std::sync::Arc;

use super::{Kind, Prober, Resolver, Target, TlsStock, TrustError, certificate, http, smtp, tcp};
use crate::ports::Clock;

/// What probers share.
#[derive(Clone)]
pub struct Doors {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// Trust anchors.
    pub tls: Arc<TlsStock>,
}

/// A target that cannot be looked at as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The file with trust anchors.
    #[error(transparent)]
    TrustAnchors(#[from] TrustError),
    /// A kind without a prober.
    #[error("probes of the kind {0} are not built yet")]
    NotBuilt(&'static str),
}

/// Makes the prober of a target. The only place that tells the kinds apart.
///
/// # Errors
/// The target cannot be looked at as it is configured.
pub fn prober(target: &Target, doors: &Doors) -> Result<Box<dyn Prober>, ProberError> {
    match &target.kind {
        // Kind::MailQueue(queue) => Ok(Box::new(mail_queue::MailQueueProber::new(queue, clock))),
        // Kind::Printer(snmp) => Ok(Box::new(snmp::PrinterProber::new(snmp, clock, resolver))),
        Kind::Http(page) => Ok(Box::new(http::HttpProber::new(page, doors)?)),
        Kind::Certificate(server) => {
            Ok(Box::new(certificate::CertificateProber::new(server, doors)?))
        }
        Kind::Smtp(server) => Ok(Box::new(smtp::SmtpProber::new(server, doors)?)),
        Kind::Tcp(port) => Ok(Box::new(tcp::TcpProber::new(port, doors))),
        Kind::MailQueue(_) | Kind::Printer(_) => Err(ProberError::NotBuilt(target.kind.name())),
    }
}
