use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::output::{Bar, complain, say};
use crate::model::{Matcher, Timestamp, Window};
use crate::promql;
use crate::storage::{self, Share, Status};

/// The samples lie in this folder of the data folder.
const SAMPLES: &str = "samples";
/// Rows of a table that are shown unless all are asked for.
const ROWS: usize = 20;

/// `augenmass storage …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Args)]
struct Data {
    /// The folder that `augenmass run` was given
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What is stored: files, spans, bytes and series of each source and metric
    #[command(
        after_help = "Example:\n  augenmass storage status --data /var/lib/augenmass -o json"
    )]
    Status {
        #[command(flatten)]
        data: Data,
        /// How to print it
        #[arg(short, long, value_enum, default_value_t = Format::Text)]
        output: Format,
        /// Every source and metric, not only the twenty largest
        #[arg(long)]
        all: bool,
    },
    /// Read and check everything that is stored; also while a server runs
    #[command(after_help = "Example:\n  augenmass storage verify --data /var/lib/augenmass")]
    Verify {
        #[command(flatten)]
        data: Data,
    },
    /// Make a consistent copy of the samples, also while a server runs
    #[command(
        after_help = "The copy is itself a data folder. Files are linked where the file system can.\n\n\
                      Example:\n  augenmass storage snapshot /backup/monday --data /var/lib/augenmass"
    )]
    Snapshot {
        #[command(flatten)]
        data: Data,
        /// A new folder
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Write samples as OpenMetrics text; `augenmass import openmetrics` reads it again
    #[command(
        after_help = "Example:\n  augenmass storage export --data /var/lib/augenmass \\\n    \
                      --match 'probe_success{service=\"homepage\"}' --from 2026-01-01T00:00:00Z -o january.om"
    )]
    Export {
        #[command(flatten)]
        data: Data,
        /// Only series that this selector finds; may be given several times
        #[arg(long = "match", value_name = "SELECTOR")]
        selectors: Vec<String>,
        /// Only samples at or after this time: RFC 3339, or seconds since 1970
        #[arg(long, value_name = "TIME", value_parser = instant)]
        from: Option<Timestamp>,
        /// Only samples at or before this time
        #[arg(long, value_name = "TIME", value_parser = instant)]
        to: Option<Timestamp>,
        /// Write here instead of to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Seconds since 1970, or RFC 3339.
fn instant(text: &str) -> Result<Timestamp, String> {
    let calendar = || text.parse::<jiff::Timestamp>().ok();
    let at = match text.parse::<f64>() {
        Ok(seconds) => Timestamp::from_seconds(seconds),
        Err(_) => calendar().map(|at| Timestamp::from_millis(at.as_millisecond())),
    };
    at.ok_or_else(|| {
        "expected a time such as 2026-01-31T12:00:00Z or 1780000000.5 (seconds since 1970)"
            .to_owned()
    })
}

/// Exit code 1 when something cannot be read or is damaged.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Status { data, output, all } => status(&samples(&data.data), output, all),
        What::Verify { data } => verify(&samples(&data.data)),
        What::Snapshot { data, to } => snapshot(&samples(&data.data), &to.join(SAMPLES)),
        What::Export { data, selectors, from, to, output } => {
            let sets: Result<Vec<Vec<Matcher>>, ExitCode> =
                selectors.iter().map(|text| matchers(text)).collect();
            let sets = match sets {
                Ok(sets) => sets,
                Err(code) => return code,
            };
            // Both ends inside, so the window's open end is a millisecond earlier.
            let after = from.map_or(Timestamp::MIN, |from| {
                Timestamp::from_millis(from.millis().saturating_sub(1))
            });
            let window = Window { after, through: to.unwrap_or(Timestamp::MAX) };
            export(&samples(&data.data), &sets, window, output.as_deref())
        }
    }
}

/// The folder of the samples in a data folder.
pub(super) fn samples(data: &Path) -> PathBuf {
    data.join(SAMPLES)
}

fn matchers(text: &str) -> Result<Vec<Matcher>, ExitCode> {
    promql::parse_selector(text).map(|selector| selector.matchers).map_err(|error| {
        complain(&format!("--match {text}: {error}"));
        ExitCode::from(2)
    })
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    complain(&error.to_string());
    ExitCode::FAILURE
}

