use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::exposition::{Limits, Syntax, parse};
use crate::model::{Batch, Labels};
use crate::ports::{Append, Clock};
use crate::telemetry::Telemetry;

/// As often as a Prometheus would come.
const INTERVAL: Duration = Duration::from_secs(15);

/// Our own metrics go into our own store, as a Prometheus that scrapes us would have them: the
/// shipped rules about our own health read them there.
pub async fn keep(
    telemetry: Arc<Telemetry>,
    append: Arc<dyn Append>,
    clock: Arc<dyn Clock>,
    common: Labels,
    data: Option<PathBuf>,
    stop: CancellationToken,
) {
    let mut room: JoinSet<()> = JoinSet::new();
    loop {
        // One look at a time: a file system that hangs must not take thread after thread.
        while room.try_join_next().is_some() {}
        if let Some(data) = data.clone().filter(|_| room.is_empty()) {
            let telemetry = telemetry.clone();
            room.spawn_blocking(move || measure(&data, &telemetry));
        }
        let next = clock.mono().after(INTERVAL);
        let mut batch = Batch::new("own".into(), clock.wall());
        match parse(telemetry.encode().as_bytes(), Syntax::OpenMetrics, Limits::default()) {
            Ok(page) => {
                for sample in page.samples {
                    batch.push(sample.labels.overridden_by(&common), sample.value);
                }
            }
            Err(error) => tracing::error!("our own metrics cannot be read: {error}"),
        }
        // What the disk refuses is in memory, and counted by the store.
        let _ = append.append(batch).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
    }
}

/// How much room the file system of the data folder has. What cannot be asked stays what it was.
fn measure(data: &Path, telemetry: &Telemetry) {
    if let Ok(found) = rustix::fs::statvfs(data) {
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        telemetry.storage.filesystem(bytes(found.f_blocks), bytes(found.f_bavail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_on_the_disk_is_told() {
        let (folder, telemetry) = (tempfile::tempdir().unwrap(), Telemetry::new());
        measure(folder.path(), &telemetry);
        let told = |name: &str| {
            let text = telemetry.encode();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
            line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
        };
        let size = told("augenmass_storage_filesystem_size_bytes");
        let free = told("augenmass_storage_filesystem_free_bytes");
        assert!(size > 0.0 && (0.0..=size).contains(&free), "{size} {free}");
    }
}
