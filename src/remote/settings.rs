use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::proto::Protocol;
use super::send::Relabel;
use crate::model::Secret;

/// What pushes may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverSettings {
    /// Bytes of a request after decompression.
    pub message_bytes: usize,
    /// Requests that are worked on at the same time.
    pub concurrent: usize,
    /// Requests that may wait for their turn; further ones are told to come again.
    pub waiting: usize,
    /// Series that are known at the same time.
    pub series: usize,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self { message_bytes: 32 << 20, concurrent: 8, waiting: 64, series: 2_000_000 }
    }
}

/// Where our samples are pushed.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Its name in metrics and in the log.
    pub name: Arc<str>,
    /// http or https; without user and password.
    pub url: url::Url,
    /// Version of the protocol; 2.0 falls back to 1.0 where it is not understood.
    pub protocol: Protocol,
    /// Who we are.
    pub login: Option<Login>,
    /// Further headers.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// Trust anchors; those of the system when absent.
    pub ca_file: Option<PathBuf>,
    /// Bytes of the queue on disk; beyond, the oldest samples are given up.
    pub queue_bytes: u64,
    /// What it gets.
    pub relabel: Vec<Relabel>,
    /// How long a request may take.
    pub timeout: Duration,
}

/// How a destination knows us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A token.
    Bearer(Secret),
    /// Name and password.
    Basic(Arc<str>, Secret),
}
