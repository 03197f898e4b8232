use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::exposition::{Limits, Syntax, parse};
use crate::model::{Batch, Labels};
use crate::ports::{Append, Clock};
use crate::telemetry::Telemetry;

/// As often as a Prometheus would come.
const INTERVAL: Duration = Duration::from_secs(15);

/// Our own metrics go into our own store, as a Prometheus that scrapes us would have them: the
/// shipped rules about our own health read them there.
pub async fn keep(
    telemetry: Arc<Telemetry>,
    append: Arc<dyn Append>,
    clock: Arc<dyn Clock>,
    common: Labels,
    stop: CancellationToken,
) {
    loop {
        let next = clock.mono().after(INTERVAL);
        let mut batch = Batch::new("own".into(), clock.wall());
        match parse(telemetry.encode().as_bytes(), Syntax::OpenMetrics, Limits::default()) {
            Ok(page) => {
                for sample in page.samples {
                    batch.push(sample.labels.overridden_by(&common), sample.value);
                }
            }
            Err(error) => tracing::error!("our own metrics cannot be read: {error}"),
        }
        // What the disk refuses is in memory, and counted by the store.
        let _ = append.append(batch).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(next) => {}
        }
    }
}
