use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Ten years in microseconds: the buckets take memory.
const LONGEST: u64 = 315_360_000_000_000;

/// How long something took, many times: every duration counts, three digits of it are kept.
///
/// For a person who asks how a server is today. What the schedule sees in hours needs no such
/// thing: a target that is looked at once a minute has no percentile worth the name.
#[derive(Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        // Invariant: three digits are within the zero to five that it can keep.
        #[allow(clippy::expect_used)]
        Self(Histogram::new(3).expect("three digits are allowed"))
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latency({} durations, at most {:?})", self.count(), self.longest())
    }
}

impl Latency {
    /// One more duration; whole microseconds count.
    pub fn record(&mut self, took: Duration) {
        // It grows as needed, and `micros` keeps within what it can hold.
        let _ = self.0.record(micros(took));
    }

    /// One more duration, of something that was to begin each `every`. What could not begin while
    /// it lasted counts as having waited for its end: else a server that stands still for a minute
    /// would be one slow answer among thousands ("coordinated omission").
    pub fn record_at_pace(&mut self, took: Duration, every: Duration) {
        if self.0.record_correct(micros(took), micros(every)).is_err() {
            self.record(took);
        }
    }

    /// How many durations there are, those included that could not begin.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The duration that a share of all does not exceed; `share` from 0 to 1.
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(share).min(self.0.max()))
    }

    /// The shortest duration.
    pub fn shortest(&self) -> Duration {
        Duration::from_micros(self.0.min())
    }

    /// The longest duration.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.0.max())
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn quantiles_are_those_of_the_durations() {
        let mut latency = Latency::default();
        (1..=1_000).for_each(|n| latency.record(MILLI * n));
        let near = |share: f64, wanted: Duration| {
            let found = latency.quantile(share);
            assert!(found.abs_diff(wanted) <= wanted / 1_000, "{share}: {found:?}");
        };
        near(0.5, MILLI * 500);
        near(0.99, MILLI * 990);
        near(1.0, MILLI * 1_000);
        assert_eq!(latency.count(), 1_000);
        assert!(latency.shortest().abs_diff(MILLI) <= MILLI / 1_000);
        assert!(latency.longest().abs_diff(MILLI * 1_000) <= MILLI);
    }

    #[test]
    fn what_could_not_begin_has_waited() {
        // 99 quick answers, then one that takes ten seconds while one was to begin each 100 ms.
        let (mut plain, mut paced) = (Latency::default(), Latency::default());
        for took in std::iter::repeat_n(MILLI, 99).chain([Duration::from_secs(10)]) {
            plain.record(took);
            paced.record_at_pace(took, MILLI * 100);
        }
        assert!(plain.quantile(0.9) <= MILLI * 2, "{plain:?}");
        assert!(paced.quantile(0.9) > Duration::from_secs(7), "{paced:?}");
        assert_eq!((plain.count(), paced.count()), (100, 199));
    }

    #[test]
    fn nothing_breaks_at_the_ends() {
        let mut latency = Latency::default();
        assert_eq!((latency.count(), latency.quantile(0.5)), (0, Duration::ZERO));
        latency.record(Duration::ZERO);
        latency.record_at_pace(Duration::from_secs(3600), Duration::ZERO);
        assert_eq!(latency.count(), 2);
        assert!(latency.longest() >= Duration::from_secs(3596));
    }
}
