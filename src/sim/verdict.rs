use std::collections::{BTreeMap, BTreeSet};

use super::network::Arrival;
use super::world::Story;
use crate::ports::Address;

/// Whether the promises of DESIGN were kept; otherwise which one was not.
pub(super) fn judge(story: &Story) -> Result<(), String> {
    same_key_same_message(story)?;
    no_needless_repeat(story)?;
    only_owners_are_told(story)?;
    whoever_heard_hears_the_end_once(story)?;
    nobody_stays_untold(story)?;
    ends_are_true(story)?;
    fallback_is_the_last_way(story)?;
    first_news_are_quick(story)?;
    if story.open_at_the_end > 0 {
        return Err(format!("{} messages are still on their way", story.open_at_the_end));
    }
    Ok(())
}

fn same_key_same_message(story: &Story) -> Result<(), String> {
    let mut seen: BTreeMap<&str, &Arrival> = BTreeMap::new();
    let mut contents = BTreeMap::new();
    for arrival in &story.arrivals {
        let delivery = &arrival.delivery;
        let first = seen.entry(&delivery.key).or_insert(arrival);
        if first.delivery != *delivery {
            return Err(format!("{} carried two messages", delivery.key));
        }
        let message = &delivery.message;
        let content =
            (&delivery.to, &message.incident, &message.subject, &message.text, &message.html);
        if *contents.entry(content).or_insert(&delivery.key) != &delivery.key {
            return Err(format!("one message under two keys: {}", delivery.key));
        }
    }
    Ok(())
}

/// A key comes again only after a lost answer, a duplicating network, or a crash before its end
/// was noted.
fn no_needless_repeat(story: &Story) -> Result<(), String> {
    let mut times: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in &story.arrivals {
        *times.entry(&arrival.delivery.key).or_default() += 1;
    }
    for (key, times) in times {
        let excused = story.excused.get(key).copied().unwrap_or(0);
        if times > 1 + excused {
            return Err(format!("{key} arrived {times} times, excused are {excused} repeats"));
        }
    }
    Ok(())
}

fn only_owners_are_told(story: &Story) -> Result<(), String> {
    for arrival in &story.arrivals {
        let message = &arrival.delivery.message;
        for (alert, _) in alerts(arrival) {
            let fault = story.faults.iter().find(|fault| fault.alert == alert);
            let owner = fault.ok_or("an unknown alert")?.owner;
            let entitled = story.sometimes[owner].contains(&arrival.delivery.to);
            let fallback = story.sometimes["dispatcher"].contains(&arrival.delivery.to);
            let escalated =
                message.html.starts_with("escalated") || message.subject == "AllResolved";
            if !(entitled || (fallback && escalated)) {
                return Err(format!("{:?} was told of {alert}", arrival.delivery.to));
            }
        }
    }
    Ok(())
}

/// The distinct messages of each incident at each address, in the order of their first arrival.
fn threads(story: &Story) -> BTreeMap<(&Address, &str), Vec<&Arrival>> {
    let mut arrivals: Vec<&Arrival> = story.arrivals.iter().collect();
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut keys = BTreeSet::new();
    let mut threads: BTreeMap<(&Address, &str), Vec<&Arrival>> = BTreeMap::new();
    for arrival in arrivals {
        if keys.insert(&arrival.delivery.key) {
            let thread = (&arrival.delivery.to, arrival.delivery.message.incident.as_str());
            threads.entry(thread).or_default().push(arrival);
        }
    }
    threads
}

fn whoever_heard_hears_the_end_once(story: &Story) -> Result<(), String> {
    for ((to, incident), thread) in threads(story) {
        let heard = thread.iter().any(|arrival| alerts(arrival).iter().any(|(_, firing)| *firing));
        let is_end = |arrival: &&&Arrival| arrival.delivery.message.subject == "AllResolved";
        let ends = thread.iter().filter(is_end).count();
        if ends > 1 || (heard && ends == 0) {
            return Err(format!("{to:?} heard {ends} ends of {incident}"));
        }
        if ends == 1 && !thread.last().is_some_and(|last| is_end(&last)) {
            return Err(format!("{to:?} heard more of {incident} after its end"));
        }
        for pair in thread.windows(2) {
            let again = pair[1].delivery.message.subject == "Repeat"
                && pair[0].delivery.message.subject == "Repeat";
            if again && pair[1].at - pair[0].at < 15 * 60_000 && story.calm {
                return Err(format!("{to:?} was bored with {incident}"));
            }
        }
    }
    Ok(())
}

