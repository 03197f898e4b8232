//! What samples cost: `cargo bench --bench storage [-- append|sizes|memory SERIES ROWS|select|ready ROWS|
//! open FOLDER|writes TARGETS HOURS|churn SERIES|soak SERIES]`. Prints one line for each figure; without a word
//! those that take less than a minute.
//!
//! - append: samples per CPU-second in process, in memory and durable (the process' own CPU time,
//!   so that other load on the machine counts less)
//! - sizes: bytes per sample on disk after sealing 2 h, and after merging 8 h, for each kind of probe
//!   data, with the entropy floor of the noise where it is known
//! - memory: bytes per series with so many rows of past
//! - select: CPU time to read 10,000 series of 6 h from the disk
//! - ready: time to open the folder of a process with 100,000 series that ended without a goodbye
//! - open: the same for the samples of a data folder that is there
//! - writes: bytes written to the disk per byte kept, one commit a second
//! - churn: memory after so many series have come and gone
//! - soak: an hour of so many series with sealing, merging and readers; every sample is looked for
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use augenmass::app::{give_back, one_heap};
use augenmass::model::{Batch, Labels, Matcher, Timestamp, Window};
use augenmass::ports::{Append, Clock, Doing, Queryable, Tick};
use augenmass::storage::{Settings, Store, status};
use augenmass::telemetry::Telemetry;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A clock that stands still until it is set; each `go` lets one sleeper through.
struct SetClock {
    now: AtomicI64,
    go: Notify,
}

impl Clock for SetClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Tick {
        Tick::default()
    }
    fn sleep_until(&self, _: Tick) -> Doing<'_, ()> {
        Box::pin(self.go.notified())
    }
}

fn clock() -> Arc<SetClock> {
    Arc::new(SetClock { now: AtomicI64::new(START), go: Notify::new() })
}

const START: i64 = 1_780_000_000_000;
const STEP: i64 = 15_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
    /// Between 0 and 1, to the last bit.
    fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 53) as f64
    }
}

/// CPU time of this process so far, user and system. Linux only; zero elsewhere.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    // Fields 14 and 15, counted from the one behind the name; a tick is 10 ms.
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Bytes this process caused to be written to the disk.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0) * 4096
}

/// A https probe's 25 series.
fn labels(target: usize) -> Vec<Labels> {
    let host = format!("https://host-{target:05}.example.org/");
    let service = format!("service-{:03}", target / 20);
    (0..25)
        .map(|n| {
            let name = format!("probe_http_metric_{n:02}_seconds");
            Labels::from_pairs([
                ("__name__", name.as_str()),
                ("service", &service),
                ("owner", "web-team"),
                ("target", &host),
                ("probe", "http"),
                ("job", "augenmass"),
                ("instance", "orwell"),
            ])
            .unwrap()
        })
        .collect()
}

fn probe(target: usize, labels: &[Labels], row: i64, random: &mut Random) -> Batch {
    let at = START + row * STEP + target as i64 % 15_000 + random.below(20) as i64;
    let mut batch = Batch::new(format!("probe/http/{target}").into(), Timestamp::from_millis(at));
    for (n, labels) in labels.iter().enumerate() {
        let value = match n {
            0..7 => (18_000 + random.below(4_000)) as f64 / 1e6,
            7..18 => 1.0,
            18..22 => n as f64 * 1_234.5,
            _ => 200.0,
        };
        batch.push(labels.clone(), value);
    }
    batch
}

/// Targets whose batches exist at once: the program has few at a time.
const TOGETHER: usize = 200;

