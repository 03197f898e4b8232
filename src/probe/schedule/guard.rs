use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::ports::{Clock, Doing, Tick};
use crate::probe::{Obstacle, Outcome, Prober};
use crate::telemetry::ProbeTelemetry;

/// What a prober may be late before it is cut off: its own deadline error says more than ours.
const GRACE: Duration = Duration::from_millis(500);

/// One look that ends in time, whatever the prober does: a panic and an overrun are obstacles.
pub(super) async fn look(
    prober: &dyn Prober,
    deadline: Tick,
    clock: &dyn Clock,
    telemetry: &ProbeTelemetry,
) -> Outcome {
    let look = Caught(prober.probe(deadline));
    tokio::select! {
        biased;
        outcome = look => outcome.unwrap_or_else(|| {
            telemetry.panicked();
            Obstacle::new("a bug in this program ended the look")
                .with_remedy("report it with the log of this moment")
                .into()
        }),
        () = clock.sleep_until(deadline.after(GRACE)) => {
            telemetry.overran();
            Obstacle::new("the look did not end by its deadline and was cut off").into()
        }
    }
}

/// `None` when the future panicked; it is not polled again then.
pub(super) struct Caught<'a, T>(pub(super) Doing<'a, T>);

impl<T> Future for Caught<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    }
}
