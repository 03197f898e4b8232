//! Devices that speak SNMP: the rules that keep a walk safe, and what printers, disks, power
//! supplies and ports say.

mod condition;
mod device;
mod disk;
#[cfg(test)]
mod fake;
mod interfaces;
mod printer;
#[cfg(test)]
mod recordings;
mod session;
mod supply;
mod text;
mod transport;
mod udp;
mod ups;
mod value;
mod vendor;

pub use disk::{DiskProber, METRICS as DISK_METRICS};
pub use interfaces::{InterfacesProber, METRICS as INTERFACES_METRICS};
pub use printer::{METRICS as PRINTER_METRICS, PrinterProber};
pub use session::{Column, Session};
pub use transport::{Operation, Peer, Question, SnmpError, SnmpTransport};
pub use udp::UdpSnmp;
pub use ups::{METRICS as UPS_METRICS, UpsProber};
pub use value::{Binding, Oid, Value};