async fn appending(name: &str, settings: Settings, targets: usize, rows: i64) {
    let durable = settings.data.is_some();
    let together = if durable { targets } else { TOGETHER };
    let clock = clock();
    let before = resident();
    let labels: Vec<_> = (0..targets).map(labels).collect();
    let with_labels = resident();
    let store = Store::open(settings, clock.clone(), Telemetry::new()).unwrap();
    let mut random = Random(7);
    let mut spent = Duration::ZERO;
    for row in 0..rows {
        clock.now.store(START + row * STEP, Ordering::Relaxed);
        for (part, some) in labels.chunks(together).enumerate() {
            let targets = (part * together..).zip(some);
            let batches: Vec<Batch> = targets.map(|(t, l)| probe(t, l, row, &mut random)).collect();
            let start = cpu();
            let waiting: Vec<_> = batches.into_iter().map(|batch| store.append(batch)).collect();
            for appended in waiting {
                appended.await.unwrap();
            }
            spent += cpu().saturating_sub(start);
        }
    }
    let samples = (targets * 25) as f64 * rows as f64;
    let rate = samples / spent.as_secs_f64().max(0.01) / 1e6;
    let series = (targets * 25) as u64;
    println!("{name}: {rate:.1} million samples per CPU-second ({samples:.0} samples)");
    if !durable {
        give_back();
        let memory = resident().saturating_sub(with_labels) / series;
        let labels = with_labels.saturating_sub(before) / series;
        println!(
            "{name}: {memory} bytes of memory per series with {rows} samples each, \
             and {labels} for its labels, which the probe shares"
        );
    }
    let view = store.snapshot();
    let window = Window { after: Timestamp::MIN, through: Timestamp::MAX };
    let start = cpu();
    let found = view.find(&[Matcher::equal("owner", "web-team")], window).unwrap();
    let mut columns = augenmass::model::Columns::default();
    let mut read = 0;
    for series in &found {
        view.read(series.id, window, &mut columns).unwrap();
        read += columns.len();
    }
    let took = cpu().saturating_sub(start).as_secs_f64().max(0.01);
    println!("{name}: read {read} samples of {} series in {took:.2} CPU-seconds", found.len());
}

type Kind = (&'static str, fn(&mut Random, i64, f64) -> f64, Option<f64>);

/// What probes yield; the floor in bits is that of the noise alone.
const KINDS: &[Kind] = &[
    ("flag_with_outages", |r, row, _| f64::from(u8::from(row % 400 > 5 || r.below(9) > 0)), None),
    ("constant", |_, _, _| 1_234.5, Some(0.0)),
    ("latency_microseconds", |r, _, _| (18_000 + r.below(4_000)) as f64 / 1e6, Some(11.97)),
    ("latency_nanoseconds", |r, _, _| (18_000_000 + r.below(4_000_000)) as f64 / 1e9, Some(21.93)),
    ("noise_all_bits", |r, _, _| r.unit(), Some(52.0)),
    ("gauge_whole_numbers", |r, row, _| (row / 40 * 3) as f64 + r.below(4) as f64, Some(2.0)),
    ("counter_plus_50", |r, _, last| last + (40 + r.below(20)) as f64, Some(4.32)),
    ("counter_bytes", |r, _, last| last + (1_000_000 + r.below(100_000)) as f64, Some(16.6)),
    ("counter_idle", |r, _, last| last + f64::from(u8::from(r.below(50) == 0)), Some(0.14)),
    ("bucket_cumulative", |r, _, last| last + (r.below(6)) as f64, Some(2.58)),
    (
        "temperature_tenths",
        |r, row, _| 210.0 / 10.0 + ((row / 20) as f64 + r.below(3) as f64) / 10.0,
        Some(1.58),
    ),
    ("certificate_expiry", |_, row, _| (1_790_000_000 + row / 2_000 * 7_776_000) as f64, Some(0.0)),
];

async fn on_disk(folder: &Path) {
    let clock = clock();
    let settings = Settings {
        data: Some(folder.to_owned()),
        commit_delay: Duration::ZERO,
        ..Settings::default()
    };
    let store = Store::open(settings, clock.clone(), Telemetry::new()).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&store).run(stop.clone()));
    let random = Mutex::new(Random(99));
    let (targets, hours) = (20usize, 8);
    let labels: Vec<Vec<Labels>> = (0..targets)
        .map(|t| {
            let label = |(name, ..): &Kind| {
                Labels::from_pairs([
                    ("__name__", *name),
                    ("target", format!("t{t}").as_str()),
                    ("owner", "web-team"),
                ])
                .unwrap()
            };
            KINDS.iter().map(label).collect()
        })
        .collect();
    let mut last = vec![vec![0.0; KINDS.len()]; targets];
    for hour in 0..hours {
        for row in hour * 240..(hour + 1) * 240 {
            let mut waiting = Vec::new();
            for t in 0..targets {
                let mut random = random.lock().unwrap();
                let at = START + row * STEP + random.below(20) as i64;
                clock.now.store(at, Ordering::Relaxed);
                let source = format!("probe/all/{t}").into();
                let mut batch = Batch::new(source, Timestamp::from_millis(at));
                for (k, (_, value, _)) in KINDS.iter().enumerate() {
                    last[t][k] = value(&mut random, row, last[t][k]);
                    batch.push(labels[t][k].clone(), last[t][k]);
                }
                waiting.push(store.append(batch));
            }
            for appended in waiting {
                appended.await.unwrap();
            }
        }
        if hour % 2 == 1 {
            clock.now.store(START + (hour + 1) * 240 * STEP, Ordering::Relaxed);
            clock.go.notify_one();
            let wanted = if hour == 7 { 1 } else { (hour as usize).div_ceil(2) };
            while status(folder, &mut |_, _| {}).unwrap().segments.len() != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if hour == 1 || hour == 7 {
                sizes(folder, targets, (hour + 1) * 240);
            }
        }
    }
    stop.cancel();
    running.await.unwrap();
}

