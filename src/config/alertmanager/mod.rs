//! An `alertmanager.yml` as it is: its routes, inhibition rules and time intervals become the
//! same [`Plan`] that owners and services become.

mod http;
mod intervals;
mod outfit;
mod receivers;
mod routes;
mod scalars;
mod smtp;
mod tls;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::problem::{Position, Problem, Problems, suggestion};
use super::reader::{Fields, Reader};
use super::yaml::{self, Kind, Node};
use super::{Sources, expand_files, parse_duration};
use crate::alerting::{Ends, InhibitRule, Plan, RouteSpec, RouteTree};
use crate::model::{Matcher, Secret};

use crate::render::TemplateFiles;
pub use outfit::Outfit;
pub use receivers::{Integration, MailWords, Receiver};
use scalars::some_text;

/// What an `alertmanager.yml` says.
#[derive(Clone, Debug)]
pub struct AlertmanagerFile {
    /// Routes, inhibition rules, time intervals and the resolve timeout.
    pub plan: Plan,
    /// Who is told, and by which ways, in the order of the file.
    pub receivers: Vec<Receiver>,
    /// Template files; a `*` stands for any part of a file name.
    pub templates: Vec<Arc<str>>,
    /// The root of the routes, as it was written.
    pub root: RouteSpec,
    /// What the template files define.
    pub words: TemplateFiles,
    /// What is well written, and yet cannot run here.
    pub obstacles: Vec<Problem>,
    /// What runs otherwise than its author may believe.
    pub remarks: Vec<Problem>,
}

