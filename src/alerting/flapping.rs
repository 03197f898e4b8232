use std::collections::VecDeque;
use std::time::Duration;

use hashbrown::HashMap;

use crate::model::{Labels, Timestamp};

/// When an alert that comes and goes is no news any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// So many ends …
    pub ends: usize,
    /// … within this time make an alert a flapping one.
    pub within: Duration,
    /// The end of a flapping alert is told when it has been over for so long.
    pub quiet: Duration,
}

impl Default for Damping {
    /// Three ends within an hour; ten minutes of quiet.
    fn default() -> Self {
        let (within, quiet) = (Duration::from_secs(3600), Duration::from_secs(600));
        Self { ends: 3, within, quiet }
    }
}

/// When alerts ended. Forgotten at a restart: then up to three more ends are told at once.
#[derive(Debug, Default)]
pub(super) struct Flapping {
    ends: HashMap<Labels, VecDeque<Timestamp>>,
}

impl Flapping {
    pub(super) fn ended(&mut self, labels: &Labels, damping: Damping, now: Timestamp) {
        let ends = self.ends.entry(labels.clone()).or_default();
        ends.push_back(now);
        if ends.len() > damping.ends + 1 {
            ends.pop_front();
        }
        if self.ends.len().is_power_of_two() {
            let recent = |end: &Timestamp| now.since(*end).is_none_or(|ago| ago < damping.within);
            self.ends.retain(|_, ends| ends.back().is_some_and(recent));
        }
    }

    /// Whether the alert comes and goes; the end of one that is over just now does not count.
    pub(super) fn is_flapping(
        &self,
        labels: &Labels,
        is_over: bool,
        damping: Damping,
        now: Timestamp,
    ) -> bool {
        let recent = |end: &&Timestamp| now.since(**end).is_some_and(|ago| ago < damping.within);
        self.ends.get(labels).is_some_and(|ends| {
            ends.iter().filter(recent).count() >= damping.ends + usize::from(is_over)
        })
    }

    pub(super) fn clock_moved(&mut self, millis: i64) {
        for end in self.ends.values_mut().flatten() {
            *end = Timestamp::from_millis(end.millis().saturating_add(millis));
        }
    }
}
