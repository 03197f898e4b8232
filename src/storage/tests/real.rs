//! The store on a real folder, with its thread.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::{ALL, batch, read, series};
use crate::model::Matcher;
use crate::ports::{Append, AppendError, Appended, Queryable, SystemClock};
use crate::storage::{OpenError, Settings, Store};
use crate::telemetry::Telemetry;

fn settings(path: &std::path::Path, delay: u64) -> Settings {
    Settings {
        data: Some(path.to_owned()),
        commit_delay: Duration::from_millis(delay),
        // The samples of these tests are from 1970.
        retention: Duration::from_secs(1 << 40),
        ..Settings::default()
    }
}

fn open(settings: Settings) -> Result<Arc<Store>, OpenError> {
    Store::open(settings, Arc::new(SystemClock::start()), Telemetry::new())
}

#[tokio::test]
async fn thousands_share_a_trip_to_the_disk_and_all_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(settings(folder.path(), 20)).unwrap();
    let mut callers = JoinSet::new();
    for n in 0..2_000i64 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let next = batch(&format!("s{n}"), n, &[(series("up", &n.to_string()), n as f64)]);
            store.append(next).await
        });
    }
    while let Some(appended) = callers.join_next().await {
        assert_eq!(appended.unwrap().unwrap(), Appended { kept: 1, too_old: 0 });
    }
    let text = store.core().telemetry.encode();
    let commits = text.lines().find_map(|l| l.strip_prefix("augenmass_storage_commits_total "));
    let commits: u32 = commits.unwrap().parse().unwrap();
    assert!(commits < 500, "{commits} trips for 2000 callers");
    let stop = tokio_util::sync::CancellationToken::new();
    stop.cancel();
    Arc::clone(&store).run(stop).await;
    let refused = store.append(batch("s", 1, &[(series("up", "late"), 1.0)])).await;
    assert!(matches!(refused, Err(AppendError::Closed)));
    drop(store);
    let again = open(settings(folder.path(), 0)).unwrap();
    assert_eq!(read(&again.snapshot(), &[], ALL).len(), 2_000);
}

#[tokio::test]
async fn the_room_of_a_sealed_tail_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(settings(folder.path(), 0)).unwrap();
    for n in 0..100i64 {
        let noise = |m: i64| ((n * 7_919 + m) as f64).sqrt().sin();
        let rows: Vec<_> = (0..500).map(|m| (series("noise", &m.to_string()), noise(m))).collect();
        store.append(batch("s", n, &rows)).await.unwrap();
    }
    let sql = rusqlite::Connection::open(folder.path().join("samples.db")).unwrap();
    let pages = || sql.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
    let before = pages();
    let core = Arc::clone(store.core());
    core.durable.as_ref().unwrap().seal(&core).unwrap();
    assert!(before > 400 && pages() < 320, "{before} pages, then {}", pages());
    let size = std::fs::metadata(folder.path().join("samples.db")).unwrap().len();
    assert!(size < 80 * 4_096, "{size}");
}

#[tokio::test]
async fn what_is_a_day_late_is_taken_when_asked_for_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let late =
        Settings { out_of_order: Duration::from_secs(24 * 3_600), ..settings(folder.path(), 0) };
    let store = open(late.clone()).unwrap();
    let up = series("up", "a");
    for n in (0..48i64).rev().step_by(2) {
        store.append(batch("s", (200 - n) * hour, &[(up.clone(), n as f64)])).await.unwrap();
        let core = Arc::clone(store.core());
        core.durable.as_ref().unwrap().seal(&core).unwrap();
        core.upkeep();
    }
    let day_late = store.append(batch("s", (199 - 24) * hour, &[(up.clone(), 0.5)])).await.unwrap();
    assert_eq!(day_late, Appended { kept: 1, too_old: 0 });
    let older = store.append(batch("s", (199 - 24) * hour - 1, &[(up, 0.5)])).await.unwrap();
    assert_eq!(older, Appended { kept: 0, too_old: 1 });
    store.close();
    drop(store);
    let store = open(late).unwrap();
    let seen = read(&store.snapshot(), &[], ALL);
    let columns = &seen["up{target=\"a\"}"];
    // It was there already, with another value: the last written wins.
    assert_eq!(columns.times.len(), 24);
    let late = columns.times.binary_search(&super::at((199 - 24) * hour)).unwrap();
    assert_eq!(columns.values[late], 0.5);
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(settings(folder.path(), 0)).unwrap();
    let in_use = open(settings(folder.path(), 0)).err().unwrap();
    assert!(matches!(in_use, OpenError::InUse(_)), "{in_use}");
    drop(store);
    let database = folder.path().join("samples.db");
    let sql = rusqlite::Connection::open(&database).unwrap();
    sql.pragma_update(None, "user_version", 3).unwrap();
    drop(sql);
    let newer = open(settings(folder.path(), 0)).err().unwrap().to_string();
    assert!(newer.contains("its format is 3") && newer.contains("use a newer"), "{newer}");
    let foreign = tempfile::tempdir().unwrap();
    let sql = rusqlite::Connection::open(foreign.path().join("samples.db")).unwrap();
    sql.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(sql);
    let other = open(settings(foreign.path(), 0)).err().unwrap().to_string();
    assert!(other.contains("another program"), "{other}");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let not_a_folder = open(settings(&file, 0)).err().unwrap().to_string();
    assert!(not_a_folder.contains("it is not a folder"), "{not_a_folder}");
}

/// Not a test by itself: the process that the next test kills. It says which batches are durable.
#[tokio::test]
#[ignore = "run by a_killed_process_keeps_what_it_acknowledged"]
async fn writes_until_killed() {
    let Ok(path) = std::env::var("AUGENMASS_TEST_FOLDER") else { return };
    let store = open(settings(std::path::Path::new(&path), 1)).unwrap();
    let start = read(&store.snapshot(), &[], ALL).values().map(|c| c.len()).max().unwrap_or(0);
    for n in start as i64..1_000_000 {
        let rows: Vec<_> =
            (0..10).map(|m| (series(&format!("m{m}"), "a"), (n * m) as f64)).collect();
        store.append(batch("s", n, &rows)).await.unwrap();
        eprintln!("durable {n}");
        if n % 40 == 39 {
            let core = Arc::clone(store.core());
            core.durable.as_ref().unwrap().seal(&core).unwrap();
            core.upkeep();
        }
    }
}

#[test]
fn a_killed_process_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = -1;
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "storage::tests::real::writes_until_killed",
                "--ignored",
                "--nocapture",
            ])
            .env("AUGENMASS_TEST_FOLDER", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let goal = last + 20 + round % 7 * 17;
        for line in said.lines() {
            let line = line.unwrap();
            if let Some(n) = line.strip_prefix("durable ") {
                last = n.parse::<i64>().unwrap();
            }
            if last >= goal {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(last >= goal, "the process ended early at {last}");
        let store = open(settings(folder.path(), 0)).unwrap();
        let seen = read(&store.snapshot(), &[], ALL);
        assert_eq!(seen.len(), 10);
        for (m, columns) in seen.values().enumerate() {
            assert!(columns.len() as i64 > last, "{} of {last}", columns.len());
            for (n, (time, value)) in columns.times.iter().zip(&columns.values).enumerate() {
                assert_eq!((time.millis(), *value), (n as i64, (n * m) as f64));
            }
        }
        let one = read(&store.snapshot(), &[Matcher::metric("m3")], ALL);
        assert_eq!(one.len(), 1);
    }
}
