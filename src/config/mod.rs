//! The configuration file: what was written (`yaml`), and what it means (`Config`). All problems
//! are reported at once as `file:line:column: what is wrong, what was expected, did you mean …`.

mod alertmanager;
mod alerts;
mod calendars;
mod channels;
mod people;
mod probes;
mod problem;
mod process;
mod promises;
mod quantity;
mod query;
mod reactions;
mod reader;
mod remote;
mod routes;
mod services;
mod web;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use alertmanager::{AlertmanagerFile, Integration, MailWords, Outfit, Receiver};
pub use probes::parse_probe;
pub use problem::{Position, Problem, Problems, suggestion};
pub use process::expand as expand_files;
pub use quantity::{parse_duration, show_duration};
pub use routes::AlertmanagerSection;
pub use web::WebFile;

use crate::alerting::Directory;
use crate::calendar::ServiceHours;
use crate::model::Labels;
use crate::notify;
use crate::probe;
use crate::rules::tune::Tuning;
use crate::service::promise::{Excuse, Promise};
use crate::service::reaction::Reactions;
use reader::Reader;

/// Where the configuration comes from: the file system and the environment, or a test's.
pub trait Sources {
    /// The text of a file.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
}

/// The machine's files and environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// A configuration, a secret, a rule file: nobody writes more by hand.
const LARGEST_FILE: u64 = 16 << 20;

impl Sources for System {
    fn read(&self, path: &Path) -> io::Result<String> {
        let size = std::fs::metadata(path)?.len();
        if size > LARGEST_FILE {
            let message = format!("{size} bytes is more than a configuration file may have");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        std::fs::read_to_string(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// What the file means; every part is checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of this installation; the label `instance` in our own store.
    pub instance: Arc<str>,
    /// BCP 47 language of pages and of messages to owners who chose none.
    pub language: Arc<str>,
    /// IANA zone of the times people read.
    pub timezone: Arc<str>,
    /// Owners and services.
    pub directory: Directory,
    /// Targets.
    pub probes: probe::Settings,
    /// Channels.
    pub notify: notify::Settings,
    /// Folder with sentences (Fluent files) that replace shipped ones.
    pub templates: Option<PathBuf>,
    /// Service hours by name.
    pub calendars: Vec<ServiceHours>,
    /// By when somebody must react to what.
    pub reactions: Arc<Reactions>,
    /// Services whose availability somebody was promised.
    pub promised: Vec<Promised>,
    /// Services, and times in which their outages may not count.
    pub maintenance: Vec<(Arc<str>, Excuse)>,
    /// When and how often people are told.
    pub alerting: AlertingSection,
    /// Routes and receivers of an `alertmanager.yml`.
    pub alertmanager: Option<AlertmanagerSection>,
    /// Rules.
    pub rules: RulesSection,
    /// The HTTP server.
    pub web: WebSection,
    /// The store.
    pub storage: StorageSection,
    /// Where samples are pushed.
    pub remote_write: Vec<crate::remote::Destination>,
    /// What a query may cost.
    pub query: crate::web::QueryLimits,
}

/// A service with a service-level agreement.
#[derive(Clone, Debug)]
pub struct Promised {
    /// Its name.
    pub service: Arc<str>,
    /// What was promised.
    pub promise: Arc<Promise>,
}

/// `alerting:` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertingSection {
    /// How long a new group waits for company; `None` for the built-in choice (at once).
    pub group_wait: Option<Duration>,
    /// Least time between two messages about a group that changed.
    pub group_interval: Option<Duration>,
    /// Time after which an unchanged firing group is told again.
    pub repeat_interval: Option<Duration>,
}

/// `rules:` in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct RulesSection {
    /// Rule files; a `*` stands for any part of a file name.
    pub files: Vec<PathBuf>,
    /// Whether the shipped rules run.
    pub shipped: bool,
    /// Names of shipped alerts that do not run.
    pub disable: Vec<Arc<str>>,
    /// What is to be different about shipped alerts, for everything or for one service.
    pub tunings: Vec<Tuning>,
    /// How often groups without an own interval are evaluated.
    pub interval: Duration,
}

/// `web:` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSection {
    /// Where the server listens; loopback unless told otherwise.
    pub listen: std::net::SocketAddr,
    /// Who may look from elsewhere.
    pub exposure: crate::web::Exposure,
    /// How people reach it; for links in messages.
    pub external_url: Option<url::Url>,
    /// Who may do what.
    pub credentials: crate::web::Credentials,
    /// Encryption.
    pub tls: Option<crate::web::TlsSettings>,
    /// Other sites whose scripts may read the API in a visitor's browser.
    pub cors_origins: Vec<Arc<str>>,
}

/// `storage:` in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSection {
    /// Age after which samples are dropped.
    pub retention: Duration,
    /// Size after which the oldest samples are dropped, in bytes.
    pub retention_size: Option<u64>,
    /// How much older than the newest sample a sample may be; at most 24 h.
    pub out_of_order: Duration,
    /// The longest a sample waits for its trip to the disk; zero: none waits for another.
    pub commit_delay: Duration,
}

/// What all sections need to know.
struct Basics {
    instance: Arc<str>,
    language: Arc<str>,
    timezone: Arc<str>,
}

