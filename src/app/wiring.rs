use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::summary::summary;
use super::{App, BuildError, Options, Reload, load_rules, reload, remote};
use crate::alerting::{Directory, LinkSigner, Notice, Owner, Timing};
use crate::config::{Config, System};
use crate::evaluate::{self, Evaluator};
use crate::model::{Labels, Secret};
use crate::notify::{
    DispatchError, DispatchSettings, Dispatcher, EmailNotifier, MatrixNotifier, Notifiers,
    Patience, Render, WebhookNotifier,
};
use crate::ports::{Append, Channel, Clock, Message, Receive, State};
use crate::probe::snmp::UdpSnmp;
use crate::probe::{Resolver, Schedule, ScheduleDoors, VerdictChange};
use crate::render::{Links, Renderer};
use crate::rules::{GroupRules, World};
use crate::state::SqliteState;
use crate::storage::{self, Store};
use crate::telemetry::Telemetry;
use crate::web::{self, Server};

/// Verdicts that wait for the rules to run.
const CHANGES: usize = 1024;
/// Reports of rule groups that wait for the dispatcher.
const REPORTS: usize = 64;

/// People wait no longer for the first message after a start.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// What a configuration means for the rooms that can be changed while they run.
pub struct Meaning {
    pub config: Config,
    pub groups: Vec<Arc<GroupRules>>,
    pub directory: Arc<Directory>,
    pub timing: Timing,
    pub notifiers: Notifiers,
    pub renderer: Renderer,
    /// Where people reach the pages.
    pub base: Arc<str>,
    /// Makes and reads the links by which readers act.
    pub acting: Option<LinkSigner>,
}

impl Meaning {
    /// Reads rule files and trust anchors, so it blocks.
    ///
    /// # Errors
    /// Anything in it that cannot work.
    pub fn of(
        config: Config,
        listen: Option<SocketAddr>,
        clock: &Arc<dyn Clock>,
        link_key: Option<&Secret>,
    ) -> Result<Self, BuildError> {
        let groups = load_rules(&config.rules, &System)?;
        let directory = Arc::new(config.directory.clone());
        let usual = Timing::default();
        let timing = Timing {
            group_wait: config.alerting.group_wait.unwrap_or(usual.group_wait),
            group_interval: config.alerting.group_interval.unwrap_or(usual.group_interval),
            repeat_interval: config.alerting.repeat_interval.unwrap_or(usual.repeat_interval),
            // Twice a round: the rules need one to know that an alert does not come back.
            restart_grace: settle(&config) * 2 + config.rules.interval * 2,
        };
        let notifiers = notifiers(&config, clock)?;
        let base = base_url(&config, listen);
        let pages = Some(base.clone());
        let signer = link_key.filter(|_| config.web.external_url.is_some());
        let acting = signer.map(|key| LinkSigner::new(&base, key));
        let instance = config.instance.clone();
        let links = Links { instance, pages, runbooks: None, acting: acting.clone() };
        let renderer = Renderer::new(directory.clone(), links);
        Ok(Self { config, groups, directory, timing, notifiers, renderer, base, acting })
    }
}

/// The time in which every target has been looked at once.
fn settle(config: &Config) -> Duration {
    let rounds = config.probes.targets.iter().map(|target| target.interval + target.timeout);
    rounds.max().unwrap_or_default()
}

/// How long after the start nothing is told at most: until every rule was evaluated once, but not
/// as long as a group that is evaluated once in an hour would need.
fn hold(meaning: &Meaning) -> Duration {
    let usual = meaning.config.rules.interval;
    let longest = meaning.groups.iter().map(|group| group.interval.unwrap_or(usual)).max();
    longest.unwrap_or_default().min(LONGEST_HOLD) + Duration::from_secs(5)
}

/// Where people reach the pages, without a slash at the end.
fn base_url(config: &Config, listen: Option<SocketAddr>) -> Arc<str> {
    match &config.web.external_url {
        Some(url) => url.as_str().trim_end_matches('/').into(),
        None => format!("http://{}", listen.unwrap_or(config.web.listen)).into(),
    }
}

