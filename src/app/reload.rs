use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Options;
use super::summary::summary;
use super::wiring::{LiveRenderer, Meaning};
use crate::alerting::LinkSigner;
use crate::config::{Config, System, WebFile};
use crate::evaluate::Evaluator;
use crate::model::Secret;
use crate::notify::DispatcherHandle;
use crate::ports::Clock;
use crate::probe::Schedule;
use crate::telemetry::Telemetry;
use crate::web::Guard;

/// Somebody asks for a reload and waits for the answer.
pub struct Request {
    file: Option<PathBuf>,
    alertmanager: Option<PathBuf>,
    listen: Option<SocketAddr>,
    web_file: Option<PathBuf>,
    answer: oneshot::Sender<Result<(), String>>,
}

/// Asks for reloads; they are worked off one after the other.
#[derive(Clone)]
pub struct Reload {
    file: Option<PathBuf>,
    alertmanager: Option<PathBuf>,
    listen: Option<SocketAddr>,
    web_file: Option<PathBuf>,
    requests: mpsc::Sender<Request>,
}

impl Reload {
    /// What the command line said outlives reloads.
    pub(super) fn new(options: &Options) -> (Self, mpsc::Receiver<Request>) {
        let (requests, inbox) = mpsc::channel(4);
        let Options { file, alertmanager, listen, web_file, .. } = options.clone();
        (Self { file, alertmanager, listen, web_file, requests }, inbox)
    }

    /// Loads the configuration file again.
    ///
    /// # Errors
    /// What is wrong with it, for the person who asked. What ran goes on.
    pub async fn ask(&self) -> Result<(), String> {
        let (file, alertmanager) = (self.file.clone(), self.alertmanager.clone());
        if file.is_none() && alertmanager.is_none() {
            return Err("there is no configuration file to load again".to_owned());
        }
        let (answer, waiting) = oneshot::channel();
        let request = Request {
            file,
            alertmanager,
            listen: self.listen,
            web_file: self.web_file.clone(),
            answer,
        };
        if self.requests.try_send(request).is_err() {
            return Err("other reloads are still on their way; try again".to_owned());
        }
        waiting.await.unwrap_or_else(|_| Err("the program is stopping".to_owned()))
    }
}

/// What a new configuration goes to.
pub struct Targets {
    pub schedule: Arc<Schedule>,
    pub evaluator: Arc<Evaluator>,
    pub people: DispatcherHandle,
    pub renderer: Arc<LiveRenderer>,
    pub summary: Arc<RwLock<String>>,
    pub telemetry: Arc<Telemetry>,
    pub guard: Arc<Guard>,
    pub clock: Arc<dyn Clock>,
    pub link_key: Option<Secret>,
    pub acting: Arc<RwLock<Option<LinkSigner>>>,
}

/// Works off requests until told to stop.
pub async fn serve(
    mut requests: mpsc::Receiver<Request>,
    targets: Targets,
    stop: CancellationToken,
) {
    loop {
        let request = tokio::select! {
            () = stop.cancelled() => return,
            request = requests.recv() => request,
        };
        let Some(Request { file, alertmanager, listen, web_file, answer }) = request else {
            return;
        };
        let result = load(file, alertmanager, listen, web_file, &targets).await;
        match &result {
            Ok(()) => {
                tracing::info!("the configuration was loaded again");
                accepted(&targets.telemetry, &*targets.clock);
            }
            Err(problems) => {
                tracing::error!("the configuration was refused, the old one goes on:\n{problems}");
                targets.telemetry.config.last_reload_successful.set(0);
            }
        }
        // Who asked may have gone away.
        let _ = answer.send(result);
    }
}

/// Notes that a configuration was taken.
pub fn accepted(telemetry: &Telemetry, clock: &dyn Clock) {
    telemetry.config.last_reload_successful.set(1);
    let now = clock.wall().millis() / 1000;
    telemetry.config.last_reload_success_timestamp_seconds.set(now);
}

/// Everything is made before anything is replaced.
async fn load(
    file: Option<PathBuf>,
    alertmanager: Option<PathBuf>,
    listen: Option<SocketAddr>,
    web_file: Option<PathBuf>,
    targets: &Targets,
) -> Result<(), String> {
    let (clock, key) = (targets.clock.clone(), targets.link_key.clone());
    let meaning = tokio::task::spawn_blocking(move || {
        let config = Config::load_both(file.as_deref(), alertmanager.as_deref(), &System);
        let mut config = config.map_err(|problems| problems.to_string())?;
        if let Some(file) = web_file {
            let web = WebFile::load(&file, &System).map_err(|problems| problems.join("\n"))?;
            web.add_to(&mut config.web);
        }
        Meaning::of(config, listen, &clock, key.as_ref()).map_err(|error| error.to_string())
    });
    let meaning = meaning.await.map_err(|error| format!("loading it failed: {error}"))??;
    let Meaning { config, groups, directory, plan, notifiers, renderer, acting, .. } = meaning;
    targets.people.replace(plan, directory, notifiers).await;
    targets.renderer.replace(renderer);
    *targets.acting.write().unwrap_or_else(PoisonError::into_inner) = acting;
    targets.guard.replace(config.web.credentials.clone());
    *targets.summary.write().unwrap_or_else(PoisonError::into_inner) = summary(&config);
    let schedule = targets.schedule.clone();
    let probes = config.probes;
    // Trust anchors are read from disk here.
    let replaced = tokio::task::spawn_blocking(move || schedule.replace(&probes)).await;
    replaced.map_err(|error| format!("new targets were refused: {error}"))?;
    targets.evaluator.replace(groups);
    Ok(())
}
