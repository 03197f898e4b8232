mod held;
mod in_place;

use std::collections::{BTreeMap, BTreeSet};

use super::network::Arrival;
use super::stage::IN_PLACE;
use super::story::{Acknowledged, Fault, Story, Told};
use crate::ports::{Address, Delivery};

/// Whether the promises of DESIGN were kept; otherwise which one was not.
pub(super) fn judge(story: &Story) -> Result<(), String> {
    same_key_same_message(story)?;
    no_needless_repeat(story)?;
    only_owners_are_told(story)?;
    whoever_heard_hears_the_end_once(story)?;
    nobody_stays_untold(story)?;
    ends_are_true(story)?;
    news_come_in_order(story)?;
    nobody_hears_a_beginning_twice(story)?;
    in_place::only_after_the_others(story)?;
    in_place::nothing_that_was_overtaken(story)?;
    first_news_are_quick(story)?;
    nobody_waits_for_long(story)?;
    repeats_are_rare(story)?;
    who_knows_is_left_alone(story)?;
    held::an_opening_tells_what_was_held(story)?;
    held::what_was_held_comes_as_one(story)?;
    held::what_comes_and_goes_is_damped(story)?;
    in_place::who_stands_in_is_not_left_with_an_old_end(story)?;
    in_place::next_way_is_not_the_first(story)?;
    if let Some(leak) = story.leaks.first() {
        return Err(leak.clone());
    }
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
            let escalated = is_in_place(arrival)
                || ["AllResolved", "Acknowledged"].contains(&&*message.subject);
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
            if again && pair[1].at - pair[0].at < story.repeat * 3 / 4 && story.calm {
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
            if story.free(fault, outage) < 150_000 {
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
            let untold = match reachable.as_slice() {
                [] => story.always["dispatcher"].iter().find(|to| !told(to)),
                // One is enough.
                ways if story.one_way(fault) => match ways.iter().any(|to| told(to)) {
                    true => None,
                    false => ways.first().copied(),
                },
                ways => ways.iter().copied().find(|to| !told(to)),
            };
            if let Some(untold) = untold {
                return Err(format!("{untold:?} never heard of {} at {outage:?}", fault.alert));
            }
        }
    }
    Ok(())
}

/// Whoever is to be told has been told when process and channel have worked for a while; and
/// somebody is, whichever of the channels work.
fn nobody_waits_for_long(story: &Story) -> Result<(), String> {
    for fault in &story.faults {
        for ((outage, channel), due) in &fault.due {
            let began = fault.outages[*outage].0;
            let told = |to: &Address| {
                let here = story.arrivals.iter().filter(|arrival| arrival.delivery.to == *to);
                let firing = |arrival: &&Arrival| {
                    let told = alerts(arrival).into_iter().find(|(alert, _)| *alert == fault.alert);
                    told.is_some_and(|(_, firing)| firing)
                };
                // What comes and goes may not have been told as over in between.
                here.filter(|arrival| arrival.at <= *due).filter(firing).any(|arrival| {
                    began <= arrival.at || !over_between(story, fault, to, arrival.at, began)
                })
            };
            let works = |to: &&Address| !story.refused.contains(to) && to.channel() == *channel;
            let own: Vec<&Address> = story.always[fault.owner].iter().filter(works).collect();
            if story.one_way(fault) && story.always[fault.owner].iter().any(told) {
                continue;
            }
            if let Some(untold) = own.iter().find(|to| !told(to)) {
                return Err(format!(
                    "{untold:?} waits for {} since {began}, at {due}",
                    fault.alert
                ));
            }
            let others = story.always["dispatcher"].iter().filter(works);
            let anybody =
                story.sometimes[fault.owner].iter().chain(story.always["dispatcher"].iter());
            if own.is_empty() && others.count() > 0 && !anybody.into_iter().any(told) {
                return Err(format!("nobody was told of {} since {began}, at {due}", fault.alert));
            }
        }
    }
    Ok(())
}

/// Whether an address heard the end of an alert in between.
fn over_between(story: &Story, fault: &Fault, to: &Address, from: i64, until: i64) -> bool {
    let here = story.arrivals.iter().filter(|arrival| arrival.delivery.to == *to);
    let mut here = here.filter(|arrival| (from..until).contains(&arrival.at));
    here.any(|arrival| {
        alerts(arrival).iter().any(|(alert, firing)| *alert == fault.alert && !firing)
    })
}

