//! What people see: standard output for data, standard error for the rest.
#![allow(clippy::print_stdout)]

use std::io::{IsTerminal, Write};

/// Writes a line to standard output. A reader that went away (`| head`) is no error.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether colour and progress make sense.
pub fn is_terminal() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Log lines go to standard error.
pub fn start_log(level: &str, json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = match EnvFilter::try_new(level) {
        Ok(filter) => filter,
        Err(error) => {
            complain(&format!("--log {level}: {error}; using `info`"));
            EnvFilter::new("info")
        }
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // A second call (in tests) finds the log started already.
    let _ = if json { builder.json().try_init() } else { builder.compact().try_init() };
}
