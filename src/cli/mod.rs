//! The verbs, one file each. Exit codes: 0 all well, 1 the thing asked about is not well, 2 wrong
//! usage. Data goes to standard output, everything else to standard error.

mod ack;
mod alert;
mod check;
mod demo;
mod explain;
mod import;
mod incidents;
mod instant;
mod output;
mod probe;
mod query;
mod remote;
mod routes;
mod rules;
mod run;
mod silence;
mod sla;
mod storage;
mod surroundings;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Watches the machines of organisations whose IT people are volunteers, and tells the
/// responsible people, once.
#[derive(Debug, Parser)]
#[command(name = "augenmass", version, propagate_version = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Write the log as JSON lines
    #[arg(long, global = true)]
    log_json: bool,
    /// How much to log: error, warn, info, debug, trace, or `room=level` pairs
    #[arg(long, global = true, default_value = "info", value_name = "LEVEL")]
    log: String,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Probe, evaluate and tell, until stopped
    Run(run::Arguments),
    /// Watch an embedded little world: the main job, without any configuration
    Demo(demo::Arguments),
    /// Say what is wrong with a file before it runs
    Check(check::Arguments),
    /// Say who is told of what
    Routes(routes::Arguments),
    /// Look at a target now, once or some times in a row
    Probe(probe::Arguments),
    /// Ask a server or a data folder: tables, plots, JSON, CSV
    Query(query::Arguments),
    /// Say that somebody knows of an incident, or has it
    Ack(ack::Arguments),
    /// Make, list and end silences
    Silence(silence::Arguments),
    /// List alerts, or report one by hand
    Alert(alert::Arguments),
    /// List incidents, or write the incident log
    Incidents(incidents::Arguments),
    /// Say why somebody was told of something, or not
    Explain(explain::Arguments),
    /// Say whether what was promised about services was kept
    Sla(sla::Arguments),
    /// Run tests of rules and queries
    Test(test::Arguments),
    /// Try rules on what was
    Rules(rules::Arguments),
    /// Look at the samples on disk: what is there, is it whole, copies, text
    Storage(storage::Arguments),
    /// Take samples from elsewhere into a data folder
    Import(import::Arguments),
}

/// Runs the verb named on the command line.
pub fn main() -> ExitCode {
    crate::app::one_heap();
    let verb = std::thread::Builder::new().stack_size(crate::promql::STACK).spawn(run_verb);
    match verb.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // It has said why.
        Ok(Err(_)) => ExitCode::from(101),
        Err(error) => {
            output::complain(&format!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run_verb() -> ExitCode {
    let arguments = Arguments::parse();
    // The demo tells its own story; its log would stand between the lines.
    let quiet = matches!(arguments.verb, Verb::Demo(_)) && arguments.log == "info";
    let level = if quiet { "error" } else { &arguments.log };
    // The SNMP library calls each silent device an error; ours to judge, and we do.
    output::start_log(&format!("{level},async_snmp=off"), arguments.log_json);
    match arguments.verb {
        Verb::Run(arguments) => run::run(arguments),
        Verb::Demo(arguments) => demo::run(arguments),
        Verb::Check(arguments) => check::run(arguments),
        Verb::Routes(arguments) => routes::run(arguments),
        Verb::Probe(arguments) => probe::run(arguments),
        Verb::Query(arguments) => query::run(arguments),
        Verb::Ack(arguments) => ack::run(arguments),
        Verb::Silence(arguments) => silence::run(arguments),
        Verb::Alert(arguments) => alert::run(arguments),
        Verb::Incidents(arguments) => incidents::run(arguments),
        Verb::Explain(arguments) => explain::run(arguments),
        Verb::Sla(arguments) => sla::run(arguments),
        Verb::Test(arguments) => test::run(arguments),
        Verb::Rules(arguments) => rules::run(arguments),
        Verb::Storage(arguments) => storage::run(arguments),
        Verb::Import(arguments) => import::run(arguments),
    }
}

/// A runtime for verbs that need one.
fn block_on(work: impl Future<Output = ExitCode>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .thread_stack_size(crate::promql::STACK)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A blocking call that hangs (a dead disk) must not hold the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(2));
            code
        }
        Err(error) => {
            output::complain(&format!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}
