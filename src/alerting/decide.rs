use std::time::Duration;

use super::Why;
use crate::model::Timestamp;

/// What one look at a group of alerts found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Alerts that fire and may be told.
    pub firing: usize,
    /// Those of them that were not told as firing yet.
    pub new: usize,
    /// Alerts told as firing that are over, or ends that are told anyhow.
    pub over: usize,
    /// Alerts told as firing that still are, whether they may be told now or not.
    pub told_and_firing: usize,
}

/// What was told of the group last, when it is not over yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Last {
    /// When.
    pub told: Timestamp,
}

/// Whether to tell, and why. The order of the reasons is Alertmanager's.
///
/// `None` means: nothing that was not told already.
pub fn decide(
    last: Option<Last>,
    sight: Sight,
    repeat_interval: Duration,
    now: Timestamp,
) -> Option<Why> {
    let Some(last) = last else {
        return (sight.firing > 0).then_some(Why::First);
    };
    if sight.new > 0 {
        return Some(Why::NewAlerts);
    }
    if sight.over > 0 {
        let all = sight.firing == 0 && sight.told_and_firing == 0;
        return Some(if all { Why::AllResolved } else { Why::NewResolved });
    }
    // A clock that was set back is no reason to repeat.
    let waited = now.since(last.told).is_some_and(|waited| repeat_interval < waited);
    (sight.firing > 0 && waited).then_some(Why::Repeat)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn told(seconds: i64) -> Option<Last> {
        Some(Last { told: at(seconds) })
    }

    #[test]
    fn every_reason_has_its_case() {
        let one = Sight { firing: 1, new: 1, ..Sight::default() };
        assert_eq!(decide(None, one, HOUR, at(0)), Some(Why::First));
        assert_eq!(decide(told(0), one, HOUR, at(1)), Some(Why::NewAlerts));
        let same = Sight { firing: 1, told_and_firing: 1, ..Sight::default() };
        assert_eq!(decide(told(0), same, HOUR, at(3600)), None);
        assert_eq!(decide(told(0), same, HOUR, at(3601)), Some(Why::Repeat));
        let part = Sight { over: 1, ..same };
        assert_eq!(decide(told(0), part, HOUR, at(1)), Some(Why::NewResolved));
        let all = Sight { over: 2, ..Sight::default() };
        assert_eq!(decide(told(0), all, HOUR, at(1)), Some(Why::AllResolved));
        assert_eq!(decide(None, all, HOUR, at(1)), None, "nobody heard the beginning");
    }

    #[test]
    fn what_is_silenced_and_still_firing_is_not_over() {
        let other_is_silenced = Sight { over: 1, told_and_firing: 1, ..Sight::default() };
        let why = decide(told(0), other_is_silenced, HOUR, at(1));
        assert_eq!(why, Some(Why::NewResolved));
        let silenced = Sight { told_and_firing: 1, ..Sight::default() };
        assert_eq!(decide(told(0), silenced, HOUR, at(99_999)), None, "and is not repeated");
    }

    #[test]
    fn a_clock_set_back_repeats_nothing() {
        let same = Sight { firing: 1, told_and_firing: 1, ..Sight::default() };
        assert_eq!(decide(told(10_000), same, HOUR, at(0)), None);
    }

    proptest! {
        #[test]
        fn it_never_speaks_without_news_or_patience(
            firing in 0usize..3, over in 0usize..3, held in 0usize..3, later in 0i64..3600
        ) {
            let sight = Sight { firing, new: 0, over, told_and_firing: held };
            let spoken = decide(told(0), sight, HOUR, at(later));
            prop_assert_eq!(spoken.is_some(), over > 0);
        }
    }
}
