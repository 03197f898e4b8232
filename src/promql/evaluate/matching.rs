//! Which series of two vectors belong together.

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::super::syntax::Matching;
use super::METADATA_LABELS;
use super::points::Series;
use crate::model::{Labels, METRIC_NAME};

/// Series of both sides that have the labels to match on in common: mostly one of each.
#[derive(Debug, Default)]
pub(super) struct Matched {
    pub left: SmallVec<[usize; 1]>,
    pub right: SmallVec<[usize; 1]>,
}

/// Names of labels; there are few.
type Names<'a> = SmallVec<[&'a str; 8]>;

fn names(matching: &Matching) -> Names<'_> {
    matching.labels.iter().map(String::as_str).collect()
}

/// The labels that series are matched on.
pub(super) fn signature(labels: &Labels, matching: &Matching) -> Labels {
    let mut names = names(matching);
    if matching.on {
        return labels.only(&names);
    }
    names.push(METRIC_NAME);
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
    let mut names = if one_to_one { names(matching) } else { Names::new() };
    let mut labels = if one_to_one && matching.on {
        if drops_name {
            names.retain(|name| !METADATA_LABELS.contains(name));
        }
        many.only(&names)
    } else {
        if drops_name {
            names.extend(METADATA_LABELS);
        }
        many.without(&names)
    };
    for name in &matching.include {
        labels = labels.with(name, one.get(name).unwrap_or(""));
    }
    labels
}
