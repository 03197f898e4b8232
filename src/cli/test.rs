use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::output::{complain, is_terminal, say, with_marks};
use crate::config::{Sources, System, expand_files};
use crate::promql::{self, script};
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
    Rules(Rules),
}

#[derive(Debug, Args)]
struct Rules {
    /// Test files; the rule files they name are relative to them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only test groups whose name matches
    #[arg(long, value_name = "REGEX")]
    run: Option<regex::Regex>,
    /// Write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Run again whenever a test file or one of its rule files changes, until stopped
    #[arg(long)]
    watch: bool,
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
                            if let Err(error) = promql::parse(&failure.query)
                                && is_terminal()
                            {
                                say(&indented(&error.marked(&failure.query)));
                            }
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
        What::Rules(rules) if rules.watch => watch(&rules),
        What::Rules(rules) => {
            if test_rules(&rules, &mut States::new()) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Whether everything is as expected. `read` hears which files that depends on, and their state
/// before they were read.
fn test_rules(arguments: &Rules, read: &mut States) -> bool {
    let options = unit::Options { run: arguments.run.clone(), ..unit::Options::default() };
    let mut report = unit::Report::default();
    let mut good = true;
    for file in &arguments.files {
        let name = file.display().to_string();
        read.insert(file.clone(), state(file));
        let text = match System.read(file) {
            Ok(text) => text,
            Err(error) => {
                complain(&format!("{name}: cannot read it: {error}"));
                good = false;
                continue;
            }
        };
        let folder = file.parent().unwrap_or(Path::new(""));
        let seen = RefCell::new(States::new());
        let load = |pattern: &str| {
            let paths = expand_files(&[folder.join(pattern)]).map_err(|e| e.to_string())?;
            seen.borrow_mut().extend(paths.iter().map(|path| (path.clone(), state(path))));
            let one = |path: PathBuf| {
                let text = System.read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                Ok((path.display().to_string(), text))
            };
            paths.into_iter().map(one).collect::<Result<Vec<_>, String>>()
        };
        report.files.push(unit::run(&name, &text, &load, &options));
        read.extend(seen.into_inner());
    }
    let text_of = |name: &str| System.read(Path::new(name)).ok();
    say(&with_marks(report.text().trim_end(), &std::io::stdout(), text_of));
    if let Some(path) = &arguments.junit
        && let Err(error) = std::fs::write(path, report.junit())
    {
        complain(&format!("{}: cannot write it: {error}", path.display()));
        good = false;
    }
    good && report.is_good()
}

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(300);

/// What tells that a file has changed: its time and size, or that it is gone.
type State = Option<(SystemTime, u64)>;
type States = BTreeMap<PathBuf, State>;

fn state(file: &Path) -> State {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// Runs again and again, whenever something has changed, until the program is stopped.
fn watch(arguments: &Rules) -> ExitCode {
    loop {
        let mut read = States::new();
        test_rules(arguments, &mut read);
        complain(&format!("watching {} files; Ctrl-C ends it", read.len()));
        while read.iter().all(|(file, before)| state(file) == *before) {
            std::thread::sleep(LOOK);
        }
        say("");
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn verdict(passed: usize, failed: usize) -> ExitCode {
    say(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
