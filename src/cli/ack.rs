use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::output::say;
use super::remote::{Server, account, report};
use crate::alerting::parse_matchers;
use crate::model::{Labels, Matcher};

/// `augenmass ack`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  augenmass ack 5f0c9a7d3b21e846\n  augenmass ack --claim --by anna service=homepage"
)]
pub struct Arguments {
    /// Incidents by their id, or matchers: all incidents with an alert that they match
    #[arg(required = true, value_name = "INCIDENT|NAME=VALUE")]
    what: Vec<String>,
    /// "I have it" instead of "I know"
    #[arg(long)]
    claim: bool,
    /// Who; the name of the account when absent
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Exit code 1 when nothing was found, or something was refused; 2 when a matcher is none.
pub fn run(arguments: Arguments) -> ExitCode {
    let (ids, written): (Vec<&String>, Vec<&String>) = arguments.what.iter().partition(|text| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    let mut matchers = Vec::new();
    for text in written {
        match parse_matchers(text) {
            Ok(more) => matchers.extend(more),
            Err(error) => {
                super::output::complain(&error.to_string());
                return ExitCode::from(2);
            }
        }
    }
    super::block_on(async { report(acknowledge(&arguments, &ids, &matchers).await) })
}

async fn acknowledge(
    arguments: &Arguments,
    ids: &[&String],
    matchers: &[Matcher],
) -> Result<(), String> {
    let server = &arguments.server;
    let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    if !matchers.is_empty() {
        let all = server.json(Method::GET, "/api/augenmass/v1/incidents", None).await?;
        let groups = all.as_array().into_iter().flatten();
        let hit = groups.filter(|group| {
            let mut alerts = group["alerts"].as_array().into_iter().flatten();
            alerts.any(|alert| fits(&alert["labels"], matchers))
        });
        ids.extend(hit.filter_map(|group| group["incident"].as_str().map(str::to_owned)));
    }
    if ids.is_empty() {
        return Err("no open incident has such an alert".to_owned());
    }
    let deed = if arguments.claim { "claim" } else { "acknowledge" };
    let by = arguments.by.clone().unwrap_or_else(account);
    for id in ids {
        let path = format!("/api/augenmass/v1/incidents/{id}/{deed}");
        server.json(Method::POST, &path, Some(json!({ "by": by }))).await?;
        say(&id);
    }
    Ok(())
}

fn fits(labels: &Value, matchers: &[Matcher]) -> bool {
    let pairs = labels.as_object().into_iter().flatten();
    let pairs = pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    Labels::from_pairs(pairs).is_ok_and(|labels| matchers.iter().all(|m| m.matches(&labels)))
}
