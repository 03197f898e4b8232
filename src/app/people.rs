use std::sync::Arc;

use crate::model::Alert;
use crate::notify::DispatcherHandle;
use crate::ports::{Doing, Entry, Lookup, State, StateError};
use crate::web;

/// What the pages and the APIs show of the decisions to tell.
pub struct People {
    pub dispatcher: DispatcherHandle,
    pub state: Arc<dyn State>,
}

impl web::People for People {
    fn look(&self, look: web::Look) -> Doing<'_, ()> {
        Box::pin(async move {
            // Whoever asked notices that nobody answers.
            let _ = self.dispatcher.look(move |desk, now| look(desk, now)).await;
        })
    }

    fn report(&self, alerts: Vec<Alert>) -> Doing<'_, Option<usize>> {
        Box::pin(self.dispatcher.offer(alerts))
    }

    fn journal(&self, lookup: Lookup) -> Doing<'_, Result<Vec<Entry>, StateError>> {
        self.state.journal(lookup)
    }
}
