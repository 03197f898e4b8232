use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{complain, say};
use crate::config::{Sources, System};
use crate::promql::script;

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
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn verdict(passed: usize, failed: usize) -> ExitCode {
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