/// What does not change is told again only after its interval.
fn repeats_are_rare(story: &Story) -> Result<(), String> {
    if story.set_in_the_dark {
        return Ok(());
    }
    for ((to, incident), thread) in threads(story) {
        for pair in thread.windows(2) {
            let decided = |arrival: &Arrival| story.decided.get(&arrival.delivery.key).copied();
            let (Some(before), Some(after)) = (decided(pair[0]), decided(pair[1])) else {
                continue;
            };
            let again = pair[1].delivery.message.subject == "Repeat";
            // What went to somebody else was decided on later than it was told first.
            let elsewhere = is_in_place(pair[0]);
            if again && !elsewhere && after - before < story.repeat - 10_000 {
                return Err(format!("{to:?} heard of {incident} at {before} and again at {after}"));
            }
        }
    }
    Ok(())
}

/// Whether the last that anybody had heard of an alert was that it fires, when its incident became
/// known to somebody; ends are no news.
fn was_heard(story: &Story, known: &Acknowledged, state: &str) -> bool {
    let Some((alert, "firing")) = state.split_once('=') else { return true };
    let before = |arrival: &&Arrival| {
        arrival.at <= known.at && arrival.delivery.message.incident == known.incident
    };
    let heard = story.arrivals.iter().filter(before).flat_map(|arrival| {
        alerts(arrival).into_iter().map(|(told, fires)| (arrival.at, told, fires))
    });
    let of_it = heard.filter(|(_, told, _)| told == alert);
    of_it.max_by_key(|(at, _, _)| *at).is_some_and(|(_, _, fires)| fires)
}

/// Of an incident that somebody knows of, the others hear so, and nobody hears again, and nobody
/// else is told in somebody's place, until an alert joins it.
fn who_knows_is_left_alone(story: &Story) -> Result<(), String> {
    for known in &story.acknowledged {
        let of_it = |told: &&Told| told.incident == known.incident;
        let since = story.told.iter().filter(of_it).filter(|told| known.at <= told.at);
        let since: Vec<&Told> = since.collect();
        for to in known.heard.iter().filter(|to| **to != known.seen_at) {
            let hears = |told: &&Told| told.to == *to && told.why == "Acknowledged";
            if !since.iter().copied().any(|told| hears(&told)) {
                return Err(format!("{to:?} does not hear who knows of {}", known.incident));
            }
        }
        let before = story.told.iter().filter(of_it).filter(|told| told.at <= known.at);
        let number = before.map(|told| told.number).max().unwrap_or(0);
        for told in since.iter().take_while(|told| told.why != "NewAlerts") {
            if told.why == "Repeat" && known.at < told.at {
                return Err(format!("{:?} hears again of {told:?}, known to somebody", told.to));
            }
            let news = || told.text.split(',').any(|state| !was_heard(story, known, state));
            if told.escalated && told.number <= number && known.at < told.at && !news() {
                return Err(format!("{told:?} in somebody's place, and somebody knows of it"));
            }
        }
    }
    Ok(())
}

