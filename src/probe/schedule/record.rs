use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::watched::{End, Recorded, Watched};
use super::{ScheduleDoors, VerdictChange, guard};
use crate::model::Batch;
use crate::ports::{Doing, Tick};
use crate::probe::{Obstacle, Outcome};
use crate::telemetry::LookOutcome;

/// What a look found: values, and perhaps another verdict than before.
pub(super) struct News {
    pub(super) batch: Batch,
    pub(super) change: Option<VerdictChange>,
}

/// One look from begin to end: looks and remembers. `None` when there is nothing to keep.
pub(super) async fn look(watched: &Watched, doors: &ScheduleDoors, begin: Tick) -> Option<News> {
    let outcome = match &watched.prober {
        Ok(prober) => {
            let look = guard::Caught(prober.probe(begin.after(watched.facts.timeout)));
            look.await.unwrap_or_else(|| {
                doors.telemetry.probe.panicked();
                Obstacle::new("a bug in this program ended the look")
                    .with_remedy("report it with the log of this moment")
                    .into()
            })
        }
        Err(error) => Obstacle::new(error.to_string()).into(),
    };
    remember(watched, doors, begin, &outcome)
}

/// A look that did not end by itself.
pub(super) fn cut_off(watched: &Watched, doors: &ScheduleDoors, begin: Tick) -> Option<News> {
    doors.telemetry.probe.overran();
    let late = Obstacle::new("the look did not end by its deadline and was cut off");
    remember(watched, doors, begin, &late.into())
}

fn remember(
    watched: &Watched,
    doors: &ScheduleDoors,
    begin: Tick,
    outcome: &Outcome,
) -> Option<News> {
    let clock = &*doors.clock;
    let telemetry = &doors.telemetry.probe;
    let facts = &watched.facts;
    let mono = clock.mono();
    let end = End { wall: clock.wall(), mono, took: mono.since(begin) };
    let kind = match outcome {
        Outcome::Measured(observation) if observation.up => LookOutcome::Up,
        Outcome::Measured(_) => LookOutcome::Down,
        Outcome::NotMeasured(_) => LookOutcome::NotMeasured,
    };
    telemetry.ended(facts.identity.probe, kind, end.took);
    let Recorded { batch, change } = watched.memory.record(facts, outcome, end)?;
    let change = change.map(|(before, now)| VerdictChange {
        at: batch.at,
        service: facts.identity.service.clone(),
        owner: facts.owner.clone(),
        target: facts.identity.name.clone(),
        probe: facts.identity.probe,
        before,
        now,
    });
    Some(News { batch, change })
}

/// Hands the values on, tells a changed verdict, and waits for the disk. Values are visible as
/// soon as this returns: neither the rules nor the next look wait for the disk.
pub(super) fn keep(news: News, doors: &ScheduleDoors) -> Doing<'_, ()> {
    let telemetry = &doors.telemetry.probe;
    let kept = doors.append.append(news.batch);
    if let Some(change) = news.change
        && doors.changes.try_send(change).is_err()
    {
        telemetry.change_lost();
    }
    Box::pin(async move {
        if kept.await.is_err() {
            telemetry.append_failed();
        }
    })
}

/// Values that are on their way to the disk. Nobody is woken when they arrive: the loop asks when
/// it turns anyway.
#[derive(Default)]
pub(super) struct Keeps<'a>(FuturesUnordered<Doing<'a, ()>>);

impl<'a> Keeps<'a> {
    pub(super) fn push(&mut self, keep: Doing<'a, ()>) {
        self.0.push(keep);
    }

    /// Forgets those that have arrived; waits only while more than `most` have not.
    pub(super) async fn settle(&mut self, most: usize) {
        while self.0.next().now_or_never().flatten().is_some() {}
        while self.0.len() > most {
            self.0.next().await;
        }
    }
}
