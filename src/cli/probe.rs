//! `augenmass probe`: one look, now.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::output::{Output, complain, say};
use crate::config::{Config, System, page, suggestion};
use crate::ports::{Clock, SystemClock};
use crate::probe::snmp::UdpSnmp;
use crate::probe::{
    Doors, Observation, Outcome, Reading, Resolver, Target, TlsStock, prober, seconds,
};

/// `augenmass probe …`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  augenmass probe https://www.example.org/\n  augenmass probe --config \
    augenmass.yml homepage\n  augenmass probe --config augenmass.yml -o json"
)]
pub struct Arguments {
    /// Our configuration; without it only a web address can be looked at
    #[arg(long, value_name = "FILE", required_unless_present = "what")]
    config: Option<PathBuf>,
    /// The name of a target or of a service, or a web address; all targets, when absent
    #[arg(value_name = "NAME|URL")]
    what: Option<String>,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// So many looks at the same time.
const AT_ONCE: usize = 8;

/// Exit code 0 when all that was looked at does what it should.
pub fn run(arguments: Arguments) -> ExitCode {
    let targets = match targets(&arguments) {
        Ok(targets) => targets,
        Err(problem) => {
            complain(&problem);
            return ExitCode::FAILURE;
        }
    };
    super::block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let doors = Doors {
            resolver: Arc::new(Resolver::from_system(clock.clone())),
            tls: Arc::new(TlsStock::new()),
            snmp: Arc::new(UdpSnmp::new()),
            clock,
        };
        let looks = stream::iter(&targets).map(|target| look(target, &doors));
        let looks: Vec<Look<'_>> = looks.buffered(AT_ONCE).collect().await;
        match arguments.output {
            Output::Text => {
                let texts: Vec<String> = looks.iter().map(Look::text).collect();
                say(&texts.join("\n\n"));
            }
            Output::Json => say(&Value::from_iter(looks.iter().map(Look::json)).to_string()),
        }
        match looks.iter().all(Look::is_up) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    })
}

fn targets(arguments: &Arguments) -> Result<Vec<Target>, String> {
    let what = arguments.what.as_deref();
    let Some(file) = &arguments.config else {
        let text = what.unwrap_or_default();
        let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        let url = text.parse::<url::Url>().ok().filter(is_web);
        // What is no address may hold a password all the same.
        let url = url.ok_or("this is no web address (https://…); names need `--config FILE`")?;
        return Ok(vec![page(url)]);
    };
    let config = Config::load(file, &System).map_err(|problems| problems.to_string())?;
    let all = config.probes.targets;
    let Some(what) = what else { return Ok(all) };
    let url = what.parse::<url::Url>().ok().filter(|url| url.has_host());
    let shown = url.clone().map(|url| page(url).name);
    let named = |target: &&Target| {
        *target.name == *what || *target.service == *what || Some(&target.name) == shown.as_ref()
    };
    let found: Vec<Target> = all.iter().filter(named).cloned().collect();
    match (found.is_empty(), url) {
        (false, _) => Ok(found),
        (true, Some(url)) => Ok(vec![page(url)]),
        (true, None) => {
            let names = all.iter().flat_map(|target| [&*target.name, &*target.service]);
            Err(format!("there is no target or service `{what}`{}", suggestion(what, names)))
        }
    }
}

/// What came of one look.
struct Look<'t> {
    target: &'t Target,
    took: Duration,
    outcome: Result<Outcome, String>,
}

async fn look<'t>(target: &'t Target, doors: &Doors) -> Look<'t> {
    let started = doors.clock.mono();
    let deadline = started.after(target.timeout);
    let outcome = match prober(target, doors) {
        Ok(prober) => {
            // As the schedule does it: who does not keep the time is left.
            let late = started.after(target.timeout + Duration::from_secs(1));
            tokio::select! {
                outcome = prober.probe(deadline) => Ok(outcome),
                () = doors.clock.sleep_until(late) => Err("the probe did not end in time".to_owned()),
            }
        }
        Err(error) => Err(error.to_string()),
    };
    Look { target, took: doors.clock.mono().since(started), outcome }
}

impl Look<'_> {
    fn is_up(&self) -> bool {
        matches!(&self.outcome, Ok(Outcome::Measured(Observation { up: true, .. })))
    }

    fn readings(&self) -> &[Reading] {
        match &self.outcome {
            Ok(Outcome::Measured(seen)) => &seen.readings,
            _ => &[],
        }
    }

    /// `up`, `down` or `not measured`, and why.
    fn verdict(&self) -> (&'static str, String) {
        match &self.outcome {
            Ok(Outcome::Measured(seen)) => {
                (if seen.up { "up" } else { "down" }, seen.headline.to_string())
            }
            Ok(Outcome::NotMeasured(obstacle)) => ("not measured", obstacle.to_string()),
            Err(why) => ("not measured", why.clone()),
        }
    }

    fn text(&self) -> String {
        let Target { name, service, kind, .. } = self.target;
        let (verdict, why) = self.verdict();
        let mut rows = vec![
            ("probe_success".to_owned(), u8::from(self.is_up()).to_string()),
            ("probe_duration_seconds".to_owned(), seconds(self.took).to_string()),
        ];
        rows.extend(self.readings().iter().map(|reading| {
            let labels = reading.labels.iter().filter(|(_, value)| !value.as_str().is_empty());
            let labels: Vec<_> =
                labels.map(|(name, value)| format!("{name}={:?}", value.as_str())).collect();
            let labels = labels.join(",");
            let braces = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            (format!("{}{braces}", reading.metric), reading.value.to_string())
        }));
        let name_width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let value_width = rows.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        let service = if service.is_empty() { String::new() } else { format!(" of {service}") };
        let mut text = format!("{} {name}{service}: {verdict}: {why}", kind.name());
        let phases = self.phases();
        if !phases.is_empty() {
            text.push_str(&format!("\n  {}", phases.join(", ")));
        }
        for (name, value) in rows {
            text.push_str(&format!("\n  {name:<name_width$}  {value:>value_width$}"));
        }
        text
    }

    /// What took how long, in order.
    fn phases(&self) -> Vec<String> {
        let phases = self.readings().iter().filter_map(|reading| {
            let (_, phase) = reading.labels.iter().find(|(name, _)| *name == "phase")?;
            let millis = reading.value * 1e3;
            reading
                .metric
                .ends_with("_duration_seconds")
                .then(|| format!("{} {millis:.1} ms", phase.as_str()))
        });
        phases.collect()
    }

    fn json(&self) -> Value {
        let (verdict, why) = self.verdict();
        let readings = self.readings().iter().map(|reading| {
            let labels = reading.labels.iter().map(|(name, value)| (*name, value.as_str().into()));
            let labels: serde_json::Map<String, Value> =
                labels.map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect();
            json!({"metric": reading.metric, "labels": labels, "value": reading.value})
        });
        json!({
            "probe": self.target.kind.name(),
            "target": *self.target.name,
            "service": *self.target.service,
            "verdict": verdict.replace(' ', "_"),
            "why": why,
            "duration_seconds": seconds(self.took),
            "readings": readings.collect::<Vec<_>>(),
        })
    }
}