fn sizes(folder: &Path, targets: usize, rows: i64) {
    let told = status(folder, &mut |_, _| {}).unwrap();
    let samples = targets as f64 * rows as f64;
    for (name, _, floor) in KINDS {
        let bytes = told.by_metric.iter().find(|s| s.name == *name).map_or(0, |s| s.bytes);
        let floor = floor.map_or(String::new(), |bits| format!(" (floor {:.3})", bits / 8.0));
        println!("{rows} rows: {name}: {:.3} bytes per sample{floor}", bytes as f64 / samples);
    }
    let bytes: u64 = told.segments.iter().map(|segment| segment.bytes).sum();
    let all = samples * KINDS.len() as f64;
    println!(
        "{rows} rows: files with times and labels: {:.3} bytes per sample",
        bytes as f64 / all
    );
}

/// Appends `rows` rows of all targets, one commit for each second of their time, with sealing and
/// merging when they are due.
async fn live(
    store: &Arc<Store>,
    clock: &SetClock,
    labels: &[Vec<Labels>],
    rows: std::ops::Range<i64>,
    note: &mut dyn FnMut(usize, &Batch),
    each: &mut dyn FnMut(i64),
) {
    let mut random = Random(7);
    for row in rows {
        for second in 0..STEP / 1_000 {
            let now = START + row * STEP + second * 1_000;
            clock.now.store(now, Ordering::Relaxed);
            let due = labels.iter().enumerate().skip(second as usize).step_by(15);
            // One trip to the disk for all of a second, as `commit_interval: 1s` has it.
            let due = due
                .map(|(t, l)| {
                    let batch = probe_at(t, l, now, &mut random);
                    note(t, &batch);
                    batch
                })
                .collect();
            store.append_all(due).await.unwrap();
        }
        each(row);
        if row % 480 == 479 {
            clock.go.notify_one();
        }
    }
}

fn probe_at(target: usize, labels: &[Labels], now: i64, random: &mut Random) -> Batch {
    let at = now + random.below(20) as i64;
    let mut batch = Batch::new(format!("probe/http/{target}").into(), Timestamp::from_millis(at));
    batch.rows = probe(target, labels, 0, random).rows;
    batch
}

