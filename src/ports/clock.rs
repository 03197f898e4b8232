use std::time::Duration;

use super::Doing;
use crate::model::Timestamp;

/// Monotonic instant since an arbitrary start. Cannot be stored, compared with a [`Timestamp`],
/// or survive a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub Duration);

impl Tick {
    /// The time from `earlier` to `self`, zero when `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// This much later.
    #[must_use]
    pub fn after(self, length: Duration) -> Tick {
        Tick(self.0.saturating_add(length))
    }
}

/// Time, given to shells only. Pure cores receive `now` as an argument.
pub trait Clock: Send + Sync {
    /// The wall clock; may jump in either direction. For data and for what people read.
    fn wall(&self) -> Timestamp;
    /// Never goes back. For durations, deadlines and intervals.
    fn mono(&self) -> Tick;
    /// Waits until the monotonic clock has reached `tick`.
    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()>;
}
