//! The door of the room.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Settings;
use super::commit::{Outcome, Pending};
use super::durable::Durable;
use super::head::Head;
use super::open::OpenError;
use super::past::{Past, Segment};
use super::snapshot::View;
use crate::model::{Batch, Timestamp};
use crate::ports::{Append, AppendError, Appended, Clock, Doing, Queryable, Snapshot};
use crate::telemetry::Telemetry;

/// How often the store looks after itself.
const UPKEEP: Duration = Duration::from_secs(60);
/// A source may be ahead of our clock by so much; what is later does not move the limit for
/// samples out of order.
const AHEAD: Duration = Duration::from_secs(600);
/// A group of so many bytes goes to the disk without waiting for more.
const LARGE_GROUP: usize = 4 << 20;

/// Tells when a group is on the disk.
type Waiter = watch::Receiver<Option<Outcome>>;

/// Keeps samples: give batches to [`Append`], ask [`Queryable`] for a consistent view.
///
/// A batch is visible as soon as `append` was called (before its future is ready, so that rules
/// need not wait for the disk), wholly or not at all. The same sample twice is one sample; of
/// different values for the same series and instant the last one written wins, whoever wrote them.
///
/// Without a folder everything happens in the call. With a folder a thread of the store's own
/// writes to the disk.
pub struct Store {
    core: Arc<Core>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// The store without its thread.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Arc<Telemetry>,
    state: Mutex<State>,
    wake: Condvar,
    pub(super) durable: Option<Durable>,
}

/// What changes.
pub(super) struct State {
    pub(super) head: Head,
    pub(super) newest: Timestamp,
    pub(super) pending: Option<Pending>,
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// All samples later than this are in memory (milliseconds).
    pub(super) memory_from: i64,
    /// The first generation that is in no segment.
    pub(super) unsealed: u64,
    /// When the running generation began.
    pub(super) began: Timestamp,
    /// Somebody waits at the other end of a connection for what is pending.
    urgent: bool,
    /// The disk refused the last group.
    failing: bool,
    /// Some samples are in memory only: the disk refused them, and nothing was sealed since.
    pub(super) gap: bool,
    closed: bool,
}

impl State {
    pub(super) fn new(head: Head, began: Timestamp) -> Self {
        Self {
            head,
            newest: Timestamp::MIN,
            pending: None,
            segments: Arc::from([]),
            memory_from: i64::MIN,
            unsealed: 0,
            began,
            urgent: false,
            failing: false,
            gap: false,
            closed: false,
        }
    }
}

impl Store {
    /// Opens the store; with a folder this reads the disk and may take seconds after a crash.
    ///
    /// # Errors
    /// The folder cannot be used: no permission, read-only, in use, or written by a newer version.
    /// Damage is no error: it is set aside and reported.
    pub fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Arc<Self>, OpenError> {
        let core = Arc::new(Core::open(settings, clock, telemetry)?);
        let mut committer = None;
        if let Some(durable) = &core.durable {
            let core = Arc::clone(&core);
            let thread = std::thread::Builder::new().name("samples".to_owned());
            let spawned = thread.spawn(move || core.commit_until_closed());
            committer = Some(spawned.map_err(|e| OpenError::Folder(durable.path.clone(), e))?);
        }
        Ok(Arc::new(Self { core, committer: Mutex::new(committer) }))
    }

    /// Looks after retention, sealing and merging until told to stop; then brings everything to the
    /// disk and closes the store.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let next = self.core.clock.mono().after(UPKEEP);
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.core.clock.sleep_until(next) => {}
            }
            if self.core.durable.is_none() {
                self.core.upkeep();
                continue;
            }
            let core = Arc::clone(&self.core);
            // A panic in there is a bug; it must not end the upkeep for good.
            if let Err(error) = tokio::task::spawn_blocking(move || core.upkeep()).await {
                tracing::error!(%error, "the upkeep of the sample store failed");
            }
        }
        // Closing joins a thread that may be waiting for the disk.
        let _ = tokio::task::spawn_blocking(move || self.close()).await;
    }

    /// Brings everything to the disk; from then on appends are refused. May block for a second.
    pub fn close(&self) {
        self.core.lock().closed = true;
        self.core.wake.notify_all();
        let thread = self.committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the sample store ended before its time");
        }
        let gap = self.core.lock().gap;
        if let Some(durable) = self.core.durable.as_ref().filter(|_| gap)
            && let Err(error) = durable.seal(&self.core)
        {
            tracing::error!(%error, "samples that the disk refused before are lost");
        }
    }

    #[cfg(test)]
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}

