//! What samples cost: `cargo bench --bench storage`. Prints one line for each figure.
//!
//! - appending: samples per CPU-second in process, in memory and durable (the process' own CPU time,
//!   so that other load on the machine counts less)
//! - memory per series with a short past
//! - bytes per sample on disk after sealing 2 h, and after merging 8 h, for each kind of probe data,
//!   with the entropy floor of the noise where it is known
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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

async fn appending(name: &str, settings: Settings, targets: usize, rows: i64) {
    let durable = settings.data.is_some();
    let clock = clock();
    let before = resident();
    let labels: Vec<_> = (0..targets).map(labels).collect();
    let with_labels = resident();
    let store = Store::open(settings, clock.clone(), Telemetry::new()).unwrap();
    let mut random = Random(7);
    let mut spent = Duration::ZERO;
    for row in 0..rows {
        clock.now.store(START + row * STEP, Ordering::Relaxed);
        let batches: Vec<Batch> =
            labels.iter().enumerate().map(|(t, l)| probe(t, l, row, &mut random)).collect();
        let start = cpu();
        let waiting: Vec<_> = batches.into_iter().map(|batch| store.append(batch)).collect();
        for appended in waiting {
            appended.await.unwrap();
        }
        spent += cpu().saturating_sub(start);
    }
    let samples = (targets * 25) as f64 * rows as f64;
    let rate = samples / spent.as_secs_f64().max(0.01) / 1e6;
    let series = (targets * 25) as u64;
    println!("{name}: {rate:.1} million samples per CPU-second ({samples:.0} samples)");
    if !durable {
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

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        appending("in memory", Settings::default(), 4_000, 120).await;
        let data = Some(folder.path().join("a"));
        let durable =
            Settings { data, commit_delay: Duration::from_millis(1), ..Settings::default() };
        appending("durable", durable, 4_000, 120).await;
        on_disk(&folder.path().join("b")).await;
    });
}
