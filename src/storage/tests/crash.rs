//! Random appends, reads, seals, merges, crashes and reopenings against a plain map, on a disk that
//! forgets what was not synced. The catalogue lies in memory and keeps what was committed, which is
//! SQLite's own promise. `AUGENMASS_SEEDS=50000` runs more, `AUGENMASS_SEED=17` one again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::super::catalogue::Sync as DiskSync;
use super::super::commit::ERA_GROUPS;
use super::super::disk::Disk;
use super::super::store::Core;
use super::sim_disk::{Random, SimDisk};
use super::{ALL, SetClock, at, batch, read, series};
use crate::model::{Batch, Labels, STALE, Window};
use crate::ports::Snapshot;
use crate::storage::Settings;
use crate::telemetry::Telemetry;

/// Series → time → bits.
type Map = BTreeMap<String, BTreeMap<i64, u64>>;

struct World {
    random: Random,
    /// The name of a catalogue in memory, and what keeps it there while no store is open.
    folder: std::path::PathBuf,
    sql: rusqlite::Connection,
    disk: SimDisk,
    clock: Arc<SetClock>,
    core: Option<Arc<Core>>,
    /// What queries must see.
    visible: Map,
    /// What must survive a crash, and what may have: written, not acknowledged.
    acknowledged: Map,
    perhaps: BTreeMap<(String, i64), BTreeSet<u64>>,
    unacknowledged: Vec<(String, i64, u64)>,
    now: i64,
}

fn contents(view: &Snapshot, window: Window) -> Map {
    read(view, &[], window)
        .into_iter()
        .map(|(name, columns)| {
            assert!(columns.times.is_sorted_by(|a, b| a < b), "in time order, each once");
            let bits = columns.values.iter().map(|v| v.to_bits());
            (name, columns.times.iter().map(|t| t.millis()).zip(bits).collect())
        })
        .collect()
}

