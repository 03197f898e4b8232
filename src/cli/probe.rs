//! One look now, or some in a row: what a target says, for a person who asks.

mod pick;
mod show;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::stream::{self, StreamExt};
use tokio_util::sync::CancellationToken;

use super::output::{Bar, complain, say};
use crate::config::System;
use crate::ports::{Clock, SystemClock};
use crate::probe::snmp::UdpSnmp;
use crate::probe::{Burst, Doors, Looks, Resolver, Target, TlsStock, burst};

/// `augenmass probe …`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  augenmass probe https://www.example.org/
  augenmass probe printer 192.0.2.7
  augenmass probe http '{url: https://www.example.org/login, expect: {status: 401}}'
  augenmass probe certificate mail.example.org:993
  augenmass probe https://www.example.org/ --count 100 --every 200ms
  augenmass probe --config augenmass.yml homepage")]
pub struct Arguments {
    /// A web address; or a kind of probe and its target, written as in the configuration; or with
    /// `--config` names of targets or services, all of the file when there are none
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Take the targets from this configuration, with their timeouts, names and secrets
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How often to look; more than once, and the durations of all looks are shown too
    #[arg(short = 'n', long, default_value_t = 1, value_name = "TIMES",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Time from one look to the next
    #[arg(long, value_name = "LENGTH", default_value = "1s", value_parser = super::query::length)]
    every: Duration,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Form,
}

/// How to write what was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
    /// As a page of metrics, as Prometheus reads it
    Metrics,
}

/// Targets that are looked at together.
const TOGETHER: usize = 32;

/// Exit code 0 when all targets are as they should be at their last look, 1 when one is not, or
/// cannot be looked at, 2 when the question makes no sense.
pub fn run(arguments: Arguments) -> ExitCode {
    let targets = match pick::targets(arguments.config.as_deref(), &arguments.what, &System) {
        Ok(targets) => targets,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    super::block_on(async move {
        let clock = Arc::new(SystemClock::start());
        let resolver = Arc::new(Resolver::from_system(clock.clone()));
        let (tls, snmp) = (Arc::new(TlsStock::new()), Arc::new(UdpSnmp::new()));
        let doors = Doors { clock: clock.clone(), resolver, tls, snmp };
        let often = Burst { count: arguments.count, every: arguments.every };
        let found = look(&targets, &doors, often).await;
        if found.len() < targets.len() {
            complain("stopped before every target was looked at");
        }
        let text = match arguments.output {
            Form::Text => show::text(&found, clock.wall(), &super::query::screen()),
            Form::Json => show::json(&found),
            Form::Metrics => show::metrics(&found),
        };
        say(text.trim_end_matches('\n'));
        let good =
            found.len() == targets.len() && found.iter().all(|(_, looks)| show::is_up(looks));
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

/// Looks at all of them, in their order, until they are done or the user has seen enough.
async fn look<'a>(targets: &'a [Target], doors: &Doors, often: Burst) -> Vec<(&'a Target, Looks)> {
    let stop = CancellationToken::new();
    let bar = (often.count > 1 || targets.len() > 1).then(|| Bar::new("looks"));
    let all = u64::from(often.count) * targets.len() as u64;
    let done = AtomicU64::new(0);
    let one = |target: &'a Target| {
        let (stop, done, bar) = (&stop, &done, &bar);
        async move {
            let before = AtomicU64::new(0);
            let seen = |slots: u32| {
                let slots = u64::from(slots);
                let news = slots - before.swap(slots, Ordering::Relaxed);
                let sum = done.fetch_add(news, Ordering::Relaxed) + news;
                if let Some(bar) = bar {
                    bar.set(sum, all);
                }
            };
            burst(target, doors, often, stop, &seen).await.map(|looks| (target, looks))
        }
    };
    let looks = stream::iter(targets).map(one).buffered(TOGETHER).collect::<Vec<_>>();
    tokio::pin!(looks);
    let found = tokio::select! {
        found = &mut looks => found,
        _ = tokio::signal::ctrl_c() => {
            stop.cancel();
            looks.await
        }
    };
    if let Some(bar) = &bar {
        bar.done();
    }
    found.into_iter().flatten().collect()
}
