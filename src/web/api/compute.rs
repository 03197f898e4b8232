use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::super::router::Shared;
use super::super::settings::QueryLimits;
use super::reply::Failure;
use crate::ports::{Clock, Tick};
use crate::promql::Interrupt;
use crate::telemetry::WebEnded;

/// Where queries wait for one of a few places, so that they never take all processors from
/// probing and rule evaluation.
pub(in crate::web) struct Queue {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    limits: QueryLimits,
}

impl Queue {
    pub(in crate::web) fn new(limits: QueryLimits) -> Self {
        let places = Arc::new(Semaphore::new(limits.concurrent.max(1)));
        Self { places, waiting: AtomicUsize::new(0), limits }
    }
}

/// Looked at again and again by work that may have to stop.
pub(in crate::web) struct Watch {
    gone: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    deadline: Tick,
    /// When the work began.
    pub(super) begun: Tick,
    /// How long it had to wait for its place.
    pub(super) queued: Duration,
}

impl Watch {
    /// Why the work should stop, if it should.
    pub(in crate::web) fn interrupt(&self) -> Option<Interrupt> {
        if self.gone.load(Ordering::Relaxed) {
            Some(Interrupt::Canceled)
        } else if self.clock.mono() >= self.deadline {
            Some(Interrupt::Timeout)
        } else {
            None
        }
    }

    /// How long the work has lasted.
    pub(super) fn lasted(&self) -> Duration {
        self.clock.mono().since(self.begun)
    }
}

/// Set when the request's future is dropped, which hyper does when the client goes away.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Counts one more as long as it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Does work off the runtime, in its turn, until `timeout` (at most the configured one) is over or
/// the client goes away.
pub(in crate::web) async fn compute<T: Send + 'static>(
    shared: &Arc<Shared>,
    timeout: Duration,
    work: impl FnOnce(&Shared, &Watch) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let reply = in_turn(shared, timeout, work).await;
    if let Err(failure) = &reply {
        let ended = WebEnded { reason: failure.reason() };
        shared.doors.telemetry.web.queries_ended.get_or_create(&ended).inc();
    }
    reply
}

async fn in_turn<T: Send + 'static>(
    shared: &Arc<Shared>,
    timeout: Duration,
    work: impl FnOnce(&Shared, &Watch) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (queue, clock) = (&shared.queue, shared.doors.clock.clone());
    let asked = clock.mono();
    let deadline = asked.after(timeout.min(queue.limits.timeout));
    let place = {
        let before = queue.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&queue.waiting);
        if before >= queue.limits.waiting {
            return Err(Failure::unavailable("too many queries are waiting, try again later"));
        }
        tokio::select! {
            place = queue.places.clone().acquire_owned() => place,
            () = clock.sleep_until(deadline) => {
                return Err(Failure::timeout("query timed out in query queue"));
            }
        }
    };
    let Ok(place) = place else { return Err(Failure::unavailable("shutting down")) };
    let gone = Arc::new(AtomicBool::new(false));
    let _gone = Gone(gone.clone());
    let begun = clock.mono();
    let watch = Watch { gone, clock, deadline, begun, queued: begun.since(asked) };
    let shared = shared.clone();
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        shared.doors.telemetry.web.queries.inc();
        let reply = work(&shared, &watch);
        shared.doors.telemetry.web.queries.dec();
        reply
    });
    done.await.unwrap_or_else(|_| Err(Failure::internal("the query ended in a defect of ours")))
}