impl AlertmanagerFile {
    /// Reads a file.
    ///
    /// # Errors
    /// All problems at once, each with its place.
    pub fn load(file: &Path, sources: &dyn Sources) -> Result<Self, Problems> {
        let text = sources.read(file).map_err(|error| Problems::unreadable(file, &error))?;
        Self::parse(&text, file, sources)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// All problems at once, each with its place.
    pub fn parse(text: &str, file: &Path, sources: &dyn Sources) -> Result<Self, Problems> {
        let mut reader = Reader::new(sources, file.parent().unwrap_or(Path::new("")));
        let root = yaml::parse_as_go(text, &mut reader.problems);
        let found = match root {
            Some(root) => read(&root, &mut reader),
            None => {
                if reader.problems.is_empty() {
                    reader.problem(Position { line: 1, column: 1 }, "the file has no `route`");
                }
                None
            }
        };
        let mut problems = reader.problems;
        problems.sort();
        problems.dedup();
        reader.obstacles.sort();
        reader.obstacles.dedup();
        match found {
            Some(found) if problems.is_empty() => {
                let (obstacles, remarks) = (reader.obstacles, reader.remarks);
                Ok(Self { obstacles, remarks, ..found })
            }
            _ => Err(Problems { file: file.to_owned(), problems }),
        }
    }
}

/// Names that a route may refer to.
struct Known {
    receivers: Vec<Arc<str>>,
    intervals: Vec<Arc<str>>,
}

fn read(root: &Node, reader: &mut Reader<'_>) -> Option<AlertmanagerFile> {
    let mut fields = reader.fields(root, "the file")?;
    let global = receivers::global(fields.get("global"), reader);
    let mut intervals = HashMap::new();
    for name in ["mute_time_intervals", "time_intervals"] {
        if let Some(node) = fields.get(name) {
            intervals::read(node, &mut intervals, reader);
        }
    }
    let receivers = match fields.get("receivers") {
        Some(node) => receivers::read(node, &global, reader),
        None => Vec::new(),
    };
    let known = Known {
        receivers: receivers.iter().map(|receiver| receiver.name.clone()).collect(),
        intervals: intervals.keys().cloned().collect(),
    };
    let route = fields.need("route", reader);
    let spec = route.and_then(|node| routes::root(node, &known, reader));
    let inhibit = match fields.get("inhibit_rules") {
        Some(node) => items(node, "inhibit_rules", reader)
            .into_iter()
            .filter_map(|n| inhibit(n, reader))
            .collect(),
        None => Vec::new(),
    };
    let (templates, words) = templates(&mut fields, reader);
    check_words(&receivers, &words, reader);
    // Of no meaning here; what they hold is not looked at.
    let _ = (fields.get("tracing"), fields.get("event_recorder"));
    fields.finish(reader);
    let at = route.map_or(root.at, |route| route.at);
    let spec = spec?;
    let tree = match RouteTree::new(spec.clone()) {
        Ok(tree) => tree,
        Err(error) => {
            reader.problem(at, error.to_string());
            return None;
        }
    };
    let mut plan = Plan::new(tree, Ends::AsAlertmanager);
    plan.inhibit = inhibit;
    plan.intervals = intervals;
    plan.receivers = receivers.iter().map(|receiver| receiver.name.clone()).collect();
    if let Some(timeout) = global.resolve_timeout {
        plan.resolve_timeout = timeout;
    }
    Some(AlertmanagerFile {
        plan,
        receivers,
        templates,
        root: spec,
        words,
        obstacles: Vec::new(),
        remarks: Vec::new(),
    })
}

fn templates(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> (Vec<Arc<str>>, TemplateFiles) {
    let (mut found, mut words) = (Vec::new(), TemplateFiles::default());
    let Some(node) = fields.get("templates") else { return (found, words) };
    for item in items(node, "templates", reader) {
        let Some(text) = plain(item, "templates", reader) else { continue };
        if text.trim().is_empty() {
            continue;
        }
        let open = text.rfind('[').is_some_and(|at| !text[at..].contains(']'));
        if open || text.ends_with('\\') {
            reader.problem(item.at, format!("`{text}` is no file name pattern: `[` has no end"));
            continue;
        }
        let pattern = reader.folder().join(text);
        found.push(text.into());
        // A pattern that fits no file is no problem, as in Alertmanager.
        for path in expand_files(&[pattern]).unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match reader.read(&path) {
                Ok(text) => {
                    if let Err(error) = words.add(&name, &text) {
                        let path = path.display();
                        reader.problem(item.at, format!("{path}:{}: {error}", error.line));
                    }
                }
                Err(error) => {
                    reader.problem(item.at, format!("cannot read {}: {error}", path.display()));
                }
            }
        }
    }
    (found, words)
}

/// A broken template costs nobody a message, but its author should know before it is needed.
fn check_words(receivers: &[Receiver], words: &TemplateFiles, reader: &mut Reader<'_>) {
    for (receiver, at) in receivers.iter().map(|receiver| (receiver, receiver.at)) {
        for integration in &receiver.integrations {
            for (name, text) in templates_of(integration) {
                if let Err(error) = words.check(text) {
                    let instead = match name {
                        "to" => "the default receiver will be told",
                        "from" => "the usual sender will stand there",
                        "url" | "payload" => "it will not be told",
                        _ => "our own words will go out",
                    };
                    let message = format!(
                        "the template `{name}` of the receiver `{}` is broken, so that {instead}: \
                         {error}",
                        receiver.name
                    );
                    reader.remark(at, message);
                }
            }
        }
    }
}

/// The templates of an integration, by the names of their fields.
fn templates_of(integration: &Integration) -> Vec<(&str, &str)> {
    match integration {
        Integration::Email { to, from, words, .. } => {
            let own = [
                ("to", Some(to).filter(|to| to.contains("{{"))),
                ("from", from.as_ref()),
                ("Subject", words.subject.as_ref()),
                ("text", words.text.as_ref()),
                ("html", words.html.as_ref()),
            ];
            let own = own.into_iter().filter_map(|(name, text)| Some((name, &**text?)));
            own.chain(words.headers.iter().map(|(name, text)| (&**name, &**text))).collect()
        }
        Integration::Webhook { url, body, .. } => {
            let url = url.iter().map(Secret::reveal).filter(|url| url.contains("{{"));
            let mut found: Vec<_> = url.map(|url| ("url", url)).collect();
            texts(body.as_ref(), &mut found);
            found
        }
        Integration::Matrix { .. } => Vec::new(),
    }
}

/// The texts in a body, keys among them.
fn texts<'v>(body: Option<&'v serde_json::Value>, into: &mut Vec<(&'static str, &'v str)>) {
    match body {
        Some(serde_json::Value::String(text)) => into.push(("payload", text)),
        Some(serde_json::Value::Array(items)) => {
            items.iter().for_each(|item| texts(Some(item), into));
        }
        Some(serde_json::Value::Object(entries)) => {
            for (key, value) in entries {
                into.push(("payload", key));
                texts(Some(value), into);
            }
        }
        _ => {}
    }
}

