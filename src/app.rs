//! The wires: build, run, reload, drain. The only place that names concrete shells.
//!
//! ```text
//! Schedule ──Batch──► Store ◄──rows── Evaluator ──Vec<Alert>──► Dispatcher ──► email, Matrix, webhook
//!     └──VerdictChange──► nudge ──────────┘                         └──► state.sqlite
//! ```

mod channels;
mod looks;
mod memory;
mod own_metrics;
mod people;
mod plots;
mod recipients;
mod reload;
mod remote;
mod rules;
mod summary;
mod wiring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::alerting::LinkSigner;
use crate::config::Config;
use crate::evaluate::Evaluator;
use crate::model::{Labels, METRIC_NAME, Secret};
use crate::notify::{DispatchError, Dispatcher, DispatcherHandle};
use crate::ports::{Append, Board, Clock, TargetStatus};
use crate::probe::{Schedule, VerdictChange};
use crate::remote::Sender;
use crate::rules::GroupView;
use crate::storage::Store;
use crate::telemetry::Telemetry;
use crate::web::Server;
pub use memory::{give_back, one_heap};
pub use recipients::who_is_told;
pub use reload::Reload;
pub use rules::{RuleError, load_rules};

/// How long the whole house may take to come to rest.
const DRAIN: Duration = Duration::from_secs(10);
/// How long each floor may take of it, from the probes down.
const FLOOR: Duration = Duration::from_secs(3);

/// What the command line adds to the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The file the configuration came from; it is read again on a reload.
    pub file: Option<PathBuf>,
    /// An `alertmanager.yml` in place of the one that the configuration names.
    pub alertmanager: Option<PathBuf>,
    /// Folder for samples and state; everything is in memory without one.
    pub data: Option<PathBuf>,
    /// Listen here instead of where the configuration says.
    pub listen: Option<SocketAddr>,
    /// Users and TLS in the ecosystem's own format, beside those of the configuration.
    pub web_file: Option<PathBuf>,
}

