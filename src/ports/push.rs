use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Doing;
use crate::model::{Labels, Matcher, MetricType, Timestamp};

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
    /// Floats and histograms that are durable, and exemplars that are kept (in memory), where the
    /// protocol tells them.
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

/// An example of what a pushed sample counts, most often with the id of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct PushedExemplar {
    /// Its own labels.
    pub labels: Labels,
    /// What was measured.
    pub value: f64,
    /// When.
    pub at: Timestamp,
}

/// Takes pushed samples.
pub trait Receive: Send + Sync {
    /// Keeps what can be kept; what the answer calls written is durable.
    fn receive(&self, push: Push) -> Doing<'_, PushAnswer>;
    /// What the senders told about their metrics.
    fn metadata(&self) -> Vec<PushedMeta>;
    /// The exemplars of series that all matchers of any set accept, `from` through `through`, by
    /// series in the order of labels.
    fn exemplars(
        &self,
        _sets: &[&[Matcher]],
        _from: Timestamp,
        _through: Timestamp,
    ) -> Vec<(Labels, Vec<PushedExemplar>)> {
        Vec::new()
    }
}