/// Every outage that was reported and lasted for long enough is told to every address its owner
/// had all the time, or to the fallback when none of them works.
fn nobody_stays_untold(story: &Story) -> Result<(), String> {
    for fault in &story.faults {
        for (outage, reported) in fault.outages.iter().zip(&fault.reported) {
            let Some(reported) = *reported else { continue };
            if outage.1 - reported < 150_000 {
                continue;
            }
            // Told of it, or (when it comes and goes) never told that the one before was over.
            let told = |to: &Address| {
                let states = story.arrivals.iter().filter(|arrival| arrival.delivery.to == *to);
                let mut states: Vec<(i64, bool)> = states
                    .flat_map(|arrival| {
                        alerts(arrival).into_iter().map(|state| (arrival.at, state))
                    })
                    .filter(|(_, (alert, _))| *alert == fault.alert)
                    .map(|(at, (_, firing))| (at, firing))
                    .collect();
                states.sort_unstable();
                let before = states.iter().rfind(|(at, _)| *at < reported);
                before.is_some_and(|(_, firing)| *firing)
                    || states.iter().any(|(at, _)| reported <= *at)
            };
            let works = |to: &&Address| !story.refused.contains(to);
            let reachable: Vec<_> = story.always[fault.owner].iter().filter(works).collect();
            let untold = match reachable.is_empty() {
                true => story.always["dispatcher"].iter().find(|to| !told(to)),
                false => reachable.into_iter().find(|to| !told(to)),
            };
            if let Some(untold) = untold {
                return Err(format!("{untold:?} never heard of {} at {outage:?}", fault.alert));
            }
        }
    }
    Ok(())
}

/// What is told as over after it was told as firing has been over in between.
fn ends_are_true(story: &Story) -> Result<(), String> {
    for ((to, _), thread) in threads(story) {
        let mut firing: BTreeMap<String, i64> = BTreeMap::new();
        for arrival in thread {
            let decided = story.decided.get(&arrival.delivery.key).copied().unwrap_or(arrival.at);
            for (alert, fires) in alerts(arrival) {
                if fires {
                    firing.entry(alert).or_insert(decided);
                    continue;
                }
                let Some(since) = firing.remove(&alert) else { continue };
                let fault = story.faults.iter().find(|fault| fault.alert == alert);
                let lasted = |(from, until): &(i64, i64)| *from <= since && decided < *until;
                if fault.is_some_and(|fault| fault.outages.iter().any(lasted)) {
                    return Err(format!("{to:?} heard the end of {alert}, which goes on"));
                }
            }
        }
    }
    Ok(())
}

/// Without accidents the first news of all are there within a second.
fn first_news_are_quick(story: &Story) -> Result<(), String> {
    if !story.calm {
        return Ok(());
    }
    let reports = story.faults.iter().flat_map(|fault| &fault.reported).flatten();
    let Some(first) = reports.min() else { return Ok(()) };
    let arrived = story.arrivals.iter().map(|arrival| arrival.at).min();
    match arrived {
        Some(at) if at - first < 1_000 => Ok(()),
        other => Err(format!("reported at {first}, told at {other:?}")),
    }
}

/// The fallback owner hears only what the owner was not reached with.
fn fallback_is_the_last_way(story: &Story) -> Result<(), String> {
    for escalated in &story.arrivals {
        let Some(stamp) = escalated.delivery.message.html.strip_prefix("escalated from ") else {
            continue;
        };
        let reached = story.arrivals.iter().find(|arrival| {
            arrival.delivery.message.html == stamp
                && arrival.delivery.message.incident == escalated.delivery.message.incident
                && arrival.at + 10_000 < story.sent[&escalated.delivery.key]
                && !story.excused.contains_key(&arrival.delivery.key)
        });
        if let Some(reached) = reached {
            let key = &reached.delivery.key;
            return Err(format!("{key} had arrived, and yet {}", escalated.delivery.key));
        }
    }
    Ok(())
}

fn alerts(arrival: &Arrival) -> Vec<(String, bool)> {
    let states = arrival.delivery.message.text.split(',').filter_map(|text| text.split_once('='));
    states.map(|(alert, state)| (alert.to_owned(), state == "firing")).collect()
}
