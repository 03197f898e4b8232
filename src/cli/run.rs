use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::complain;

/// `augenmass run`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  augenmass run --config /etc/augenmass/augenmass.yml --data /var/lib/augenmass"
)]
pub struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Folder for samples and state; without it everything is in memory and lost at the end
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listen here instead of where the configuration says
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Runs until SIGTERM or SIGINT.
pub fn run(_arguments: Arguments) -> ExitCode {
    complain("not wired yet");
    ExitCode::FAILURE
}
