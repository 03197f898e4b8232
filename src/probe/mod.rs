//! Looks at targets on a schedule: one file or folder for each kind of probe.

mod backup;
mod burst;
mod certificate;
mod connect;
mod dialog;
mod failure;
#[cfg(test)]
mod fixture;
mod http;
mod latency;
pub mod mail_queue;
mod outcome;
mod prober;
mod resolve;
mod schedule;
mod settings;
mod smtp;
pub mod snmp;
mod tcp;
mod tls;

pub use burst::{Burst, Looks, Tally, Timed, burst};
pub use failure::human;
pub use latency::Latency;
pub use outcome::{
    LabelValue, Observation, Obstacle, Outcome, Prober, Reading, ReadingLabels, seconds,
};
pub use prober::{Doors, ProberError, prober};
pub use resolve::{ResolveError, Resolver};
pub use schedule::{Schedule, ScheduleDoors, VerdictChange};
pub use settings::{
    BackupTarget, CertificateTarget, Confirm, Family, HttpExpect, HttpTarget, Kind,
    MailQueueSource, MailQueueTarget, Requirement, Settings, SmtpTarget, SnmpAuth, SnmpTarget,
    StartTls, Target, TcpTarget, TlsSettings, Waste,
};
pub use tls::{TlsStock, TrustError};

use crate::model::{MetricMeta, MetricType};

/// What every probe says, whatever its kind.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "probe_success",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether the target did what it should (1) or not (0) when it was looked at last.",
    },
    MetricMeta {
        name: "probe_duration_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long the last look took.",
    },
    MetricMeta {
        name: "probe_measured",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether we could look at all (1) or something on our side stood in the way (0).",
    },
    MetricMeta {
        name: "probe_confirmed_down",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether the target failed in all confirming tries (1) or not (0).",
    },
];

impl Kind {
    /// What a look at a target of this kind may say, beside [`METRICS`].
    pub fn catalogue(&self) -> Vec<&'static [MetricMeta]> {
        match self {
            Kind::Http(_) => vec![http::METRICS, tls::METRICS],
            Kind::Certificate(_) => vec![tls::METRICS],
            Kind::MailQueue(_) => vec![mail_queue::METRICS],
            Kind::Printer(_) => vec![snmp::PRINTER_METRICS],
            Kind::SnmpDisk(_) => vec![snmp::DISK_METRICS],
            Kind::Ups(_) => vec![snmp::UPS_METRICS],
            Kind::Interfaces(_) => vec![snmp::INTERFACES_METRICS],
            Kind::Smtp(_) => vec![smtp::METRICS, tls::METRICS],
            Kind::Tcp(_) => vec![tcp::METRICS],
            Kind::Backup(_) => vec![backup::METRICS],
        }
    }
}

/// The catalogues of all kinds.
pub static CATALOGUE: &[&[MetricMeta]] = &[
    METRICS,
    http::METRICS,
    tls::METRICS,
    smtp::METRICS,
    tcp::METRICS,
    mail_queue::METRICS,
    snmp::PRINTER_METRICS,
    snmp::DISK_METRICS,
    snmp::UPS_METRICS,
    snmp::INTERFACES_METRICS,
    backup::METRICS,
];
