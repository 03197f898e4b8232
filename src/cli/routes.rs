use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::instant::instant;
use super::output::{Output, complain, say};
use crate::alerting::{Directory, GroupBy, Plan, Route, RouteId, WhyNot};
use crate::app::who_is_told;
use crate::config::{AlertmanagerFile, Config, Integration, Receiver, System, show_duration};
use crate::model::{Labels, Timestamp};
use crate::ports::{Address, Clock, SystemClock};

/// `augenmass routes …`
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Draw who is told of what
    #[command(after_help = "Example:\n  augenmass routes show --config augenmass.yml")]
    Show {
        #[command(flatten)]
        file: File,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Say who would be told of an alert with these labels, by which channel, and why
    #[command(after_help = "Example:\n  augenmass routes test --config augenmass.yml \
        alertname=ServiceDown service=homepage owner=web-team")]
    Test {
        #[command(flatten)]
        file: File,
        /// Labels of the alert
        #[arg(required = true, value_name = "NAME=VALUE")]
        labels: Vec<String>,
        /// When, such as 2026-11-22T18:30:00+01:00; now, when absent
        #[arg(long, value_name = "TIME", value_parser = instant)]
        at: Option<jiff::Timestamp>,
        /// How to write it
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct File {
    /// Our configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The configuration of an Alertmanager
    #[arg(long, value_name = "FILE")]
    alertmanager: Option<PathBuf>,
}

/// Routes, and how each receiver is reached.
struct Routing {
    plan: Plan,
    directory: Directory,
    receivers: Vec<Receiver>,
}

/// Exit code 1 when a file is not good, 2 when the labels are not.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.what {
        What::Show { file, output } => match load(&file) {
            Ok(routing) => {
                routing.show(output);
                ExitCode::SUCCESS
            }
            Err(problem) => failed(&problem),
        },
        What::Test { file, labels, at, output } => {
            let labels = match parse_labels(&labels) {
                Ok(labels) => labels,
                Err(problem) => {
                    complain(&problem);
                    return ExitCode::from(2);
                }
            };
            let at = match at {
                Some(at) => Timestamp::from_millis(at.as_millisecond()),
                None => SystemClock::start().wall(),
            };
            match load(&file) {
                Ok(routing) => {
                    routing.test(&labels, at, output);
                    ExitCode::SUCCESS
                }
                Err(problem) => failed(&problem),
            }
        }
    }
}

fn failed(problem: &str) -> ExitCode {
    complain(problem);
    ExitCode::FAILURE
}

fn load(file: &File) -> Result<Routing, String> {
    if let Some(path) = &file.alertmanager {
        let file = AlertmanagerFile::load(path, &System).map_err(|p| p.to_string())?;
        let AlertmanagerFile { plan, receivers, .. } = file;
        return Ok(Routing { plan, directory: Directory::default(), receivers });
    }
    let usual = PathBuf::from("augenmass.yml");
    let path = file.config.as_ref().unwrap_or(&usual);
    let config = Config::load(path, &System).map_err(|problems| problems.to_string())?;
    let (plan, _) = who_is_told(&config).map_err(|error| error.to_string())?;
    let receivers = config.alertmanager.map(|section| section.file.receivers).unwrap_or_default();
    Ok(Routing { plan, directory: config.directory, receivers })
}

fn parse_labels(written: &[String]) -> Result<Labels, String> {
    let mut pairs = Vec::new();
    for text in written {
        let (name, value) =
            text.split_once('=').ok_or_else(|| format!("`{text}` should be NAME=VALUE"))?;
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        pairs.push((name, quoted.unwrap_or(value)));
    }
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}

fn matchers(route: &Route) -> String {
    let all: Vec<String> = route.matchers.iter().map(ToString::to_string).collect();
    if all.is_empty() { "everything".to_owned() } else { all.join(", ") }
}

fn seconds(span: Duration) -> Value {
    json!(span.as_secs_f64())
}

impl Routing {
    fn show(&self, output: Output) {
        let root = self.plan.routes.root();
        match output {
            Output::Text => self.draw(root, 0),
            Output::Json => say(&json!({ "route": self.tree(root) }).to_string()),
        }
    }