fn status(samples: &Path, format: Format, all: bool) -> ExitCode {
    let bar = Bar::new("files");
    let told = match storage::status(samples, &mut |done, of| bar.set(done, of)) {
        Ok(told) => told,
        Err(error) => return failed(&error),
    };
    bar.done();
    match format {
        Format::Json => say(&as_json(samples, &told).to_string()),
        Format::Text => print_status(samples, &told, if all { usize::MAX } else { ROWS }),
    }
    if told.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn as_json(samples: &Path, told: &Status) -> serde_json::Value {
    let shares = |all: &[Share]| -> Vec<serde_json::Value> {
        let one = |share: &Share| json!({"name": share.name, "series": share.series, "bytes": share.bytes});
        all.iter().map(one).collect()
    };
    let segments: Vec<_> = told
        .segments
        .iter()
        .map(|s| {
            json!({
                "name": s.name, "first": s.first.to_string(), "last": s.last.to_string(),
                "samples": s.samples, "columns": s.series, "bytes": s.bytes,
            })
        })
        .collect();
    json!({
        "folder": samples.display().to_string(),
        "series": told.series,
        "segments": segments,
        "segment_samples": told.segments.iter().map(|s| s.samples).sum::<u64>(),
        "segment_bytes": told.segments.iter().map(|s| s.bytes).sum::<u64>(),
        "tail_samples": told.tail_samples,
        "catalogue_bytes": told.catalogue_bytes,
        "damaged": told.damaged,
        "sources": shares(&told.by_source),
        "metrics": shares(&told.by_metric),
    })
}

fn print_status(samples: &Path, told: &Status, rows: usize) {
    let sealed: u64 = told.segments.iter().map(|s| s.samples).sum();
    let bytes: u64 = told.segments.iter().map(|s| s.bytes).sum();
    let span = told.segments.iter().map(|s| s.first).min();
    let span = span.zip(told.segments.iter().map(|s| s.last).max());
    say(&format!("{}: {} series", samples.display(), told.series));
    let files = told.segments.len();
    let span = span.map_or(String::new(), |(first, last)| format!(", {first} to {last}"));
    #[allow(clippy::cast_precision_loss)]
    let each = bytes as f64 / sealed.max(1) as f64;
    say(&format!(
        "sealed: {sealed} samples in {files} files, {} ({each:.2} bytes a sample){span}",
        size(bytes)
    ));
    say(&format!(
        "not sealed yet: {} samples; catalogue: {}",
        told.tail_samples,
        size(told.catalogue_bytes)
    ));
    for name in &told.damaged {
        say(&format!("DAMAGED and set aside: {name}"));
    }
    for (title, shares) in [("SOURCE", &told.by_source), ("METRIC", &told.by_metric)] {
        say(&format!("\n{:>10}  {:>12}  {title}", "SERIES", "SEALED"));
        for share in shares.iter().take(rows) {
            let name = if share.name.is_empty() { "(no name)" } else { &share.name };
            say(&format!("{:>10}  {:>12}  {name}", share.series, size(share.bytes)));
        }
        if shares.len() > rows {
            say(&format!("{:>10}  {:>12}  … {} more (--all)", "", "", shares.len() - rows));
        }
    }
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

fn verify(samples: &Path) -> ExitCode {
    let bar = Bar::new("bytes");
    let found = match storage::verify(samples, &mut |done, of| bar.set(done, of)) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    bar.done();
    for line in &found.damage {
        say(line);
    }
    let verdict = if found.damage.is_empty() {
        "all is well".to_owned()
    } else {
        format!("{} damaged", found.damage.len())
    };
    say(&format!("{} pieces, {} samples read: {verdict}", found.pieces, found.samples));
    if found.damage.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn snapshot(samples: &Path, to: &Path) -> ExitCode {
    let bar = Bar::new("files");
    match storage::copy(samples, to, &mut |done, of| bar.set(done, of)) {
        Ok(()) => {
            bar.done();
            say(&format!("copied to {}", to.display()));
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error),
    }
}

fn export(
    samples: &Path,
    sets: &[Vec<Matcher>],
    window: Window,
    output: Option<&Path>,
) -> ExitCode {
    let mut into: Box<dyn Write> = match output {
        None => Box::new(std::io::stdout().lock()),
        Some(file) => match File::create(file) {
            Ok(file) => Box::new(BufWriter::new(file)),
            Err(error) => {
                complain(&format!("{}: {error}", file.display()));
                return ExitCode::FAILURE;
            }
        },
    };
    let bar = Bar::new("series");
    let done =
        storage::export(samples, sets, window, &mut *into, &mut |done, of| bar.set(done, of));
    bar.done();
    match done {
        Ok(done) => {
            complain(&format!("{} samples of {} series exported", done.samples, done.series));
            ExitCode::SUCCESS
        }
        // Whoever read our output went away: `| head`.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
    }
}
