//! The inhabitants of the little world: real protocol peers on loopback, each with the knobs that
//! make it misbehave. Each stops when it is dropped.

mod certificates;
mod mailbox;
mod message;
mod printer;
mod showq;
mod snmp_agent;
mod web;

pub use certificates::{Authority, CertificateError, ServerCertificate};
pub use mailbox::{Mailbox, Received};
pub use message::Parsed;
pub use printer::{Printer, Toner};
pub use showq::{QueuedMail, Showq};
pub use snmp_agent::SnmpAgent;
pub use web::{Mood, WebServer};
