use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::probe::Schedule;

/// Looks from a thread of their own, so that what the other rooms do (a page, a query, a message)
/// stands in no measured time, and so that no look has to be handed from one thread to another.
pub(super) async fn run(schedule: Arc<Schedule>, stop: CancellationToken) {
    let (at_rest, rested) = oneshot::channel::<()>();
    let (looks, order) = (schedule.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("probes".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(looks.run(order)),
            Err(error) => tracing::error!("probes have no thread of their own: {error}"),
        }
        drop(at_rest);
    });
    match thread {
        // The channel closes when the thread ends, however it ends; nothing is ever sent.
        Ok(_) => drop(rested.await),
        Err(error) => tracing::error!("probes have no thread of their own: {error}"),
    }
    if !stop.is_cancelled() {
        schedule.run(stop).await;
    }
}
