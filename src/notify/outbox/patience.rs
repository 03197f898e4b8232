use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

/// How patiently messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Deliveries at the same time through one channel.
    pub concurrency: usize,
    /// Wait after the first failure; doubled after each further one.
    pub retry_first: Duration,
    /// The longest wait between two tries.
    pub retry_longest: Duration,
    /// An owner whom none of their addresses reached for so long is unreachable: the fallback
    /// owner is told.
    pub escalate_after: Duration,
    /// A message that could not be delivered for so long is a dead letter.
    pub give_up_after: Duration,
}

impl Default for Patience {
    /// 4 at a time; 2 s to 5 min between tries; the fallback owner after 2 min; 72 h.
    fn default() -> Self {
        Self {
            concurrency: 4,
            retry_first: Duration::from_secs(2),
            retry_longest: Duration::from_secs(300),
            escalate_after: Duration::from_secs(120),
            give_up_after: Duration::from_secs(72 * 3600),
        }
    }
}

impl Patience {
    /// The wait before the next try, a fifth more or less so that tries do not march in step;
    /// the same for the same ticket and try.
    pub(super) fn wait(&self, key: &str, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = self.retry_first.saturating_mul(1 << doublings).min(self.retry_longest);
        let luck = xxh3_64(format!("{key} {attempts}").as_bytes()) % 401;
        wait * u32::try_from(800 + luck).unwrap_or(1000) / 1000
    }
}