impl Config {
    /// Reads the file and everything it refers to.
    ///
    /// # Errors
    /// All problems at once, in the order of the file.
    pub fn load(file: &Path, sources: &dyn Sources) -> Result<Self, Problems> {
        Self::load_both(Some(file), None, sources)
    }

    /// Reads a file, an `alertmanager.yml`, or both: the latter in place of the one that the file
    /// names. Without a file everything else is as it is unless told otherwise.
    ///
    /// # Errors
    /// All problems at once, in the order of the file.
    pub fn load_both(
        file: Option<&Path>,
        alertmanager: Option<&Path>,
        sources: &dyn Sources,
    ) -> Result<Self, Problems> {
        let text = match file {
            Some(file) => sources.read(file).map_err(|error| Problems::unreadable(file, &error))?,
            None => "{}".to_owned(),
        };
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        Self::read(&text, folder, alertmanager, sources).map_err(|problems| Problems {
            file: file.or(alertmanager).unwrap_or(Path::new("")).to_owned(),
            problems,
        })
    }

    /// Reads a text; relative paths in it begin at `folder`.
    ///
    /// # Errors
    /// All problems at once, in the order of the text.
    pub fn parse(text: &str, folder: &Path, sources: &dyn Sources) -> Result<Self, Vec<Problem>> {
        Self::read(text, folder, None, sources)
    }

    fn read(
        text: &str,
        folder: &Path,
        alertmanager: Option<&Path>,
        sources: &dyn Sources,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(sources, folder);
        let root = yaml::parse(text, &mut reader.problems);
        let config = root.and_then(|root| sections(&root, alertmanager, &mut reader));
        match config {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => {
                let mut problems = reader.problems;
                if problems.is_empty() {
                    let at = Position { line: 1, column: 1 };
                    let message = "the file is empty; it needs `owners` and `services`".to_owned();
                    problems.push(Problem { at, message });
                }
                problems.sort();
                problems.dedup();
                Err(problems)
            }
        }
    }
}

/// A missing part is given a stand-in, so that the other sections are still read; the problems
/// say that the result is not to be used.
fn sections(
    root: &yaml::Node,
    alertmanager: Option<&Path>,
    reader: &mut Reader<'_>,
) -> Option<Config> {
    let mut top = reader.fields(root, "the configuration")?;
    let basics = Basics {
        instance: top
            .get("instance")
            .and_then(|node| reader.text(node, "instance"))
            .unwrap_or_else(|| "augenmass".into()),
        language: people::language(top.get("language"), reader).unwrap_or_else(|| "en".into()),
        timezone: people::timezone(top.get("timezone"), reader).unwrap_or_else(|| "UTC".into()),
    };
    let mut channels = channels::read(top.get("notify"), reader);
    let foreign = top.get("alertmanager");
    let routed = foreign.is_some() || alertmanager.is_some();
    let owners = if routed { top.get("owners") } else { top.need("owners", reader) };
    let calendars = calendars::read(top.get("calendars"), &basics, reader);
    let people = people::owners(owners, &basics, &mut channels, &calendars, reader);
    let owners = people.owners;
    let concurrency = top
        .get("concurrency")
        .and_then(|node| reader.number(node, "concurrency", 1, 10_000))
        .unwrap_or(100);
    let defaults = probes::Timing::default().read(top.get("defaults"), "defaults", reader);
    let common = [("instance", &*basics.instance), ("job", "augenmass")];
    let common = Labels::from_pairs(common).unwrap_or_default();
    let services = if routed { top.get("services") } else { top.need("services", reader) };
    let promised = promises::read(top.get("promises"), services, &calendars, &basics, reader);
    let maintenance = promises::maintenance(top.get("maintenance"), services, &basics, reader);
    let services = services::read(services, &owners, &calendars, &defaults, &common, reader);
    let reactions = reactions::read(top.get("reactions"), &calendars, services.hours, reader);
    let (alerting, fallback) = process::alerting(top.get("alerting"), &owners, reader);
    let foreign = routes::alertmanager(foreign, alertmanager, &owners, &basics, &channels, reader);
    let mut rules = process::rules(top.get("rules"), &owners, reader);
    rules.tunings.extend(services.tunings);
    let templates = channels::templates(top.get("messages"), reader);
    let web = web::read(top.get("web"), reader);
    let storage = process::storage(top.get("storage"), reader);
    let remote_write = remote::read(top.get("remote_write"), reader);
    let query = query::read(top.get("query"), reader);
    top.finish(reader);
    Some(Config {
        instance: basics.instance,
        language: basics.language,
        timezone: basics.timezone,
        directory: Directory {
            owners: owners.into_iter().map(|(owner, _)| owner).collect(),
            services: services.services,
            fallback,
            first_that_works: people.first_that_works,
            hours: people.hours,
        },
        probes: probe::Settings {
            targets: services.targets,
            concurrency: usize::try_from(concurrency).unwrap_or(100),
        },
        notify: channels,
        templates,
        reactions: Arc::new(reactions),
        calendars: calendars.into_iter().map(|(hours, _)| hours).collect(),
        promised,
        maintenance,
        alerting,
        alertmanager: foreign,
        rules,
        web,
        storage,
        remote_write,
        query,
    })
}

#[cfg(test)]
mod tests;