fn notifiers(config: &Config, clock: &Arc<dyn Clock>) -> Result<Notifiers, BuildError> {
    let broken = |error: &dyn std::fmt::Display| BuildError::Channel(error.to_string());
    let mut all = Notifiers::new();
    if let Some(settings) = &config.notify.email {
        let email = EmailNotifier::new(settings, clock.clone()).map_err(|e| broken(&e))?;
        all.insert(Channel::Email, Arc::new(email));
    }
    if let Some(settings) = &config.notify.matrix {
        let matrix = MatrixNotifier::new(settings, clock.clone()).map_err(|e| broken(&e))?;
        all.insert(Channel::Matrix, Arc::new(matrix));
    }
    if !config.notify.webhooks.is_empty() {
        let webhooks = WebhookNotifier::new(&config.notify.webhooks, clock.clone());
        all.insert(Channel::Webhook, Arc::new(webhooks.map_err(|e| broken(&e))?));
    }
    Ok(all)
}

/// The renderer of the configuration that runs now.
pub struct LiveRenderer(RwLock<Arc<Renderer>>);

impl LiveRenderer {
    /// Goes on with another configuration's.
    pub fn replace(&self, renderer: Renderer) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renderer);
    }
}

impl Render for LiveRenderer {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        let renderer = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        renderer.message(notice, owner)
    }
}

/// The data folder, made when it is not there, readable by its owner only.
fn data_folder(data: &Path) -> Result<(), BuildError> {
    let refused = |error| BuildError::Data { folder: data.to_owned(), error };
    let existed = data.exists();
    std::fs::create_dir_all(data).map_err(refused)?;
    #[cfg(unix)]
    if !existed {
        use std::os::unix::fs::PermissionsExt;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(data, private).map_err(refused)?;
    }
    Ok(())
}

pub(super) async fn build(
    config: Config,
    options: Options,
    clock: Arc<dyn Clock>,
) -> Result<App, BuildError> {
    let telemetry = Telemetry::new();
    if let Some(data) = &options.data {
        data_folder(data)?;
    }
    // SQLite's name for a file that lives in memory.
    let file = options.data.as_ref().map(|data| data.join("state.sqlite"));
    let state = SqliteState::open(&file.unwrap_or_else(|| PathBuf::from(":memory:")))?;
    let state: Arc<dyn State> = Arc::new(state);
    let link_key = state.load().await.map_err(DispatchError::from)?.link_key;
    let meaning = Meaning::of(config, options.listen, &clock, link_key.as_ref())?;
    let store =
        Store::open(store_settings(&meaning.config, &options), clock.clone(), telemetry.clone())?;
    let push = remote::Push::open(&meaning.config, &options, &clock, &telemetry)?;
    let append = push.before(store.clone());
    let (changed, changes) = mpsc::channel(CHANGES);
    let schedule = schedule(&meaning.config, &clock, &append, &telemetry, changed);
    let (report, reports) = mpsc::channel(REPORTS);
    let evaluator = Evaluator::new(
        evaluation(&meaning),
        clock.clone(),
        store.clone(),
        append.clone(),
        report,
        telemetry.clone(),
    );
    let hold = hold(&meaning);
    let renderer = Arc::new(LiveRenderer(RwLock::new(Arc::new(meaning.renderer))));
    let (dispatcher, people) = Dispatcher::new(
        DispatchSettings { timing: meaning.timing, patience: Patience::default(), hold },
        meaning.directory,
        clock.clone(),
        state.clone(),
        renderer.clone(),
        meaning.notifiers,
        telemetry.clone(),
        reports,
    )
    .await?;
    let receiver = push.receiver(&append, &clock, &telemetry, &schedule)?;
    let ending = CancellationToken::new();
    let (reload, reload_requests) = Reload::new(&options);
    let summary = Arc::new(RwLock::new(summary(&meaning.config)));
    let rooms = Rooms {
        clock: &clock,
        telemetry: &telemetry,
        schedule: &schedule,
        store: &store,
        evaluator: &evaluator,
        summary: &summary,
        reload: &reload,
        ending: &ending,
    };
    let doors = rooms.doors(receiver);
    let server = Server::bind(web_settings(&meaning.config, &options), doors).await?;
    reload::accepted(&telemetry, &*clock);
    Ok(App {
        link_key,
        common: common_labels(&meaning.config),
        clock,
        telemetry,
        store,
        append,
        sender: push.into_sender(),
        schedule,
        evaluator,
        dispatcher,
        people,
        renderer,
        summary,
        server,
        reload,
        reload_requests,
        changes,
        ending,
    })
}

