use std::sync::Arc;

use super::certificate::CertificateProber;
use super::http::HttpProber;
use super::mail_queue::MailQueueProber;
use super::smtp::SmtpProber;
use super::snmp::{PrinterProber, SnmpTransport};
use super::tcp::TcpProber;
use super::{Kind, Prober, Resolver, Target, TlsStock, TrustError};
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
    /// SNMP: one socket for all devices (`snmp::UdpSnmp`).
    pub snmp: Arc<dyn SnmpTransport>,
}

/// A target that cannot be looked at as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The file with trust anchors.
    #[error(transparent)]
    TrustAnchors(#[from] TrustError),
}

/// Makes the prober of a target. The only place that tells the kinds apart.
///
/// # Errors
/// The target cannot be looked at as it is configured.
pub fn prober(target: &Target, doors: &Doors) -> Result<Box<dyn Prober>, ProberError> {
    Ok(match &target.kind {
        Kind::Http(page) => Box::new(HttpProber::new(page, doors)?),
        Kind::Certificate(server) => Box::new(CertificateProber::new(server, doors)?),
        Kind::Smtp(server) => Box::new(SmtpProber::new(server, doors)?),
        Kind::Tcp(port) => Box::new(TcpProber::new(port, doors)),
        Kind::MailQueue(queue) => Box::new(MailQueueProber::new(queue, doors.clock.clone())),
        Kind::Printer(printer) => {
            let Doors { clock, resolver, snmp, .. } = doors.clone();
            Box::new(PrinterProber::new(printer, clock, resolver, snmp))
        }
    })
}