    fn draw(&self, id: RouteId, depth: usize) {
        let route = self.plan.routes.get(id);
        let group_by = match &route.group_by {
            GroupBy::All => "all labels".to_owned(),
            GroupBy::Labels(names) if names.is_empty() => "nothing".to_owned(),
            GroupBy::Labels(names) => names.join(", "),
        };
        let mut line = format!(
            "{}{} → {}; grouped by {group_by}; first after {}, then every {}, again after {}",
            "  ".repeat(depth),
            matchers(route),
            route.receiver,
            show_duration(route.group_wait),
            show_duration(route.group_interval),
            show_duration(route.repeat_interval),
        );
        for (names, what) in [(&route.mute, "muted in"), (&route.active, "active in")] {
            if !names.is_empty() {
                line.push_str(&format!("; {what} {}", names.join(", ")));
            }
        }
        if route.go_on {
            line.push_str("; goes on");
        }
        say(&line);
        for &child in &route.children {
            self.draw(child, depth + 1);
        }
    }

    fn tree(&self, id: RouteId) -> Value {
        let mut value = self.describe(id);
        let children = &self.plan.routes.get(id).children;
        value["routes"] = children.iter().map(|&child| self.tree(child)).collect();
        value
    }

    fn describe(&self, id: RouteId) -> Value {
        let route = self.plan.routes.get(id);
        let group_by = match &route.group_by {
            GroupBy::All => json!(["..."]),
            GroupBy::Labels(names) => names.iter().map(|name| name.to_string()).collect(),
        };
        json!({
            "key": &*route.key,
            "receiver": &*route.receiver,
            "matchers": route.matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "continue": route.go_on,
            "group_by": group_by,
            "group_wait_seconds": seconds(route.group_wait),
            "group_interval_seconds": seconds(route.group_interval),
            "repeat_interval_seconds": seconds(route.repeat_interval),
            "mute_time_intervals": names(&route.mute),
            "active_time_intervals": names(&route.active),
        })
    }

    fn test(&self, labels: &Labels, at: Timestamp, output: Output) {
        let found = self.plan.routes.resolve(labels);
        let receivers: Vec<&str> =
            found.iter().map(|&id| &*self.plan.routes.get(id).receiver).collect();
        match output {
            Output::Json => {
                let routes: Vec<Value> =
                    found.iter().map(|&id| self.verdict(id, labels, at)).collect();
                say(&json!({ "receivers": receivers, "routes": routes }).to_string());
            }
            Output::Text => {
                for id in found {
                    self.explain(id, labels, at);
                }
            }
        }
    }

    fn verdict(&self, id: RouteId, labels: &Labels, at: Timestamp) -> Value {
        let route = self.plan.routes.get(id);
        let mut value = self.describe(id);
        let group = route.group_by.group_of(labels);
        let group = group.iter().map(|(name, value)| (name.to_owned(), json!(value)));
        value["group"] = Value::Object(group.collect());
        value["channels"] = json!(self.channels(&route.receiver));
        value["why_not"] = self.why_not(route, at).map_or(Value::Null, Value::from);
        value
    }

    fn explain(&self, id: RouteId, labels: &Labels, at: Timestamp) {
        let route = self.plan.routes.get(id);
        let group = route.group_by.group_of(labels);
        say(&format!("{}: the route {} matches, grouped as {group}", route.receiver, route.key));
        for channel in self.channels(&route.receiver) {
            say(&format!("  by {channel}"));
        }
        if let Some(why_not) = self.why_not(route, at) {
            say(&format!("  not now: {why_not}"));
        }
    }

    fn why_not(&self, route: &Route, at: Timestamp) -> Option<String> {
        Some(match self.plan.closed(route, at)? {
            WhyNot::Muted { interval } => format!("muted in the time interval `{interval}`"),
            WhyNot::NotActive => "outside the time intervals in which it is active".to_owned(),
            other => format!("{} {}", other.name(), other.detail()),
        })
    }

    fn channels(&self, receiver: &str) -> Vec<String> {
        if let Some(owner) = self.directory.owner(receiver) {
            let shown = |address: &Address| match address {
                Address::Email(to) => format!("email {to}"),
                Address::Matrix(room) => format!("matrix {room}"),
                Address::Webhook(name) => format!("webhook {name}"),
            };
            return owner.addresses.iter().map(shown).collect();
        }
        let found = self.receivers.iter().find(|known| *known.name == *receiver);
        let shown = |integration: &Integration| match integration {
            Integration::Email { to, .. } => format!("email {to}"),
            Integration::Matrix { room, .. } => format!("matrix {room}"),
            Integration::Webhook { .. } => "webhook".to_owned(),
        };
        found.into_iter().flat_map(|receiver| &receiver.integrations).map(shown).collect()
    }
}

fn names(all: &[std::sync::Arc<str>]) -> Vec<&str> {
    all.iter().map(|name| &**name).collect()
}
