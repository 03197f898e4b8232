//! Service-level reports from the samples of a server or a data folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Output, say};
use super::query::answer::{Series, series};
use super::query::source::{Place, Source, Trouble};
use super::query::time;
use crate::config::{Config, Promised, System, show_duration};
use crate::model::{TimeRange, Timestamp};
use crate::ports::{Clock, SystemClock};
use crate::render::{Subject, level_report};
use crate::service::availability::{Availability, History, Look, Verdict, Watched};
use crate::service::level::{Reckoning, Report, Standing, judge, needed};
use crate::service::promise::Excuse;

/// `augenmass sla …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Whether each promise (`promises` in the configuration) was kept in a month, outage by outage,
    /// with the reason for each that does not count; exit code 1 when one was not
    #[command(after_help = "Example:\n  augenmass sla report --config augenmass.yml \
        --data /var/lib/augenmass --month 2026-10")]
    Report(ReportArguments),
}

#[derive(Debug, Args)]
struct ReportArguments {
    /// Our configuration, with `promises` and `maintenance`
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The month, such as 2026-10; the current one, when absent
    #[arg(long, value_name = "MONTH", value_parser = month)]
    month: Option<jiff::civil::Date>,
    /// Only these services
    #[arg(long, value_name = "NAME")]
    service: Vec<String>,
    /// The language: `de` or `en`; that of the configuration, when absent
    #[arg(long, value_name = "LANGUAGE", value_parser = ["de", "en"])]
    language: Option<String>,
    #[command(flatten)]
    place: Place,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The first day of a month.
fn month(text: &str) -> Result<jiff::civil::Date, String> {
    let wanted = || "expected a month such as 2026-10".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(wanted)?;
    let two_digits = month.len() == 2 && year.len() == 4;
    let parts = (year.parse::<i16>(), month.parse::<i8>());
    let (Ok(year), Ok(month), true) = (parts.0, parts.1, two_digits) else { return Err(wanted()) };
    jiff::civil::Date::new(year, month, 1).map_err(|_| wanted())
}

/// Runs it: 0 nothing is broken, 1 a promise was not kept or cannot be judged, 2 wrong usage.
pub fn run(arguments: Arguments) -> ExitCode {
    let What::Report(arguments) = arguments.what;
    super::block_on(async move {
        let now = SystemClock::start().wall();
        match report(&arguments, now).await {
            Ok((text, good)) => {
                say(text.trim_end());
                if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(trouble) => trouble.said(),
        }
    })
}

/// The text, and whether nothing is broken.
async fn report(arguments: &ReportArguments, now: Timestamp) -> Result<(String, bool), Trouble> {
    let config = Config::load(&arguments.config, &System);
    let config = config.map_err(|problems| Trouble::Failed(problems.to_string()))?;
    let wanted = chosen(&config, &arguments.service)?;
    let source = arguments.place.source()?;
    let (mut texts, mut values, mut good) = (Vec::new(), Vec::new(), true);
    for promised in wanted {
        let month = span_of(arguments.month, promised, now)?;
        let seen = availability(&source, &config, promised, needed(month), now).await?;
        let excuses = config.maintenance.iter().filter(|(name, _)| *name == promised.service);
        let excuses: Vec<Excuse> = excuses.map(|(_, excuse)| excuse.clone()).collect();
        let report = judge(&promised.promise, month, now, &seen, &excuses);
        let report = report.ok_or_else(|| Trouble::Usage("this month has not begun".into()))?;
        good &= report.levels.iter().all(|level| level.standing() != Standing::Broken);
        let services = &config.directory.services;
        let service = services.iter().find(|service| service.name == promised.service);
        let title = service.and_then(|service| service.title.clone());
        let about = Subject {
            service: &title.unwrap_or_else(|| promised.service.clone()),
            month,
            promise: &promised.promise,
            language: arguments.language.as_deref().unwrap_or(&config.language),
            zone: &config.timezone,
        };
        texts.push(level_report(&about, &report));
        values.push(as_json(promised, &report));
    }
    Ok(match arguments.output {
        Output::Text => (texts.join("\n"), good),
        Output::Json => (format!("{:#}", Value::Array(values)), good),
    })
}

fn chosen<'a>(config: &'a Config, names: &[String]) -> Result<Vec<&'a Promised>, Trouble> {
    if config.promised.is_empty() {
        let message = "no service of this configuration has a `promise`; docs/services.md says how";
        return Err(Trouble::Failed(message.into()));
    }
    for name in names {
        if !config.promised.iter().any(|promised| *promised.service == **name) {
            let known: Vec<&str> = config.promised.iter().map(|one| &*one.service).collect();
            let known = known.join(", ");
            let message = format!("no service `{name}` has a promise; those that have: {known}");
            return Err(Trouble::Usage(message));
        }
    }
    let wanted = config.promised.iter();
    let is_wanted = |one: &&Promised| names.is_empty() || names.iter().any(|n| **n == *one.service);
    Ok(wanted.filter(is_wanted).collect())
}