fn within(map: &Map, window: Window) -> Map {
    let part = map.iter().map(|(name, samples)| {
        let inside = samples.iter().filter(|(t, _)| window.contains(at(**t)));
        (name.clone(), inside.map(|(t, v)| (*t, *v)).collect::<BTreeMap<_, _>>())
    });
    part.filter(|(_, samples)| !samples.is_empty()).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        static WORLDS: AtomicI64 = AtomicI64::new(0);
        let random = Random::new(seed);
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        // What the store appends to its folder becomes a parameter that says nothing.
        let folder = std::path::PathBuf::from(format!(
            "file:world{number}?mode=memory&cache=shared&folder="
        ));
        let mut world = World {
            disk: SimDisk::new(random.clone()),
            random,
            sql: rusqlite::Connection::open(folder.join("samples.db")).unwrap(),
            folder,
            clock: Arc::new(SetClock(AtomicI64::new(0))),
            core: None,
            visible: Map::new(),
            acknowledged: Map::new(),
            perhaps: BTreeMap::new(),
            unacknowledged: Vec::new(),
            now: 1_000_000,
        };
        world.open();
        world
    }

    fn settings(&self) -> Settings {
        Settings {
            data: Some(self.folder.clone()),
            out_of_order: Duration::from_secs(1 << 40),
            ..Settings::default()
        }
    }

    fn open(&mut self) {
        let core = Core::assemble(
            self.settings(),
            self.clock.clone(),
            Telemetry::new(),
            Arc::new(self.disk.clone()),
            DiskSync::Off,
            None,
        );
        self.core = Some(Arc::new(core.unwrap()));
    }

    fn core(&self) -> Arc<Core> {
        Arc::clone(self.core.as_ref().unwrap())
    }

    fn append(&mut self) {
        let source = self.random.below(3);
        // Now and then at the same instant as the one before.
        if self.random.chance(90) {
            self.now += self.random.below(60_000) as i64;
        }
        self.clock.0.store(self.now, Ordering::Relaxed);
        let late = if self.random.chance(10) { self.random.below(20_000_000) as i64 } else { 0 };
        let time = self.now - late;
        let mut next = Batch::new(format!("s{source}").into(), at(time));
        let all = self.random.chance(70);
        for column in 0..5 {
            if !all && self.random.chance(50) {
                continue;
            }
            let value = match self.random.below(4) {
                0 => STALE,
                1 => self.random.below(u64::MAX) as f64 / 7.0,
                2 => self.random.below(9_000) as f64 / 1e3,
                _ => 1.0,
            };
            // Some series come from all sources.
            let target = if column == 4 { 0 } else { source };
            let labels = series(&format!("m{column}"), &target.to_string());
            self.note(&labels, time, value);
            next.push(labels, value);
        }
        let accepted = self.core().accept_for_test(&next);
        assert_eq!(accepted, next.rows.len());
    }

    fn note(&mut self, labels: &Labels, time: i64, value: f64) {
        let (name, bits) = (labels.to_string(), value.to_bits());
        self.visible.entry(name.clone()).or_default().insert(time, bits);
        self.perhaps.entry((name.clone(), time)).or_default().insert(bits);
        self.unacknowledged.push((name, time, bits));
    }

    fn commit(&mut self) {
        self.core().commit();
        for (name, time, bits) in self.unacknowledged.drain(..) {
            self.acknowledged.entry(name).or_default().insert(time, bits);
        }
        self.perhaps.clear();
    }

    fn check(&mut self) {
        let view: Snapshot = Arc::new(self.core().view());
        let from = self.now - self.random.below(30_000_000) as i64;
        let through = from + self.random.below(30_000_000) as i64;
        for window in [ALL, Window { after: at(from), through: at(through) }] {
            assert_eq!(contents(&view, window), within(&self.visible, window));
        }
    }

    /// Everything acknowledged is there, nothing is there that was not written.
    fn check_after_crash(&mut self) {
        let view: Snapshot = Arc::new(self.core().view());
        let seen = contents(&view, ALL);
        for (name, samples) in &self.acknowledged {
            for (time, bits) in samples {
                let there = seen.get(name).and_then(|samples| samples.get(time));
                let newer = self.perhaps.get(&(name.clone(), *time));
                let fine = there == Some(bits)
                    || there.is_some_and(|there| newer.is_some_and(|newer| newer.contains(there)));
                assert!(fine, "{name} at {time}: acknowledged {bits:x}, found {there:x?}");
            }
        }
        for (name, samples) in &seen {
            for (time, bits) in samples {
                let acknowledged = self.acknowledged.get(name).and_then(|s| s.get(time));
                let perhaps = self.perhaps.get(&(name.clone(), *time));
                let written = acknowledged == Some(bits)
                    || perhaps.is_some_and(|perhaps| perhaps.contains(bits));
                assert!(written, "{name} at {time}: {bits:x} was never written");
            }
        }
        self.visible = seen.clone();
        self.acknowledged = seen;
        self.perhaps.clear();
        self.unacknowledged.clear();
    }

    fn reopen(&mut self, power_fails: bool) {
        self.core = None;
        if power_fails {
            self.disk.crash();
        }
        self.open();
        self.check_after_crash();
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..60 => self.append(),
            60..75 => self.commit(),
            75..85 => self.check(),
            85..91 => {
                let core = self.core();
                let _ = core.durable.as_ref().unwrap().seal(&core);
            }
            91..95 => {
                self.now += self.random.below(3 * 3_600_000) as i64;
                self.clock.0.store(self.now, Ordering::Relaxed);
                self.core().upkeep();
            }
            95..97 => {
                self.commit();
                self.reopen(false);
            }
            97..99 => {
                // The plug is pulled in the middle of sealing or merging.
                self.disk.light_fuse(self.random.clone().below(60));
                let core = self.core();
                let _ = core.durable.as_ref().unwrap().seal(&core);
                core.upkeep();
                drop(core);
                self.reopen(true);
            }
            _ => self.reopen(true),
        }
    }
}

struct OnPanic(u64);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again with: AUGENMASS_SEED={}", self.0);
        }
    }
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    // 271 once found a group that followed its generation's sealing.
    let usual = if cfg!(debug_assertions) { 100 } else { 3_000 };
    let seeds = match number("AUGENMASS_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("AUGENMASS_SEEDS").unwrap_or(usual),
    };
    let next = AtomicU64::new(*seeds.start());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > *seeds.end() {
                return;
            }
            let _name_it = OnPanic(seed);
            let mut world = World::new(seed);
            for _ in 0..100 {
                world.step();
            }
            world.check();
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        other.join().unwrap();
    });
}

#[test]
fn a_full_disk_is_survived_and_writing_resumes() {
    let mut world = World::new(1);
    for _ in 0..50 {
        world.append();
    }
    world.commit();
    world.core().durable.as_ref().unwrap().catalogue.limit_pages(1);
    world.disk.set_full(true);
    for _ in 0..100 {
        world.append();
    }
    world.core().commit();
    world.now += 7_500_000;
    world.clock.0.store(world.now, Ordering::Relaxed);
    world.core().upkeep();
    let text = world.core().telemetry.encode();
    assert!(text.contains("augenmass_storage_disk_failing 1"), "{text}");
    world.check();
    world.core().durable.as_ref().unwrap().catalogue.limit_pages(1 << 30);
    world.disk.set_full(false);
    world.append();
    world.core().commit();
    assert!(world.core().telemetry.encode().contains("augenmass_storage_disk_failing 0"));
    world.core().upkeep();
    // What was in memory only was sealed with the rest: now all of it is safe.
    world.commit();
    world.reopen(true);
    let kept: usize = world.visible.values().map(BTreeMap::len).sum();
    assert!(kept > 400, "{kept}");
}

