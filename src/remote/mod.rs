//! Remote write, both ways: samples that others push to us ([`Receiver`]), and ours that we push
//! to others ([`Sender`]).
//!
//! The receiver takes requests apart (`proto`), recognises series and makes batches of them
//! (`receive`), and gives these to [`crate::ports::Append`]; what it answers as written is durable.
//! The sender stands before the store ([`Sender::tee`]): what is appended goes to the store and to
//! a queue on disk, from which each destination is served at its own pace (`send`).

mod fuzz;
mod proto;
mod receive;
mod send;
mod settings;

pub use fuzz::decode_anything;
pub use proto::Protocol;
pub use receive::Receiver;
pub use send::{Action, LinkError, Meaning, Relabel, Sender, SenderError};
pub use settings::{Destination, Login, ReceiverSettings};
