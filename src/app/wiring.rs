use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::channels::{self, Channels};
use super::people::People;
use super::plots::Plotter;
use super::summary::summary;
use super::{App, BuildError, Options, Reload, load_rules, recipients, reload, remote};
use crate::alerting::{Directory, LinkSigner, Notice, Owner, Plan};
use crate::config::{Config, Sources, System};
use crate::evaluate::{self, Evaluator};
use crate::model::{Labels, Secret};
use crate::notify::{DispatchError, DispatchSettings, Dispatcher, Patience, Render, Wording};
use crate::ports::{Address, Append, Clock, Message, Receive, State};
use crate::probe::snmp::UdpSnmp;
use crate::probe::{Resolver, Schedule, ScheduleDoors, VerdictChange};
use crate::render::{Expressions, Links, Renderer, Templates};
use crate::rules::{GroupRules, RuleKind, World};
use crate::state::SqliteState;
use crate::storage::{self, Store};
use crate::telemetry::Telemetry;
use crate::web::{self, Server};

/// Verdicts that wait for the rules to run.
const CHANGES: usize = 1024;
/// Reports of rule groups that wait for the dispatcher.
const REPORTS: usize = 64;

/// After a start nothing is told before every rule was evaluated once, but people wait no longer
/// than this: twice the interval that groups usually have.
const LONGEST_HOLD: Duration = Duration::from_secs(35);

/// What a configuration means for the rooms that can be changed while they run.
pub struct Meaning {
    pub config: Config,
    pub groups: Vec<Arc<GroupRules>>,
    pub directory: Arc<Directory>,
    pub plan: Arc<Plan>,
    pub channels: Channels,
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
        let (plan, directory) = recipients::who_is_told(&config)?;
        let (plan, directory) = (Arc::new(plan), Arc::new(directory));
        let channels = Channels::of(&config, clock)?;
        let base = base_url(&config, listen);
        let pages = Some(base.clone());
        let signer = link_key.filter(|_| config.web.external_url.is_some());
        let acting = signer.map(|key| LinkSigner::new(&base, key));
        let instance = config.instance.clone();
        let links = Links { instance, pages, runbooks: None, acting: acting.clone() };
        let mut renderer = Renderer::new(directory.clone(), links)
            .with_expressions(Arc::new(expressions(&groups)))
            .with_templates(&templates(config.templates.as_deref()));
        for damaged in renderer.damaged_templates() {
            tracing::error!("messages.templates: cannot use {damaged}; the shipped text is used");
        }
        if let Some(foreign) = &config.alertmanager {
            let voices = foreign.outfit.voices.clone();
            renderer = renderer
                .with_voices(voices, foreign.file.words.clone())
                .with_default_addresses(foreign.outfit.default_addresses.clone());
        }
        Ok(Self { config, groups, directory, plan, channels, renderer, base, acting })
    }
}

/// The time in which every target has been looked at once.
pub(super) fn settle(config: &Config) -> Duration {
    let rounds = config.probes.targets.iter().map(|target| target.interval + target.timeout);
    rounds.max().unwrap_or_default()
}

/// Where people reach the pages, without a slash at the end.
fn base_url(config: &Config, listen: Option<SocketAddr>) -> Arc<str> {
    match &config.web.external_url {
        Some(url) => url.as_str().trim_end_matches('/').into(),
        None => format!("http://{}", listen.unwrap_or(config.web.listen)).into(),
    }
}

/// What can be drawn, by the names of alerts.
fn expressions(groups: &[Arc<GroupRules>]) -> Expressions {
    let mut known = Expressions::default();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        if let RuleKind::Alerting { alert, .. } = &rule.kind {
            known.add(alert.clone(), rule.written_labels(), rule.expression.as_str().into());
        }
    }
    known
}

