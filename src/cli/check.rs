use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::{Output, complain, say, with_marks};
use super::surroundings::World;
use crate::app::load_rules;
use crate::config::{AlertmanagerFile, Config, Problems, Sources, System, expand_files};
use crate::rules::lint::{Lint, lint};
use crate::rules::{File, Place, Problem};

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
    /// The configuration of an Alertmanager
    #[command(after_help = "Example:\n  augenmass check alertmanager alertmanager.yml")]
    Alertmanager {
        /// Configuration files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Rule files in Prometheus' format: what is wrong, and what is doubtful
    #[command(after_help = "Example:\n  augenmass check rules --config augenmass.yml rules/*.yml")]
    Rules(Rules),
}

#[derive(Debug, Args)]
struct Rules {
    /// Rule files; a `*` stands for any part of a file name
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Our configuration: say also which rules can match no series of its probes, and which alerts
    /// nobody would be told of
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the routes from the configuration of an Alertmanager
    #[arg(long, value_name = "FILE")]
    alertmanager: Option<PathBuf>,
    /// Exit code 1 for doubts too
    #[arg(long)]
    lint_fatal: bool,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Exit code 1 when anything is wrong.
pub fn run(arguments: Arguments) -> ExitCode {
    let (files, check): (_, fn(&Path) -> bool) = match arguments.what {
        What::Config { files } => (files, check_config),
        What::Alertmanager { files } => (files, check_alertmanager),
        What::Rules(rules) => {
            return match check_rules(&rules) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(problem) => {
                    complain(&problem);
                    ExitCode::FAILURE
                }
            };
        }
    };
    let good = files.iter().filter(|file| check(file)).count();
    if good == files.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A rule file as far as it could be read.
struct Read {
    name: String,
    text: String,
    file: Result<File, Vec<Problem>>,
}

fn read_rules(paths: &[PathBuf]) -> Result<Vec<Read>, String> {
    let paths = expand_files(paths).map_err(|error| format!("cannot find the files: {error}"))?;
    let one = |path: PathBuf| {
        let name = path.display().to_string();
        let text =
            System.read(&path).map_err(|error| format!("{name}: cannot read it: {error}"))?;
        let file = File::parse(&name, &text);
        Ok(Read { name, text, file })
    };
    paths.into_iter().map(one).collect()
}

/// The rules that run beside the files that are looked at: the shipped ones, and those of the
/// configuration.
fn running(config: Option<&Config>) -> Result<Vec<File>, String> {
    let groups = match config {
        Some(config) => load_rules(&config.rules, &System).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    Ok(vec![File { name: "".into(), groups }])
}

/// Whether nothing is wrong, and nothing doubtful when doubts count.
fn check_rules(arguments: &Rules) -> Result<bool, String> {
    let config = arguments.config.as_ref().map(|path| Config::load(path, &System)).transpose();
    let config = config.map_err(|problems| problems.to_string())?;
    let mut world = match &config {
        Some(config) => World::of(config)?,
        None => World::unknown(),
    };
    if let Some(path) = &arguments.alertmanager {
        world = world.routed_by(path)?;
    }
    let files = read_rules(&arguments.files)?;
    let mut all = running(config.as_ref())?;
    all.extend(files.iter().filter_map(|read| read.file.as_ref().ok()).cloned());
    let (mut good, mut shown) = (true, Vec::new());
    for read in &files {
        let lints = match &read.file {
            Ok(file) => world.with(|world| lint(file, &read.text, &all, world)),
            Err(_) => Vec::new(),
        };
        good &= read.file.is_ok() && (lints.is_empty() || !arguments.lint_fatal);
        match arguments.output {
            Output::Text => tell(read, &lints),
            Output::Json => shown.push(as_json(read, &lints)),
        }
    }
    if arguments.output == Output::Json {
        say(&json!({ "files": shown }).to_string());
    }
    Ok(good)
}

fn tell(read: &Read, lints: &[Lint]) {
    let name = &read.name;
    match &read.file {
        Ok(file) => {
            let doubts = match lints.len() {
                0 => String::new(),
                1 => ", 1 doubt".to_owned(),
                doubts => format!(", {doubts} doubts"),
            };
            let (groups, rules) = (file.groups.len(), file.rules());
            say(&format!("{name}: ok, {groups} groups, {rules} rules{doubts}"));
        }
        Err(problems) => {
            problems.iter().for_each(|problem| marked(read, &format!("{name}:{problem}")));
        }
    }
    for Lint { place, kind, what } in lints {
        marked(read, &format!("{name}:{place}: warning: {what} [{}]", kind.name()));
    }
}

/// On a terminal with the place marked under the line of the file.
fn marked(read: &Read, message: &str) {
    let text_of = |name: &str| (name == read.name).then(|| read.text.clone());
    complain(&with_marks(message, &std::io::stderr(), text_of));
}

fn as_json(read: &Read, lints: &[Lint]) -> Value {
    let place = |place: Place, what: &str| json!({ "line": place.line, "column": place.column, "message": what });
    let (file, problems) = match &read.file {
        Ok(file) => (Some(file), &[][..]),
        Err(problems) => (None, &problems[..]),
    };
    let doubt = |lint: &Lint| {
        let mut value = place(lint.place, &lint.what);
        value["lint"] = lint.kind.name().into();
        value
    };
    json!({
        "file": read.name,
        "ok": file.is_some(),
        "groups": file.map_or(0, |file| file.groups.len()),
        "rules": file.map_or(0, File::rules),
        "problems": problems.iter().map(|p| place(p.place, &p.what)).collect::<Vec<_>>(),
        "warnings": lints.iter().map(doubt).collect::<Vec<_>>(),
    })
}

fn check_alertmanager(path: &Path) -> bool {
    match AlertmanagerFile::load(path, &System) {
        Ok(found) => {
            let (routes, receivers) = (found.plan.routes.iter().count(), found.receivers.len());
            let (rules, file) = (found.plan.inhibit.len(), path.display());
            say(&format!(
                "{file}: ok, {routes} routes, {receivers} receivers, {rules} inhibition rules"
            ));
            let notes = [(found.obstacles, "cannot run here"), (found.remarks, "note")];
            for (problems, what) in notes {
                for problem in problems {
                    let one = Problems { file: path.to_owned(), problems: vec![problem] };
                    complain(&format!("{what}: {one}"));
                }
            }
            true
        }
        Err(problems) => {
            complain(&problems.to_string());
            false
        }
    }
}

fn check_config(file: &Path) -> bool {
    match Config::load(file, &System) {
        Ok(config) => {
            if let Err(problems) = load_rules(&config.rules, &System) {
                complain(&problems.to_string());
                return false;
            }
            let (owners, services) =
                (config.directory.owners.len(), config.directory.services.len());
            let targets = config.probes.targets.len();
            for remark in config.alertmanager.iter().flat_map(|section| {
                let file = &section.path;
                section
                    .file
                    .remarks
                    .iter()
                    .map(|remark| Problems { file: file.clone(), problems: vec![remark.clone()] })
            }) {
                complain(&format!("note: {remark}"));
            }
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
