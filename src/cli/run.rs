use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::output::complain;
use crate::app::{App, Options, Reload};
use crate::config::{Config, System, WebFile};
use crate::ports::SystemClock;

/// `augenmass run`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  augenmass run --config /etc/augenmass/augenmass.yml --data /var/lib/augenmass"
)]
pub struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE", required_unless_present = "alertmanager")]
    config: Option<PathBuf>,
    /// Tell by the routes of an Alertmanager's configuration, beside or without our own
    #[arg(long, value_name = "FILE")]
    alertmanager: Option<PathBuf>,
    /// Folder for samples and state; without it everything is in memory and lost at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen here instead of where the configuration says
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Users and TLS as Prometheus and its exporters take them
    #[arg(long = "web.config.file", value_name = "FILE")]
    web_file: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT; SIGHUP loads the configuration again.
pub fn run(arguments: Arguments) -> ExitCode {
    super::block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> ExitCode {
    let Arguments { config, alertmanager, data, listen, web_file } = arguments;
    let file = config;
    let mut config = match Config::load_both(file.as_deref(), alertmanager.as_deref(), &System) {
        Ok(config) => config,
        Err(problems) => {
            complain(&problems.to_string());
            return ExitCode::FAILURE;
        }
    };
    if let Some(file) = &web_file {
        match WebFile::load(file, &System) {
            Ok(web) => web.add_to(&mut config.web),
            Err(problems) => {
                complain(&problems.join("\n"));
                return ExitCode::FAILURE;
            }
        }
    }
    let options = Options { file, alertmanager, data, listen, web_file };
    if options.data.is_none() {
        tracing::warn!("without --data everything is in memory and lost at the end");
    }
    let app = match App::build(config, options, Arc::new(SystemClock::start())).await {
        Ok(app) => app,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    tracing::info!("pages and metrics at http://{}/", app.address());
    let stop = CancellationToken::new();
    let mut signals = JoinSet::new();
    signals.spawn(obey(stop.clone(), app.reload()));
    let late = app.run(stop).await;
    signals.abort_all();
    if late.is_empty() {
        tracing::info!("at rest");
        ExitCode::SUCCESS
    } else {
        tracing::warn!("stopped before {} came to rest", late.join(", "));
        ExitCode::FAILURE
    }
}

/// Turns signals into orders.
async fn obey(stop: CancellationToken, reload: Reload) {
    let streams = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = streams else {
        tracing::error!("signals cannot be received; stopping works by SIGKILL only");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                // The result is in the log and in the metrics.
                let _ = reload.ask().await;
            }
        }
    }
    tracing::info!("stopping");
    stop.cancel();
}
