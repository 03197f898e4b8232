use super::watched::{End, Recorded, Watched};
use super::{ScheduleDoors, VerdictChange, guard};
use crate::probe::{Obstacle, Outcome};
use crate::telemetry::LookOutcome;

/// One look from begin to end: looks, remembers, hands the values on, tells a changed verdict.
pub(super) async fn look(watched: &Watched, doors: &ScheduleDoors) {
    let clock = &*doors.clock;
    let telemetry = &doors.telemetry.probe;
    let facts = &watched.facts;
    let begin = clock.mono();
    let outcome = match &watched.prober {
        Ok(prober) => {
            let deadline = begin.after(facts.timeout);
            guard::look(&**prober, deadline, clock, telemetry).await
        }
        Err(error) => Obstacle::new(error.to_string()).into(),
    };
    let mono = clock.mono();
    let end = End { wall: clock.wall(), mono, took: mono.since(begin) };
    let kind = match &outcome {
        Outcome::Measured(observation) if observation.up => LookOutcome::Up,
        Outcome::Measured(_) => LookOutcome::Down,
        Outcome::NotMeasured(_) => LookOutcome::NotMeasured,
    };
    telemetry.ended(facts.identity.probe, kind, end.took);
    let Some(Recorded { batch, change }) = watched.memory.record(facts, &outcome, end) else {
        return;
    };
    drop(outcome);
    let at = batch.at;
    // Values are visible as soon as they are handed over; the rules need not wait for the disk.
    let kept = doors.append.append(batch);
    if let Some((before, now)) = change {
        let change = VerdictChange {
            at,
            service: facts.identity.service.clone(),
            owner: facts.owner.clone(),
            target: facts.identity.name.clone(),
            probe: facts.identity.probe,
            before,
            now,
        };
        if doors.changes.try_send(change).is_err() {
            telemetry.change_lost();
        }
    }
    if kept.await.is_err() {
        telemetry.append_failed();
    }
}
