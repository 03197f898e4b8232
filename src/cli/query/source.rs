//! Where answers come from: a server, or a data folder.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::answer::Answered;
use super::length;
use super::server::Server;
use crate::cli::output::complain;
use crate::model::{Labels, Matcher, Timestamp, Window};
use crate::ports::{Clock, Snapshot, SystemClock};
use crate::promql::{self, Annotation, EvalErrorKind, Interrupt, Options};
use crate::storage;
use crate::web::result_json;

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The question makes no sense.
    Usage(String),
    /// The answer could not be had.
    Failed(String),
}

impl Trouble {
    /// Says it; 2 for a question that makes no sense, else 1.
    pub fn said(self) -> ExitCode {
        let (message, code) = match self {
            Self::Usage(message) => (message, ExitCode::from(2)),
            Self::Failed(message) => (message, ExitCode::FAILURE),
        };
        complain(&message);
        code
    }
}

/// Where to ask, on the command line.
#[derive(Debug, Args)]
pub struct Place {
    /// Ask this server, ours or any that speaks Prometheus' HTTP API; a user and a password may
    /// stand in the URL
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9797")]
    server: url::Url,
    /// Send the token in this file
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Read this data folder instead, also while a server uses it
    #[arg(long, value_name = "DIR", conflicts_with_all = ["server", "token_file"])]
    data: Option<PathBuf>,
    /// Give up after so long
    #[arg(long, value_name = "LENGTH", default_value = "2m", value_parser = length)]
    timeout: Duration,
}

impl Place {
    /// Does not connect.
    ///
    /// # Errors
    /// The folder, or the file with the token, cannot be read.
    pub fn source(&self) -> Result<Source, Trouble> {
        match &self.data {
            Some(folder) => Source::store(folder, self.timeout),
            None => Source::server(&self.server, self.token_file.as_deref(), self.timeout),
        }
    }
}

/// Where answers come from.
pub enum Source {
    /// Over HTTP.
    Server(Server),
    /// Out of a folder, with the time that a query may take.
    Store(Snapshot, Duration),
}

/// The parameters of a question, as the API names them.
pub type Form<'a> = &'a [(&'static str, String)];

/// A word as a part of a path: what no URL can hold is written as the API escapes it (`U__`).
pub fn path_word(word: &str) -> String {
    percent_encoding::utf8_percent_encode(word, percent_encoding::NON_ALPHANUMERIC)
        .to_string()
        .replace("%5F", "_")
}

impl Source {
    /// A server, with the token in a file if one is named.
    pub fn server(url: &url::Url, token: Option<&Path>, limit: Duration) -> Result<Self, Trouble> {
        Server::new(url, token, limit).map(Self::Server)
    }

    /// A data folder, which may be that of a running server.
    pub fn store(folder: &Path, limit: Duration) -> Result<Self, Trouble> {
        // `run --data` keeps samples in a folder of their own.
        let own = folder.join("samples");
        let folder = if own.is_dir() { own } else { folder.to_owned() };
        let view = storage::look(&folder).map_err(|error| Trouble::Failed(error.to_string()))?;
        Ok(Self::Store(view, limit))
    }

    /// Asks what the API answers at `/api/v1/` + `path`.
    pub async fn get(&self, path: &str, form: Form<'_>) -> Result<Answered, Trouble> {
        match self {
            Self::Server(server) => server.get(path, form).await,
            Self::Store(store, limit) => {
                let (store, limit) = (store.clone(), *limit);
                let (path, form) = (path.to_owned(), form.to_vec());
                let work = tokio::task::spawn_blocking(move || read(&store, limit, &path, &form));
                let died = |_| Err(Trouble::Failed("the query ended in a defect of ours".into()));
                work.await.unwrap_or_else(died)
            }
        }
    }
}

fn read(
    store: &Snapshot,
    limit: Duration,
    path: &str,
    form: Form<'_>,
) -> Result<Answered, Trouble> {
    match path {
        "query" | "query_range" => evaluate(store, limit, path, form),
        "series" => {
            let (sets, window) = chosen(form)?;
            let found = store.find_any(&sets, window).map_err(unreadable)?;
            let mut found: Vec<Labels> = found.into_iter().map(|found| found.labels).collect();
            found.sort();
            found.dedup();
            let shown = found.iter().map(|labels| {
                let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.into()));
                Value::Object(pairs.collect())
            });
            Ok(Answered { data: shown.collect(), ..Answered::default() })
        }
        _ => {
            let (sets, window) = chosen(form)?;
            let name = path.strip_prefix("label/").and_then(|rest| rest.strip_suffix("/values"));
            let words = match name {
                Some(name) => {
                    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
                    store.label_values(&name, &sets, window, usize::MAX)
                }
                None => store.label_names(&sets, window, usize::MAX),
            };
            Ok(Answered { data: json!(words.map_err(unreadable)?), ..Answered::default() })
        }
    }
}

fn unreadable(error: crate::ports::SelectError) -> Trouble {
    Trouble::Failed(error.to_string())
}

fn parameter<'a>(form: Form<'a>, name: &str) -> &'a str {
    form.iter().find(|(found, _)| *found == name).map_or("", |(_, value)| value)
}

fn time(form: Form<'_>, name: &str) -> Timestamp {
    let seconds = parameter(form, name).parse().ok();
    seconds.and_then(Timestamp::from_seconds).unwrap_or_default()
}

fn chosen(form: Form<'_>) -> Result<(Vec<Vec<Matcher>>, Window), Trouble> {
    let texts = form.iter().filter(|(name, _)| *name == "match[]").map(|(_, text)| text);
    let matchers = |text: &String| promql::parse_selector(text).map(|found| found.matchers);
    let sets = texts.map(matchers).collect::<Result<Vec<_>, _>>();
    let sets = sets.map_err(|error| Trouble::Usage(error.to_string()))?;
    // The window leaves its left border out, the API does not.
    let after = Timestamp::from_millis(time(form, "start").millis().saturating_sub(1));
    Ok((sets, Window { after, through: time(form, "end") }))
}

fn evaluate(
    store: &Snapshot,
    limit: Duration,
    path: &str,
    form: Form<'_>,
) -> Result<Answered, Trouble> {
    let text = parameter(form, "query");
    let expr = promql::parse(text).map_err(|error| Trouble::Usage(error.to_string()))?;
    let clock = SystemClock::start();
    let interrupt = move || (clock.mono().0 >= limit).then_some(Interrupt::Timeout);
    let options = Options { interrupt: &interrupt, ..Options::default() };
    let answer = if path == "query" {
        promql::instant(&expr, &**store, time(form, "time"), &options)
    } else {
        let step = Duration::try_from_secs_f64(parameter(form, "step").parse().unwrap_or(0.0));
        let (start, end) = (time(form, "start"), time(form, "end"));
        promql::range(&expr, &**store, start, end, step.unwrap_or_default(), &options)
    };
    let answer = answer.map_err(|error| match error.kind {
        EvalErrorKind::BadData => Trouble::Usage(error.message),
        _ => Trouble::Failed(error.message),
    })?;
    let notes = |all: &[Annotation]| all.iter().map(|note| note.in_query(text)).collect();
    let data = serde_json::from_str(&result_json(&answer.value));
    Ok(Answered {
        data: data.map_err(|error| Trouble::Failed(error.to_string()))?,
        warnings: notes(&answer.warnings),
        infos: notes(&answer.infos),
    })
}
