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

/// Shows on standard error how far the work is; nothing when that is no terminal.
pub struct Bar(indicatif::ProgressBar);

impl Bar {
    /// A bar that counts `unit`; `bytes` are shown as people read them.
    pub fn new(unit: &'static str) -> Self {
        let counted = match unit {
            "bytes" => "{bytes} of {total_bytes}, {eta} left".to_owned(),
            unit => format!("{{pos}} of {{len}} {unit}, {{eta}} left"),
        };
        let bar = indicatif::ProgressBar::new(0);
        if std::env::var_os("NO_COLOR").is_some() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        if let Ok(style) =
            indicatif::ProgressStyle::with_template(&format!("[{{bar:30}}] {counted}"))
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// So much is done, of so much in all.
    pub fn set(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }

    /// Takes the bar away.
    pub fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done();
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
