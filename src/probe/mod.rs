//! Looks at targets on a schedule: one file or folder for each kind of probe.

mod settings;

pub use settings::{
    CertificateTarget, Confirm, Family, HttpExpect, HttpTarget, Kind, MailQueueSource,
    MailQueueTarget, Requirement, Settings, SmtpTarget, SnmpAuth, SnmpTarget, StartTls, Target,
    TcpTarget, TlsSettings, Waste,
};
