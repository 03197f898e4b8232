use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Doing;
use crate::model::MetricType;

/// Samples that somebody pushes to us, as they came (remote write).
#[derive(Clone, Debug)]
pub struct Push {
    /// `Content-Type` of the request.
    pub content_type: String,
    /// `Content-Encoding` of the request.
    pub encoding: String,
    /// The body, of bounded size.
    pub body: Bytes,
}

/// What became of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushAnswer {
    /// HTTP status: 2xx all is durable, 4xx trying again is useless, 429 and 5xx try again later.
    pub status: u16,
    /// For a person; empty when all is well. Without label values.
    pub text: String,
    /// Floats, histograms and exemplars that are durable, where the protocol tells them.
    pub written: Option<[u64; 3]>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

/// What a pushed metric means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedMeta {
    /// Name of the family.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: MetricType,
    /// One sentence.
    pub help: Arc<str>,
    /// Base unit; empty when it has none.
    pub unit: Arc<str>,
}

/// Takes pushed samples.
pub trait Receive: Send + Sync {
    /// Keeps what can be kept; what the answer calls written is durable.
    fn receive(&self, push: Push) -> Doing<'_, PushAnswer>;
    /// What the senders told about their metrics.
    fn metadata(&self) -> Vec<PushedMeta>;
}
