//! Sets of instants as ranges in order, apart from each other.

use std::time::Duration;

use crate::model::{TimeRange, Timestamp};

/// What both cover.
pub fn both(left: &[TimeRange], right: &[TimeRange]) -> Vec<TimeRange> {
    let (mut found, mut at) = (Vec::new(), 0);
    for range in left {
        while right.get(at).is_some_and(|other| other.end() <= range.start()) {
            at += 1;
        }
        let meets = right.iter().skip(at).take_while(|other| other.start() < range.end());
        found.extend(meets.filter_map(|other| range.intersect(*other)));
    }
    found
}

/// What the left one covers and the right one does not.
pub fn without(left: &[TimeRange], right: &[TimeRange]) -> Vec<TimeRange> {
    let mut found = Vec::new();
    for range in left {
        let mut from = range.start();
        for other in right.iter().filter(|other| range.intersect(**other).is_some()) {
            found.extend(TimeRange::new(from, other.start()));
            from = from.max(other.end());
        }
        found.extend(TimeRange::new(from, range.end()));
    }
    found
}

/// In order, with those that touch made one.
pub fn tidy(mut ranges: Vec<TimeRange>) -> Vec<TimeRange> {
    ranges.sort_by_key(|range| range.start());
    let mut found: Vec<TimeRange> = Vec::new();
    for range in ranges {
        match found.last_mut() {
            Some(last) if last.end() >= range.start() => {
                let end = last.end().max(range.end());
                *last = TimeRange::new(last.start(), end).unwrap_or(*last);
            }
            _ => found.push(range),
        }
    }
    found
}

/// How long they last together.
pub fn total(ranges: &[TimeRange]) -> Duration {
    ranges.iter().map(|range| range.length()).sum()
}

/// The first of them up to a length, and the rest.
pub fn split(ranges: &[TimeRange], mut length: Duration) -> (Vec<TimeRange>, Vec<TimeRange>) {
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for range in ranges {
        let cut = (range.start() + length).min(range.end());
        first.extend(TimeRange::new(range.start(), cut));
        rest.extend(TimeRange::new(cut, range.end()));
        length = length.saturating_sub(range.length());
    }
    (first, rest)
}

/// What lies from one instant to another; nothing when they are not in order.
pub fn span(from: Timestamp, to: Timestamp) -> Vec<TimeRange> {
    TimeRange::new(from, to).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ranges(lengths: &[(u8, u8)]) -> Vec<TimeRange> {
        let (mut at, mut found) = (0_i64, Vec::new());
        for (gap, length) in lengths {
            let start = at + i64::from(*gap);
            at = start + i64::from(*length);
            let (start, end) = (Timestamp::from_millis(start), Timestamp::from_millis(at));
            found.extend(TimeRange::new(start, end));
        }
        tidy(found)
    }

    fn has(ranges: &[TimeRange], at: i64) -> bool {
        ranges.iter().any(|range| range.contains(Timestamp::from_millis(at)))
    }

    proptest! {
        #[test]
        fn sets_are_what_their_instants_are(
            left in prop::collection::vec((0_u8..5, 0_u8..5), 0..8),
            right in prop::collection::vec((0_u8..5, 0_u8..5), 0..8),
            length in 0_u64..20,
        ) {
            let (left, right) = (ranges(&left), ranges(&right));
            let (common, rest) = (both(&left, &right), without(&left, &right));
            let (first, last) = split(&left, Duration::from_millis(length));
            for at in 0..80 {
                let (a, b) = (has(&left, at), has(&right, at));
                prop_assert_eq!(has(&common, at), a && b);
                prop_assert_eq!(has(&rest, at), a && !b);
                prop_assert_eq!(has(&first, at) || has(&last, at), a);
            }
            prop_assert_eq!(total(&common) + total(&rest), total(&left));
            prop_assert_eq!(total(&first), total(&left).min(Duration::from_millis(length)));
            let mut mixed = [first, last].concat();
            mixed.reverse();
            prop_assert_eq!(tidy(mixed), left);
        }
    }
}
