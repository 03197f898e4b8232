use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A wall-clock instant in milliseconds since the Unix epoch, the resolution of Prometheus.
///
/// It has no `now()` on purpose: pure cores receive `now` as an argument, shells ask
/// [`crate::ports::Clock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant that can be written.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest instant that can be written.
    pub const MAX: Self = Self(i64::MAX);

    /// From milliseconds since the Unix epoch; negative before 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From seconds since the Unix epoch, rounded to the nearest millisecond. `None` for NaN,
    /// infinities and values outside the range of 64-bit milliseconds.
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        let millis = (seconds * 1000.0).round();
        // 2^63 itself is not an i64, hence the strict upper bound.
        let fits = (-(2f64.powi(63))..2f64.powi(63)).contains(&millis);
        #[allow(clippy::cast_possible_truncation)]
        fits.then_some(Self(millis as i64))
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Seconds since the Unix epoch, as Prometheus' API and `time()` give them.
    #[allow(clippy::cast_precision_loss)]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }

    /// The time from `earlier` to `self`; `None` when the wall clock was set back in between,
    /// so that the caller has to decide what that means.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(self.0.checked_sub(earlier.0)?).ok().map(Duration::from_millis)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds; the plain number where no calendar date exists.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

fn millis_of(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    /// Saturates at [`Timestamp::MAX`].
    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(millis_of(length)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    /// Saturates at [`Timestamp::MIN`].
    fn sub(self, length: Duration) -> Self {
        Self(self.0.saturating_sub(millis_of(length)))
    }
}

/// Half-open `[start, end)`, never empty. For calendars and service levels, where ranges tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    start: Timestamp,
    end: Timestamp,
}

impl TimeRange {
    /// `None` unless `start < end`.
    pub fn new(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The first instant inside.
    pub fn start(self) -> Timestamp {
        self.start
    }

    /// The first instant after.
    pub fn end(self) -> Timestamp {
        self.end
    }

    /// Whether `start <= at < end`.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }

    /// What both ranges cover; `None` when they do not meet.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// How long it lasts; more than zero.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.end.0.abs_diff(self.start.0))
    }
}

/// PromQL's left-open window `(after, through]` (Prometheus 3). A type of its own, so that it
/// cannot be mixed up with [`TimeRange`] in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Samples at this very instant are outside.
    pub after: Timestamp,
    /// Samples at this very instant are inside.
    pub through: Timestamp,
}

impl Window {
    /// Whether `after < at <= through`.
    pub fn contains(self, at: Timestamp) -> bool {
        self.after < at && at <= self.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_is_not_a_duration() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(3_500));
        assert_eq!(late.since(early), Some(Duration::from_millis(2_500)));
        assert_eq!(early.since(late), None);
    }

    #[test]
    fn seconds_that_are_no_instant_are_refused() {
        assert_eq!(Timestamp::from_seconds(1.5), Some(Timestamp::from_millis(1_500)));
        assert_eq!(Timestamp::from_seconds(f64::NAN), None);
        assert_eq!(Timestamp::from_seconds(f64::INFINITY), None);
        assert_eq!(Timestamp::from_seconds(1e300), None);
    }

    #[test]
    fn a_window_is_open_on_the_left() {
        let window =
            Window { after: Timestamp::from_millis(10), through: Timestamp::from_millis(20) };
        assert!(!window.contains(Timestamp::from_millis(10)));
        assert!(window.contains(Timestamp::from_millis(20)));
    }

    #[test]
    fn it_reads_as_a_date() {
        assert_eq!(Timestamp::from_millis(1_500).to_string(), "1970-01-01T00:00:01.500Z");
        assert_eq!(Timestamp::MAX.to_string(), "9223372036854775807ms");
    }
}
