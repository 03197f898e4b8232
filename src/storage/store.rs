//! The door of the room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Settings;
use super::head::Head;
use super::snapshot::View;
use crate::model::{Batch, Timestamp};
use crate::ports::{Append, AppendError, Appended, Clock, Doing, Queryable, Snapshot};
use crate::telemetry::Telemetry;

/// How often old samples are looked for.
const UPKEEP: Duration = Duration::from_secs(60);
/// A source may be ahead of our clock by so much; what is later does not move the limit for
/// samples out of order.
const AHEAD: Duration = Duration::from_secs(600);

/// Why a store cannot be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Disk storage was asked for.
    #[error("samples cannot be kept in {0}: only memory is possible so far")]
    Unsupported(Arc<str>),
}

/// Keeps samples: give batches to [`Append`], ask [`Queryable`] for a consistent view.
///
/// A batch is visible as soon as `append` was called (before its future is ready, so that rules
/// need not wait for the disk), wholly or not at all. The same sample twice is one sample; of
/// different values for the same series and instant the last one written wins.
pub struct Store {
    settings: Settings,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

struct State {
    head: Head,
    newest: Timestamp,
}

impl Store {
    /// Opens the store.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Arc<Self>, OpenError> {
        if let Some(data) = &settings.data {
            return Err(OpenError::Unsupported(data.display().to_string().into()));
        }
        let state = State { head: Head::new(0), newest: Timestamp::MIN };
        Ok(Arc::new(Self { settings, clock, telemetry, state: Mutex::new(state) }))
    }

    /// Looks after retention until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let next = self.clock.mono().after(UPKEEP);
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep_until(next) => self.upkeep(),
            }
        }
    }

    /// Drops what is too old and counts what is there.
    pub fn upkeep(&self) {
        let mut state = self.lock();
        let cutoff = self.clock.wall() - self.settings.memory;
        state.head.drop_before(cutoff.millis(), u64::MAX);
        let sizes = state.head.sizes();
        drop(state);
        self.telemetry.storage.head(sizes.series, sizes.sources, sizes.chunks, sizes.samples_bytes);
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> super::head::Sizes {
        self.lock().head.sizes()
    }

    #[cfg(test)]
    pub(super) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(&self, batch: &Batch) -> Appended {
        let rows = batch.rows.len();
        let now = self.clock.wall();
        let mut state = self.lock();
        if batch.at < state.newest - self.settings.out_of_order {
            drop(state);
            self.telemetry.storage.too_old(rows);
            return Appended { kept: 0, too_old: rows };
        }
        if batch.at <= now + AHEAD {
            state.newest = state.newest.max(batch.at);
        }
        state.head.append(batch);
        drop(state);
        self.telemetry.storage.appended(rows);
        Appended { kept: rows, too_old: 0 }
    }
}

impl Append for Store {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let appended = self.accept(&batch);
        Box::pin(std::future::ready(Ok(appended)))
    }
}

impl Queryable for Store {
    fn snapshot(&self) -> Snapshot {
        Arc::new(View::new(self.lock().head.view()))
    }
}
