//! How much mail waits, for how long: counts, sizes and ages of Postfix' queues, never an address.

mod permission;
mod postqueue;
mod program;
mod showq;
mod socket;
mod tally;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{MailQueueSource, MailQueueTarget, Observation, Obstacle, Outcome, Prober, Reading};
use crate::model::{MetricMeta, MetricType, Timestamp};
use crate::ports::{Clock, Doing, Tick};
use tally::{Queue, Tally};

pub use postqueue::PostqueueReader;
pub use showq::{ShowqError, ShowqReader};
pub use tally::{Queue as MailQueue, Tally as MailQueueTally, Waiting as MailWaiting};

/// What a mail queue tells.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "mail_queue_messages",
        kind: MetricType::Gauge,
        unit: "",
        help: "How many messages wait in a queue of the mail server.",
    },
    MetricMeta {
        name: "mail_queue_size_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "How big the messages of a queue are together.",
    },
    MetricMeta {
        name: "mail_queue_oldest_age_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long the oldest message of a queue has been waiting; 0 when nothing waits.",
    },
    MetricMeta {
        name: "mail_queue_unreadable_entries",
        kind: MetricType::Gauge,
        unit: "",
        help: "How many entries of the queue listing could not be understood.",
    },
];

/// A listing is read in pieces of this many bytes.
const PIECE: usize = 32 * 1024;

/// Of the time a look may take, this part is kept back for what comes after reading.
const RESERVE: Duration = Duration::from_millis(100);

/// Where a Postfix that was installed as a package keeps its things.
const SOCKETS: [&str; 2] = ["/var/spool/postfix/public/showq", "/var/spool/postfix/private/showq"];
const PROGRAMS: [&str; 3] =
    ["/usr/sbin/postqueue", "/usr/local/sbin/postqueue", "/usr/bin/postqueue"];

/// What came of one way to the queue.
#[derive(Debug)]
enum Look {
    /// The whole listing was read. With `mail_system_down` it was read past a mail system that
    /// does not run.
    Counted { tally: Tally, mail_system_down: bool },
    /// The mail system is the one that fails.
    Down(String),
    /// We could not look.
    Obstacle(Obstacle),
}

/// Looks at the queue of a Postfix on this machine.
pub struct MailQueueProber {
    ways: Vec<Way>,
    clock: Arc<dyn Clock>,
}

/// One way to the queue.
#[derive(Clone, Debug)]
enum Way {
    Socket(PathBuf),
    Program { program: PathBuf, config_dir: Option<PathBuf> },
}

impl MailQueueProber {
    /// Touches nothing yet.
    pub fn new(target: &MailQueueTarget, clock: Arc<dyn Clock>) -> Self {
        let ways = match &target.source {
            MailQueueSource::Postqueue { program, config_dir } => {
                vec![Way::Program { program: program.clone(), config_dir: config_dir.clone() }]
            }
            MailQueueSource::Showq { socket } => vec![Way::Socket(socket.clone())],
            MailQueueSource::Local => {
                let sockets = SOCKETS.map(|path| Way::Socket(path.into()));
                let programs =
                    PROGRAMS.map(|path| Way::Program { program: path.into(), config_dir: None });
                sockets.into_iter().chain(programs).collect()
            }
        };
        Self { ways, clock }
    }

    /// The first way that leads to the queue; else the most telling of what stood in the way: a
    /// mail system that is down, then what lets us in, then what is simply not there.
    async fn look(&self, deadline: Tick) -> Look {
        let mut seen: Vec<Look> = Vec::new();
        let local = self.ways.len() > 1;
        for way in &self.ways {
            if local && !way.exists().await {
                continue;
            }
            let left = deadline.since(self.clock.mono()).saturating_sub(RESERVE);
            let look = match way {
                Way::Socket(path) => socket::look(path, left).await,
                Way::Program { program, config_dir } => {
                    program::look(program, config_dir.as_deref(), left).await
                }
            };
            match look {
                counted @ Look::Counted { .. } => return counted,
                other => seen.push(other),
            }
        }
        if let Some(down) = seen.iter().position(|look| matches!(look, Look::Down(_))) {
            return seen.swap_remove(down);
        }
        let obstacles = seen.into_iter().filter_map(|look| match look {
            Look::Obstacle(obstacle) => Some(obstacle),
            Look::Counted { .. } | Look::Down(_) => None,
        });
        Look::Obstacle(all_of(obstacles))
    }

    async fn outcome(&self, deadline: Tick) -> Outcome {
        match self.look(deadline).await {
            Look::Counted { tally, mail_system_down } => {
                let now = self.clock.wall();
                let readings = readings(&tally, now);
                if mail_system_down {
                    Observation::down("the mail system is down", readings).into()
                } else {
                    Observation::up(headline(&tally, now), readings).into()
                }
            }
            Look::Down(cause) => Observation::down(cause, Vec::new()).into(),
            Look::Obstacle(obstacle) => obstacle.into(),
        }
    }
}

impl Prober for MailQueueProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.outcome(deadline))
    }
}

impl Way {
    /// Whether it can be seen at all. What may not be seen may exist.
    async fn exists(&self) -> bool {
        let path: &Path = match self {
            Way::Socket(path) => path,
            Way::Program { program, .. } => program,
        };
        match tokio::fs::symlink_metadata(path).await {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
}

/// Several obstacles told as one.
fn all_of(mut obstacles: impl Iterator<Item = Obstacle>) -> Obstacle {
    let Some(first) = obstacles.next() else {
        return Obstacle::new("no Postfix was found on this machine").with_remedy(
            "install Postfix, or tell the probe where its showq socket or its postqueue is",
        );
    };
    obstacles.fold(first, |all, next| Obstacle {
        what: format!("{}; {}", all.what, next.what).into(),
        remedy: match (all.remedy, next.remedy) {
            (Some(one), Some(other)) => Some(format!("{one}; or: {other}").into()),
            (one, other) => one.or(other),
        },
    })
}

fn readings(tally: &Tally, now: Timestamp) -> Vec<Reading> {
    let mut readings = Vec::with_capacity(Queue::ALL.len() * 3 + 1);
    #[allow(clippy::cast_precision_loss)] // 2^53 messages, bytes or seconds do not happen
    for queue in Queue::ALL {
        let waiting = tally.waiting(queue);
        let age = waiting.oldest_age(now).as_secs();
        let values = [waiting.messages, waiting.bytes, age].map(|value| value as f64);
        for (meta, value) in METRICS.iter().zip(values) {
            readings.push(Reading::new(meta.name, value).with("queue", queue.name()));
        }
    }
    #[allow(clippy::cast_precision_loss)]
    readings.push(Reading::new("mail_queue_unreadable_entries", tally.unreadable as f64));
    readings
}

/// "12 messages, the oldest for 3 h", mail on hold apart: it waits because somebody wants it to.
fn headline(tally: &Tally, now: Timestamp) -> String {
    let held = tally.waiting(Queue::Hold).messages;
    let moving = tally.messages() - held;
    let oldest = Queue::ALL
        .into_iter()
        .filter(|queue| *queue != Queue::Hold)
        .map(|queue| tally.waiting(queue).oldest_age(now))
        .max()
        .unwrap_or_default();
    let mut text = match moving {
        0 => "no mail waits".to_owned(),
        1 => format!("1 message, for {}", rough(oldest)),
        _ => format!("{moving} messages, the oldest for {}", rough(oldest)),
    };
    if held > 0 {
        let _ = write!(text, ", {held} on hold");
    }
    text
}

/// A length of time in its greatest fitting unit.
fn rough(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests;
