use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::instant::instant;
use super::output::{Output, complain, say};
use super::remote::{Server, account, report, segment};
use crate::alerting::parse_matchers;
use crate::config::parse_duration;
use crate::model::visible_line;

/// `augenmass silence …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tell nobody of some alerts for a while
    #[command(
        after_help = "Examples:\n  augenmass silence add service=homepage --for 2h --comment 'new release'\n  \
        augenmass silence add alertname=TonerLow owner=office --until-resolved --at-most 14d --comment ordered\n  \
        augenmass silence add --incident 5f0c9a7d3b21e846 --until 2026-11-23T08:00:00+01:00 --comment later"
    )]
    Add(Add),
    /// End silences
    #[command(
        after_help = "Example:\n  augenmass silence expire 6f2cfd3e-8a0c-4e0e-9a3e-6f0e4b1d2c3a"
    )]
    Expire {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// List silences that are active or begin later
    #[command(after_help = "Example:\n  augenmass silence query -o json")]
    Query {
        /// Those that are over too
        #[arg(long)]
        expired: bool,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Make the silences of a file that `amtool silence query -o json` or our `query -o json` wrote
    #[command(after_help = "Example:\n  amtool silence query -o json | augenmass silence import")]
    Import {
        /// The file; standard input when absent
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Which alerts; all of them must match
    #[arg(value_name = "NAME=VALUE")]
    matchers: Vec<String>,
    /// The alerts of this incident, until it ends at the latest
    #[arg(long, value_name = "ID", conflicts_with = "matchers")]
    incident: Option<String>,
    /// For so long; 1h when nothing else is said
    #[arg(long = "for", value_name = "DURATION", conflicts_with_all = ["until", "until_resolved"])]
    length: Option<String>,
    /// Until an instant, such as 2026-11-23T08:00:00+01:00
    #[arg(long, value_name = "TIME", value_parser = instant, conflicts_with = "until_resolved")]
    until: Option<jiff::Timestamp>,
    /// Until none of its alerts fires any more
    #[arg(long)]
    until_resolved: bool,
    /// The longest that --until-resolved may last
    #[arg(long, value_name = "DURATION", default_value = "7d", requires = "until_resolved")]
    at_most: String,
    /// From an instant; now when absent
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<jiff::Timestamp>,
    /// Why
    #[arg(short, long, value_name = "TEXT")]
    comment: String,
    /// Who; the name of the account when absent
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    server: Server,
}

const PATH: &str = "/api/augenmass/v1/silences";

/// Exit code 1 when something was refused, 2 when the arguments make no sense.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Add(add) => match wish(&add) {
            Ok(wish) => super::block_on(async {
                let made = add.server.json(Method::POST, PATH, Some(wish)).await;
                report(made.map(|made| say(made["id"].as_str().unwrap_or(""))))
            }),
            Err(problem) => {
                complain(&problem);
                ExitCode::from(2)
            }
        },
        What::Expire { ids, server } => super::block_on(async {
            let mut code = ExitCode::SUCCESS;
            for id in ids {
                let path = format!("{PATH}/{}", segment(&id));
                // The others are ended all the same.
                if let Err(problem) = server.json(Method::DELETE, &path, None).await {
                    code = report(Err(problem));
                }
            }
            code
        }),
        What::Query { expired, output, server } => super::block_on(async {
            let all = server.json(Method::GET, PATH, None).await;
            report(all.map(|all| list(all, expired, output)))
        }),
        What::Import { file, server } => {
            super::block_on(async { report(import(file, &server).await) })
        }
    }
}

fn length(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("`{text}` should be a time such as 90m or 7d"))
}

fn wish(add: &Add) -> Result<Value, String> {
    if add.matchers.is_empty() && add.incident.is_none() {
        return Err(
            "which alerts? Name matchers such as service=homepage, or --incident".to_owned()
        );
    }
    for text in &add.matchers {
        parse_matchers(text).map_err(|error| error.to_string())?;
    }
    let seconds = match (&add.length, add.until, add.until_resolved) {
        (_, _, true) => Some(length(&add.at_most)?.as_secs()),
        (_, Some(_), _) => None,
        (Some(text), ..) => Some(length(text)?.as_secs()),
        (None, ..) => Some(3600),
    };
    Ok(json!({
        "matchers": add.matchers,
        "incident": add.incident,
        "starts": add.from.map(|at| at.to_string()),
        "ends": add.until.map(|at| at.to_string()),
        "seconds": seconds,
        "until_resolved": add.until_resolved,
        "comment": add.comment,
        "by": add.by.clone().unwrap_or_else(account),
    }))
}

fn list(all: Value, expired: bool, output: Output) {
    let text = |value: &Value| visible_line(value.as_str().unwrap_or(""));
    let silences = all.as_array().into_iter().flatten();
    let silences: Vec<&Value> =
        silences.filter(|silence| expired || silence["state"] != "expired").collect();
    if output == Output::Json {
        say(&json!(silences).to_string());
        return;
    }
    for silence in silences {
        let matchers = silence["matchers"].as_array().into_iter().flatten().map(text);
        let matchers: Vec<String> = matchers.collect();
        let end = match silence["until_resolved"] == true {
            true => " or until its alerts are over",
            false => "",
        };
        say(&format!(
            "{} {} {{{}}} until {}{end}; {}: {}",
            text(&silence["id"]),
            text(&silence["state"]),
            matchers.join(", "),
            text(&silence["ends"]),
            text(&silence["by"]),
            text(&silence["comment"]),
        ));
    }
}

async fn import(file: Option<PathBuf>, server: &Server) -> Result<(), String> {
    let mut text = String::new();
    match &file {
        Some(path) => {
            text = std::fs::read_to_string(path)
                .map_err(|error| format!("{}: cannot read it: {error}", path.display()))?;
        }
        None => {
            std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
        }
    }
    let all: Value =
        serde_json::from_str(&text).map_err(|error| format!("no silences: {error}"))?;
    let all = all.as_array().ok_or("no silences: a list is needed")?;
    let mut failed = 0;
    for silence in all {
        match one(silence, server).await {
            Ok(id) => say(&id),
            Err(problem) => {
                failed += 1;
                complain(&problem);
            }
        }
    }
    if failed > 0 {
        Err(format!("{failed} of {} silences were refused", all.len()))
    } else {
        Ok(())
    }
}

/// A silence of ours, or one in Alertmanager's form; each becomes a new one.
async fn one(silence: &Value, server: &Server) -> Result<String, String> {
    let field = |name: &str| silence.get(name).cloned().unwrap_or(Value::Null);
    if silence.get("startsAt").is_none() {
        let wish = json!({
            "matchers": field("matchers"), "starts": field("starts"), "ends": field("ends"),
            "comment": field("comment"), "by": field("by"),
        });
        let made = server.json(Method::POST, PATH, Some(wish)).await?;
        return Ok(made["id"].as_str().unwrap_or("").to_owned());
    }
    let mut silence = silence.clone();
    if let Some(object) = silence.as_object_mut() {
        for name in ["id", "status", "updatedAt"] {
            object.remove(name);
        }
    }
    let made = server.json(Method::POST, "/api/v2/silences", Some(silence)).await?;
    Ok(made["silenceID"].as_str().unwrap_or("").to_owned())
}