#[test]
fn damage_costs_one_series_and_is_reported() {
    let mut world = World::new(3);
    for _ in 0..300 {
        world.append();
    }
    world.commit();
    let core = world.core();
    core.durable.as_ref().unwrap().seal(&core).unwrap();
    let name = core.lock().segments[0].meta.name.clone();
    drop(core);
    // Far from the times of the first frame, before the directory.
    world.disk.damage(&name, 900);
    world.core = None;
    world.open();
    let view: Snapshot = Arc::new(world.core().view());
    let seen = contents(&view, ALL);
    assert_eq!(seen.len(), world.visible.len() - 1);
    for (name, samples) in &seen {
        assert_eq!(samples, &world.visible[name], "{name}");
    }
    assert!(world.core().telemetry.encode().contains("augenmass_storage_damaged_pieces_total 1"));
    // A directory that is damaged costs the segment, and never the start.
    let view = batch("other", world.now, &[(series("after", "x"), 1.0)]);
    world.core().accept_for_test(&view);
    world.core().commit();
    world.disk.damage_end(&name);
    world.core = None;
    world.open();
    let view: Snapshot = Arc::new(world.core().view());
    assert_eq!(contents(&view, ALL).keys().collect::<Vec<_>>(), ["after{target=\"x\"}"]);
    assert!(world.core().telemetry.encode().contains("augenmass_storage_damaged_pieces_total 1"));
}

/// Three eras of the tail; the middle one is damaged in its first group.
#[test]
fn a_damaged_tail_costs_an_era_and_never_the_start() {
    let mut world = World::new(9);
    let era = i64::from(ERA_GROUPS);
    for n in 0..3 * era {
        let next = batch("s", n * 1_000, &[(series("up", "a"), n as f64)]);
        assert_eq!(world.core().accept_for_test(&next), 1);
        world.core().commit();
    }
    world.core = None;
    let sql = &world.sql;
    let eras: i64 =
        sql.query_row("SELECT count(DISTINCT era) FROM tail", [], |r| r.get(0)).unwrap();
    assert_eq!(eras, 3);
    sql.execute(
        "UPDATE tail SET bytes = zeroblob(9) WHERE sequence = (SELECT min(sequence) FROM tail
         WHERE era = (SELECT min(era) FROM tail WHERE era > (SELECT min(era) FROM tail)))",
        [],
    )
    .unwrap();
    world.open();
    let view: Snapshot = Arc::new(world.core().view());
    let seen = contents(&view, ALL);
    let samples = &seen["up{target=\"a\"}"];
    assert_eq!(samples.len() as i64, 2 * era);
    assert!(samples.iter().all(|(time, bits)| f64::from_bits(*bits) == *time as f64 / 1e3));
    assert!(world.core().telemetry.encode().contains("augenmass_storage_damaged_pieces_total 1"));
}

#[test]
fn old_and_too_many_segments_are_dropped_with_their_files() {
    let mut world = World::new(5);
    let settings = Settings { retention: Duration::from_secs(86_400), ..world.settings() };
    world.core = None;
    let core = Core::assemble(
        settings,
        world.clock.clone(),
        Telemetry::new(),
        Arc::new(world.disk.clone()),
        DiskSync::Off,
        None,
    );
    world.core = Some(Arc::new(core.unwrap()));
    for _ in 0..100 {
        for _ in 0..5 {
            world.append();
        }
        world.commit();
        world.now += 3_600_000;
        world.clock.0.store(world.now, Ordering::Relaxed);
        world.core().upkeep();
    }
    let core = world.core();
    let segments = Arc::clone(&core.lock().segments);
    let cutoff = world.now - 86_400_000;
    assert!(segments.iter().all(|segment| segment.meta.last >= cutoff));
    let names: BTreeSet<String> = segments.iter().map(|s| s.meta.name.clone()).collect();
    assert_eq!(world.disk.list().unwrap().into_iter().collect::<BTreeSet<_>>(), names);
    assert!(segments.len() < 12, "merged: {}", segments.len());
    let view: Snapshot = Arc::new(core.view());
    let seen = contents(&view, Window { after: at(cutoff), ..ALL });
    assert_eq!(seen, within(&world.visible, Window { after: at(cutoff), ..ALL }));
}
