use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::catalogue::Registry;

/// Remote write: samples that are pushed to us, and samples that we push.
#[derive(Debug)]
pub struct RemoteTelemetry {
    /// Requests, by how they were answered.
    pub received_requests: Family<Answered, Counter>,
    /// Samples that were kept.
    pub received_samples: Counter,
    /// Samples that were refused, by reason.
    pub refused_samples: Family<Refused, Counter>,
    /// Series that senders push.
    pub received_series: Gauge,
    /// Samples that a destination took.
    pub sent_samples: Family<To, Counter>,
    /// Samples that a destination refused for good.
    pub refused_by_destination: Family<To, Counter>,
    /// Samples that were never sent, because the queue was full.
    pub dropped_samples: Family<To, Counter>,
    /// Attempts that failed and are made again.
    pub retries: Family<To, Counter>,
    /// Bytes of the queue that a destination did not take yet.
    pub pending_bytes: Family<To, Gauge>,
    /// Age of the oldest sample that a destination did not take yet.
    pub lag_seconds: Family<To, Gauge<f64, AtomicU64>>,
    /// Whether the last attempt succeeded.
    pub up: Family<To, Gauge>,
}

/// How a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// Status code.
    pub code: u16,
}

/// Why samples were refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refused {
    /// `too_old` or `invalid`.
    pub reason: &'static str,
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct To {
    /// Its name in the configuration.
    pub destination: Arc<str>,
}

impl RemoteTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            received_requests: Family::default(),
            received_samples: Counter::default(),
            refused_samples: Family::default(),
            received_series: Gauge::default(),
            sent_samples: Family::default(),
            refused_by_destination: Family::default(),
            dropped_samples: Family::default(),
            retries: Family::default(),
            pending_bytes: Family::default(),
            lag_seconds: Family::default(),
            up: Family::default(),
        };
        new.register_receiver(registry);
        new.register_sender(registry);
        new
    }

    fn register_receiver(&self, registry: &mut Registry) {
        let requests = self.received_requests.clone();
        registry.register("received_requests", "Pushes to us, by status code", requests);
        let samples = self.received_samples.clone();
        registry.register("received_samples", "Pushed samples that were kept", samples);
        let refused = self.refused_samples.clone();
        registry.register("refused_samples", "Pushed samples that were not kept", refused);
        let series = self.received_series.clone();
        registry.register("received_series", "Series that were pushed lately", series);
    }

    fn register_sender(&self, registry: &mut Registry) {
        let sent = self.sent_samples.clone();
        registry.register("sent_samples", "Samples that the destination took", sent);
        let failed = self.refused_by_destination.clone();
        registry.register(
            "failed_samples",
            "Samples that the destination refused for good",
            failed,
        );
        let dropped = self.dropped_samples.clone();
        registry.register("dropped_samples", "Samples dropped because the queue was full", dropped);
        let retries = self.retries.clone();
        registry.register("retries", "Attempts that failed and were made again", retries);
        registry.register_with_unit(
            "pending",
            "Size of what the destination did not take yet",
            Unit::Bytes,
            self.pending_bytes.clone(),
        );
        registry.register_with_unit(
            "lag",
            "Age of the oldest sample that the destination did not take yet",
            Unit::Seconds,
            self.lag_seconds.clone(),
        );
        registry.register("up", "1 when the last attempt succeeded", self.up.clone());
    }
}
