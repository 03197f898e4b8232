use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::instant::instant;
use super::output::{Output, complain, say};
use super::remote::{Server, labels, parameter, report};
use crate::model::visible_line;

/// `augenmass explain`
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  augenmass explain --to web-team --at 2026-11-22T03:15:00+01:00"
)]
pub struct Arguments {
    /// Owner or receiver who was told, or not
    #[arg(long, value_name = "OWNER")]
    to: String,
    /// When; now, when absent
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<jiff::Timestamp>,
    /// How to write it
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    server: Server,
}

/// Exit code 1 when there is nobody of that name, or nobody answers.
pub fn run(arguments: Arguments) -> ExitCode {
    super::block_on(async {
        let mut path = format!("/api/augenmass/v1/explain?{}", parameter("to", &arguments.to));
        if let Some(at) = arguments.at {
            path.push_str(&format!("&{}", parameter("at", &at.to_string())));
        }
        let answer = match arguments.server.json(Method::GET, &path, None).await {
            Ok(answer) => answer,
            Err(problem) => return report(Err(problem)),
        };
        match arguments.output {
            Output::Json => say(&answer.to_string()),
            Output::Text => show(&answer),
        }
        let decisions = answer["decisions"].as_array().map_or(0, Vec::len);
        if answer["known"] == false && decisions == 0 {
            complain(&format!("nobody is called {}", arguments.to));
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    })
}

fn show(answer: &Value) {
    let text = |value: &Value| visible_line(value.as_str().unwrap_or(""));
    let decisions = answer["decisions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if decisions.is_empty() {
        say(&format!("No alert fired at {}.", text(&answer["at"])));
    }
    for decision in decisions {
        say(&format!("{} since {}", labels(&decision["alert"]), text(&decision["since"])));
        let mut line = format!(
            "  {} at {}: {}",
            text(&decision["verdict"]),
            text(&decision["at"]),
            text(&decision["reason"]),
        );
        let detail = text(&decision["detail"]);
        if !detail.is_empty() {
            line.push_str(&format!(" ({detail})"));
        }
        if let Some(why) = decision["not_again"].as_str() {
            line.push_str(&format!("; not again: {why}"));
        }
        if let Some(incident) = decision["incident"].as_str() {
            line.push_str(&format!("; incident {incident}"));
        }
        say(&line);
    }
}
