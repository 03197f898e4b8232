//! Status, verification, copies, export and import.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::exact_text::tests::spelled;
use super::super::openmetrics::{Portions, import_in};
use super::{ALL, batch, read, series};
use crate::model::{Batch, Histogram, Labels, Matcher, Point, Row, STALE, Timestamp};
use crate::ports::{Append, Queryable, SystemClock};
use crate::storage::{
    OfflineError, OpenError, Settings, Status, Store, TransferError, copy, export, import, look,
    status, verify,
};
use crate::telemetry::Telemetry;

fn open(path: &Path) -> Arc<Store> {
    let settings = Settings {
        data: Some(path.to_owned()),
        commit_delay: Duration::ZERO,
        retention: Duration::from_secs(1 << 40),
        ..Settings::default()
    };
    Store::open(settings, Arc::new(SystemClock::start()), Telemetry::new()).unwrap()
}

fn quiet(_: u64, _: u64) {}

async fn filled(path: &Path) -> Arc<Store> {
    let store = open(path);
    let odd = Labels::from_pairs([("__name__", "odd name"), ("a.b", "x\"y\\z\nw")]).unwrap();
    for n in 0..100i64 {
        let mut rows: Vec<(Labels, f64)> =
            (0..5).map(|m| (series(&format!("m{m}"), "a"), (n * m) as f64 / 7.0)).collect();
        rows.push((odd.clone(), if n == 50 { STALE } else { f64::from_bits(n as u64) }));
        store.append(batch("s", n * 15_000 - 30_001, &rows)).await.unwrap();
        if n == 70 {
            let core = store.core();
            core.durable.as_ref().unwrap().seal(core).unwrap();
        }
    }
    store
}

/// How [`all`] writes the only series that text cannot name.
const NAMELESS: &str = "{target=\"nameless\"}: [(7, 4607182418800017408)] []\n";

fn all(view: &crate::ports::Snapshot) -> String {
    let bits = |columns: &crate::model::Columns| -> Vec<(i64, u64)> {
        let values = columns.values.iter().map(|v| v.to_bits());
        columns.times.iter().map(|t| t.millis()).zip(values).collect()
    };
    let late = |columns: &crate::model::Columns| -> Vec<(i64, String)> {
        columns.histograms.iter().map(|(t, h)| (t.millis(), spelled(h))).collect()
    };
    let all = read(view, &[], ALL);
    all.iter().map(|(name, c)| format!("{name}: {:?} {:?}\n", bits(c), late(c))).collect()
}

#[tokio::test]
async fn it_can_be_looked_at_verified_and_copied_while_running() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path()).await;
    let told = status(folder.path(), &mut quiet).unwrap();
    let Status { segments, tail_samples, by_source, by_metric, damaged, .. } = &told;
    assert_eq!(told.series, 6);
    assert!(told.catalogue_bytes > 4_000, "{}", told.catalogue_bytes);
    assert_eq!((segments.len(), segments[0].samples, segments[0].series), (1, 71 * 6, 6));
    assert_eq!((*tail_samples, damaged.len()), (29 * 6, 0));
    assert_eq!((by_source.len(), by_source[0].series, by_metric.len()), (1, 6, 6));
    let sound = verify(folder.path(), &mut quiet).unwrap();
    assert_eq!((sound.samples, sound.pieces, sound.damage.len()), (600, 7, 0));
    copy(folder.path(), other.path(), &mut quiet).unwrap();
    assert!(copy(folder.path(), other.path(), &mut quiet).is_err(), "never over something");
    let same = all(&store.snapshot());
    assert_eq!(all(&look(other.path()).unwrap()), same);
    assert_eq!(all(&look(folder.path()).unwrap()), same);
    // One byte of one column.
    let segment = folder.path().join("segments").join(&segments[0].name);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let found = verify(folder.path(), &mut quiet).unwrap();
    assert_eq!(found.damage.len(), 1);
    assert!(found.damage[0].contains("from 1969-12-31T23:59:29.999Z"), "{:?}", found.damage);
}

