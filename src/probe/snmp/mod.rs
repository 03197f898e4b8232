//! Devices that speak SNMP: the rules that keep a walk safe, and what printers say.

mod condition;
mod device;
#[cfg(test)]
mod fake;
mod printer;
#[cfg(test)]
mod recordings;
mod session;
mod supply;
mod text;
mod transport;
mod udp;
mod value;

pub use printer::{METRICS as PRINTER_METRICS, PrinterProber};
pub use session::{Column, Session};
pub use transport::{Operation, Peer, Question, SnmpError, SnmpTransport};
pub use udp::UdpSnmp;
pub use value::{Binding, Oid, Value};