/// The month in the promise's zone.
fn span_of(
    first: Option<jiff::civil::Date>,
    promised: &Promised,
    now: Timestamp,
) -> Result<TimeRange, Trouble> {
    let zone = &promised.promise.zone;
    let today = jiff::Timestamp::from_millisecond(now.millis()).map(|now| zone.to_datetime(now));
    let first = first.or_else(|| Some(today.ok()?.date().first_of_month()));
    let span = first.and_then(|first| {
        let next = first.checked_add(jiff::Span::new().months(1)).ok()?;
        let midnight = |day: jiff::civil::Date| {
            let at = zone.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok()?;
            Some(Timestamp::from_millis(at.as_millisecond()))
        };
        TimeRange::new(midnight(first)?, midnight(next)?)
    });
    span.ok_or_else(|| Trouble::Usage("this month is out of range".into()))
}

/// Target and kind of probe.
type Key = (String, String);

/// So much is asked at once: a few megabytes.
const PIECE: Duration = Duration::from_secs(4 * 86_400);

/// How a service was, from the series of its targets.
async fn availability(
    source: &Source,
    config: &Config,
    promised: &Promised,
    within: TimeRange,
    now: Timestamp,
) -> Result<Availability, Trouble> {
    let Some(within) = TimeRange::new(within.start(), within.end().min(now)) else {
        return Ok(Availability::default());
    };
    let mut looks: BTreeMap<Key, BTreeMap<i64, Verdict>> = BTreeMap::new();
    let mut from = within.start();
    while let Some(piece) = TimeRange::new(from, (from + PIECE).min(within.end())) {
        for name in ["probe_success", "probe_confirmed_down"] {
            for found in asked(source, name, &promised.service, piece).await? {
                take(&found, name, looks.entry(key_of(&found)).or_default());
            }
        }
        from = piece.end();
    }
    let counts = |kind: &str| {
        let kinds = &promised.promise.probes;
        kinds.is_empty() || kinds.iter().any(|one| **one == *kind)
    };
    let targets = config.probes.targets.iter();
    let targets = targets.filter(|target| target.service == promised.service);
    let intervals: BTreeMap<Key, Duration> = targets
        .map(|target| ((target.name.to_string(), target.kind.name().to_owned()), target.interval))
        .collect();
    for key in intervals.keys() {
        looks.entry(key.clone()).or_default();
    }
    let looks = looks.into_iter().filter(|((_, kind), _)| counts(kind));
    let watched: Vec<Watched> = looks
        .filter_map(|((name, kind), looks)| {
            let interval = intervals.get(&(name.clone(), kind));
            watched(name.into(), &looks, interval.copied(), within)
        })
        .collect();
    Ok(Availability::of(&watched, promised.promise.down_when, within))
}

async fn asked(
    source: &Source,
    name: &str,
    service: &str,
    piece: TimeRange,
) -> Result<Vec<Series>, Trouble> {
    // A range selector leaves its left border out.
    let length = show_duration(piece.length());
    let last = Timestamp::from_millis(piece.end().millis().saturating_sub(1));
    let service = serde_json::to_string(service).unwrap_or_default();
    let query = format!("{name}{{service={service}}}[{length}]");
    let form = [("query", query), ("time", time::for_api(last))];
    let answered = source.get("query", &form).await?;
    series(&answered.data).ok_or_else(|| Trouble::Failed("the answer is no matrix".into()))
}

fn key_of(series: &Series) -> Key {
    let label = |name: &str| {
        let found = series.labels.iter().find(|(found, _)| found == name);
        found.map_or_else(String::new, |(_, value)| value.clone())
    };
    (label("target"), label("probe"))
}

/// Success comes first, what is confirmed after it.
fn take(series: &Series, name: &str, looks: &mut BTreeMap<i64, Verdict>) {
    for (at, cell) in &series.points {
        #[allow(clippy::cast_possible_truncation)] // far inside
        let at = (at * 1000.0).round() as i64;
        let is_one = cell.number() > 0.5;
        match (name, is_one) {
            ("probe_success", true) => looks.insert(at, Verdict::Up),
            ("probe_success", false) => looks.insert(at, Verdict::Failed { confirmed: false }),
            (_, true) => looks
                .get_mut(&at)
                .map(|look| std::mem::replace(look, Verdict::Failed { confirmed: true })),
            _ => None,
        };
    }
}

