//! The queue of remote write when the power fails, by the same means as [`super::power_loss`]: what was
//! acknowledged to be queued reaches the destination, in order and without gaps; nothing that was
//! noted as delivered goes again; the queue opens on whatever is left, and goes on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augenmass::model::{Batch, Labels, Point, Timestamp};
use augenmass::ports::{
    Append, AppendError, Appended, Clock, Doing, Push, Receive, SystemClock, Tick,
};
use augenmass::remote::{Destination, Protocol, Receiver, ReceiverSettings, Sender};
use augenmass::telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::lossy_disk::{Disk, Random};
use super::power_loss::{cuts, lines, record, say, scratch};
use super::trace::{Call, Moment};

const START: i64 = 1_780_000_000_000;
const COLUMNS: i64 = 20;
/// Lives of the sender, and rows of each.
const LIVES: i64 = 8;
const ROWS: i64 = 60;

/// Time goes faster, so that nobody waits for company or for the next try.
struct Fast(SystemClock);

const FASTER: u32 = 200;

impl Clock for Fast {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(START)
    }
    fn mono(&self) -> Tick {
        Tick(self.0.mono().0 * FASTER)
    }
    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()> {
        self.0.sleep_until(Tick(tick.0 / FASTER))
    }
}

/// The rows that arrive, in their order; it keeps nothing else.
#[derive(Default)]
struct Arrived {
    rows: Mutex<Vec<i64>>,
    aloud: bool,
}

impl Append for Arrived {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let row = (batch.at.millis() - START) / 1_000;
        let mut columns: Vec<i64> = Vec::new();
        for one in &batch.rows {
            let Point::Float(value) = one.point else { panic!("a float") };
            let column: i64 = one.labels.get("column").unwrap().parse().unwrap();
            assert_eq!(value.to_bits(), value_of(row, column).to_bits(), "{row} {column}");
            columns.push(column);
        }
        columns.sort_unstable();
        assert!(columns.into_iter().eq(0..COLUMNS), "row {row} is not whole");
        if self.aloud {
            say(format!("got {row}\n"));
        }
        self.rows.lock().unwrap().push(row);
        Box::pin(std::future::ready(Ok(Appended { kept: batch.rows.len(), too_old: 0 })))
    }
}

fn value_of(row: i64, column: i64) -> f64 {
    ((row * 7_919 + column) as f64).sqrt().sin()
}

fn batch(row: i64) -> Batch {
    let mut batch = Batch::new("s".into(), Timestamp::from_millis(START + row * 1_000));
    for column in 0..COLUMNS {
        let column_text = column.to_string();
        // New series now and then, so that a segment has records that bring some.
        let era = (row / 25).to_string();
        let pairs = [("__name__", "noise"), ("column", &column_text), ("era", &era)];
        batch.push(Labels::from_pairs(pairs).unwrap(), value_of(row, column));
    }
    batch
}

/// A destination that may be down.
struct Central {
    url: url::Url,
    arrived: Arc<Arrived>,
    down: Arc<AtomicBool>,
}

impl Central {
    async fn start(aloud: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let arrived = Arc::new(Arrived { aloud, ..Arrived::default() });
        let clock = Arc::new(Fast(SystemClock::start()));
        let settings = ReceiverSettings::default();
        let receiver = Receiver::new(settings, arrived.clone(), clock, Telemetry::new()).unwrap();
        let (receiver, down) = (Arc::new(receiver), Arc::new(AtomicBool::new(false)));
        let flag = down.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, receiver.clone(), flag.clone()));
            }
        });
        Self { url: url.parse().unwrap(), arrived, down }
    }

    fn rows(&self) -> Vec<i64> {
        self.arrived.rows.lock().unwrap().clone()
    }

    fn sender(&self, folder: &Path) -> Sender {
        let to = Destination {
            name: "central".into(),
            url: self.url.clone(),
            protocol: Protocol::One,
            login: None,
            headers: Vec::new(),
            ca_file: None,
            // Segments are an eighth.
            queue_bytes: 64 << 10,
            relabel: Vec::new(),
            timeout: Duration::from_secs(3_600) * FASTER,
        };
        let clock = Arc::new(Fast(SystemClock::start()));
        let meaning = Arc::new(|_: &str| None);
        Sender::open(folder, vec![to], clock, Telemetry::new(), meaning).unwrap()
    }
}

