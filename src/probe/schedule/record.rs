use super::watched::{End, Recorded, Watched};
use super::{ScheduleDoors, VerdictChange, guard};
use crate::ports::AppendError;
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
    match doors.append.append(batch).await {
        Ok(_) => {}
        // Visible all the same.
        Err(AppendError::NotDurable(_)) => telemetry.append_failed(),
        Err(AppendError::Closed) => return telemetry.append_failed(),
    }
    let Some((before, now)) = change else { return };
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