impl Core {
    pub(super) fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        state: State,
        durable: Option<Durable>,
    ) -> Self {
        let (state, wake) = (Mutex::new(state), Condvar::new());
        Self { settings, clock, telemetry, state, wake, durable }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes batches into memory; the receiver tells when they are on the disk. `urgent` ones go
    /// there at once.
    fn accept(
        &self,
        batches: &[Batch],
        urgent: bool,
    ) -> Result<(Appended, Option<Waiter>), AppendError> {
        let now = self.clock.wall();
        let mut appended = Appended::default();
        let mut waiter = None;
        let mut wake = false;
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed {
            return Err(AppendError::Closed);
        }
        for batch in batches {
            let rows = batch.rows.len();
            if batch.at < state.newest - self.settings.out_of_order {
                appended.too_old += rows;
                continue;
            }
            appended.kept += rows;
            if batch.at <= now + AHEAD {
                state.newest = state.newest.max(batch.at);
            }
            if rows > 0
                && let Some(pending) = &mut state.pending
            {
                let before = if pending.is_empty() { 0 } else { pending.bytes() };
                waiter.get_or_insert_with(|| pending.waiter());
                state.head.append(batch, Some(pending));
                wake |= before == 0 || (before < LARGE_GROUP && pending.bytes() >= LARGE_GROUP);
            } else {
                state.head.append(batch, None);
            }
        }
        if urgent && waiter.is_some() && !state.urgent {
            state.urgent = true;
            wake = true;
        }
        drop(guard);
        if wake {
            self.wake.notify_one();
        }
        self.telemetry.storage.too_old(appended.too_old);
        self.telemetry.storage.appended(appended.kept);
        Ok((appended, waiter))
    }

    #[cfg(test)]
    pub(super) fn accept_for_test(&self, batch: &Batch) -> usize {
        self.accept(std::slice::from_ref(batch), false).unwrap().0.kept
    }

    /// What is known now.
    pub(super) fn view(&self) -> View {
        let state = self.lock();
        let past = Past { segments: Arc::clone(&state.segments), memory_from: state.memory_from };
        View::new(state.head.view(), past)
    }

    fn commit_until_closed(&self) {
        loop {
            let mut state = self.lock();
            let idle = |state: &State| state.pending.as_ref().is_none_or(Pending::is_empty);
            while idle(&state) && !state.closed {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if idle(&state) {
                return;
            }
            let small = |state: &mut State| {
                !state.closed
                    && !state.urgent
                    && state.pending.as_ref().is_none_or(|p| p.bytes() < LARGE_GROUP)
            };
            let delay = self.settings.commit_delay;
            if !delay.is_zero() {
                let waited = self.wake.wait_timeout_while(state, delay, small);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.urgent = false;
            drop(state);
            self.commit();
        }
    }

    /// Brings what was appended so far to the disk and tells who waits for it.
    pub(super) fn commit(&self) {
        let Some(durable) = &self.durable else { return };
        let Some((mut groups, mut waiting)) = self.lock().pending.as_mut().map(Pending::take)
        else {
            return;
        };
        if groups.is_empty() {
            return;
        }
        let committed = durable.catalogue.commit(&mut groups);
        let bytes = groups.iter().map(|group| group.bytes.len()).sum();
        let mut state = self.lock();
        let was_failing = std::mem::replace(&mut state.failing, committed.is_err());
        let outcome: Outcome = match committed {
            Ok(()) => Ok(()),
            Err(error) => {
                state.gap = true;
                waiting.extend(state.pending.as_mut().map(Pending::fail).unwrap_or_default());
                Err(error.to_string().into())
            }
        };
        drop(state);
        self.telemetry.storage.committed(bytes, outcome.is_ok());
        match &outcome {
            Err(reason) if !was_failing => {
                tracing::error!(%reason, "the disk refuses samples; going on in memory");
            }
            Ok(()) if was_failing => tracing::info!("the disk takes samples again"),
            _ => {}
        }
        for done in waiting {
            done.send_replace(Some(outcome.clone()));
        }
    }

    /// Whether samples are in memory only although the disk would take them now.
    pub(super) fn has_closable_gap(&self) -> bool {
        let state = self.lock();
        state.gap && !state.failing
    }

    /// Drops what is too old, seals, merges, and counts what is there.
    pub(super) fn upkeep(&self) {
        let now = self.clock.wall();
        if let Some(durable) = &self.durable {
            durable.upkeep(self, now);
        }
        let mut state = self.lock();
        let (memory, seal_every) = (self.settings.memory, self.settings.seal_every);
        let keep = now - memory.max(seal_every);
        if self.durable.is_some() {
            let unsealed = state.unsealed;
            state.head.drop_before(keep.millis(), unsealed);
            state.memory_from = state.memory_from.max(keep.millis() - 1);
            // While the disk refuses, memory is bounded all the same.
            let lost = state.head.drop_before((keep - memory - seal_every).millis(), u64::MAX);
            self.telemetry.storage.lost(lost);
        } else {
            state.head.drop_before((now - memory).millis(), u64::MAX);
        }
        let sizes = state.head.sizes();
        drop(state);
        self.telemetry.storage.head(sizes.series, sizes.sources, sizes.chunks, sizes.samples_bytes);
    }
}

impl Store {
    fn keep(
        &self,
        batches: &[Batch],
        urgent: bool,
    ) -> Doing<'static, Result<Appended, AppendError>> {
        let (appended, mut waiter) = match self.core.accept(batches, urgent) {
            Ok((appended, Some(waiter))) => (appended, waiter),
            Ok((appended, None)) => return Box::pin(std::future::ready(Ok(appended))),
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        Box::pin(async move {
            match waiter.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Ok(()))) => Ok(appended),
                Ok(Some(Err(reason))) => Err(AppendError::NotDurable(Arc::clone(reason))),
                Ok(None) | Err(_) => Err(AppendError::Closed),
            }
        })
    }
}

impl Append for Store {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        self.keep(std::slice::from_ref(&batch), false)
    }

    fn append_all(&self, batches: Vec<Batch>) -> Doing<'_, Result<Appended, AppendError>> {
        self.keep(&batches, true)
    }
}

impl Queryable for Store {
    fn snapshot(&self) -> Snapshot {
        Arc::new(self.core.view())
    }
}