#[tokio::test]
async fn what_is_exported_comes_back_bit_for_bit() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path()).await;
    let mut odd = Batch::new("odd".into(), Timestamp::from_millis(7));
    // A negative NaN, a signalling one, both zeros, the smallest number, infinity.
    for (n, bits) in [0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 1 << 63, 0, 1, 0x7ff0 << 48]
        .into_iter()
        .enumerate()
    {
        odd.push(series("odd", &n.to_string()), f64::from_bits(bits));
    }
    let histogram = Histogram { sum: STALE, positive: vec![2.5], ..Histogram::default() };
    let span = crate::model::Span { offset: -3, length: 1 };
    let histogram = Histogram { positive_spans: vec![span], ..histogram };
    odd.rows.push(Row { labels: series("late", "a"), point: Point::Histogram(histogram.into()) });
    odd.push(Labels::from_pairs([("target", "nameless")]).unwrap(), 1.0);
    store.append(odd).await.unwrap();
    let mut text = Vec::new();
    let exported = export(folder.path(), &[], ALL, &mut text, &mut quiet).unwrap();
    assert_eq!((exported.series, exported.samples, exported.nameless), (13, 607, 1));
    let m3 = vec![Matcher::metric("m3")];
    let late = vec![Matcher::metric("late")];
    let some = export(folder.path(), &[m3, late], ALL, &mut Vec::new(), &mut quiet).unwrap();
    assert_eq!((some.series, some.samples), (2, 101));
    let file = other.path().join("page.txt");
    std::fs::write(&file, &text).unwrap();
    let data = other.path().join("data");
    for _ in 0..2 {
        let imported = import(&data, &file, Timestamp::MIN, &mut quiet).unwrap();
        assert_eq!((imported.samples, imported.too_old), (607, 0));
        let without = |all: String| all.replace(NAMELESS, "");
        assert_eq!(all(&look(&data).unwrap()), without(all(&store.snapshot())));
    }
    let again = open(&data);
    let one = read(&again.snapshot(), &[Matcher::metric("m3")], ALL);
    assert_eq!(one["m3{target=\"a\"}"].len(), 100);
    let busy = import(&data, &file, Timestamp::MIN, &mut quiet).err().unwrap().to_string();
    assert!(busy.contains("another augenmass"), "{busy}");
    drop(again);
    let cut = import(&data, &file, Timestamp::from_millis(0), &mut quiet).unwrap();
    assert_eq!(cut.too_old, 3 * 6);
}

#[tokio::test]
async fn an_interrupted_import_goes_on_where_it_was() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(folder.path()).await;
    let mut text = Vec::new();
    export(folder.path(), &[], ALL, &mut text, &mut quiet).unwrap();
    let (file, data) = (other.path().join("page.txt"), other.path().join("data"));
    std::fs::write(&file, &text).unwrap();
    let small = Portions { bytes: 1 << 10, samples: 50 };
    let pulled = std::panic::catch_unwind(|| {
        import_in(small, &data, &file, Timestamp::MIN, &mut |at, of| {
            assert!(at * 2 < of, "the plug is pulled");
        })
    });
    assert!(pulled.is_err());
    // A child that another test starts at this moment holds our files, the lock among them, until it
    // becomes another program.
    let imported = (0..500).find_map(|_| {
        let tried = import_in(small, &data, &file, Timestamp::MIN, &mut quiet);
        if let Err(TransferError::Folder(OfflineError::Open(OpenError::InUse(_)))) = &tried {
            std::thread::sleep(Duration::from_millis(10));
            return None;
        }
        Some(tried)
    });
    let imported = imported.unwrap().unwrap();
    assert!(imported.resumed_at > 0 && imported.samples < 500, "{imported:?}");
    assert_eq!(all(&look(&data).unwrap()), all(&store.snapshot()));
    let again = import_in(small, &data, &file, Timestamp::MIN, &mut quiet).unwrap();
    assert_eq!((again.resumed_at, again.samples), (0, 600), "it was finished");
}

/// Files of each format as its first version wrote them; made by `a_fixture_is_written`.
const FIXTURES: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/storage-1"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/storage-2"),
];

#[tokio::test]
#[ignore = "writes into the repository; run it when a format is new, never to please a test"]
async fn a_fixture_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(folder.path()).await;
    store.close();
    copy(folder.path(), Path::new(FIXTURES[1]), &mut quiet).unwrap();
}

#[tokio::test]
async fn files_of_all_formats_stay_readable() {
    for fixture in FIXTURES {
        is_readable(Path::new(fixture)).await;
    }
}

async fn is_readable(fixture: &Path) {
    let folder = tempfile::tempdir().unwrap();
    copy(fixture, folder.path(), &mut quiet).unwrap();
    // To look is not to upgrade.
    assert_eq!(all(&look(folder.path()).unwrap()).len(), all(&look(fixture).unwrap()).len());
    let (old, new) = (open(folder.path()), tempfile::tempdir().unwrap());
    assert_eq!(all(&old.snapshot()), all(&filled(new.path()).await.snapshot()));
    // The first version did not give back room; whoever opens its file makes it do so.
    let sql = rusqlite::Connection::open(folder.path().join("samples.db")).unwrap();
    let vacuum: i64 = sql.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(vacuum, 2);
    assert_eq!(verify(fixture, &mut quiet).unwrap().samples, 600);
}

#[test]
fn a_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.txt");
    for (text, wanted) in [
        ("# TYPE a gauge\na 1 1.5\na 1\n# EOF\n", (3, "no timestamp")),
        ("a 1 1.5\na{ 1 2\n# EOF\n", (2, "")),
        ("a 1 1.5\n", (2, "EOF")),
        ("a 1 1.5\n# HELP a augenmass exact 0xyz\na NaN 2\n# EOF\n", (2, "64 bits")),
        ("# HELP a augenmass exact histogram sum:x\na NaN 2\n# EOF\n", (1, "sum:x")),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = import(folder.path(), &file, Timestamp::MIN, &mut quiet).err().unwrap();
        let TransferError::Line { line, reason, .. } = &error else { panic!("{error}") };
        assert!(*line == wanted.0 && reason.contains(wanted.1), "{text:?}: {error}");
    }
}
