//! A TCP port: somebody listens.

use super::connect::{Bell, Destination, Steps, Watch, connect};
use super::failure::{Failure, human};
use super::prober::Doors;
use super::{Observation, Outcome, Prober, Reading, TcpTarget, seconds};
use crate::model::{MetricMeta, MetricType};
use crate::ports::{Doing, Tick};

/// What a look at a port says.
pub static METRICS: &[MetricMeta] = &[MetricMeta {
    name: "probe_tcp_duration_seconds",
    kind: MetricType::Gauge,
    unit: "seconds",
    help: "How long each phase took; phases that were not reached are absent.",
}];

/// Looks at a port.
pub struct TcpProber {
    target: TcpTarget,
    doors: Doors,
}

impl TcpProber {
    /// For one target.
    pub fn new(target: &TcpTarget, doors: &Doors) -> Self {
        Self { target: target.clone(), doors: doors.clone() }
    }

    async fn look(&self, deadline: Tick) -> Outcome {
        let bell = Bell::default();
        let watch = Watch::start(&*self.doors.clock, deadline, &bell);
        let TcpTarget { host, port, family } = &self.target;
        let to = Destination { host, port: *port, family: *family, address: None };
        let mut steps = Steps::default();
        let connected = connect(to, &self.doors.resolver, watch, &mut steps).await;
        let phases = [("resolve", steps.resolve), ("connect", steps.connect)];
        let reached = phases.into_iter().filter_map(|(phase, took)| Some((phase, took?)));
        let readings = reached
            .map(|(phase, took)| {
                Reading::new("probe_tcp_duration_seconds", seconds(took)).with("phase", phase)
            })
            .collect();
        match connected {
            Ok(_) => Observation::up(human(watch.elapsed()), readings).into(),
            Err(Failure::Theirs(cause)) => Observation::down(cause, readings).into(),
            Err(Failure::Ours(obstacle)) => obstacle.into(),
        }
    }
}

impl Prober for TcpProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look(deadline))
    }
}
