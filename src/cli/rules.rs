use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::output::{Bar, Output, complain, say};
use crate::alerting::{Plan, Timing};
use crate::app::load_rules;
use crate::config::{Config, Sources, System, expand_files, parse_duration, show_duration};
use crate::model::{Labels, Timestamp};
use crate::ports::{Clock, SystemClock};
use crate::rules::replay::{Episode, Replayed, Settings, replay};
use crate::rules::{File, GroupRules, RuleKind, World};
use crate::storage;

/// `augenmass rules …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Run rules over stored history: what would have fired, when, how long, and for whom
    #[command(
        after_help = "Example:\n  augenmass rules replay --from 30d --data /var/lib/augenmass \
        --config augenmass.yml new-rules.yml"
    )]
    Replay(Replay),
}

#[derive(Debug, Args)]
struct Replay {
    /// Rule files; those that the configuration runs, when absent
    #[arg(value_name = "FILE", required_unless_present = "config")]
    files: Vec<PathBuf>,
    /// The folder with the history (that of `run --data`)
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Our configuration: who would have been told
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The beginning: so long ago (30d), or a time such as 2026-11-01T00:00:00Z
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = when)]
    from: When,
    /// The end, likewise; now, when absent
    #[arg(long, value_name = "TIME", value_parser = when)]
    to: Option<When>,
    /// Time from one evaluation to the next for groups that do not say; that of the configuration,
    /// else 1m
    #[arg(long, value_name = "TIME", value_parser = length)]
    interval: Option<Duration>,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// An instant on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Ago(Duration),
    At(Timestamp),
}

fn when(text: &str) -> Result<When, String> {
    if let Some(span) = parse_duration(text) {
        return Ok(When::Ago(span));
    }
    let at: Result<jiff::Timestamp, _> = text.parse();
    let wanted = "a time span such as 30d, or a time such as 2026-11-01T00:00:00Z";
    let at = at.map_err(|_| format!("expected {wanted}"))?;
    Ok(When::At(Timestamp::from_millis(at.as_millisecond())))
}

fn length(text: &str) -> Result<Duration, String> {
    let span = parse_duration(text).filter(|span| !span.is_zero());
    span.ok_or_else(|| "expected a time span such as 15s".to_owned())
}

impl When {
    fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(span) => now - span,
            Self::At(at) => at,
        }
    }
}

/// Exit code 1 when a rule cannot be read or evaluated.
pub fn run(arguments: Arguments) -> ExitCode {
    let What::Replay(arguments) = arguments.what;
    match replayed(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            complain(&problem);
            ExitCode::FAILURE
        }
    }
}

/// Who would have been told of an alert.
struct Routing {
    plan: Option<Plan>,
}

impl Routing {
    /// Names of receivers; with the reason where the route says that nobody is told.
    fn told(&self, labels: &Labels, at: Timestamp) -> Vec<String> {
        let Some(plan) = &self.plan else {
            return labels.get("owner").map(str::to_owned).into_iter().collect();
        };
        let found = plan.routes.resolve(labels).into_iter().map(|id| plan.routes.get(id));
        let open = found.filter(|route| plan.closed(route, at).is_none());
        open.map(|route| route.receiver.to_string()).collect()
    }
}

fn replayed(arguments: &Replay) -> Result<bool, String> {
    let config = arguments.config.as_ref().map(|path| Config::load(path, &System)).transpose();
    let config = config.map_err(|problems| problems.to_string())?;
    let groups = groups(arguments, config.as_ref())?;
    let now = SystemClock::start().wall();
    let (from, to) =
        (arguments.from.seen_from(now), arguments.to.map_or(now, |to| to.seen_from(now)));
    if to <= from {
        return Err(format!("--from {from} must lie before --to {to}"));
    }
    let usual = config.as_ref().map_or(Duration::from_secs(60), |config| config.rules.interval);
    let settings = Settings {
        from,
        to,
        interval: arguments.interval.unwrap_or(usual),
        world: World::default(),
    };
    let folder = arguments.data.join("samples");
    let store = storage::look(&folder).map_err(|error| error.to_string())?;
    let bar = Bar::new("pieces");
    let found = replay(&groups, &*store, &settings, &mut |done, all| bar.set(done, all));
    bar.done();
    let plan = config.map(|config| Plan::of_owners(&config.directory, Timing::default()));
    let plan = plan.transpose().map_err(|error| error.to_string())?;
    let routing = Routing { plan };
    match arguments.output {
        Output::Text => say(text(&found, &routing, to).trim_end()),
        Output::Json => say(&as_json(&found, &routing, &settings).to_string()),
    }
    Ok(found.iter().all(|rule| rule.failures == 0))
}

