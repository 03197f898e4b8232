use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{Bar, complain, say};
use super::storage::samples;
use crate::config::parse_duration;
use crate::ports::{Clock, SystemClock};
use crate::storage;

/// `augenmass import …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Samples from OpenMetrics text in which each line has a timestamp
    #[command(
        after_help = "The server that uses the folder must be stopped. Interrupted, the same command goes on where it was;\n\
                      what is imported twice is there once.\n\n\
                      Example:\n  augenmass import openmetrics january.om --data /var/lib/augenmass"
    )]
    Openmetrics {
        /// The text, ending with `# EOF`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The folder that `augenmass run` is given
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Samples older than this are left out: as `storage: {retention}` in the configuration
        #[arg(long, value_name = "DURATION", default_value = "400d", value_parser = duration)]
        retention: Duration,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 400d or 12h".to_owned())
}

/// Exit code 1 when the folder is in use or a line is wrong; what was stored before stays.
pub fn run(arguments: Arguments) -> ExitCode {
    let What::Openmetrics { file, data, retention } = arguments.what;
    let bar = Bar::new("bytes");
    let oldest = SystemClock::start().wall() - retention;
    let done = storage::import(&samples(&data), &file, oldest, &mut |done, of| bar.set(done, of));
    bar.done();
    match done {
        Ok(done) => {
            if done.resumed_at > 0 {
                let bytes = done.resumed_at;
                complain(&format!("{bytes} bytes were stored by an earlier run"));
            }
            if done.too_old > 0 {
                complain(&format!("{} samples are older than the retention", done.too_old));
            }
            say(&format!("{} samples imported", done.samples));
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