/// A list; a single value in its place is a problem.
fn items<'n>(node: &'n Node, what: &str, reader: &mut Reader<'_>) -> Vec<&'n Node> {
    match &node.kind {
        Kind::List(items) => items.iter().map(|item| &**item).collect(),
        Kind::Null => Vec::new(),
        _ => {
            reader.expected::<()>(node, what, "a list");
            Vec::new()
        }
    }
}

/// Text, which may be empty; nothing is an empty text.
fn plain<'n>(node: &'n Node, what: &str, reader: &mut Reader<'_>) -> Option<&'n str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        Kind::Null => Some(""),
        _ => reader.expected(node, what, "a text"),
    }
}

/// A time span in Prometheus' notation.
fn span(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Duration> {
    let span = match &node.kind {
        Kind::Scalar { text, .. } => parse_duration(text),
        _ => None,
    };
    span.or_else(|| reader.expected(node, what, "a time such as `30s`, `5m` or `1h30m`"))
}

/// `match`, `match_re` and `matchers` (with a prefix: `source_match` …) as matchers.
fn matchers(
    fields: &mut Fields<'_>,
    names: [&'static str; 3],
    reader: &mut Reader<'_>,
) -> Vec<Matcher> {
    let mut found = Vec::new();
    for (name, regex) in [(names[0], false), (names[1], true)] {
        let Some(node) = fields.get(name) else { continue };
        let Some(mut labels) = reader.fields(node, name) else { continue };
        for (key, value) in labels.all() {
            if key.text.is_empty() {
                reader.problem(key.at, format!("`{name}`: a label name is empty"));
            }
            if regex {
                if matches!(value.kind, Kind::Null) {
                    reader.expected::<()>(value, &key.text, "a regular expression");
                    continue;
                }
                let Some(text) = plain(value, &key.text, reader) else { continue };
                match crate::alerting::regex_matcher(&key.text, text, true) {
                    Ok(matcher) => found.push(matcher),
                    Err(error) => reader.problem(value.at, error.to_string()),
                }
            } else {
                let text = plain(value, &key.text, reader).unwrap_or_default();
                found.push(Matcher::equal(&key.text, text));
            }
        }
    }
    let lines = fields.get(names[2]).map(|node| items(node, names[2], reader)).unwrap_or_default();
    for line in lines {
        let Some(text) = plain(line, names[2], reader) else { continue };
        match crate::alerting::parse_matchers(text) {
            Ok(more) => found.extend(more),
            Err(error) => reader.problem(line.at, error.to_string()),
        }
    }
    crate::alerting::sort_matchers(&mut found);
    found
}

/// Label names, with their places.
fn label_names<'n>(
    node: &'n Node,
    what: &str,
    reader: &mut Reader<'_>,
) -> Vec<(&'n Node, &'n str)> {
    let named = items(node, what, reader).into_iter();
    named.filter_map(|item| Some((item, some_text(item, what, reader)?))).collect()
}

fn inhibit(node: &Node, reader: &mut Reader<'_>) -> Option<InhibitRule> {
    let mut fields = reader.fields(node, "an inhibition rule")?;
    let name = fields.get("name").and_then(|node| plain(node, "name", reader));
    let source =
        matchers(&mut fields, ["source_match", "source_match_re", "source_matchers"], reader);
    let target =
        matchers(&mut fields, ["target_match", "target_match_re", "target_matchers"], reader);
    let equal = fields.get("equal").map(|node| label_names(node, "equal", reader));
    fields.finish(reader);
    let mut equal: Vec<Arc<str>> =
        equal.unwrap_or_default().into_iter().map(|(_, name)| name.into()).collect();
    equal.sort();
    equal.dedup();
    Some(InhibitRule {
        name: name.unwrap_or_default().into(),
        source,
        target,
        equal,
        depends_on: None,
    })
}

/// "`x` is not …, did you mean …?"
fn unknown(node: &Node, what: &str, name: &str, known: &[Arc<str>], reader: &mut Reader<'_>) {
    let near = suggestion(name, known.iter().map(|known| &**known));
    reader.problem(node.at, format!("there is no {what} `{name}`{near}"));
}

#[cfg(test)]
mod tests;
