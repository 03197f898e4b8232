use std::sync::Arc;

use crate::alerting::Desk;
use crate::model::{Alert, Timestamp};
use crate::ports::{Doing, Entry, Lookup, StateError};

use super::router::Shared;

/// Looks at the desk.
pub type Look = Box<dyn FnOnce(&Desk, Timestamp) + Send>;

/// The part of the program that decides who is told of what, as far as the web shows it.
pub trait People: Send + Sync {
    /// Calls `look`; drops it when nobody decides any more.
    fn look(&self, look: Look) -> Doing<'_, ()>;
    /// Takes in alerts of others; gives how many there was no room for, `None` when nobody decides
    /// any more.
    fn report(&self, alerts: Vec<Alert>) -> Doing<'_, Option<usize>>;
    /// Lines of the incident log.
    fn journal(&self, lookup: Lookup) -> Doing<'_, Result<Vec<Entry>, StateError>>;
}

/// Looks at the desk; `None` when nobody decides any more.
pub(super) async fn look<T: Send + 'static>(
    shared: &Arc<Shared>,
    look: impl FnOnce(&Desk, Timestamp) -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let look = Box::new(move |desk: &Desk, now| {
        let _ = answer.send(look(desk, now));
    });
    shared.doors.people.look(look).await;
    answered.await.ok()
}