fn on(folder: &Path) -> Settings {
    Settings { data: Some(folder.to_owned()), commit_delay: Duration::ZERO, ..Settings::default() }
}

async fn opened(settings: Settings, clock: &Arc<SetClock>) -> (Arc<Store>, impl AsyncFnOnce()) {
    let store = Store::open(settings, clock.clone(), Telemetry::new()).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&store).run(stop.clone()));
    let end = async move || {
        stop.cancel();
        running.await.unwrap();
    };
    (store, end)
}

async fn memory(series: usize, rows: i64) {
    let settings = Settings::default();
    appending(&format!("{series} series"), settings, series / 25, rows).await;
}

async fn select(folder: &Path) {
    let clock = clock();
    let (targets, rows) = (400, 1_440);
    let all: Vec<_> = (0..targets).map(labels).collect();
    let (store, end) = opened(on(folder), &clock).await;
    live(&store, &clock, &all, 0..rows, &mut |_, _| {}, &mut |_| {}).await;
    end().await;
    drop(store);
    let clock = clock_at(rows);
    for round in 1..=3 {
        let start = cpu();
        let store = Store::open(on(folder), clock.clone(), Telemetry::new()).unwrap();
        let opened = cpu().saturating_sub(start);
        let start = cpu();
        let (series, read) = read_all(&store);
        let took = cpu().saturating_sub(start).as_secs_f64();
        println!(
            "select {round}: {read} samples of {series} series in {took:.2} CPU-seconds \
             (opening: {:.2})",
            opened.as_secs_f64()
        );
        store.close();
    }
}

fn clock_at(row: i64) -> Arc<SetClock> {
    let clock = clock();
    clock.now.store(START + row * STEP, Ordering::Relaxed);
    clock
}

fn read_all(store: &Arc<Store>) -> (usize, usize) {
    let view = store.snapshot();
    let window = Window { after: Timestamp::MIN, through: Timestamp::MAX };
    let found = view.find(&[], window).unwrap();
    let (mut columns, mut read) = (augenmass::model::Columns::default(), 0);
    for series in &found {
        view.read(series.id, window, &mut columns).unwrap();
        read += columns.len();
    }
    (found.len(), read)
}

/// The child of `ready`: fills the tail with two hours less one row and ends like a pulled plug.
async fn filled(folder: &Path, rows: i64) {
    let clock = clock();
    let all: Vec<_> = (0..4_000).map(labels).collect();
    let store = Store::open(on(folder), clock.clone(), Telemetry::new()).unwrap();
    live(&store, &clock, &all, 0..rows, &mut |_, _| {}, &mut |_| {}).await;
    std::process::abort();
}

/// Rows of 15 s that the tail holds when nothing else is said, as `p4_rules.py` leaves behind in a peer: 5 min.
const READY_ROWS: usize = 20;

fn ready(folder: &Path, rows: i64) {
    let me = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(me);
    let child = child.arg("filled").arg(folder).arg(rows.to_string()).status().unwrap();
    assert!(!child.success(), "it should have been aborted");
    open(folder, clock_at(rows));
}

fn open(folder: &Path, clock: Arc<SetClock>) {
    let (before, start, wall) = (resident(), cpu(), std::time::SystemTime::UNIX_EPOCH);
    let begun = elapsed(wall);
    let store = Store::open(on(folder), clock, Telemetry::new()).unwrap();
    let took = elapsed(wall) - begun;
    let spent = cpu().saturating_sub(start).as_secs_f64();
    let most = resident().saturating_sub(before) >> 20;
    give_back();
    let memory = resident().saturating_sub(before) >> 20;
    let (series, read) = read_all(&store);
    println!(
        "ready: {series} series with {read} samples in {:.3} s ({spent:.2} CPU-seconds), \
         {most} MiB, {memory} MiB when what is free was given back",
        took.as_secs_f64()
    );
}

#[allow(clippy::disallowed_methods)]
fn elapsed(since: std::time::SystemTime) -> Duration {
    std::time::SystemTime::now().duration_since(since).unwrap_or_default()
}

