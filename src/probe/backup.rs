//! Backups: how old and how big the newest file of a folder is. Nothing is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use super::{BackupTarget, Observation, Obstacle, Outcome, Prober, Reading};
use crate::model::{MetricMeta, MetricType, Timestamp};
use crate::ports::{Clock, Doing, Tick};

/// What a look at backups says.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "backup_newest_age_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long ago the newest backup was written last.",
    },
    MetricMeta {
        name: "backup_newest_size_bytes",
        kind: MetricType::Gauge,
        unit: "bytes",
        help: "How big the newest backup is.",
    },
    MetricMeta {
        name: "backup_files",
        kind: MetricType::Gauge,
        unit: "",
        help: "How many backups there are.",
    },
];

/// More entries than this in one folder are not looked through.
const MOST_ENTRIES: usize = 1_000_000;

/// Looks at the files of a folder.
pub struct BackupProber {
    target: BackupTarget,
    clock: Arc<dyn Clock>,
    /// A look that never came back (a network file system that is gone) holds one thread, not many.
    busy: Arc<AtomicBool>,
}

/// What lies in the folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    files: u64,
    newest: Timestamp,
    size: u64,
}

impl BackupProber {
    /// Touches nothing yet.
    pub fn new(target: &BackupTarget, clock: Arc<dyn Clock>) -> Self {
        Self { target: target.clone(), clock, busy: Arc::default() }
    }

    async fn look(&self) -> Outcome {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Obstacle::new("the folder has not answered since the look before")
                .with_remedy("look whether its file system (a network drive?) is reachable")
                .into();
        }
        let (target, busy) = (self.target.clone(), self.busy.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let seen = read(&target.folder, &target.pattern);
            busy.store(false, Ordering::Release);
            seen
        });
        let Ok(seen) = reading.await else {
            self.busy.store(false, Ordering::Release);
            return Obstacle::new("reading the folder died").into();
        };
        judge(seen, self.clock.wall(), &self.target)
    }
}

impl Prober for BackupProber {
    fn probe(&self, _deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look())
    }
}

fn read(folder: &Path, pattern: &str) -> io::Result<Seen> {
    let parts: Vec<&str> = pattern.split('*').collect();
    let mut seen = Seen { newest: Timestamp::MIN, ..Seen::default() };
    for entry in std::fs::read_dir(folder)?.take(MOST_ENTRIES) {
        let entry = entry?;
        if !fits(&entry.file_name().to_string_lossy(), &parts) {
            continue;
        }
        // A file that was cleared away meanwhile is none; links are followed.
        let path: PathBuf = entry.path();
        let Ok(meta) = std::fs::metadata(path) else { continue };
        if !meta.is_file() {
            continue;
        }
        seen.files += 1;
        let age = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let written = Timestamp::from_millis(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        if written >= seen.newest {
            (seen.newest, seen.size) = (written, meta.len());
        }
    }
    Ok(seen)
}

/// Whether a name consists of the parts in order, with anything between them.
fn fits(name: &str, parts: &[&str]) -> bool {
    let [first, middle @ .., last] = parts else { return parts == [name] };
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[allow(clippy::cast_precision_loss)] // 2^53 bytes or files do not happen
fn judge(seen: io::Result<Seen>, now: Timestamp, target: &BackupTarget) -> Outcome {
    match seen {
        Ok(Seen { files: 0, .. }) => {
            let readings = vec![Reading::new("backup_files", 0.0)];
            Observation::down(format!("no file is called {}", target.pattern), readings).into()
        }
        Ok(seen) => {
            // A file from the future was written by a clock that is ahead.
            let age = now.since(seen.newest).unwrap_or_default();
            let readings = vec![
                Reading::new("backup_newest_age_seconds", age.as_secs() as f64),
                Reading::new("backup_newest_size_bytes", seen.size as f64),
                Reading::new("backup_files", seen.files as f64),
            ];
            Observation::up(format!("{}, {}", size(seen.size), old(age)), readings).into()
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Obstacle::new("this machine does not let us read the folder")
                .with_remedy("let the user augenmass read and enter the folder")
                .into()
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Observation::down("the folder does not exist", Vec::new()).into()
        }
        Err(error) => Obstacle::new(format!("the folder cannot be read: {error}")).into(),
    }
}

#[allow(clippy::cast_precision_loss)] // for a person
fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return format!("{size:.0} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

fn old(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..7_200 => format!("{} min old", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h old", seconds / 3_600),
        seconds => format!("{} days old", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::SystemClock;

    fn target(folder: &Path, pattern: &str) -> BackupTarget {
        BackupTarget { folder: folder.to_owned(), pattern: pattern.into() }
    }

    async fn look(folder: &Path, pattern: &str) -> Outcome {
        let clock = Arc::new(SystemClock::start());
        BackupProber::new(&target(folder, pattern), clock).look().await
    }

    fn value(outcome: &Outcome, metric: &str) -> Option<f64> {
        let Outcome::Measured(seen) = outcome else { return None };
        seen.readings.iter().find(|reading| reading.metric == metric).map(|r| r.value)
    }

    #[tokio::test]
    async fn the_newest_file_that_fits_counts() {
        let folder = tempfile::tempdir().unwrap();
        let now = std::time::UNIX_EPOCH
            + Duration::from_millis(SystemClock::start().wall().millis().unsigned_abs());
        for (name, hours, bytes) in
            [("db-1.dump", 50, 10), ("db-2.dump", 26, 2_000), ("other.txt", 0, 1)]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, vec![0; bytes]).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(now - Duration::from_secs(hours * 3_600)).unwrap();
        }
        std::fs::create_dir(folder.path().join("db-3.dump")).unwrap();
        let seen = look(folder.path(), "db-*.dump").await;
        let age = value(&seen, "backup_newest_age_seconds").unwrap();
        assert!((93_600.0..93_700.0).contains(&age), "{age}");
        assert_eq!(value(&seen, "backup_newest_size_bytes"), Some(2_000.0));
        assert_eq!(value(&seen, "backup_files"), Some(2.0));
        let Outcome::Measured(seen) = seen else { panic!() };
        assert!(seen.up);
        assert_eq!(&*seen.headline, "2 KiB, 26 h old");
    }

    #[tokio::test]
    async fn nothing_that_fits_and_no_folder_are_failures() {
        let folder = tempfile::tempdir().unwrap();
        for (folder, told) in [
            (folder.path().to_owned(), "no file is called *.dump"),
            (folder.path().join("none"), "the folder does not exist"),
        ] {
            let Outcome::Measured(seen) = look(&folder, "*.dump").await else { panic!() };
            assert!(!seen.up);
            assert_eq!(seen.cause.as_deref(), Some(told));
        }
    }

    #[test]
    fn what_may_not_be_read_says_nothing_about_backups() {
        let denied = Err(io::Error::from(io::ErrorKind::PermissionDenied));
        let outcome = judge(denied, Timestamp::from_millis(0), &target(Path::new("x"), "*"));
        assert!(matches!(outcome, Outcome::NotMeasured(obstacle) if obstacle.remedy.is_some()));
    }

    #[test]
    fn a_file_from_the_future_is_new() {
        let seen = Seen { files: 1, newest: Timestamp::from_millis(5_000), size: 1 };
        let outcome = judge(Ok(seen), Timestamp::from_millis(0), &target(Path::new("x"), "*"));
        assert_eq!(value(&outcome, "backup_newest_age_seconds"), Some(0.0));
    }
}
