use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{complain, say};
use crate::config::{Sources, System, expand_files};
use crate::promql::script;
use crate::rules::unit;

/// `augenmass test …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Scripts in the format of Prometheus' own PromQL tests
    #[command(after_help = "Example:\n  augenmass test promql operators.test")]
    Promql {
        /// Scripts
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Unit tests of rules in promtool's format
    #[command(after_help = "Example:\n  augenmass test rules rules/*.test.yml")]
    Rules {
        /// Test files; the rule files they name are relative to them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only test groups whose name matches
        #[arg(long, value_name = "REGEX")]
        run: Option<regex::Regex>,
        /// Write the result as JUnit XML
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}

/// The last line is `N passed, M failed`; exit code 1 when anything failed.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Promql { files } => {
            let (mut passed, mut failed) = (0, 0);
            for file in files {
                let name = file.display();
                match System.read(&file) {
                    Ok(text) => {
                        let report = script::run(&text);
                        passed += report.passed;
                        failed += report.failures.len();
                        for failure in report.failures {
                            say(&format!("{name}:{}: {}", failure.line, failure.query));
                            say(&indented(&failure.problem));
                        }
                    }
                    Err(error) => {
                        failed += 1;
                        complain(&format!("{name}: cannot read it: {error}"));
                    }
                }
            }
            verdict(passed, failed)
        }
        What::Rules { files, run, junit } => test_rules(&files, run, junit),
    }
}

fn test_rules(files: &[PathBuf], run: Option<regex::Regex>, junit: Option<PathBuf>) -> ExitCode {
    let options = unit::Options { run, ..unit::Options::default() };
    let mut report = unit::Report::default();
    for file in files {
        let name = file.display().to_string();
        let text = match System.read(file) {
            Ok(text) => text,
            Err(error) => {
                complain(&format!("{name}: cannot read it: {error}"));
                return ExitCode::FAILURE;
            }
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        let read = |pattern: &str| {
            let paths = expand_files(&[folder.join(pattern)]).map_err(|e| e.to_string())?;
            let one = |path: PathBuf| {
                let text = System.read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                Ok((path.display().to_string(), text))
            };
            paths.into_iter().map(one).collect::<Result<Vec<_>, String>>()
        };
        report.files.push(unit::run(&name, &text, &read, &options));
    }
    say(report.text().trim_end());
    if let Some(path) = junit
        && let Err(error) = std::fs::write(&path, report.junit())
    {
        complain(&format!("{}: cannot write it: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn verdict(passed: usize, failed: usize) -> ExitCode {
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