/// What is told as over after it was told as firing has been over in between, as far as was known
/// when that was decided: what is told in somebody's place says how it was before.
fn ends_are_true(story: &Story) -> Result<(), String> {
    for ((to, _), thread) in threads(story) {
        let mut firing: BTreeMap<String, i64> = BTreeMap::new();
        for arrival in thread {
            let decided = story.worded.get(&arrival.delivery.key).copied().unwrap_or(arrival.at);
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

/// What an address hears of an alert it hears in the order in which it was decided, also across
/// incidents: nobody takes an alert that fires for over because an old message came late.
fn news_come_in_order(story: &Story) -> Result<(), String> {
    let mut arrivals: Vec<&Arrival> = story.arrivals.iter().collect();
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut keys = BTreeSet::new();
    let mut last: BTreeMap<(&Address, String), (i64, i64, bool, &str)> = BTreeMap::new();
    for arrival in arrivals {
        let Delivery { key, to, .. } = &arrival.delivery;
        let Some(&decided) = story.decided.get(key).filter(|_| keys.insert(key)) else { continue };
        let worded = story.worded.get(key).copied().unwrap_or(decided);
        for (alert, fires) in alerts(arrival) {
            match last.insert((to, alert.clone()), (decided, worded, fires, key)) {
                // The last that anybody hears is the last that was so.
                Some((before, so, fired, other))
                    if decided < before || worded < so && fires != fired =>
                {
                    return Err(format!("{to:?} heard {key} of {alert} after {other}"));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// An alert that an address knows to fire is told to it by the incident that began it, and by no
/// other, until it is over.
fn nobody_hears_a_beginning_twice(story: &Story) -> Result<(), String> {
    let mut arrivals: Vec<&Arrival> = story.arrivals.iter().collect();
    arrivals.sort_by_key(|arrival| arrival.at);
    let mut keys = BTreeSet::new();
    let mut open: BTreeMap<(&Address, String), &str> = BTreeMap::new();
    // Of an owner who is told by the first way that works, and so reads all of them: ends, and when
    // they were decided on.
    let mut ended: BTreeMap<(&str, String), i64> = BTreeMap::new();
    let office = &story.always["office"];
    for arrival in arrivals {
        let Delivery { key, to, message } = &arrival.delivery;
        let one_way = story.one_way && office.contains(to);
        let ways = if one_way { office.as_slice() } else { std::slice::from_ref(to) };
        if (is_in_place(arrival) && !one_way) || !keys.insert(key) {
            continue;
        }
        let incident = message.incident.as_str();
        let worded = story.worded.get(key).copied().unwrap_or(arrival.at);
        for (alert, fires) in alerts(arrival) {
            let end = ended.get(&(incident, alert.clone())).filter(|_| one_way);
            if fires && end.is_some_and(|end| worded < *end) {
                continue;
            }
            let before = open.insert((to, alert.clone()), incident);
            if before.is_some_and(|before| before != incident) {
                return Err(format!("{to:?} hears of {alert} again, in {incident}: {before:?}"));
            }
            if !fires {
                for way in ways {
                    let place = (way, alert.clone());
                    if open.get(&place) == Some(&incident) {
                        open.remove(&place);
                    }
                }
                ended.insert((incident, alert), worded);
            }
        }
        // The fallback owner is told of an incident's end, not of each alert's before.
        if message.resolved {
            open.retain(|(at, _), open| !ways.contains(at) || *open != incident);
        }
    }
    Ok(())
}

/// Without accidents the first news of all are there within a second.
fn first_news_are_quick(story: &Story) -> Result<(), String> {
    if !story.calm {
        return Ok(());
    }
    let reports = story.faults.iter().flat_map(|fault| {
        let outages = fault.outages.iter().zip(&fault.reported);
        outages.filter_map(move |(outage, reported)| Some(((*reported)?, fault, outage)))
    });
    let Some((first, fault, outage)) = reports.min_by_key(|(at, _, _)| *at) else {
        return Ok(());
    };
    // What hangs on something else waits for it, and what is held back waits as well.
    let held = story.free(fault, outage) + 40_000 < outage.1 - first;
    if held || fault.alert.starts_with("home/") || outage.1 - first < 60_000 {
        return Ok(());
    }
    let arrived = story.arrivals.iter().map(|arrival| arrival.at).filter(|at| *at >= first).min();
    match arrived {
        Some(at) if at - first < 1_000 => Ok(()),
        other => Err(format!("reported at {first}, told at {other:?}")),
    }
}

/// Whether it goes to somebody in another's place, or by a next way.
fn is_in_place(arrival: &Arrival) -> bool {
    arrival.delivery.message.html.starts_with(IN_PLACE)
}

/// Whether an alert is told as firing there, and as over: `alert=state,...`.
fn state(text: &str, alert: &str) -> Option<bool> {
    let mut states = text.split(',').filter_map(|state| state.split_once('='));
    states.find(|(name, _)| *name == alert).map(|(_, state)| state == "firing")
}

fn alerts(arrival: &Arrival) -> Vec<(String, bool)> {
    let states = arrival.delivery.message.text.split(',').filter_map(|text| text.split_once('='));
    states.map(|(alert, state)| (alert.to_owned(), state == "firing")).collect()
}
