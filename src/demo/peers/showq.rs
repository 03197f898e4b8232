use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::model::Timestamp;

/// Bytes that are made before they are sent.
const PIECE: usize = 32 * 1024;

/// A mail queue as Postfix 3.6 and newer show it at their showq socket.
pub struct Showq {
    socket: PathBuf,
    mails: Arc<Mutex<Vec<QueuedMail>>>,
    _task: JoinSet<()>,
}

/// A message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueuedMail {
    /// incoming, active, deferred, hold or maildrop.
    pub queue: &'static str,
    /// When it came.
    pub arrival: Timestamp,
    /// Its size in bytes.
    pub size: u64,
}

impl Showq {
    /// Listens at `showq` in `folder`.
    ///
    /// # Errors
    /// The socket cannot be made there.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        let socket = folder.join("showq");
        let listener = UnixListener::bind(&socket)?;
        let mails = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(show_all(listener, mails.clone()));
        Ok(Self { socket, mails, _task: task })
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// More mail waits.
    pub fn add(&self, mails: impl IntoIterator<Item = QueuedMail>) {
        self.lock().extend(mails);
    }

    /// So many of the oldest messages are delivered; with `usize::MAX` all.
    pub fn drain(&self, count: usize) {
        let mut mails = self.lock();
        mails.sort_by_key(|mail| mail.arrival);
        let count = count.min(mails.len());
        mails.drain(..count);
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<QueuedMail>> {
        self.mails.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Showq {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

async fn show_all(listener: UnixListener, mails: Arc<Mutex<Vec<QueuedMail>>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let now = mails.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // One after the other, as a service with one process; who hangs up has seen enough.
        let _ = show(stream, &now).await;
    }
}

async fn show(mut stream: UnixStream, mails: &[QueuedMail]) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE + 1024);
    piece.extend_from_slice(b"protocol\0mail_queue_list_protocol\0\0");
    for (number, mail) in mails.iter().enumerate() {
        let QueuedMail { queue, arrival, size } = mail;
        let time = arrival.millis().div_euclid(1000);
        let entry = format!(
            "queue_name\0{queue}\0queue_id\0{:09X}\0time\0{time}\0size\0{size}\0forced_expire\x000\0sender\0list-bounces@lists.example.org\0recipient\0member{number}@example.net\0reason\0connect to mx.example.net[192.0.2.1]:25: Connection timed out\0\0",
            0xC0FF_EE00_usize + number
        );
        piece.extend_from_slice(entry.as_bytes());
        if piece.len() >= PIECE {
            stream.write_all(&piece).await?;
            piece.clear();
        }
    }
    piece.push(0);
    stream.write_all(&piece).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Clock, SystemClock};
    use crate::probe::mail_queue::MailQueueProber;
    use crate::probe::{MailQueueSource, MailQueueTarget, Observation, Outcome, Prober};
    use std::time::Duration;

    fn messages(seen: &Observation, queue: &str) -> f64 {
        let of = |r: &&crate::probe::Reading| {
            r.metric == "mail_queue_messages" && r.labels[0].1.as_str() == queue
        };
        seen.readings.iter().find(of).unwrap().value
    }

    #[tokio::test]
    async fn the_queue_grows_and_drains() {
        let folder = tempfile::tempdir().unwrap();
        let showq = Showq::start(folder.path()).await.unwrap();
        let clock = Arc::new(SystemClock::start());
        let source = MailQueueSource::Showq { socket: showq.socket().to_path_buf() };
        let prober = MailQueueProber::new(&MailQueueTarget { source }, clock.clone());
        let look = async || {
            let deadline = clock.mono().after(Duration::from_secs(20));
            match prober.probe(deadline).await {
                Outcome::Measured(seen) => seen,
                Outcome::NotMeasured(obstacle) => panic!("{obstacle}"),
            }
        };
        assert_eq!(&*look().await.headline, "no mail waits");
        let hour = Duration::from_secs(3600);
        let mail = QueuedMail { queue: "deferred", arrival: clock.wall() - hour * 3, size: 2_048 };
        showq.add(std::iter::repeat_n(mail, 2_000));
        showq.add([QueuedMail { queue: "active", arrival: clock.wall(), size: 1 }]);
        let seen = look().await;
        assert_eq!((messages(&seen, "deferred"), messages(&seen, "active")), (2_000.0, 1.0));
        assert_eq!(&*seen.headline, "2001 messages, the oldest for 3 h");
        showq.drain(2_000);
        assert_eq!(messages(&look().await, "deferred"), 0.0);
        showq.drain(usize::MAX);
        assert!(showq.is_empty());
        let socket = showq.socket().to_path_buf();
        drop(showq);
        assert!(!socket.exists());
    }
}
