//! Service-level reports in the words of the reader.

use std::time::Duration;

use super::texts::{self, Language, Voice};
use crate::model::TimeRange;
use crate::service::level::{Judged, Level, Part, Reckoning, Report, Standing};
use crate::service::promise::Promise;

/// What a report is about.
pub struct Subject<'a> {
    /// The service's title.
    pub service: &'a str,
    /// The month.
    pub month: TimeRange,
    /// What was promised.
    pub promise: &'a Promise,
    /// BCP 47; what is not German is English.
    pub language: &'a str,
    /// IANA zone of the times people read.
    pub zone: &'a str,
}

/// The report as a person reads it, in plain text.
pub fn level_report(about: &Subject<'_>, report: &Report) -> String {
    let language = match about.language.starts_with("de") {
        true => Language::german(None),
        false => Language::english(None),
    };
    let voice = language.voice();
    let zone = texts::zone(about.zone);
    let mut lines = vec![title(about, report, &voice), String::new()];
    for level in &report.levels {
        lines.extend(level_lines(level, report.range.end() < about.month.end(), &voice));
    }
    lines.push(String::new());
    if report.outages.is_empty() {
        lines.push(voice.say("level-no-outages", &[]));
    } else {
        lines.push(voice.say("level-outages", &[]));
    }
    for judged in &report.outages {
        lines.extend(outage_lines(about, judged, &voice, &zone));
    }
    lines.join("\n") + "\n"
}

fn title(about: &Subject<'_>, report: &Report, voice: &Voice<'_>) -> String {
    let zone = texts::zone(about.zone);
    let month = jiff::Timestamp::from_millisecond(about.month.start().millis())
        .map(|at| at.to_zoned(about.promise.zone.clone()));
    let (month, year) = month.map_or((1, 1970), |at| (at.month(), at.year()));
    let month = voice.say(&format!("month-{month}"), &[]);
    let until = voice.instant(report.range.end(), &zone);
    let name = if report.range.end() < about.month.end() { "level-so-far" } else { "level-title" };
    voice.say(
        name,
        &[
            ("service", about.service.into()),
            ("month", month.into()),
            ("year", year.to_string().into()),
            ("promise", (&*about.promise.name).into()),
            ("until", until.into()),
        ],
    )
}

fn level_lines(level: &Level, goes_on: bool, voice: &Voice<'_>) -> Vec<String> {
    let standing = match level.standing() {
        Standing::Kept => "level-kept",
        Standing::Broken => "level-broken",
        Standing::NotKnown => "level-not-known",
        Standing::Open => "level-open",
    };
    let part = |part: Option<f64>| part.map(|part| percent(part, voice));
    let available = match (part(level.at_least()), part(level.at_most())) {
        (Some(least), Some(most)) if least != most => {
            voice.say("level-between", &[("least", least.into()), ("most", most.into())])
        }
        (_, Some(most)) => voice.say("level-available", &[("part", most.into())]),
        _ => voice.say("level-nothing-yet", &[]),
    };
    let promised = percent(level.promised, voice);
    let promised = voice.say("level-promised", &[("part", promised.into())]);
    let standing = voice.say(standing, &[]);
    let mut lines = vec![format!("{}: {standing}. {promised}, {available}.", level.name)];
    let mut facts = vec![
        voice.say("level-passed", &[("length", length(level.passed).into())]),
        voice.say("level-counted", &[("length", length(level.counted).into())]),
    ];
    if !level.not_counted.is_zero() {
        let long = length(level.not_counted);
        facts.push(voice.say("level-not-counted", &[("length", long.into())]));
    }
    if !level.unknown.is_zero() {
        facts.push(voice.say("level-unknown", &[("length", length(level.unknown).into())]));
    }
    if goes_on {
        facts.push(voice.say("level-left", &[("length", length(level.left()).into())]));
    }
    lines.push(format!("  {}", facts.join(" · ")));
    lines
}

fn outage_lines(
    about: &Subject<'_>,
    judged: &Judged,
    voice: &Voice<'_>,
    zone: &jiff::tz::TimeZone,
) -> Vec<String> {
    let range = judged.outage.range;
    let from = voice.instant(range.start(), zone);
    let to = voice.until(range.start(), range.end(), zone);
    let targets: Vec<&str> = judged.outage.targets.iter().map(|name| &**name).collect();
    let mut lines =
        vec![format!("  {from} – {to} ({}): {}", length(range.length()), targets.join(", "))];
    for part in &judged.parts {
        lines.push(format!("    {}", part_line(about.promise, part, voice)));
    }
    lines
}

fn part_line(promise: &Promise, part: &Part, voice: &Voice<'_>) -> String {
    let time = part.time.and_then(|at| promise.times.get(at));
    let place = match time {
        Some(time) => format!("{} {}", length(part.length), time.name),
        None => length(part.length),
    };
    let counts = match part.reckoning.counts() {
        true => voice.say("level-counts", &[]),
        false => voice.say("level-counts-not", &[]),
    };
    let why = why(promise, &part.reckoning, voice);
    let why = if why.is_empty() { why } else { format!(" ({why})") };
    format!("{place}: {counts}{why}")
}

fn why(promise: &Promise, reckoning: &Reckoning, voice: &Voice<'_>) -> String {
    let below = promise.short.map(|short| length(short.below)).unwrap_or_default();
    let with = |name: &str, reason: &str| {
        let said = voice.say(name, &[]);
        if reason.is_empty() { said } else { format!("{said}: {reason}") }
    };
    let many = |name: &str, count: usize| {
        let count = texts::number(u64::try_from(count).unwrap_or(u64::MAX));
        voice.say(name, &[("below", below.clone().into()), ("count", count)])
    };
    match reckoning {
        Reckoning::Counts => String::new(),
        Reckoning::CountsTooManyThatDay(count) => many("level-many-that-day", *count),
        Reckoning::CountsTooManyThatWeek(count) => many("level-many-that-week", *count),
        Reckoning::CountsBeyondPlanned(reason) => with("level-beyond-planned", reason),
        Reckoning::CountsAnnouncedLate(reason) => with("level-announced-late", reason),
        Reckoning::OutsideHours => voice.say("level-outside", &[]),
        Reckoning::Short => voice.say("level-short", &[("below", below.into())]),
        Reckoning::Planned(reason) => with("level-planned", reason),
        Reckoning::ForceMajeure(reason) => with("level-force-majeure", reason),
        Reckoning::ByCustomer(reason) => with("level-by-customer", reason),
    }
}

/// Cut, never rounded up: 97.996 % is not 98 %.
fn percent(part: f64, voice: &Voice<'_>) -> String {
    // A thousandth of a second in a month is nothing.
    let cut = (part * 100_000.0 + 1e-6).floor() / 1000.0;
    let text = format!("{cut:.3}");
    let text = text.strip_suffix('0').unwrap_or(&text);
    let text = if voice.tag() == "de" { text.replace('.', ",") } else { text.to_owned() };
    format!("{text} %")
}

/// `2 h 05 min`, `4 min 10 s`: in tables, the same in all languages.
fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

#[cfg(test)]
#[path = "level_tests.rs"]
mod tests;