fn groups(arguments: &Replay, config: Option<&Config>) -> Result<Vec<Arc<GroupRules>>, String> {
    if let (Some(config), true) = (config, arguments.files.is_empty()) {
        return load_rules(&config.rules, &System).map_err(|error| error.to_string());
    }
    let paths = expand_files(&arguments.files);
    let (mut groups, mut problems) = (Vec::new(), Vec::new());
    for path in paths.map_err(|error| format!("cannot find the files: {error}"))? {
        match read(&path) {
            Ok(file) => groups.extend(file.groups),
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(groups) } else { Err(problems.join("\n")) }
}

fn read(path: &Path) -> Result<File, Vec<String>> {
    let name = path.display().to_string();
    let text = System.read(path).map_err(|error| vec![format!("{name}: cannot read: {error}")])?;
    File::parse(&name, &text)
        .map_err(|problems| problems.iter().map(|problem| format!("{name}:{problem}")).collect())
}

/// Whole seconds are fine enough to read.
fn span(length: Duration) -> String {
    show_duration(Duration::from_secs(length.as_secs()))
}

fn text(found: &[Replayed], routing: &Routing, end: Timestamp) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let (mut fired, mut silent, mut failing) = (0, 0, 0);
    for rule in found {
        if rule.failures > 0 {
            failing += 1;
            let why = rule.problem.as_deref().unwrap_or("");
            let (failures, all) = (rule.failures, rule.evaluations);
            let name = rule.rule.name();
            let _ = writeln!(text, "{name}: {failures} of {all} evaluations fail: {why}");
        }
        if !matches!(rule.rule.kind, RuleKind::Alerting { .. }) {
            continue;
        }
        if rule.episodes.is_empty() {
            silent += 1;
            continue;
        }
        fired += rule.episodes.len() as u64 + rule.more;
        let times = rule.episodes.len() as u64 + rule.more;
        let (name, long) = (rule.rule.name(), span(rule.fired_for(end)));
        let _ = writeln!(text, "{name} ({}): {times} times, {long} in all", rule.file);
        for episode in &rule.episodes {
            let _ = writeln!(text, "  {}", line(episode, routing, end));
        }
        if rule.more > 0 {
            let _ = writeln!(text, "  … and {} more", rule.more);
        }
    }
    let alerts = found.iter().filter(|r| matches!(r.rule.kind, RuleKind::Alerting { .. })).count();
    let _ = writeln!(
        text,
        "{alerts} alerts: {fired} times something would have fired; {silent} would have been silent, \
         {failing} rules fail"
    );
    text
}

fn line(episode: &Episode, routing: &Routing, end: Timestamp) -> String {
    let whole = Timestamp::from_millis(episode.fired.millis().div_euclid(1000) * 1000);
    let shown = jiff::Timestamp::from_millisecond(whole.millis());
    let begin = shown.map_or_else(|_| whole.to_string(), |at| at.to_string());
    let length = episode.ended.unwrap_or(end).since(episode.fired).unwrap_or_default();
    let still = if episode.ended.is_none() { ", still at the end" } else { "" };
    let told = routing.told(&episode.labels, episode.fired);
    let told = if told.is_empty() { "nobody".to_owned() } else { told.join(", ") };
    let what = episode
        .annotations
        .get("summary")
        .map_or_else(|| episode.labels.without(&["alertname"]).to_string(), str::to_owned);
    format!("{begin} for {}{still} → {told}: {what}", span(length))
}

fn as_json(found: &[Replayed], routing: &Routing, settings: &Settings) -> Value {
    let pairs = |labels: &Labels| {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::from(pairs.collect::<Map<_, _>>())
    };
    let episode = |one: &Episode| {
        json!({
            "labels": pairs(&one.labels),
            "annotations": pairs(&one.annotations),
            "value": one.value.is_finite().then_some(one.value),
            "activeAt": one.since.to_string(),
            "firedAt": one.fired.to_string(),
            "resolvedAt": one.ended.map(|at| at.to_string()),
            "seconds": one.ended.unwrap_or(settings.to).since(one.fired).unwrap_or_default().as_secs_f64(),
            "receivers": routing.told(&one.labels, one.fired),
        })
    };
    let rule = |one: &Replayed| {
        json!({
            "file": &*one.file,
            "group": &*one.group,
            "name": &**one.rule.name(),
            "type": if matches!(one.rule.kind, RuleKind::Alerting { .. }) { "alerting" } else { "recording" },
            "evaluations": one.evaluations,
            "failures": one.failures,
            "problem": one.problem,
            "pendingOnly": one.pending_only,
            "fired": one.episodes.iter().map(episode).collect::<Vec<_>>(),
            "notShown": one.more,
        })
    };
    json!({
        "from": settings.from.to_string(),
        "to": settings.to.to_string(),
        "rules": found.iter().map(rule).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_date() {
        assert_eq!(when("30d"), Ok(When::Ago(Duration::from_secs(30 * 86_400))));
        assert_eq!(when("1970-01-01T00:00:01Z"), Ok(When::At(Timestamp::from_millis(1_000))));
        assert!(when("yesterday").unwrap_err().contains("30d"));
        assert!(length("0s").is_err());
    }
}
