//! Pushes to others what is appended here.

mod link;
mod relabel;
mod request;
mod spool;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashSet;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

pub use self::link::LinkError;
use self::link::{Link, Reply};
use self::relabel::relabel as relabelled;
pub use self::relabel::{Action, Relabel};
use self::spool::{Outcome, Reader, Sample, Spool};
use super::proto::Protocol;
use super::settings::Destination;
use crate::model::{Batch, Labels};
use crate::ports::{Append, AppendError, Appended, Clock, Doing, PushedMeta};
use crate::telemetry::{RemoteTo, Telemetry};

/// Gives foreign bytes to the decoder of the queue, for fuzzing.
pub(super) fn decode_anything(bytes: &[u8]) {
    spool::decode_anything(bytes);
}

/// The longest what is appended waits for company on its way to the disk.
const COMMIT: Duration = Duration::from_millis(500);
/// Samples of a request.
const SAMPLES: usize = 10_000;
/// Bytes of a segment of the queue.
const SEGMENT: u64 = 2 << 20;
/// How often it is written down how far the destinations came.
const REMEMBER: Duration = Duration::from_secs(5);
/// Waits after failures.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often protocol 1.0 tells again what metrics mean.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// Tells what a metric means, by the name of one of its series.
pub type Meaning = Arc<dyn Fn(&str) -> Option<PushedMeta> + Send + Sync>;

/// Pushes what passes through [`Sender::tee`] to all destinations.
pub struct Sender {
    spool: Arc<Spool>,
    destinations: Vec<(Destination, Link)>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    meaning: Meaning,
}

/// Why nothing can be pushed.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The queue's folder.
    #[error("cannot use the queue of remote_write: {0}")]
    Queue(#[from] std::io::Error),
    /// A destination.
    #[error("{0}")]
    Link(#[from] LinkError),
}

impl Sender {
    /// Opens the queue; reads trust anchors.
    ///
    /// # Errors
    /// The folder or a destination's settings cannot be used.
    pub fn open(
        folder: &Path,
        destinations: Vec<Destination>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        meaning: Meaning,
    ) -> Result<Self, SenderError> {
        let bounds: Vec<(Arc<str>, u64)> =
            destinations.iter().map(|d| (d.name.clone(), d.queue_bytes)).collect();
        let smallest = bounds.iter().map(|(_, bound)| *bound).min().unwrap_or(u64::MAX);
        let segment = SEGMENT.min(smallest / 8).max(1 << 10);
        let spool = Arc::new(Spool::open(folder, segment, &bounds)?);
        let linked: Result<Vec<_>, LinkError> =
            destinations.into_iter().map(|d| Link::new(&d).map(|link| (d, link))).collect();
        Ok(Self { spool, destinations: linked?, clock, telemetry, meaning })
    }

    /// Stands before a store: what is appended there is pushed too. Durable means in both.
    pub fn tee(&self, store: Arc<dyn Append>) -> Arc<dyn Append> {
        Arc::new(Tee { store, spool: self.spool.clone() })
    }

    /// Pushes until told to stop, then what is left as long as the destinations take it.
    pub async fn run(self, stop: CancellationToken) {
        let Self { spool, destinations, clock, telemetry, meaning } = self;
        let mut tasks = JoinSet::new();
        let flushed = CancellationToken::new();
        for (number, (destination, link)) in destinations.into_iter().enumerate() {
            let to = RemoteTo { destination: destination.name.clone() };
            let pump = Pump {
                number,
                protocol: destination.protocol,
                destination,
                link,
                spool: spool.clone(),
                clock: clock.clone(),
                telemetry: telemetry.clone(),
                meaning: meaning.clone(),
                to,
                limit: SAMPLES,
                told: HashSet::new(),
                failures: 0,
            };
            tasks.spawn(pump.run(flushed.clone()));
        }
        let mut next_note = clock.mono().after(REMEMBER);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = spool.wake.notified() => {
                    let soon = clock.mono().after(COMMIT);
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = clock.sleep_until(soon) => {}
                    }
                    flush(&spool).await;
                }
                () = clock.sleep_until(next_note) => {
                    remember(&spool).await;
                    next_note = clock.mono().after(REMEMBER);
                }
            }
        }
        flush(&spool).await;
        flushed.cancel();
        while tasks.join_next().await.is_some() {
            remember(&spool).await;
        }
        remember(&spool).await;
    }
}

async fn flush(spool: &Arc<Spool>) {
    let spool = spool.clone();
    if tokio::task::spawn_blocking(move || spool.flush()).await.is_err() {
        tracing::error!("the queue of remote_write could not be written");
    }
}

async fn remember(spool: &Arc<Spool>) {
    let spool = spool.clone();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || spool.remember()).await {
        tracing::warn!(%error, "cannot note how far remote_write came; some samples may go twice");
    }
}

