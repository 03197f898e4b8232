use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::Value;

use super::instant::instant;
use super::output::{Output, say};
use super::remote::{Server, labels, parameter, report};
use crate::model::visible_line;

/// `augenmass incidents …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what goes on
    #[command(after_help = "Example:\n  augenmass incidents list")]
    List {
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Write the incident log: opened, told, acknowledged, silenced, over, and why
    #[command(
        after_help = "Example:\n  augenmass incidents export -o csv --from 2026-11-01T00:00:00Z >november.csv"
    )]
    Export {
        /// One incident only
        #[arg(long, value_name = "ID")]
        incident: Option<String>,
        /// Not before
        #[arg(long, value_name = "TIME", value_parser = instant)]
        from: Option<jiff::Timestamp>,
        /// Not after
        #[arg(long, value_name = "TIME", value_parser = instant)]
        to: Option<jiff::Timestamp>,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Form,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Form {
    /// Comma-separated, with a line of names
    #[default]
    Csv,
    /// A list
    Json,
}

/// Exit code 1 when nobody answers.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::List { output, server } => super::block_on(async {
            let all = server.json(Method::GET, "/api/augenmass/v1/incidents", None).await;
            report(all.map(|all| list(&all, output)))
        }),
        What::Export { incident, from, to, output, server } => {
            let form = match output {
                Form::Csv => "csv",
                Form::Json => "json",
            };
            let mut path = format!("/api/augenmass/v1/incidents/log?format={form}");
            let (from, to) = (from.map(|at| at.to_string()), to.map(|at| at.to_string()));
            for (name, value) in [("incident", incident), ("from", from), ("to", to)] {
                if let Some(value) = value {
                    path.push_str(&format!("&{}", parameter(name, &value)));
                }
            }
            super::block_on(async {
                let answer = server.ask(Method::GET, &path, None).await;
                report(answer.map(|body| say(String::from_utf8_lossy(&body).trim_end())))
            })
        }
    }
}

fn list(all: &Value, output: Output) {
    if output == Output::Json {
        say(&all.to_string());
        return;
    }
    let text = |value: &Value| visible_line(value.as_str().unwrap_or(""));
    for group in all.as_array().into_iter().flatten() {
        let id = group["incident"].as_str().unwrap_or("(not told yet)");
        let known = match group["acknowledged"]["by"].as_str() {
            Some(by) => {
                format!("; {} by {}", text(&group["acknowledged"]["kind"]), visible_line(by))
            }
            None => String::new(),
        };
        let react_by = match group["react_by"].as_str() {
            Some(by) if group["overdue"] == true => format!("; reaction was due by {by}"),
            Some(by) => format!("; reaction due by {by}"),
            None => String::new(),
        };
        say(&format!("{id} to {}{known}{react_by}", text(&group["receiver"])));
        for alert in group["alerts"].as_array().into_iter().flatten() {
            let state = match (alert["held"]["reason"].as_str(), alert["told"] == true) {
                (Some(reason), _) => format!("{reason} {}", text(&alert["held"]["detail"])),
                (None, true) => "told".to_owned(),
                (None, false) => "waits".to_owned(),
            };
            let since = text(&alert["since"]);
            say(&format!("  {} since {since}, {state}", labels(&alert["labels"])));
        }
    }
}
