//! Takes what others push.

mod decode;
mod directory;
mod exemplars;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use self::decode::{Meanings, Taken};
use self::directory::Directory;
use self::exemplars::{Exemplars, Kept};
use super::ReceiverSettings;
use super::proto::Protocol;
use crate::model::{Batch, Labels, Matcher, Timestamp};
use crate::ports::{
    Append, AppendError, Appended, Clock, Doing, Push, PushAnswer, PushedExemplar, PushedMeta,
    Receive,
};
use crate::telemetry::{RemoteAnswered, RemoteRefused, Telemetry};

/// A sender's clock may be ahead of ours by so much.
const AHEAD: Duration = Duration::from_secs(600);
/// Series that did not come for so long are forgotten; in minutes.
const FORGET: u32 = 60;
/// How often that is looked after; in minutes.
const SWEEP: u32 = 10;
/// Buffers for decompression that are kept.
const BUFFERS: usize = 4;
/// A buffer that grew beyond this is not kept.
const BUFFER_BYTES: usize = 4 << 20;
/// Exemplars that are kept, about 5 MiB.
const EXEMPLARS: usize = 20_000;

/// Takes remote-write requests and gives their samples to the store.
pub struct Receiver {
    settings: ReceiverSettings,
    append: Arc<dyn Append>,
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    known: Mutex<Known>,
    buffers: Mutex<Vec<Vec<u8>>>,
    places: Semaphore,
    queue: Semaphore,
}

struct Known {
    directory: Directory,
    meanings: Meanings,
    exemplars: Exemplars,
    swept: u32,
}

/// What was read of a request.
struct Read {
    batches: Vec<Batch>,
    written: [u64; 3],
    refused: u64,
    reason: Option<&'static str>,
}

impl Receiver {
    /// A receiver that knows no series yet.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new(
        settings: ReceiverSettings,
        append: Arc<dyn Append>,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, std::io::Error> {
        let mut secret = [0; 192];
        aws_lc_rs::rand::fill(&mut secret)
            .map_err(|_| std::io::Error::other("the system gives no random numbers"))?;
        let life = clock.wall().millis();
        let directory = Directory::new(secret, life, settings.series);
        Ok(Self {
            settings,
            append,
            clock,
            telemetry,
            known: Mutex::new(Known {
                directory,
                meanings: Meanings::default(),
                exemplars: Exemplars::new(EXEMPLARS),
                swept: 0,
            }),
            buffers: Mutex::default(),
            places: Semaphore::new(settings.concurrent),
            queue: Semaphore::new(settings.concurrent + settings.waiting),
        })
    }