async fn writes(folder: &Path, targets: usize, hours: i64) {
    let clock = clock();
    let all: Vec<_> = (0..targets).map(labels).collect();
    let (store, end) = opened(on(folder), &clock).await;
    let before = written();
    live(&store, &clock, &all, 0..hours * 240, &mut |_, _| {}, &mut |_| {}).await;
    end().await;
    drop(store);
    let wrote = written() - before;
    let told = status(folder, &mut |_, _| {}).unwrap();
    let kept: u64 = told.segments.iter().map(|segment| segment.bytes).sum();
    let samples: u64 = told.segments.iter().map(|segment| segment.samples).sum();
    let all = targets as f64 * 25.0 * hours as f64 * 240.0;
    println!(
        "writes: {targets} targets, {hours} h, {} commits: {:.2} bytes written per sample, {:.2} kept \
         ({} files): {:.1} times",
        hours * 3_600,
        wrote as f64 / all,
        kept as f64 / samples.max(1) as f64,
        told.segments.len(),
        wrote as f64 / all / (kept as f64 / samples.max(1) as f64)
    );
}

async fn churn(series: usize) {
    let clock = clock();
    let (store, end) = opened(Settings::default(), &clock).await;
    let stays = labels(9_999_999);
    let before = resident();
    let mut most = 0;
    for n in 0..series / 25 {
        let row = n as i64 / 100;
        clock.now.store(START + row * STEP, Ordering::Relaxed);
        store.append(probe(n, &labels(n), row, &mut Random(3))).await.unwrap();
        if n % 100 == 0 {
            store.append(probe(9_999_999, &stays, row, &mut Random(3))).await.unwrap();
        }
        if n % 10_000 == 0 {
            clock.go.notify_one();
            most = most.max(resident());
        }
    }
    most = most.max(resident()) - before;
    let last = START + (series / 2_500) as i64 * STEP + 4 * 3_600_000;
    clock.now.store(last, Ordering::Relaxed);
    clock.go.notify_one();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let left =
        store.snapshot().find(&[], Window { after: Timestamp::MIN, through: Timestamp::MAX });
    let kept = resident().saturating_sub(before);
    give_back();
    let after = resident().saturating_sub(before);
    println!(
        "churn: {series} series came and went: {} MiB at most, {} MiB after, \
         {} MiB when what is free was given back, {} series left",
        most >> 20,
        kept >> 20,
        after >> 20,
        left.unwrap().len()
    );
    end().await;
}

/// What every series must hold: how many samples, and the sum of their hashes.
struct Model(Vec<(u64, u64)>);

impl Model {
    fn hash(at: Timestamp, value: f64) -> u64 {
        let mixed = at.millis().cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ value.to_bits()).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31)
    }

    fn note(&mut self, target: usize, batch: &Batch) {
        for (series, row) in self.0[target * 25..].iter_mut().zip(&batch.rows) {
            let augenmass::model::Point::Float(value) = row.point else { panic!("floats only") };
            *series = (series.0 + 1, series.1.wrapping_add(Self::hash(batch.at, value)));
        }
    }

    /// Reads everything and compares; gives the number of samples.
    fn check(&self, store: &Arc<Store>) -> u64 {
        let view = store.snapshot();
        let window = Window { after: Timestamp::MIN, through: Timestamp::MAX };
        let (mut columns, mut read, mut seen) = (augenmass::model::Columns::default(), 0, 0);
        for found in view.find(&[Matcher::equal("owner", "web-team")], window).unwrap() {
            view.read(found.id, window, &mut columns).unwrap();
            let number = |label: &str, from: usize, length: usize| -> usize {
                found.labels.get(label).unwrap()[from..from + length].parse().unwrap()
            };
            let series = number("target", 13, 5) * 25 + number("__name__", 18, 2);
            let samples = columns.times.iter().zip(&columns.values);
            let sum = samples.fold(0u64, |sum, (at, v)| sum.wrapping_add(Self::hash(*at, *v)));
            assert_eq!((columns.len() as u64, sum), self.0[series], "{}", found.labels);
            read += columns.len() as u64;
            seen += 1;
        }
        assert_eq!(seen, self.0.len());
        read
    }
}

