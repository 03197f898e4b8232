//! The one file that reads the machine's clocks (held by `clippy.toml`).
#![allow(clippy::disallowed_methods)]

use std::time::{Duration, Instant, SystemTime};

use super::{Clock, Doing, Tick};
use crate::model::Timestamp;

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Ticks count from here.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let now = SystemTime::now();
        let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    fn mono(&self) -> Tick {
        Tick(self.start.elapsed())
    }

    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()> {
        Box::pin(tokio::time::sleep_until((self.start + tick.0).into()))
    }
}
