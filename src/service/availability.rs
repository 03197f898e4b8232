//! How a service was over time, from what its probes saw.

use std::sync::Arc;
use std::time::Duration;

use crate::calendar::ranges::{span, tidy};
use crate::model::{TimeRange, Timestamp};

/// What one look at a target said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It answered as it should.
    Up,
    /// It did not; `confirmed` when the quick further tries did not succeed either.
    Failed {
        /// The confirmed series says so.
        confirmed: bool,
    },
    /// We could not look.
    NotMeasured,
}

/// A look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// When it was.
    pub at: Timestamp,
    /// What it said.
    pub verdict: Verdict,
}

/// When a target was down, and when nobody knows. At all other times it was up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Confirmed failures: from the first look that failed to the first that did not.
    pub down: Vec<TimeRange>,
    /// No look, or none that could say anything.
    pub unknown: Vec<TimeRange>,
}

impl History {
    /// From looks in order of time, one each `interval`, within a range. A look says how it is until
    /// the next one; when that is missing for more than twice the interval, for one interval. A
    /// failure that no further try confirmed is no outage.
    pub fn of(looks: &[Look], interval: Duration, within: TimeRange) -> Self {
        let (mut down, mut unknown) = (Vec::new(), Vec::new());
        let mut known_to = within.start();
        let mut run: Vec<TimeRange> = Vec::new();
        let mut is_outage = false;
        let mut looks = looks.iter().filter(|look| look.at < within.end()).peekable();
        while let Some(look) = looks.next() {
            let next = looks.peek().map(|next| next.at);
            let alone = look.at + interval;
            let reach = match next {
                Some(next) if next <= alone + interval => next,
                _ => alone,
            };
            unknown.extend(span(known_to, look.at));
            match look.verdict {
                Verdict::NotMeasured => unknown.extend(span(look.at, reach)),
                Verdict::Failed { confirmed } => {
                    run.extend(span(look.at, reach));
                    is_outage |= confirmed;
                }
                Verdict::Up => {
                    down.extend(run.drain(..).filter(|_| is_outage));
                    is_outage = false;
                }
            }
            known_to = known_to.max(reach);
        }
        down.extend(run.drain(..).filter(|_| is_outage));
        unknown.extend(span(known_to, within.end()));
        let inside = |ranges: Vec<TimeRange>| {
            tidy(ranges.into_iter().filter_map(|range| range.intersect(within)).collect())
        };
        Self { down: inside(down), unknown: inside(unknown) }
    }
}

/// When a service of several targets is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DownWhen {
    /// One of them is.
    #[default]
    Any,
    /// All of them are: pairs that stand in for each other.
    All,
}

/// A target of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name.
    pub name: Arc<str>,
    /// When it belonged to the service: at other times it says nothing about it.
    pub range: TimeRange,
    /// How it was.
    pub history: History,
}

/// An outage of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// From the first look that failed to the first that did not.
    pub range: TimeRange,
    /// The targets that were down during it.
    pub targets: Vec<Arc<str>>,
}

/// How a service was over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// In order of time.
    pub outages: Vec<Outage>,
    /// When it was neither known to be up nor known to be down.
    pub unknown: Vec<TimeRange>,
}