/// After so much time the soak ends early, and says so.
const PATIENCE: Duration = Duration::from_secs(480);

async fn soak(folder: &Path, series: usize) {
    let clock = clock();
    let all: Vec<_> = (0..series / 25).map(labels).collect();
    let settings = Settings { seal_every: Duration::from_secs(300), ..on(folder) };
    let before = resident();
    let (store, end) = opened(settings, &clock).await;
    let (start, begun) = (cpu(), elapsed(std::time::SystemTime::UNIX_EPOCH));
    let wall = || (elapsed(std::time::SystemTime::UNIX_EPOCH) - begun).as_secs_f64();
    let told = |what: &str, memory: u64, samples: u64| {
        println!(
            "soak: {what}: {samples} samples, {} MiB, {:.1} bytes written per sample, {:.1} CPU-seconds, {:.0} s",
            memory.saturating_sub(before) >> 20,
            written() as f64 / samples.max(1) as f64,
            cpu().saturating_sub(start).as_secs_f64(),
            wall()
        );
    };
    let mut model = Model(vec![(0, 0); series / 25 * 25]);
    let (mut most, mut row) = (0, 0);
    while row < 240 && wall() < PATIENCE.as_secs_f64() {
        let mut each = |row: i64| {
            most = most.max(resident());
            // Sealing and merging are due every five minutes.
            if row % 20 == 19 {
                clock.go.notify_one();
            }
        };
        let note = &mut |target: usize, batch: &Batch| model.note(target, batch);
        live(&store, &clock, &all, row..row + 20, note, &mut each).await;
        row += 20;
        if row % 60 == 0 {
            give_back();
            let memory = resident();
            told(&format!("{} minutes", row / 4), memory, model.check(&store));
        }
    }
    end().await;
    drop(store);
    let again = Store::open(on(folder), clock_at(row), Telemetry::new()).unwrap();
    let read = model.check(&again);
    let verified = augenmass::storage::verify(folder, &mut |_, _| {}).unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    let ended = if row < 240 { "cut off" } else { "whole" };
    told(&format!("{series} series, {} minutes ({ended}), most memory", row / 4), most, read);
}

async fn append(folder: &Path) {
    appending("in memory", Settings::default(), 4_000, 120).await;
    let data = Some(folder.to_owned());
    let durable = Settings { data, commit_delay: Duration::from_millis(1), ..Settings::default() };
    appending("durable", durable, 4_000, 120).await;
}

fn main() {
    // As the program does.
    one_heap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, usual: usize| words.get(at).map_or(usual, |w| w.parse().unwrap());
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        match words.first().map(String::as_str) {
            None => {
                append(&path.join("a")).await;
                on_disk(&path.join("b")).await;
            }
            Some("append") => append(path).await,
            Some("sizes") => on_disk(path).await,
            Some("memory") => memory(number(1, 100_000), number(2, 480) as i64).await,
            Some("select") => select(path).await,
            Some("ready") => ready(path, number(1, READY_ROWS) as i64),
            Some("open") => {
                let clock = clock();
                let now = std::time::SystemTime::UNIX_EPOCH;
                clock.now.store(elapsed(now).as_millis() as i64, Ordering::Relaxed);
                open(Path::new(&words[1]), clock);
            }
            Some("filled") => filled(Path::new(&words[1]), number(2, 1) as i64).await,
            Some("writes") => writes(path, number(1, 500), number(2, 8) as i64).await,
            Some("churn") => churn(number(1, 1_000_000)).await,
            Some("soak") => soak(path, number(1, 100_000)).await,
            Some(other) => panic!("{other}?"),
        }
    });
}