/// Appends to a store and to the queue.
struct Tee {
    store: Arc<dyn Append>,
    spool: Arc<Spool>,
}

async fn on_disk(mut waiter: watch::Receiver<Option<Outcome>>) -> Result<(), AppendError> {
    match waiter.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(reason))) => Err(AppendError::NotDurable(reason.clone())),
        Ok(None) | Err(_) => Err(AppendError::Closed),
    }
}

impl Append for Tee {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let waiter = self.spool.push(&batch);
        // Called at once: the store makes it visible in the call.
        let stored = self.store.append(batch);
        Box::pin(async move {
            let appended = stored.await?;
            on_disk(waiter).await.map(|()| appended)
        })
    }

    fn append_all(&self, batches: Vec<Batch>) -> Doing<'_, Result<Appended, AppendError>> {
        let mut waiters: Vec<watch::Receiver<_>> = Vec::new();
        for batch in &batches {
            let waiter = self.spool.push(batch);
            if waiters.last().is_none_or(|last| !last.same_channel(&waiter)) {
                waiters.push(waiter);
            }
        }
        let stored = self.store.append_all(batches);
        Box::pin(async move {
            let appended = stored.await?;
            for waiter in waiters {
                on_disk(waiter).await?;
            }
            Ok(appended)
        })
    }
}

/// Serves one destination.
struct Pump {
    number: usize,
    destination: Destination,
    link: Link,
    spool: Arc<Spool>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    meaning: Meaning,
    to: RemoteTo,
    protocol: Protocol,
    /// Samples of a request, as many as it takes.
    limit: usize,
    /// Names whose meaning was told in protocol 1.0.
    told: HashSet<String>,
    failures: u32,
}

type Queue = Reader<Option<Labels>>;

/// What follows from an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Go on with what comes next.
    Taken,
    /// Go on, these samples are lost.
    Refused,
    /// The same again, after a while.
    Again(Option<Duration>),
    /// The same again in smaller pieces.
    Smaller,
    /// The same again in protocol 1.0.
    Older,
}