/// A target between its first look and, when it is not configured any more, its last. `None` when
/// it is neither configured nor was it ever looked at.
fn watched(
    name: Arc<str>,
    looks: &BTreeMap<i64, Verdict>,
    configured: Option<Duration>,
    within: TimeRange,
) -> Option<Watched> {
    let looks: Vec<Look> = looks
        .iter()
        .map(|(at, verdict)| Look { at: Timestamp::from_millis(*at), verdict: *verdict })
        .collect();
    let mut gaps: Vec<Duration> =
        looks.windows(2).filter_map(|pair| pair[1].at.since(pair[0].at)).collect();
    gaps.sort_unstable();
    let usual = gaps.get(gaps.len() / 2).copied();
    let interval = usual.max(configured).unwrap_or(Duration::from_secs(30));
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else {
        configured?;
        let history = History::of(&[], interval, within);
        return Some(Watched { name, range: within, history });
    };
    let end = if configured.is_some() { within.end() } else { last.at + interval };
    // The first look lies at most an interval behind the beginning of what was asked.
    let early = first.at.since(within.start()).is_none_or(|late| late <= interval);
    let start = if early { within.start() } else { first.at };
    let range = TimeRange::new(start, end.min(within.end()))?;
    Some(Watched { name, range, history: History::of(&looks, interval, within) })
}

fn as_json(promised: &Promised, report: &Report) -> Value {
    let time = |at: Timestamp| {
        jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.to_string()).unwrap_or_default()
    };
    let levels = report.levels.iter().map(|level| {
        json!({
            "name": *level.name,
            "promised_ratio": level.promised,
            "available_at_least_ratio": level.at_least(),
            "available_at_most_ratio": level.at_most(),
            "standing": match level.standing() {
                Standing::Kept => "kept",
                Standing::Broken => "broken",
                Standing::NotKnown => "not_known",
                Standing::Open => "open",
            },
            "whole_seconds": level.whole.as_secs_f64(),
            "passed_seconds": level.passed.as_secs_f64(),
            "down_counted_seconds": level.counted.as_secs_f64(),
            "down_not_counted_seconds": level.not_counted.as_secs_f64(),
            "unknown_seconds": level.unknown.as_secs_f64(),
            "left_seconds": level.left().as_secs_f64(),
        })
    });
    let times = &promised.promise.times;
    let outages = report.outages.iter().map(|judged| {
        let parts = judged.parts.iter().map(|part| {
            let (reckoning, reason) = words(&part.reckoning);
            json!({
                "service_time": part.time.and_then(|at| times.get(at)).map(|time| &*time.name),
                "seconds": part.length.as_secs_f64(),
                "counts": part.reckoning.counts(),
                "reckoning": reckoning,
                "reason": reason,
            })
        });
        json!({
            "from": time(judged.outage.range.start()),
            "to": time(judged.outage.range.end()),
            "targets": judged.outage.targets.iter().map(|name| &**name).collect::<Vec<_>>(),
            "parts": parts.collect::<Vec<_>>(),
        })
    });
    json!({
        "service": *promised.service,
        "promise": *promised.promise.name,
        "from": time(report.range.start()),
        "to": time(report.range.end()),
        "service_times": levels.collect::<Vec<_>>(),
        "outages": outages.collect::<Vec<_>>(),
    })
}

fn words(reckoning: &Reckoning) -> (&'static str, Option<&str>) {
    match reckoning {
        Reckoning::Counts => ("counts", None),
        Reckoning::CountsTooManyThatDay(_) => ("too_many_that_day", None),
        Reckoning::CountsTooManyThatWeek(_) => ("too_many_that_week", None),
        Reckoning::CountsBeyondPlanned(reason) => ("beyond_planned", Some(reason)),
        Reckoning::CountsAnnouncedLate(reason) => ("announced_late", Some(reason)),
        Reckoning::OutsideHours => ("outside_hours", None),
        Reckoning::Short => ("short", None),
        Reckoning::Planned(reason) => ("planned", Some(reason)),
        Reckoning::ForceMajeure(reason) => ("force_majeure", Some(reason)),
        Reckoning::ByCustomer(reason) => ("by_customer", Some(reason)),
    }
}

#[cfg(test)]
#[path = "sla_tests.rs"]
mod tests;
