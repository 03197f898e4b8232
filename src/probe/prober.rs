use std::sync::Arc;

use super::mail_queue::MailQueueProber;
use super::snmp::{PrinterProber, SnmpTransport};
use super::{Kind, Prober, Resolver, Target, TlsStock, TrustError, certificate, http, smtp, tcp};
use crate::ports::Clock;

/// What probers share.
#[derive(Clone)]
pub struct Doors {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// SNMP: one socket for all devices (`snmp::UdpSnmp`).
    pub snmp: Arc<dyn SnmpTransport>,
    /// Trust anchors.
    pub tls: Arc<TlsStock>,
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
    match &target.kind {
        Kind::MailQueue(queue) => Ok(Box::new(MailQueueProber::new(queue, doors.clock.clone()))),
        Kind::Printer(printer) => {
            let Doors { clock, resolver, snmp, .. } = doors.clone();
            Ok(Box::new(PrinterProber::new(printer, clock, resolver, snmp)))
        }
        Kind::Http(page) => Ok(Box::new(http::HttpProber::new(page, doors)?)),
        Kind::Certificate(server) => {
            Ok(Box::new(certificate::CertificateProber::new(server, doors)?))
        }
        Kind::Smtp(server) => Ok(Box::new(smtp::SmtpProber::new(server, doors)?)),
        Kind::Tcp(port) => Ok(Box::new(tcp::TcpProber::new(port, doors))),
    }
}
