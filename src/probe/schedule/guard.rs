use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::watched::Watched;
use crate::ports::{Doing, Tick};

/// What a prober may be late before it is cut off: its own deadline error says more than ours.
const GRACE: Duration = Duration::from_millis(500);

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

/// A look that is going on.
pub(super) struct Going {
    /// Whom it looks at.
    pub(super) watched: Arc<Watched>,
    /// When it began.
    pub(super) began: Tick,
    until: Tick,
    handle: AbortHandle,
}

impl Going {
    pub(super) fn new(watched: Arc<Watched>, began: Tick, handle: AbortHandle) -> Self {
        let until = began.after(watched.facts.timeout).after(GRACE);
        Self { watched, began, until, handle }
    }
}

impl PartialEq for Going {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Going {}

impl PartialOrd for Going {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Going {
    fn cmp(&self, other: &Self) -> Ordering {
        self.until.cmp(&other.until)
    }
}

/// Ends looks that do not end by themselves, whatever their probers do. One heap for all: a timer
/// for each look is one of its larger costs.
#[derive(Default)]
pub(super) struct Guard(BinaryHeap<Reverse<Going>>);

impl Guard {
    pub(super) fn watch(&mut self, going: Going) {
        self.0.push(Reverse(going));
    }

    /// When the next look is to be cut off. Forgets those that have ended.
    pub(super) fn next(&mut self) -> Option<Tick> {
        while let Some(Reverse(going)) = self.0.peek() {
            if !going.handle.is_finished() {
                return Some(going.until);
            }
            self.0.pop();
        }
        None
    }

    /// A look that is late by now; it is cut off.
    pub(super) fn late(&mut self, now: Tick) -> Option<Going> {
        if self.next()? > now {
            return None;
        }
        let Reverse(going) = self.0.pop()?;
        going.handle.abort();
        Some(going)
    }
}
