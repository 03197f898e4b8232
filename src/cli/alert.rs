use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::instant::instant;
use super::output::{Output, complain, say};
use super::remote::{Server, labels, parameter, report};

/// `augenmass alert …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the alerts that fire
    #[command(after_help = "Example:\n  augenmass alert query service=homepage -o json")]
    Query {
        /// Only those that match all of these
        #[arg(value_name = "NAME=VALUE")]
        matchers: Vec<String>,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
        #[command(flatten)]
        server: Server,
    },
    /// Report an alert by hand
    #[command(after_help = "Example:\n  augenmass alert add alertname=BackupFailed service=mail \
        --annotation summary='no backup last night'")]
    Add {
        /// Its labels
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// Its texts
        #[arg(long = "annotation", value_name = "NAME=VALUE")]
        annotations: Vec<String>,
        /// It fires until then, unless it is reported again
        #[arg(long, value_name = "TIME", value_parser = instant)]
        ends: Option<jiff::Timestamp>,
        #[command(flatten)]
        server: Server,
    },
}

/// Exit code 1 when something was refused, 2 when a label is none.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Query { matchers, output, server } => {
            let filters: Vec<String> = matchers.iter().map(|m| parameter("filter", m)).collect();
            let path = format!("/api/v2/alerts?{}", filters.join("&"));
            super::block_on(async {
                let all = server.json(Method::GET, &path, None).await;
                report(all.map(|all| list(&all, output)))
            })
        }
        What::Add { labels, annotations, ends, server } => {
            let (labels, annotations) = match (object(&labels), object(&annotations)) {
                (Ok(labels), Ok(annotations)) => (labels, annotations),
                (Err(problem), _) | (_, Err(problem)) => {
                    complain(&problem);
                    return ExitCode::from(2);
                }
            };
            let mut alert = json!({ "labels": labels, "annotations": annotations });
            if let Some(ends) = ends {
                alert["endsAt"] = json!(ends.to_string());
            }
            super::block_on(async {
                let done = server.ask(Method::POST, "/api/v2/alerts", Some(json!([alert]))).await;
                report(done.map(drop))
            })
        }
    }
}

fn object(written: &[String]) -> Result<Value, String> {
    let mut found = Map::new();
    for text in written {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` should be NAME=VALUE"))?;
        found.insert(name.to_owned(), json!(value));
    }
    Ok(Value::Object(found))
}

fn list(all: &Value, output: Output) {
    if output == Output::Json {
        say(&all.to_string());
        return;
    }
    for alert in all.as_array().into_iter().flatten() {
        let text = |name: &str| alert[name].as_str().unwrap_or("");
        let state = alert["status"]["state"].as_str().unwrap_or("");
        say(&format!("{} since {}, {state}", labels(&alert["labels"]), text("startsAt")));
    }
}
