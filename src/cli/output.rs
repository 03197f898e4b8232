//! What people see: standard output for data, standard error for the rest.
#![allow(clippy::print_stdout)]

use std::io::{IsTerminal, Write};

use clap::ValueEnum;

/// How to write data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

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

/// The text with the place marked under each of its lines that begins with `FILE:LINE:COLUMN:`, when
/// `to` is a terminal: the line of the file, and a mark under the column. `text_of` gives the files.
pub fn with_marks(
    text: &str,
    to: &impl IsTerminal,
    text_of: impl Fn(&str) -> Option<String>,
) -> String {
    if to.is_terminal() { marked(text, text_of) } else { text.to_owned() }
}

/// Most characters of a line that are shown, and how many of them before the mark.
const SHOWN: usize = 120;
const BEFORE: usize = 60;

fn marked(text: &str, text_of: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    for line in text.lines() {
        out.push_str(line);
        out.push('\n');
        let indent = line.len() - line.trim_start().len();
        if let Some(mark) = mark_of(line, &text_of) {
            for part in mark.lines() {
                out.push_str(&" ".repeat(indent + 4));
                out.push_str(part);
                out.push('\n');
            }
        }
    }
    out.pop();
    out
}

/// The line that a message is about, and a mark under its column.
fn mark_of(message: &str, text_of: impl Fn(&str) -> Option<String>) -> Option<String> {
    // A name may hold colons; the first two numbers in a row between colons are the place.
    let pieces: Vec<&str> = message.trim_start().split(':').collect();
    let number = |at: usize| pieces.get(at)?.parse::<usize>().ok().filter(|n| *n > 0);
    let at = (1..pieces.len()).find(|at| number(*at).is_some() && number(at + 1).is_some())?;
    let (line, column) = (number(at)?, number(at + 1)?);
    let file = text_of(&pieces[..at].join(":"))?;
    let written = file.lines().nth(line - 1)?;
    let first = (column - 1).saturating_sub(BEFORE);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = written.chars().skip(first).take(SHOWN).map(clean).collect();
    Some(format!("{shown}\n{}^", " ".repeat(column - 1 - first)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_marked_under_their_line() {
        let file =
            |name: &str| (name == "a:b.yml").then(|| "groups:\n  - expr: sum(x\n".to_owned());
        let text = "  a:b.yml:2:11: unexpected end\nother.yml:1:1: no such text\nall else";
        let wanted = "  a:b.yml:2:11: unexpected end\n        - expr: sum(x\n                ^\n\
                      other.yml:1:1: no such text\nall else";
        assert_eq!(marked(text, file), wanted);
        let long = |_: &str| Some(format!("{}!{}", "x".repeat(300), "y".repeat(300)));
        let shown = marked("f:1:301: bad", long);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[1].len() == 124 && lines[1].as_bytes()[64] == b'!', "{shown}");
        assert_eq!(lines[2].find('^'), Some(64));
        assert_eq!(marked("f:9:1: beyond the end", long), "f:9:1: beyond the end");
    }
}
