use std::path::PathBuf;
use std::time::Duration;

/// How samples are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Folder for samples; in memory only when absent.
    pub data: Option<PathBuf>,
    /// How much of the past is kept in memory for quick reading (and at all, without a folder);
    /// never less than `seal_every`.
    pub memory: Duration,
    /// Samples older than the newest one of the store by more than this are refused. At most 24 h.
    pub out_of_order: Duration,
    /// How long samples are kept on disk.
    pub retention: Duration,
    /// Oldest samples are dropped when all together take more bytes on disk.
    pub retention_bytes: Option<u64>,
    /// How often the samples in memory become a compressed file.
    pub seal_every: Duration,
    /// The longest an append waits for others to share its trip to the disk; zero: none waits, each
    /// trip takes what is there.
    pub commit_delay: Duration,
}

impl Default for Settings {
    /// In memory, 3 h; with a folder 400 days, as evidence for a year's service levels.
    fn default() -> Self {
        Self {
            data: None,
            memory: Duration::from_secs(3 * 3600),
            out_of_order: Duration::from_secs(3600),
            retention: Duration::from_secs(400 * 86_400),
            retention_bytes: None,
            seal_every: Duration::from_secs(2 * 3600),
            commit_delay: Duration::from_secs(1),
        }
    }
}