/// Why the program does not start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Rules that are wrong.
    #[error("{0}")]
    Rules(#[from] RuleError),
    /// The sample store.
    #[error("{0}")]
    Store(#[from] crate::storage::OpenError),
    /// The state file.
    #[error("{0}")]
    State(#[from] crate::state::OpenError),
    /// The HTTP server.
    #[error("{0}")]
    Web(#[from] crate::web::StartError),
    /// A channel.
    #[error("notify: {0}")]
    Channel(String),
    /// Nobody is told.
    #[error("nobody would be told of anything: {0}")]
    Routes(#[from] crate::alerting::RouteError),
    /// Who is told.
    #[error("{0}")]
    Dispatch(#[from] DispatchError),
    /// Remote write.
    #[error("{0}")]
    Remote(#[from] crate::remote::SenderError),
    /// Remote write without a place for its queue.
    #[error("remote_write needs --data DIR: its queue is kept there")]
    NoQueue,
    /// The data folder.
    #[error("cannot use the data folder {}: {error}", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

/// Everything, ready to run. It listens already.
pub struct App {
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    store: Arc<Store>,
    /// The store, and before it the queue of remote write.
    append: Arc<dyn Append>,
    sender: Option<Sender>,
    schedule: Arc<Schedule>,
    evaluator: Arc<Evaluator>,
    dispatcher: Dispatcher,
    people: DispatcherHandle,
    renderer: Arc<wiring::LiveRenderer>,
    channels: channels::Doors,
    summary: Arc<RwLock<String>>,
    server: Server,
    reload: Reload,
    reload_requests: mpsc::Receiver<reload::Request>,
    changes: mpsc::Receiver<VerdictChange>,
    common: Labels,
    data: Option<PathBuf>,
    link_key: Option<Secret>,
    acting: Arc<RwLock<Option<LinkSigner>>>,
    /// From its end on we say that we are not ready.
    ending: CancellationToken,
}

/// A view of what runs, for `demo` and for tests.
#[derive(Clone)]
pub struct View {
    schedule: Arc<Schedule>,
    evaluator: Arc<Evaluator>,
}

impl View {
    /// The state of all targets.
    pub fn targets(&self) -> Vec<TargetStatus> {
        self.schedule.targets()
    }

    /// All rule groups.
    pub fn groups(&self) -> Arc<[GroupView]> {
        self.evaluator.groups()
    }
}

impl App {
    /// Opens the store and the state, takes the address, connects the rooms.
    ///
    /// # Errors
    /// Anything that would not work later.
    pub async fn build(
        config: Config,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, BuildError> {
        wiring::build(config, options, clock).await
    }

    /// Where the pages are.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What runs.
    pub fn view(&self) -> View {
        View { schedule: self.schedule.clone(), evaluator: self.evaluator.clone() }
    }

    /// Asks for reloads.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Runs until told to stop, then comes to rest floor by floor: no more probes, the last
    /// evaluation, the last messages, the pages, the store. Gives the names of the floors that
    /// did not come to rest in time; what they left undone is in the state file. A floor that panics
    /// ends all of it, and is one of those.
    pub async fn run(self, stop: CancellationToken) -> Vec<&'static str> {
        let [mut evaluation, mut telling, mut pages, mut pushing, mut keeping] =
            ["evaluation", "messages", "pages", "remote write", "storage"].map(Floor::new);
        let mut probes = Floor { order: stop.clone(), ..Floor::new("probes") };
        probes.tasks.spawn(looks::run(self.schedule.clone(), stop.clone()));
        probes.tasks.spawn(own_metrics::keep(
            self.telemetry.clone(),
            self.append.clone(),
            self.clock.clone(),
            self.common.clone(),
            self.data,
            stop.clone(),
        ));
        probes.tasks.spawn(memory::keep(self.clock.clone(), stop.clone()));
        probes.tasks.spawn(forward(
            self.changes,
            self.evaluator.clone(),
            self.common.clone(),
            stop.clone(),
        ));
        probes.tasks.spawn(announce(
            self.evaluator.first_round(),
            self.people.clone(),
            stop.clone(),
        ));
        probes.tasks.spawn(reload::serve(
            self.reload_requests,
            reload::Targets {
                schedule: self.schedule.clone(),
                evaluator: self.evaluator.clone(),
                people: self.people.clone(),
                renderer: self.renderer.clone(),
                channels: self.channels.clone(),
                summary: self.summary.clone(),
                telemetry: self.telemetry.clone(),
                guard: self.server.guard(),
                clock: self.clock.clone(),
                link_key: self.link_key.clone(),
                acting: self.acting.clone(),
            },
            stop.clone(),
        ));
        evaluation.tasks.spawn(self.evaluator.clone().run(evaluation.order.clone()));
        telling.tasks.spawn(self.dispatcher.run(telling.order.clone()));
        let people = Arc::new(self.people);
        telling.tasks.spawn(channels::listen(self.channels, people, telling.order.clone()));
        pages.tasks.spawn(self.server.run(pages.order.clone()));
        if let Some(sender) = self.sender {
            pushing.tasks.spawn(sender.run(pushing.order.clone()));
        }
        keeping.tasks.spawn(self.store.clone().run(keeping.order.clone()));

        let mut floors = [probes, evaluation, telling, pages, pushing, keeping];
        let fallen = tokio::select! {
            () = stop.cancelled() => None,
            name = first_to_fall(&mut floors) => Some(name),
        };
        if let Some(name) = fallen {
            tracing::error!("{name} broke down; stopping, so that all of it is started again");
        }
        self.ending.cancel();
        let began = self.clock.mono();
        let mut late: Vec<&'static str> = fallen.into_iter().collect();
        for floor in &mut floors {
            floor.order.cancel();
            let left = DRAIN.saturating_sub(self.clock.mono().since(began)).min(FLOOR);
            let rest = async { while floor.tasks.join_next().await.is_some() {} };
            if tokio::time::timeout(left, rest).await.is_err() {
                late.push(floor.name);
                floor.tasks.abort_all();
            }
        }
        late
    }
}

/// Tasks that come to rest together.
struct Floor {
    name: &'static str,
    tasks: JoinSet<()>,
    /// Tells them to.
    order: CancellationToken,
}

impl Floor {
    fn new(name: &'static str) -> Self {
        Self { name, tasks: JoinSet::new(), order: CancellationToken::new() }
    }
}

/// The name of the floor of which a task panics first: a house in which nobody tells anything any
/// more must not look as if all were well.
async fn first_to_fall(floors: &mut [Floor]) -> &'static str {
    std::future::poll_fn(|context| {
        for floor in &mut *floors {
            while let Poll::Ready(Some(ended)) = floor.tasks.poll_join_next(context) {
                if ended.is_err_and(|error| error.is_panic()) {
                    return Poll::Ready(floor.name);
                }
            }
        }
        Poll::Pending
    })
    .await
}

/// Once every rule was evaluated, people may be told.
async fn announce(
    mut first_round: watch::Receiver<bool>,
    people: DispatcherHandle,
    stop: CancellationToken,
) {
    let done = async { first_round.wait_for(|done| *done).await.is_ok() };
    let done = tokio::select! {
        () = stop.cancelled() => false,
        done = done => done,
    };
    if done {
        people.ready().await;
    }
}

/// A changed verdict makes the rules run that read its series.
async fn forward(
    mut changes: mpsc::Receiver<VerdictChange>,
    evaluator: Arc<Evaluator>,
    common: Labels,
    stop: CancellationToken,
) {
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        let Some(change) = change else { return };
        let labels = common
            .with("service", &change.service)
            .with("owner", &change.owner)
            .with("target", &change.target)
            .with("probe", change.probe);
        let changed: Vec<Labels> = ["probe_success", "probe_confirmed_down", "probe_measured"]
            .iter()
            .map(|metric| labels.with(METRIC_NAME, metric))
            .collect();
        evaluator.nudge(&changed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_floor_falls_when_one_of_its_tasks_panics() {
        let mut floors = ["good", "bad"].map(Floor::new);
        floors[0].tasks.spawn(async {});
        floors[1].tasks.spawn(std::future::pending());
        tokio::task::yield_now().await;
        let ended = at_once(first_to_fall(&mut floors)).await;
        assert_eq!(ended, None, "one that ends well does not fall");
        floors[1].tasks.spawn(async { panic!("as planned") });
        let patience = std::time::Duration::from_secs(10);
        let fallen = tokio::time::timeout(patience, first_to_fall(&mut floors)).await;
        assert_eq!(fallen, Ok("bad"));
    }

    /// What is there without waiting.
    async fn at_once<T>(work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = std::future::ready(()) => None,
        }
    }
}