async fn serve(mut stream: TcpStream, receiver: Arc<Receiver>, down: Arc<AtomicBool>) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let line = |name: &str| {
            let found = head.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or("").trim().to_owned()
        };
        let mut body = vec![0; line("content-length:").parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        let push = Push {
            content_type: line("content-type:"),
            encoding: line("content-encoding:"),
            body: body.into(),
        };
        let status =
            if down.load(Ordering::SeqCst) { 503 } else { receiver.receive(push).await.status };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The child: senders that end in order or like a pulled plug, one after the other.
#[test]
#[ignore = "run by what_is_queued_arrives_after_power_loss"]
fn queues_and_says_what_arrives() {
    let Ok(folder) = std::env::var("AUGENMASS_TEST_FOLDER") else { return };
    // As a life that ended too soon left it.
    std::fs::create_dir(&folder).unwrap();
    let outside = tokio::runtime::Runtime::new().unwrap();
    let central = outside.block_on(Central::start(true));
    for life in 0..LIVES {
        // Its own, so that nothing of one life is left over in the next.
        let inside = tokio::runtime::Runtime::new().unwrap();
        let sender = central.sender(Path::new(&folder));
        let store = sender.tee(Arc::new(Arrived::default()));
        let stop = CancellationToken::new();
        let running = inside.spawn(sender.run(stop.clone()));
        for row in life * ROWS..(life + 1) * ROWS {
            // An outage in the middle of each life, and at the end of those that end badly.
            let down = (10..40).contains(&(row % ROWS)) || (life % 2 == 0 && row % ROWS > 50);
            central.down.store(down, Ordering::SeqCst);
            say(format!("asked {row}\n"));
            outside.block_on(store.append(batch(row))).unwrap();
            say(format!("durable {row}\n"));
        }
        if life % 2 == 1 {
            stop.cancel();
            inside.block_on(running).unwrap();
            say(format!("noted {}\n", (life + 1) * ROWS - 1));
        }
    }
    std::process::abort();
}

/// What the child said before a moment.
#[derive(Clone, Debug)]
struct Said {
    asked: i64,
    durable: i64,
    /// The last row that was delivered, and noted to be.
    noted: i64,
    got: BTreeSet<i64>,
}

impl Said {
    fn hear(&mut self, call: &Call) {
        for line in lines(call) {
            let row = |word: &str| line.strip_prefix(word).and_then(|row| row.parse().ok());
            self.asked = row("asked ").unwrap_or(self.asked);
            self.durable = row("durable ").unwrap_or(self.durable);
            self.noted = row("noted ").unwrap_or(self.noted);
            self.got.extend(row("got "));
        }
    }
}

/// Opens the queue that is left and compares what comes out of it.
async fn check(folder: &Path, said: &Said) {
    let central = Central::start(false).await;
    let sender = central.sender(folder);
    let store = sender.tee(Arc::new(Arrived::default()));
    let next = said.asked + 1;
    let queued = store.append(batch(next));
    let stop = CancellationToken::new();
    // Its last duty is to deliver what is there.
    stop.cancel();
    sender.run(stop).await;
    queued.await.unwrap();
    let came = central.rows();
    assert!(came.is_sorted_by(|a, b| a < b), "not in order, or twice: {came:?}");
    assert_eq!(came.last(), Some(&next), "what is queued now arrives too");
    assert!(came[0] > said.noted, "what was noted goes again: {came:?}");
    let there: BTreeSet<i64> = came.iter().copied().collect();
    let lost: Vec<i64> =
        (0..=said.durable).filter(|row| !there.contains(row) && !said.got.contains(row)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}; came: {came:?}");
}

#[test]
fn what_is_queued_arrives_after_power_loss() {
    let folder = scratch();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let queue = root.join("queue");
    let environment = [("AUGENMASS_TEST_FOLDER", queue.to_str().unwrap())];
    let child = "queue::queues_and_says_what_arrives";
    let trace = folder.path().join("trace");
    let Some((calls, moments, heard)) = record(child, &environment, &trace) else { return };
    assert!(heard.contains(&format!("noted {}", LIVES * ROWS - 1)), "{heard}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut disk = Disk::new(&root);
    let mut said = Said { asked: -1, durable: -1, noted: -1, got: BTreeSet::new() };
    let cuts = cuts(&calls, &moments, if cfg!(debug_assertions) { 150 } else { 300 });
    let mut done = 0;
    for at in 0..=moments.len() {
        for seed in cuts.get(&at).into_iter().flatten() {
            let left = folder.path().join("left");
            std::fs::create_dir(&left).unwrap();
            disk.leave(&mut Random::new(seed.wrapping_mul(31)), &left);
            let _named = OnPanic(*seed, at);
            runtime.block_on(check(&left.join("queue"), &said));
            std::fs::remove_dir_all(&left).unwrap();
            done += 1;
        }
        if let Some(moment) = moments.get(at) {
            disk.follow(&calls, *moment);
            if let Moment::Begin(call) = moment {
                said.hear(&calls[*call]);
            }
        }
    }
    println!("{done} power failures within {} calls", calls.len());
    assert_eq!(said.durable, LIVES * ROWS - 1);
    assert_eq!(said.got.len() as i64, LIVES * ROWS);
}

struct OnPanic(u64, usize);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, at) = self;
            eprintln!("power failed at moment {at}; again with: AUGENMASS_SEED={seed}");
        }
    }
}
