use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::output::{complain, say};
use crate::app::load_rules;
use crate::config::{AlertmanagerFile, Config, Problems, Sources, System};
use crate::rules::File;

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
    /// Rule files in Prometheus' format
    #[command(after_help = "Example:\n  augenmass check rules rules/*.yml")]
    Rules {
        /// Rule files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// Exit code 1 when anything is wrong.
pub fn run(arguments: Arguments) -> ExitCode {
    let (files, check): (_, fn(&Path) -> bool) = match arguments.what {
        What::Config { files } => (files, check_config),
        What::Alertmanager { files } => (files, check_alertmanager),
        What::Rules { files } => (files, check_rules),
    };
    let good = files.iter().filter(|file| check(file)).count();
    if good == files.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn check_rules(file: &Path) -> bool {
    let name = file.display();
    let text = match System.read(file) {
        Ok(text) => text,
        Err(error) => {
            complain(&format!("{name}: cannot read it: {error}"));
            return false;
        }
    };
    match File::parse(&name.to_string(), &text) {
        Ok(rules) => {
            let (groups, count) = (rules.groups.len(), rules.rules());
            say(&format!("{name}: ok, {groups} groups, {count} rules"));
            true
        }
        Err(problems) => {
            for problem in problems {
                complain(&format!("{name}:{problem}"));
            }
            false
        }
    }
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
