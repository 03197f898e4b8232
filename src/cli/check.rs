use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{complain, say};
use crate::config::{Config, System};

/// `augenmass check …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The configuration file, and everything it refers to
    #[command(after_help = "Example:\n  augenmass check config /etc/augenmass/augenmass.yml")]
    Config {
        /// Configuration files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Exit code 1 when anything is wrong.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Config { files } => {
            let good = files.iter().filter(|file| check_config(file)).count();
            if good == files.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn check_config(file: &std::path::Path) -> bool {
    match Config::load(file, &System) {
        Ok(config) => {
            let (owners, services) =
                (config.directory.owners.len(), config.directory.services.len());
            let targets = config.probes.targets.len();
            let file = file.display();
            say(&format!("{file}: ok, {owners} owners, {services} services, {targets} targets"));
            true
        }
        Err(problems) => {
            complain(&problems.to_string());
            false
        }
    }
}
