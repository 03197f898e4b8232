//! TLS as a monitor needs it: every handshake is completed as far as it goes and the chain is
//! kept *before* it is judged, so that an expired, self-signed or wrongly named certificate
//! still gives its dates. Nothing but the handshake is sent before the judgement.

mod chain;
mod handshake;
mod judgement;
mod legacy;
mod readings;
mod recorder;
mod trust;

#[cfg(test)]
mod tests;

pub(super) use handshake::{Handshake, shake_hands};
pub(super) use judgement::Reason;
pub use readings::METRICS;
pub(super) use readings::push_readings;
pub(super) use trust::{Purpose, TlsClient};
pub use trust::{TlsStock, TrustError};