fn schedule(
    config: &Config,
    clock: &Arc<dyn Clock>,
    append: &Arc<dyn Append>,
    telemetry: &Arc<Telemetry>,
    changes: mpsc::Sender<VerdictChange>,
) -> Arc<Schedule> {
    Schedule::new(
        &config.probes,
        ScheduleDoors {
            clock: clock.clone(),
            append: append.clone(),
            changes,
            telemetry: telemetry.clone(),
            resolver: Arc::new(Resolver::from_system(clock.clone())),
            snmp: Arc::new(UdpSnmp::new()),
        },
    )
}

/// What the web server may look at.
struct Rooms<'a> {
    clock: &'a Arc<dyn Clock>,
    telemetry: &'a Arc<Telemetry>,
    schedule: &'a Arc<Schedule>,
    store: &'a Arc<Store>,
    evaluator: &'a Arc<Evaluator>,
    summary: &'a Arc<RwLock<String>>,
    reload: &'a Reload,
    ending: &'a CancellationToken,
}

impl Rooms<'_> {
    fn doors(&self, receiver: Arc<dyn Receive>) -> web::Doors {
        let (views, asked) = (self.evaluator.clone(), self.reload.clone());
        let (shown, stopping) = (self.summary.clone(), self.ending.clone());
        web::Doors {
            clock: self.clock.clone(),
            telemetry: self.telemetry.clone(),
            board: self.schedule.clone(),
            samples: self.store.clone(),
            rules: Arc::new(move || views.groups()),
            config: Arc::new(move || shown.read().unwrap_or_else(PoisonError::into_inner).clone()),
            reload: Arc::new(move || {
                let asked = asked.clone();
                Box::pin(async move { asked.ask().await })
            }),
            receive: Some(receiver),
            ready: Arc::new(move || {
                if stopping.is_cancelled() { Err("it is stopping".to_owned()) } else { Ok(()) }
            }),
        }
    }
}

/// The labels that a Prometheus which scrapes us would add.
fn common_labels(config: &Config) -> Labels {
    Labels::empty().with("job", "augenmass").with("instance", &config.instance)
}

fn store_settings(config: &Config, options: &Options) -> storage::Settings {
    storage::Settings {
        data: options.data.as_ref().map(|data| data.join("samples")),
        retention: config.storage.retention,
        retention_bytes: config.storage.retention_size,
        out_of_order: config.storage.out_of_order,
        commit_delay: config.storage.commit_delay,
        ..storage::Settings::default()
    }
}

fn evaluation(meaning: &Meaning) -> evaluate::Settings {
    let settle = settle(&meaning.config);
    evaluate::Settings {
        groups: meaning.groups.clone(),
        interval: meaning.config.rules.interval,
        world: World { external_url: meaning.base.clone(), settle, ..World::default() },
        ..evaluate::Settings::default()
    }
}

fn web_settings(config: &Config, options: &Options) -> web::Settings {
    let external_url = config.web.external_url.as_ref();
    web::Settings {
        listen: options.listen.unwrap_or(config.web.listen),
        exposure: config.web.exposure,
        credentials: config.web.credentials.clone(),
        tls: config.web.tls.clone(),
        cors_origins: config.web.cors_origins.clone(),
        instance: config.instance.clone(),
        external_url: external_url.map(|url| url.as_str().trim_end_matches('/').into()),
        // The name was checked when the configuration was read.
        timezone: jiff::tz::TimeZone::get(&config.timezone).unwrap_or(jiff::tz::TimeZone::UTC),
        language: config.language.clone(),
        ..web::Settings::default()
    }
}
