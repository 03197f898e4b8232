//! What the benches measure with: a clock that is set, and what this process has used so far.
#![allow(dead_code)] // not every bench needs everything

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use augenmass::model::Timestamp;
use augenmass::ports::{Clock, Doing, Tick};

/// Says the time it was set to, in milliseconds since 1970; nobody can wait for it.
pub struct SetClock(AtomicI64);

impl SetClock {
    pub fn at(millis: i64) -> Self {
        Self(AtomicI64::new(millis))
    }

    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Tick {
        Tick::default()
    }
    fn sleep_until(&self, _: Tick) -> Doing<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Processor time of this process, of both kinds (`proc_pid_stat(5)`), to a hundredth of a second.
pub fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

/// Bytes of memory that this process occupies (`proc_pid_statm(5)`).
pub fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0) * 4096
}
