//! What was held back, and what is told of it afterwards.

use std::collections::{BTreeMap, BTreeSet};

use super::{Story, is_in_place, state};
use crate::ports::Address;
use crate::sim::story::Told;

/// So long an alert that comes and goes has been over when its end is told, less what the rules and
/// the group may notice late.
const QUIET: i64 = 600_000 - 60_000;
const HOUR: i64 = 3_600_000;

/// Whether a crash forbids to ask for what happened when the route opened.
fn is_disturbed(story: &Story, at: i64) -> bool {
    story.crashed.iter().any(|crash| (at - 60_000..=at + 2_000).contains(crash))
}

/// What was held until an owner's hours began, or until a route opened, is told then.
pub(super) fn an_opening_tells_what_was_held(story: &Story) -> Result<(), String> {
    for (alert, at) in &story.openings {
        if is_disturbed(story, *at) {
            continue;
        }
        let of_it = |told: &&Told| !told.in_place && state(&told.text, alert).is_some();
        let last = story.told.iter().filter(of_it).rfind(|told| told.at <= *at + 1_000);
        if last.and_then(|told| state(&told.text, alert)) != Some(true) {
            return Err(format!("the route is open since {at}, and {alert} is not told: {last:?}"));
        }
    }
    Ok(())
}

/// And in one message, when several incidents begin with it.
pub(super) fn what_was_held_comes_as_one(story: &Story) -> Result<(), String> {
    let mut openings: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (alert, at) in &story.openings {
        openings.entry(*at).or_default().push(alert);
    }
    for (at, held) in openings {
        if is_disturbed(story, at) {
            continue;
        }
        let mut messages: BTreeMap<&Address, BTreeSet<&str>> = BTreeMap::new();
        for arrival in story.arrivals.iter().filter(|arrival| !is_in_place(arrival)) {
            let crate::ports::Delivery { key, to, message } = &arrival.delivery;
            let decided = story.decided.get(key).copied().unwrap_or(arrival.at);
            let begins = ["First", "Digest"].contains(&&*message.subject);
            let of_it = held.iter().any(|alert| state(&message.text, alert) == Some(true));
            if begins && of_it && (at - 15_000..=at + 1_000).contains(&decided) {
                messages.entry(to).or_default().insert(key);
            }
        }
        if let Some((to, keys)) = messages.into_iter().find(|(_, keys)| keys.len() > 1) {
            return Err(format!("{held:?}, held until {at}, came to {to:?} in {keys:?}"));
        }
    }
    Ok(())
}

/// The fourth end within an hour is told only after a while of quiet.
pub(super) fn what_comes_and_goes_is_damped(story: &Story) -> Result<(), String> {
    for fault in &story.faults {
        for to in &story.always[fault.owner] {
            let mut fires = false;
            let mut ends: Vec<i64> = Vec::new();
            for told in story.told.iter().filter(|told| told.to == *to && !told.in_place) {
                let Some(now_fires) = state(&told.text, &fault.alert) else { continue };
                if fires && !now_fires {
                    ends.push(told.at);
                    let recent = ends.iter().filter(|end| told.at - **end < HOUR).count();
                    let busy =
                        |(from, until): &(i64, i64)| *from < told.at && told.at - QUIET < *until;
                    // A restart forgets how often it came.
                    let forgotten = story.crashed.iter().any(|crash| *crash <= told.at);
                    if recent > 3 && !forgotten && fault.outages.iter().any(busy) {
                        let alert = &fault.alert;
                        return Err(format!("{to:?} heard {recent} ends of {alert}: {ends:?}"));
                    }
                }
                fires = now_fires;
            }
        }
    }
    Ok(())
}