impl Pump {
    async fn run(mut self, flushed: CancellationToken) {
        let mut news = self.spool.flushed.subscribe();
        let mut queue = Queue::new(self.spool.standing(self.number).0);
        let mut tell_again = self.clock.mono().after(TELL_AGAIN);
        loop {
            if self.clock.mono() >= tell_again {
                self.told.clear();
                tell_again = self.clock.mono().after(TELL_AGAIN);
            }
            news.mark_unchanged();
            let ending = flushed.is_cancelled();
            let at = self.note_standing();
            if at > queue.position() {
                // The queue was too long: what is before was given up.
                queue = Queue::new(at);
            }
            let before = queue.position();
            let (back, samples) = self.read(queue).await;
            queue = back;
            match samples {
                Ok(samples) if samples.is_empty() => {
                    self.spool.advance(self.number, queue.position(), 0);
                    self.lag(None);
                    if ending {
                        return;
                    }
                    tokio::select! {
                        _ = news.changed() => {}
                        () = flushed.cancelled() => {}
                    }
                }
                Ok(samples) => {
                    if !self.deliver(&samples, &queue, &flushed).await {
                        // Read again from where it was, in smaller pieces or later.
                        queue = Queue::new(before);
                        if flushed.is_cancelled() && self.failures > 1 {
                            return;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read the queue of remote_write");
                    self.rest(None, &flushed).await;
                    queue = Queue::new(before);
                    if ending {
                        return;
                    }
                }
            }
        }
    }

    /// Reads what comes next, away from the runtime's threads.
    async fn read(&mut self, mut queue: Queue) -> (Queue, std::io::Result<Vec<Sample>>) {
        let (spool, limit, rules) =
            (self.spool.clone(), self.limit, self.destination.relabel.clone());
        let at = queue.position();
        let read = tokio::task::spawn_blocking(move || {
            let samples = queue.read(&spool, limit, |labels| relabelled(&rules, labels));
            (queue, samples)
        });
        match read.await {
            Ok(read) => read,
            Err(error) => (Queue::new(at), Err(std::io::Error::other(error.to_string()))),
        }
    }

    /// Tells the metrics how it stands; gives where the destination is.
    fn note_standing(&self) -> spool::Position {
        let (at, pending, dropped) = self.spool.standing(self.number);
        let remote = &self.telemetry.remote;
        remote
            .pending_bytes
            .get_or_create(&self.to)
            .set(i64::try_from(pending).unwrap_or(i64::MAX));
        remote.dropped_samples.get_or_create(&self.to).inc_by(dropped);
        if dropped > 0 {
            let name = &self.destination.name;
            tracing::warn!(%name, dropped, "the queue of remote_write is full: the oldest samples are lost");
        }
        at
    }

    fn lag(&self, oldest: Option<&Sample>) {
        let now = self.clock.wall();
        let lag = oldest.and_then(|sample| now.since(sample.at)).unwrap_or_default();
        self.telemetry.remote.lag_seconds.get_or_create(&self.to).set(lag.as_secs_f64());
    }

    /// One attempt; whether the samples are done with.
    async fn deliver(
        &mut self,
        samples: &[Sample],
        queue: &Queue,
        flushed: &CancellationToken,
    ) -> bool {
        self.lag(samples.iter().min_by_key(|sample| sample.at));
        let meaning = self.meaning.clone();
        let told = &mut self.told;
        let body = request::encode(self.protocol, samples, &queue.series, &*meaning, told);
        let count = samples.len() as u64;
        let Some(body) = body else {
            self.spool.advance(self.number, queue.position(), count);
            return true;
        };
        let sent = self.attempt(Bytes::from(body.bytes)).await;
        let verdict = judge(self.protocol, &sent, samples.len());
        self.tell(&verdict, &sent);
        let remote = &self.telemetry.remote;
        let fine = matches!(verdict, Verdict::Taken);
        remote.up.get_or_create(&self.to).set(i64::from(fine));
        match verdict {
            Verdict::Taken | Verdict::Refused => {
                let counter =
                    if fine { &remote.sent_samples } else { &remote.refused_by_destination };
                counter.get_or_create(&self.to).inc_by(body.samples);
                self.failures = 0;
                self.limit = (self.limit * 2).min(SAMPLES);
                self.spool.advance(self.number, queue.position(), count);
                return true;
            }
            Verdict::Smaller => self.limit = (self.limit.min(samples.len()) / 2).max(1),
            Verdict::Older => self.protocol = Protocol::One,
            Verdict::Again(after) => {
                self.told.clear();
                self.telemetry.remote.retries.get_or_create(&self.to).inc();
                self.rest(after, flushed).await;
            }
        }
        false
    }

    async fn attempt(&mut self, body: Bytes) -> Result<Reply, String> {
        let over = self.clock.mono().after(self.destination.timeout);
        let clock = self.clock.clone();
        tokio::select! {
            sent = self.link.send(self.protocol, body) => sent,
            () = clock.sleep_until(over) => Err("no answer in time".to_owned()),
        }
    }

    /// Writes into the log what is new.
    fn tell(&self, verdict: &Verdict, sent: &Result<Reply, String>) {
        let name = &self.destination.name;
        let said = match sent {
            Ok(reply) => format!("{} {}", reply.status, reply.text),
            Err(error) => error.clone(),
        };
        match verdict {
            Verdict::Taken if self.failures > 0 => {
                tracing::info!(%name, "remote_write goes on");
            }
            Verdict::Taken => {}
            Verdict::Refused => {
                tracing::warn!(%name, %said, "remote_write: samples were refused for good");
            }
            Verdict::Again(_) if self.failures == 0 => {
                tracing::warn!(%name, %said, "remote_write waits; the queue keeps the samples");
            }
            Verdict::Older => tracing::info!(%name, "remote_write goes on in protocol 1.0"),
            Verdict::Again(_) | Verdict::Smaller => {
                tracing::debug!(%name, %said, "remote_write tries again");
            }
        }
    }

    /// Waits after a failure: as long as asked, else longer each time, a fifth more or less so that
    /// many senders do not march in step. At the end of the process only a moment.
    async fn rest(&mut self, after: Option<Duration>, flushed: &CancellationToken) {
        self.failures += 1;
        let doublings = self.failures.saturating_sub(1).min(10);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        let seed = format!("{} {} {}", self.destination.name, self.failures, self.clock.wall());
        let luck = u32::try_from(xxh3_64(seed.as_bytes()) % 401).unwrap_or(200);
        let wait = after.unwrap_or(wait) * (800 + luck) / 1000;
        let over = self.clock.mono().after(wait);
        let soon = self.clock.mono().after(Duration::from_millis(200));
        tokio::select! {
            () = self.clock.sleep_until(over) => {}
            () = async { flushed.cancelled().await; self.clock.sleep_until(soon).await } => {}
        }
    }
}

/// What follows from an answer, or from none.
fn judge(protocol: Protocol, sent: &Result<Reply, String>, samples: usize) -> Verdict {
    let Ok(reply) = sent else { return Verdict::Again(None) };
    match reply.status {
        // Who understood protocol 2.0 tells what it wrote.
        200..=299 if protocol == Protocol::Two && !reply.counted => Verdict::Older,
        200..=299 => Verdict::Taken,
        415 if protocol == Protocol::Two => Verdict::Older,
        413 if samples > 1 => Verdict::Smaller,
        // Not the samples' fault: somebody will correct the password, the address, the proxy.
        401 | 403 | 404 | 407 | 408 | 429 | 500..=599 => Verdict::Again(reply.retry_after),
        300..=399 => Verdict::Again(None),
        _ => Verdict::Refused,
    }
}
