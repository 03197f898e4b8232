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

/// A bar on standard error, where that is a terminal; drawn again when a per cent has been done.
pub struct Progress {
    what: &'static str,
    shown: Option<u64>,
}

impl Progress {
    /// Nothing is drawn yet.
    pub fn new(what: &'static str) -> Self {
        Self { what, shown: None }
    }

    /// So much is done of so much.
    pub fn show(&mut self, done: u64, all: u64) {
        let percent = done.saturating_mul(100) / all.max(1);
        if self.shown == Some(percent) || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown = Some(percent);
        let full = usize::try_from(percent / 4).unwrap_or(25).min(25);
        let mut out = std::io::stderr();
        let bar = format!("{}{}", "#".repeat(full), ".".repeat(25 - full));
        let _ = write!(out, "\r{} [{bar}] {percent:3} %", self.what);
        let _ = out.flush();
    }

    /// Takes the bar away.
    pub fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
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
