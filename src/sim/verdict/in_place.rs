//! What is told in somebody's place: to the fallback owner, or by an owner's next way.

use std::collections::BTreeMap;

use super::{Story, state};
use crate::ports::Address;
use crate::sim::story::Told;

/// An address that refuses does so for what comes behind as well, but a slow answer may come first.
const REFUSED_LATER: i64 = 75_000;

/// The fallback owner, or the next way, hears only what the owner, or the way before, was not reached
/// with.
pub(super) fn only_after_the_others(story: &Story) -> Result<(), String> {
    for escalated in &story.arrivals {
        let Some(stamp) = escalated.delivery.message.html.strip_prefix("escalated from ") else {
            continue;
        };
        let reached = story.arrivals.iter().find(|arrival| {
            arrival.delivery.message.html == stamp
                && arrival.delivery.message.incident == escalated.delivery.message.incident
                && arrival.answered + 10_000 < story.sent[&escalated.delivery.key]
                && !story.excused.contains_key(&arrival.delivery.key)
        });
        if let Some(reached) = reached {
            let key = &reached.delivery.key;
            return Err(format!("{key} had arrived, and yet {}", escalated.delivery.key));
        }
    }
    Ok(())
}

/// And nothing that the owner knows better, from a later message.
pub(super) fn nothing_that_was_overtaken(story: &Story) -> Result<(), String> {
    let told: BTreeMap<&str, &Told> =
        story.told.iter().map(|told| (told.key.as_str(), told)).collect();
    let mut later: BTreeMap<&str, Vec<(u32, i64)>> = BTreeMap::new();
    for arrival in &story.arrivals {
        let key = arrival.delivery.key.as_str();
        if let Some(told) = told.get(key).filter(|told| !told.escalated)
            && !story.excused.contains_key(key)
        {
            let reached = (told.number, arrival.answered + 10_000);
            later.entry(told.incident.as_str()).or_default().push(reached);
        }
    }
    for told in story.told.iter().filter(|told| told.escalated) {
        let reached = later.get(told.incident.as_str()).into_iter().flatten();
        let mut before = reached.filter(|(number, at)| told.number < *number && *at < told.at);
        // A restart forgets who was reached with what.
        let remembered =
            |at: i64| !story.crashed.iter().any(|crash| (at - 10_000..=told.at).contains(crash));
        if let Some((number, at)) = before.find(|(_, at)| remembered(*at)) {
            return Err(format!("{}: {number} had arrived before {at}", told.key));
        }
    }
    Ok(())
}

/// Who hears in somebody's place that an alert is over, when it is known to have begun again, hears
/// that as well.
pub(super) fn who_stands_in_is_not_left_with_an_old_end(story: &Story) -> Result<(), String> {
    for told in story.told.iter().filter(|told| told.escalated) {
        for fault in &story.faults {
            if state(&told.text, &fault.alert) != Some(false) {
                continue;
            }
            let owners = &story.sometimes[fault.owner];
            let since = |other: &&Told| {
                !other.in_place
                    && owners.contains(&other.to)
                    && (told.worded + 1..=told.at).contains(&other.at)
                    && state(&other.text, &fault.alert).is_some()
            };
            let last = story.told.iter().rfind(since);
            let Some(last) = last.filter(|last| state(&last.text, &fault.alert) == Some(true))
            else {
                continue;
            };
            let same =
                |other: &Told| (&other.incident, other.number) == (&last.incident, last.number);
            let refuses = owners.iter().any(|to| story.refused.contains(to));
            let until = told.at + if refuses { REFUSED_LATER } else { 0 };
            let stands = |other: &&Told| other.escalated && same(other) && other.at <= until;
            let of_owner = |other: &&Told| !other.escalated && same(other);
            let mut keys = story.told.iter().filter(of_owner).map(|other| &other.key);
            let arrived = keys.any(|key| {
                let arrivals = story.arrivals.iter();
                arrivals.filter(|arrival| arrival.delivery.key == *key).any(|a| a.at <= until)
            });
            let known = |known: &crate::sim::story::Acknowledged| {
                known.incident == last.incident && known.at <= until
            };
            let crashed = story.crashed.iter().any(|at| (told.at..=until).contains(at));
            let excused = arrived || crashed || story.acknowledged.iter().any(known);
            if !excused && !story.told.iter().any(|other| stands(&other)) {
                let (key, alert) = (&told.key, &fault.alert);
                return Err(format!("{key} tells that {alert} is over; not so since {last:?}"));
            }
        }
    }
    Ok(())
}

/// Who is told by the first way that works hears only ends and who knows by the others, unless the
/// ways before failed.
pub(super) fn next_way_is_not_the_first(story: &Story) -> Result<(), String> {
    let ways: &[Address] = if story.one_way { &story.always["office"] } else { &[] };
    for told in story.told.iter().filter(|told| !told.in_place) {
        let later = ways.iter().skip(1).any(|to| *to == told.to);
        if later && !["AllResolved", "Acknowledged"].contains(&&*told.why) {
            return Err(format!("{told:?} by another way than the first"));
        }
    }
    Ok(())
}