/// Somebody's own sentences: `de.ftl` and `en.ftl` in a folder. A file that cannot be read is
/// said and left out; people are told all the same.
fn templates(folder: Option<&Path>) -> Templates {
    let read = |name: &str| {
        let path = folder?.join(name);
        match System.read(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::error!(%error, "messages.templates: cannot read {}", path.display());
                None
            }
        }
    };
    Templates { german: read("de.ftl"), english: read("en.ftl") }
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

    fn places(&self, notice: &Notice, owner: &Owner, to: &Address) -> Vec<Address> {
        let renderer = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        renderer.places(notice, owner, to)
    }

    fn for_address(&self, notice: &Notice, owner: &Owner, to: &Address) -> Wording {
        let renderer = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        renderer.for_address(notice, owner, to)
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
    options.data.as_deref().map_or(Ok(()), data_folder)?;
    // SQLite's name for a file that lives in memory.
    let file = options.data.as_ref().map(|data| data.join("state.sqlite"));
    let state = Arc::new(SqliteState::open(&file.unwrap_or_else(|| PathBuf::from(":memory:")))?);
    let link_key = state.load().await.map_err(DispatchError::from)?.link_key;
    let meaning = Meaning::of(config, options.listen, &clock, link_key.as_ref())?;
    let store =
        Store::open(store_settings(&meaning.config, &options), clock.clone(), telemetry.clone())?;
    let draw = Arc::new(Plotter::new(store.clone(), clock.clone()));
    let doors = channels::Doors::new(draw, state.clone());
    let push = remote::Push::open(&meaning.config, &options, &clock, &telemetry)?;
    let append = push.before(store.clone());
    let (changed, changes) = mpsc::channel(CHANGES);
    let schedule = schedule(&meaning.config, &append, changed, &clock, &telemetry);
    let (report, reports) = mpsc::channel(REPORTS);
    let evaluator = Evaluator::new(
        evaluation(&meaning),
        clock.clone(),
        store.clone(),
        append.clone(),
        report,
        telemetry.clone(),
    );
    let acting = Arc::new(RwLock::new(meaning.acting.clone()));
    let renderer = Arc::new(LiveRenderer(RwLock::new(Arc::new(meaning.renderer))));
    let (dispatcher, people) = Dispatcher::new(
        DispatchSettings { plan: meaning.plan, patience: Patience::default(), hold: LONGEST_HOLD },
        meaning.directory,
        clock.clone(),
        state.clone(),
        renderer.clone(),
        meaning.channels.connect(&doors),
        telemetry.clone(),
        reports,
    )
    .await?;
    let receiver = push.receiver(&append, &clock, &telemetry, &schedule)?;
    let ending = CancellationToken::new();
    let (reload, reload_requests) = Reload::new(&options);
    let summary = Arc::new(RwLock::new(summary(&meaning.config)));
    let shown = Shown {
        clock: clock.clone(),
        telemetry: telemetry.clone(),
        schedule: schedule.clone(),
        store: store.clone(),
        evaluator: evaluator.clone(),
        summary: summary.clone(),
        reload: reload.clone(),
        people: People { dispatcher: people.clone(), state },
        acting: acting.clone(),
        receiver,
        ending: ending.clone(),
    };
    let server = Server::bind(web_settings(&meaning.config, &options), shown.doors()).await?;
    reload::accepted(&telemetry, &*clock);
    Ok(App {
        link_key,
        acting,
        common: common_labels(&meaning.config),
        data: options.data,
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
        channels: doors,
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
    append: &Arc<dyn Append>,
    changes: mpsc::Sender<VerdictChange>,
    clock: &Arc<dyn Clock>,
    telemetry: &Arc<Telemetry>,
) -> Arc<Schedule> {
    let doors = ScheduleDoors {
        clock: clock.clone(),
        append: append.clone(),
        changes,
        telemetry: telemetry.clone(),
        resolver: Arc::new(Resolver::from_system(clock.clone())),
        snmp: Arc::new(UdpSnmp::new()),
    };
    Schedule::new(&config.probes, doors)
}

/// What the pages and the APIs show and can do.
struct Shown {
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    schedule: Arc<Schedule>,
    store: Arc<Store>,
    evaluator: Arc<Evaluator>,
    summary: Arc<RwLock<String>>,
    reload: Reload,
    people: People,
    acting: Arc<RwLock<Option<LinkSigner>>>,
    receiver: Arc<dyn Receive>,
    ending: CancellationToken,
}

impl Shown {
    fn doors(self) -> web::Doors {
        let Self { evaluator, summary, reload, acting, ending, .. } = self;
        web::Doors {
            clock: self.clock,
            telemetry: self.telemetry,
            board: self.schedule,
            samples: self.store,
            rules: Arc::new(move || evaluator.groups()),
            config: Arc::new(move || {
                summary.read().unwrap_or_else(PoisonError::into_inner).clone()
            }),
            reload: Arc::new(move || {
                let asked = reload.clone();
                Box::pin(async move { asked.ask().await })
            }),
            act: Arc::new(self.people.dispatcher.clone()),
            people: Arc::new(self.people),
            acting: Arc::new(move || acting.read().unwrap_or_else(PoisonError::into_inner).clone()),
            receive: Some(self.receiver),
            ready: Arc::new(move || {
                if ending.is_cancelled() { Err("it is stopping".to_owned()) } else { Ok(()) }
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
        world: World {
            external_url: meaning.base.clone(),
            settle,
            lookback: meaning.config.query.lookback,
            ..World::default()
        },
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
        queries: config.query,
        ..web::Settings::default()
    }
}