    /// What senders told about one metric.
    pub fn meaning(&self, name: &str) -> Option<PushedMeta> {
        self.known().meanings.get(name)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, push: Push) -> PushAnswer {
        let Ok(_waiting) = self.queue.try_acquire() else { return busy() };
        let Ok(_place) = self.places.acquire().await else { return busy() };
        let Some(protocol) = Protocol::from_content_type(&push.content_type) else {
            return refusal(
                415,
                "send application/x-protobuf, of prometheus.WriteRequest or \
                 io.prometheus.write.v2.Request",
            );
        };
        if !push.encoding.is_empty() && !push.encoding.eq_ignore_ascii_case("snappy") {
            return refusal(415, "send a snappy block (Content-Encoding: snappy)");
        }
        let read = match self.read(protocol, &push.body) {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let appended = if read.batches.is_empty() {
            Ok(Appended::default())
        } else {
            self.append.append_all(read.batches).await
        };
        let written = read.written;
        match appended {
            Ok(Appended { too_old, .. }) => {
                self.count(&written, read.refused, too_old as u64);
                settle(protocol, written, read.refused, read.reason, too_old as u64)
            }
            Err(error @ (AppendError::NotDurable(_) | AppendError::Closed)) => PushAnswer {
                status: 503,
                text: error.to_string(),
                written: None,
                retry_after: Some(Duration::from_secs(5)),
            },
        }
    }

    /// Decompresses and takes apart.
    fn read(&self, protocol: Protocol, body: &[u8]) -> Result<Read, PushAnswer> {
        let length = snap::raw::decompress_len(body)
            .map_err(|_| refusal(400, "the body is no snappy block"))?;
        if length > self.settings.message_bytes {
            let limit = self.settings.message_bytes;
            return Err(refusal(
                413,
                format!("the message has {length} bytes, {limit} are allowed; send smaller ones"),
            ));
        }
        let free = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = free().pop().unwrap_or_default();
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        let read = snap::raw::Decoder::new()
            .decompress(body, &mut buffer[..length])
            .map_err(|_| refusal(400, "the body is no snappy block"))
            .and_then(|length| self.take_apart(protocol, &buffer[..length]));
        let mut buffers = free();
        if buffers.len() < BUFFERS && buffer.len() <= BUFFER_BYTES {
            buffers.push(buffer);
        }
        read
    }

    fn take_apart(&self, protocol: Protocol, message: &[u8]) -> Result<Read, PushAnswer> {
        let now = self.clock.wall();
        let minute = minutes(now);
        let mut known = self.known();
        let Known { directory, meanings, exemplars, swept } = &mut *known;
        if minute.wrapping_sub(*swept) >= SWEEP {
            *swept = minute;
            directory.forget(minute.saturating_sub(FORGET));
            self.telemetry
                .remote
                .received_series
                .set(i64::try_from(directory.len()).unwrap_or(i64::MAX));
        }
        directory.begin(minute);
        let mut taken = Taken::new(now + AHEAD);
        taken
            .read(protocol, message, directory, meanings)
            .map_err(|malformed| refusal(400, malformed.to_string()))?;
        let batches = taken.batches(directory);
        let (mut kept, mut lost) = (0, taken.refused_exemplars);
        for (labels, exemplar) in taken.exemplars(directory) {
            match exemplars.push(labels, exemplar) {
                Kept::Yes | Kept::Before => kept += 1,
                Kept::No => lost += 1,
            }
        }
        if lost > 0 {
            // No reason to refuse the request: the samples are what matters.
            let refused = RemoteRefused { reason: "exemplar" };
            self.telemetry.remote.refused_samples.get_or_create(&refused).inc_by(lost);
        }
        Ok(Read {
            batches,
            written: [taken.samples[0], taken.samples[1], kept],
            refused: taken.refused,
            reason: taken.reason,
        })
    }

    fn count(&self, written: &[u64; 3], invalid: u64, too_old: u64) {
        let kept = (written[0] + written[1]).saturating_sub(too_old);
        self.telemetry.remote.received_samples.inc_by(kept);
        for (reason, count) in [("too_old", too_old), ("invalid", invalid)] {
            if count > 0 {
                let refused = RemoteRefused { reason };
                self.telemetry.remote.refused_samples.get_or_create(&refused).inc_by(count);
            }
        }
    }
}

impl Receive for Receiver {
    fn receive(&self, push: Push) -> Doing<'_, PushAnswer> {
        Box::pin(async move {
            let answer = self.answer(push).await;
            let code = RemoteAnswered { code: answer.status };
            self.telemetry.remote.received_requests.get_or_create(&code).inc();
            answer
        })
    }

    fn metadata(&self) -> Vec<PushedMeta> {
        self.known().meanings.all()
    }

    fn exemplars(
        &self,
        sets: &[&[Matcher]],
        from: Timestamp,
        through: Timestamp,
    ) -> Vec<(Labels, Vec<PushedExemplar>)> {
        self.known().exemplars.find(sets, from, through)
    }
}

/// Gives foreign bytes to the decoder of messages, for fuzzing.
pub(super) fn decode_anything(protocol: Protocol, message: &[u8]) {
    let mut directory = Directory::new([7; 192], 0, 1_000);
    directory.begin(0);
    let mut taken = Taken::new(Timestamp::MAX);
    if taken.read(protocol, message, &mut directory, &mut Meanings::default()).is_ok() {
        drop(taken.batches(&directory));
        taken.exemplars(&directory).for_each(drop);
    }
}

/// All is well, or what was not kept.
fn settle(
    protocol: Protocol,
    mut written: [u64; 3],
    refused: u64,
    reason: Option<&str>,
    too_old: u64,
) -> PushAnswer {
    // Which of the kinds the old ones were of is not known; floats are nearly always right.
    let floats = too_old.min(written[0]);
    written[0] -= floats;
    written[1] = written[1].saturating_sub(too_old - floats);
    let mut problems = Vec::new();
    if too_old > 0 {
        problems.push(format!("{too_old} samples are too old for this store"));
    }
    if refused > 0 {
        problems.push(format!("{refused} samples were refused: {}", reason.unwrap_or("invalid")));
    }
    let kept = written[0] + written[1];
    let fine = problems.is_empty();
    PushAnswer {
        status: if fine { 204 } else { 400 },
        text: if fine {
            String::new()
        } else {
            format!(
                "{}; the other {kept} were kept, none of them is to be sent again",
                problems.join(", ")
            )
        },
        written: (protocol == Protocol::Two).then_some(written),
        retry_after: None,
    }
}

fn refusal(status: u16, text: impl Into<String>) -> PushAnswer {
    PushAnswer { status, text: text.into(), ..PushAnswer::default() }
}

fn busy() -> PushAnswer {
    PushAnswer {
        retry_after: Some(Duration::from_secs(1)),
        ..refusal(429, "too many pushes at the same time; try again")
    }
}

fn minutes(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / 60_000).unwrap_or(0)
}
