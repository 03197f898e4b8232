use std::sync::Arc;

use super::mail_queue::MailQueueProber;
use super::snmp::{PrinterProber, SnmpTransport};
use super::{Kind, Prober, Resolver, Target};
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
}

/// A target that cannot be looked at as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The file with trust anchors.
    #[error("cannot read the certificates in {path}: {reason}")]
    TrustAnchors {
        /// The file.
        path: std::path::PathBuf,
        /// What went wrong.
        reason: String,
    },
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
        Kind::MailQueue(queue) => Ok(Box::new(MailQueueProber::new(queue, doors.clock.clone()))),
        Kind::Printer(printer) => {
            let Doors { clock, resolver, snmp } = doors.clone();
            Ok(Box::new(PrinterProber::new(printer, clock, resolver, snmp)))
        }
        Kind::Http(_) | Kind::Certificate(_) | Kind::Smtp(_) | Kind::Tcp(_) => {
            Err(ProberError::NotBuilt(target.kind.name()))
        }
    }
}
