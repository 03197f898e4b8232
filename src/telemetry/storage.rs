use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;

use super::catalogue::Registry;

/// Keeping samples.
#[derive(Debug)]
pub struct StorageTelemetry {
    appended: Counter,
    too_old: Counter,
    series: Gauge,
    sources: Gauge,
    chunks: Gauge,
    samples_bytes: Gauge,
    commits: Counter,
    commits_failed: Counter,
    commit_bytes: Counter,
    disk_failing: Gauge,
    segments: Gauge,
    segment_bytes: Gauge,
    damaged: Counter,
    lost: Counter,
    filesystem_size: Gauge,
    filesystem_free: Gauge,
}

impl StorageTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            appended: Counter::default(),
            too_old: Counter::default(),
            series: Gauge::default(),
            sources: Gauge::default(),
            chunks: Gauge::default(),
            samples_bytes: Gauge::default(),
            commits: Counter::default(),
            commits_failed: Counter::default(),
            commit_bytes: Counter::default(),
            disk_failing: Gauge::default(),
            segments: Gauge::default(),
            segment_bytes: Gauge::default(),
            damaged: Counter::default(),
            lost: Counter::default(),
            filesystem_size: Gauge::default(),
            filesystem_free: Gauge::default(),
        };
        registry.register("samples_appended", "Samples accepted", new.appended.clone());
        registry.register(
            "samples_too_old",
            "Samples refused because they were older than the out-of-order window",
            new.too_old.clone(),
        );
        registry.register("series", "Series with samples in memory", new.series.clone());
        registry.register("sources", "Sources with samples in memory", new.sources.clone());
        registry.register("chunks", "Compressed runs of rows in memory", new.chunks.clone());
        registry.register_with_unit(
            "memory",
            "Memory taken by samples, without labels and index",
            Unit::Bytes,
            new.samples_bytes.clone(),
        );
        new.register_disk(registry);
        new.register_filesystem(registry);
        new
    }

    fn register_disk(&self, registry: &mut Registry) {
        let new = self;
        registry.register("commits", "Trips to the disk with new samples", new.commits.clone());
        registry.register(
            "commits_failed",
            "Trips to the disk that it refused",
            new.commits_failed.clone(),
        );
        registry.register_with_unit(
            "committed",
            "New samples written to the tail on disk",
            Unit::Bytes,
            new.commit_bytes.clone(),
        );
        registry.register(
            "disk_failing",
            "1 while the disk refuses samples and they are kept in memory only",
            new.disk_failing.clone(),
        );
        registry.register("segments", "Sealed files on disk", new.segments.clone());
        registry.register_with_unit(
            "segments",
            "Size of the sealed files on disk",
            Unit::Bytes,
            new.segment_bytes.clone(),
        );
        registry.register(
            "damaged_pieces",
            "Pieces of stored samples that were found damaged and set aside",
            new.damaged.clone(),
        );
        registry.register(
            "rows_lost",
            "Rows dropped from memory although the disk never took them",
            new.lost.clone(),
        );
    }

    fn register_filesystem(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "filesystem_size",
            "Size of the file system that holds the data folder; 0 without a data folder",
            Unit::Bytes,
            self.filesystem_size.clone(),
        );
        registry.register_with_unit(
            "filesystem_free",
            "Room that is left for us in the file system that holds the data folder",
            Unit::Bytes,
            self.filesystem_free.clone(),
        );
    }

    /// The file system of the data folder has `size` bytes, of which we may use `free`.
    pub fn filesystem(&self, size: u64, free: u64) {
        self.filesystem_size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.filesystem_free.set(i64::try_from(free).unwrap_or(i64::MAX));
    }

    /// So many rows left memory without having been sealed.
    pub fn lost(&self, rows: usize) {
        self.lost.inc_by(rows as u64);
    }

    /// So many samples were accepted.
    pub fn appended(&self, samples: usize) {
        self.appended.inc_by(samples as u64);
    }

    /// So many samples were refused as too old.
    pub fn too_old(&self, samples: usize) {
        self.too_old.inc_by(samples as u64);
    }

    /// What is in memory.
    pub fn head(&self, series: usize, sources: usize, chunks: usize, samples_bytes: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.series.set(number(series));
        self.sources.set(number(sources));
        self.chunks.set(number(chunks));
        self.samples_bytes.set(number(samples_bytes));
    }

    /// A group of samples went to the disk, or the disk refused it.
    pub fn committed(&self, bytes: usize, accepted: bool) {
        self.commits.inc();
        if accepted {
            self.commit_bytes.inc_by(bytes as u64);
        } else {
            self.commits_failed.inc();
        }
        self.disk_failing.set(i64::from(!accepted));
    }

    /// What is sealed on disk; `worked` is false when sealing or merging just failed.
    pub fn segments(&self, count: usize, bytes: u64, worked: bool) {
        self.segments.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.segment_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        if !worked {
            self.disk_failing.set(1);
        }
    }

    /// Stored samples were found damaged.
    pub fn damaged(&self) {
        self.damaged.inc();
    }
}