impl Availability {
    /// Of its targets. When there were none, nobody knows.
    pub fn of(targets: &[Watched], when: DownWhen, within: TimeRange) -> Self {
        let edges = targets.iter().flat_map(|target| {
            let all = target.history.down.iter().chain(&target.history.unknown);
            all.chain([&target.range])
        });
        let edges = edges.chain([&within]).flat_map(|range| [range.start(), range.end()]);
        let mut edges: Vec<Timestamp> =
            edges.map(|at| at.clamp(within.start(), within.end())).collect();
        edges.sort_unstable();
        edges.dedup();
        let (mut down, mut unknown) = (Vec::new(), Vec::new());
        let mut cursors = vec![(0, 0); targets.len()];
        for pair in edges.windows(2) {
            let Some(piece) = TimeRange::new(pair[0], pair[1]) else { continue };
            let (mut all, mut downs, mut unknowns) = (0, 0, 0);
            for (Watched { range, history, .. }, (at_down, at_unknown)) in
                targets.iter().zip(&mut cursors)
            {
                if !range.contains(piece.start()) {
                    continue;
                }
                all += 1;
                let covers = |ranges: &[TimeRange], at: &mut usize| {
                    while ranges.get(*at).is_some_and(|range| range.end() <= piece.start()) {
                        *at += 1;
                    }
                    ranges.get(*at).is_some_and(|range| range.contains(piece.start()))
                };
                downs += usize::from(covers(&history.down, at_down));
                unknowns += usize::from(covers(&history.unknown, at_unknown));
            }
            let ups = usize::saturating_sub(all, downs + unknowns);
            match when {
                _ if all == 0 => unknown.push(piece),
                DownWhen::Any if downs > 0 => down.push(piece),
                DownWhen::Any if unknowns > 0 => unknown.push(piece),
                DownWhen::All if ups > 0 => {}
                DownWhen::All if unknowns > 0 => unknown.push(piece),
                DownWhen::All => down.push(piece),
                DownWhen::Any => {}
            }
        }
        let outage = |range: TimeRange| {
            let meets =
                |history: &History| history.down.iter().any(|down| down.intersect(range).is_some());
            let named = targets.iter().filter(|target| meets(&target.history));
            Outage { range, targets: named.map(|target| target.name.clone()).collect() }
        };
        Self { outages: tidy(down).into_iter().map(outage).collect(), unknown: tidy(unknown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(at: i64) -> Timestamp {
        Timestamp::from_millis(at * 1000)
    }

    fn range(from: i64, to: i64) -> TimeRange {
        TimeRange::new(seconds(from), seconds(to)).unwrap()
    }

    /// `u` up, `f` failed, `c` confirmed, `?` not measured, ` ` no look; one each ten seconds.
    fn history(looks: &str, to: i64) -> History {
        let verdict = |letter| match letter {
            'u' => Some(Verdict::Up),
            'f' => Some(Verdict::Failed { confirmed: false }),
            'c' => Some(Verdict::Failed { confirmed: true }),
            '?' => Some(Verdict::NotMeasured),
            _ => None,
        };
        let looks = looks.chars().zip(0..).filter_map(|(letter, number)| {
            Some(Look { at: seconds(number * 10), verdict: verdict(letter)? })
        });
        History::of(&looks.collect::<Vec<_>>(), Duration::from_secs(10), range(0, to))
    }

    #[test]
    fn an_outage_begins_with_the_first_failure_and_ends_with_the_first_success() {
        let found = history("uuffccuu", 80);
        assert_eq!(found, History { down: vec![range(20, 60)], unknown: vec![] });
        let found = history("uufuffuu", 80);
        assert_eq!(found, History::default(), "nothing was confirmed");
        let found = history("cu", 20);
        assert_eq!(found.down, [range(0, 10)]);
        let found = history("ucc", 40);
        assert_eq!(found, History { down: vec![range(10, 30)], unknown: vec![range(30, 40)] });
    }

    #[test]
    fn what_nobody_saw_is_unknown() {
        assert_eq!(history("", 50).unknown, [range(0, 50)]);
        assert_eq!(history("u u  u", 60).unknown, [range(30, 50)], "one late look is no gap");
        assert_eq!(history("u??u", 40).unknown, [range(10, 30)]);
        let found = history("fc   cu", 70);
        let expected =
            History { down: vec![range(0, 20), range(50, 60)], unknown: vec![range(20, 50)] };
        assert_eq!(found, expected, "down before and after, unknown between");
    }

    #[test]
    fn a_service_is_down_with_one_or_with_all() {
        let (a, b) = (history("uccuuuu?", 80), history("uuccuu??", 80));
        let target = |name: &str, from, to, history| {
            let (name, range) = (name.into(), range(from, to));
            Watched { name, range, history }
        };
        let targets = [target("a", 0, 80, a.clone()), target("b", 0, 80, b.clone())];
        let any = Availability::of(&targets, DownWhen::Any, range(0, 80));
        let both: Vec<Arc<str>> = vec!["a".into(), "b".into()];
        assert_eq!(any.outages, [Outage { range: range(10, 40), targets: both.clone() }]);
        assert_eq!(any.unknown, [range(60, 80)]);
        let all = Availability::of(&targets, DownWhen::All, range(0, 80));
        assert_eq!(all.outages, [Outage { range: range(20, 30), targets: both }]);
        assert_eq!(all.unknown, [range(70, 80)]);
        // `a` was taken away after 30 seconds, `b` came after 25.
        let targets = [target("a", 0, 30, a), target("b", 25, 80, b)];
        let moved = Availability::of(&targets, DownWhen::Any, range(0, 80));
        assert_eq!(moved.outages[0].range, range(10, 40));
        assert_eq!(moved.unknown, [range(60, 80)]);
        let gone = Availability::of(&targets[..1], DownWhen::Any, range(0, 80));
        assert_eq!((gone.outages[0].range, gone.unknown), (range(10, 30), vec![range(30, 80)]));
        let none = Availability::of(&[], DownWhen::Any, range(0, 80));
        assert_eq!((none.outages.len(), none.unknown), (0, vec![range(0, 80)]));
    }
}
