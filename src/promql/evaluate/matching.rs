//! Which series of two vectors belong together.

use hashbrown::HashMap;

use super::super::syntax::Matching;
use super::METADATA_LABELS;
use super::points::Series;
use crate::model::{Labels, METRIC_NAME};

/// Series of both sides that have the labels to match on in common.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub left: Vec<usize>,
    pub right: Vec<usize>,
}

/// The labels that series are matched on.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
    if matching.on {
        return labels.only(&names);
    }
    let names: Vec<&str> = names.into_iter().chain([METRIC_NAME]).collect();
    labels.without(&names)
}

/// Groups in the order in which they are first met, left side first.
pub(super) fn groups(
    left: &[Series],
    right: &[Series],
    matching: &Matching,
) -> Vec<(Labels, Matched)> {
    let mut groups: Vec<(Labels, Matched)> = Vec::new();
    let mut places: HashMap<Labels, usize> = HashMap::new();
    for (side, all) in [left, right].into_iter().enumerate() {
        for (at, series) in all.iter().enumerate() {
            let key = signature(&series.labels, matching);
            let place = *places.entry(key.clone()).or_insert_with(|| {
                groups.push((key, Matched::default()));
                groups.len() - 1
            });
            let matched = &mut groups[place].1;
            if side == 0 { matched.left.push(at) } else { matched.right.push(at) }
        }
    }
    groups
}

/// The labels of a result: those of the "many" side, or the matched ones when both sides have
/// one; with those of `group_left (…)` from the "one" side.
pub(super) fn result_labels(
    many: &Labels,
    one: &Labels,
    matching: &Matching,
    one_to_one: bool,
    drops_name: bool,
) -> Labels {
    let mut labels = many.clone();
    if drops_name {
        labels = labels.without(&METADATA_LABELS);
    }
    if one_to_one {
        let names: Vec<&str> = matching.labels.iter().map(String::as_str).collect();
        labels = if matching.on { labels.only(&names) } else { labels.without(&names) };
    }
    for name in &matching.include {
        labels = labels.with(name, one.get(name).unwrap_or(""));
    }
    labels
}
