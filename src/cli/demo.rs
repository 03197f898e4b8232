use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::output::{complain, is_terminal, say};
use crate::config::parse_duration;
use crate::demo::{self, Settings};

/// `augenmass demo`
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  augenmass demo --for 90s")]
pub struct Arguments {
    /// End after so long; exit code 1 when an expected message did not come
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    length: Option<Duration>,
    /// Where the pages are
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a time such as `90s` or `2m`".to_owned())
}

/// Plays the demo.
pub fn run(arguments: Arguments) -> ExitCode {
    super::block_on(async move {
        let stop = CancellationToken::new();
        let mut interrupt = JoinSet::new();
        let order = stop.clone();
        interrupt.spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                order.cancel();
            }
        });
        let Arguments { length, listen } = arguments;
        let settings = Settings { length, listen, colour: is_terminal() };
        match demo::play(settings, Arc::new(say), stop).await {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        }
    })
}
