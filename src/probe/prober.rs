use std::sync::Arc;

use super::backup::BackupProber;
use super::certificate::CertificateProber;
use super::http::HttpProber;
use super::mail_queue::MailQueueProber;
use super::smtp::SmtpProber;
use super::snmp::{DiskProber, InterfacesProber, PrinterProber, SnmpTransport, UpsProber};
use super::tcp::TcpProber;
use super::{Kind, Prober, Resolver, SnmpTarget, Target, TlsStock, TrustError};
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
        Kind::Backup(folder) => Box::new(BackupProber::new(folder, doors.clock.clone())),
        Kind::Printer(device) => Box::new(over_snmp(PrinterProber::new, device, doors)),
        Kind::SnmpDisk(device) => Box::new(over_snmp(DiskProber::new, device, doors)),
        Kind::Ups(device) => Box::new(over_snmp(UpsProber::new, device, doors)),
        Kind::Interfaces(device) => Box::new(over_snmp(InterfacesProber::new, device, doors)),
    })
}

type NewDeviceProber<P> =
    fn(&SnmpTarget, Arc<dyn Clock>, Arc<Resolver>, Arc<dyn SnmpTransport>) -> P;

/// What every prober of a device needs.
fn over_snmp<P>(new: NewDeviceProber<P>, device: &SnmpTarget, doors: &Doors) -> P {
    let Doors { clock, resolver, snmp, .. } = doors.clone();
    new(device, clock, resolver, snmp)
}
