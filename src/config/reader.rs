//! Walks the tree and turns nodes into values; what does not fit becomes a problem, and the walk
//! goes on.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::problem::{Position, Problem, Problems, suggestion};
use super::quantity;
use super::yaml::{Key, Kind, Node, shorten};
use super::{AlertmanagerFile, Sources};
use crate::model::Secret;

/// Collects problems while the sections are read.
pub struct Reader<'s> {
    /// All problems so far.
    pub problems: Vec<Problem>,
    /// What is well written, and yet cannot run.
    pub obstacles: Vec<Problem>,
    /// What runs otherwise than its author may believe.
    pub remarks: Vec<Problem>,
    sources: &'s dyn Sources,
    folder: PathBuf,
}

impl<'s> Reader<'s> {
    /// Paths in the file are relative to `folder`.
    pub fn new(sources: &'s dyn Sources, folder: &Path) -> Self {
        let (problems, obstacles, remarks) = (Vec::new(), Vec::new(), Vec::new());
        Self { problems, obstacles, remarks, sources, folder: folder.to_owned() }
    }

    /// Where files and variables come from.
    pub fn sources(&self) -> &'s dyn Sources {
        self.sources
    }

    /// Adds a problem.
    pub fn problem(&mut self, at: Position, message: impl Into<String>) {
        self.problems.push(Problem { at, message: message.into() });
    }

    /// Adds something that cannot run.
    pub fn obstacle(&mut self, at: Position, message: impl Into<String>) {
        self.obstacles.push(Problem { at, message: message.into() });
    }

    /// Adds something that runs otherwise than its author may believe.
    pub fn remark(&mut self, at: Position, message: impl Into<String>) {
        self.remarks.push(Problem { at, message: message.into() });
    }

    /// The text of a file below the folder; an obstacle when it cannot be read.
    pub fn content(&mut self, node: &Node, what: &str) -> Option<String> {
        let path = self.path(node, what)?;
        match self.sources.read(&path) {
            Ok(text) => Some(text),
            Err(error) => {
                let path = path.display();
                self.obstacle(node.at, format!("`{what}`: cannot read {path}: {error}"));
                None
            }
        }
    }

    /// Reads an `alertmanager.yml`.
    ///
    /// # Errors
    /// All problems at once, each with its place.
    pub fn alertmanager(&self, path: &Path) -> Result<AlertmanagerFile, Problems> {
        AlertmanagerFile::load(path, self.sources)
    }

    /// The folder of the file that is read.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The text of a file by its path.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&self, path: &Path) -> std::io::Result<String> {
        self.sources.read(path)
    }

    /// "`what`: expected …, found …".
    pub fn expected<T>(&mut self, node: &Node, what: &str, wanted: &str) -> Option<T> {
        self.problem(node.at, format!("`{what}` should be {wanted}, found {}", node.describe()));
        None
    }

    /// A mapping; nothing at all counts as an empty one.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &str) -> Option<Fields<'n>> {
        let entries: &[(Key, Rc<Node>)] = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            _ => return self.expected(node, what, "a mapping"),
        };
        let open = vec![true; entries.len()];
        Some(Fields { what: what.to_owned(), at: node.at, entries, open, known: Vec::new() })
    }

    /// A list; nothing at all counts as an empty one, a single value as a list of one.
    pub fn list<'n>(&mut self, node: &'n Node) -> Vec<&'n Node> {
        match &node.kind {
            Kind::Null => Vec::new(),
            Kind::List(items) => items.iter().map(|item| &**item).collect(),
            Kind::Scalar { .. } | Kind::Map(_) => vec![node],
        }
    }

    /// Text that is not empty.
    pub fn text(&mut self, node: &Node, what: &str) -> Option<Arc<str>> {
        match &node.kind {
            Kind::Scalar { text, .. } if !text.trim().is_empty() => Some(text.as_str().into()),
            _ => self.expected(node, what, "a text"),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Scalar { text, plain: true } if text == "true" => Some(true),
            Kind::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => self.expected(node, what, "`true` or `false`"),
        }
    }

    /// A whole number within a range.
    pub fn number(&mut self, node: &Node, what: &str, low: u64, high: u64) -> Option<u64> {
        let number = match &node.kind {
            Kind::Scalar { text, .. } => text.replace('_', "").parse::<u64>().ok(),
            _ => None,
        };
        match number.filter(|number| (low..=high).contains(number)) {
            Some(number) => Some(number),
            None => self.expected(node, what, &format!("a whole number from {low} to {high}")),
        }
    }

    /// A time span such as `15s`, `1h30m`, `7d`, within a range.
    pub fn duration(
        &mut self,
        node: &Node,
        what: &str,
        low: Duration,
        high: Duration,
    ) -> Option<Duration> {
        let span = match &node.kind {
            Kind::Scalar { text, .. } => quantity::parse_duration(text),
            _ => None,
        };
        let (least, most) = (quantity::show_duration(low), quantity::show_duration(high));
        match span {
            Some(span) if low <= span && span <= high => Some(span),
            Some(_) => self.expected(node, what, &format!("a time from {least} to {most}")),
            None => self.expected(node, what, "a time such as `30s`, `5m` or `1h30m`"),
        }
    }

    /// A size such as `512KiB`, `10MiB`.
    pub fn size(&mut self, node: &Node, what: &str) -> Option<u64> {
        let size = match &node.kind {
            Kind::Scalar { text, .. } => quantity::parse_size(text),
            _ => None,
        };
        match size {
            Some(size) => Some(size),
            None => self.expected(node, what, "a size such as `512KiB` or `10MiB`"),
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = match &node.kind {
            Kind::Scalar { text, .. } => text.as_str(),
            _ => "",
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let near = suggestion(text, words.iter().map(|(word, _)| *word));
        let found = node.describe();
        let wanted = all.join(", ");
        self.problem(node.at, format!("`{what}` should be one of {wanted}, found {found}{near}"));
        None
    }

    /// A web address with host.
    pub fn url(&mut self, node: &Node, what: &str) -> Option<url::Url> {
        let text = self.text(node, what)?;
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
                Some(url)
            }
            // The text itself may hold a password or a token: say where, not what.
            Ok(url) => {
                let scheme = shorten(url.scheme());
                let message = format!("`{what}` should begin with https:// or http://");
                self.problem(node.at, format!("{message}, found `{scheme}:`"));
                None
            }
            Err(error) => {
                self.problem(node.at, format!("`{what}` is not a web address: {error}"));
                None
            }
        }
    }

    /// A regular expression.
    pub fn regex(&mut self, node: &Node, what: &str) -> Option<regex::bytes::Regex> {
        let text = self.text(node, what)?;
        match regex::bytes::RegexBuilder::new(&text).size_limit(1 << 20).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or("").trim();
                self.problem(node.at, format!("`{what}` is not a regular expression: {reason}"));
                None
            }
        }
    }

    /// A path, relative ones below the folder of the configuration file.
    pub fn path(&mut self, node: &Node, what: &str) -> Option<PathBuf> {
        self.text(node, what).map(|text| self.folder.join(&*text))
    }

    /// `{file: PATH}` or `{env: NAME}`. Plain text is refused, unless `plain_allowed` says that
    /// the thing is seldom secret (a community string).
    pub fn secret(&mut self, node: &Node, what: &str, plain_allowed: bool) -> Option<Secret> {
        if let Kind::Scalar { text, .. } = &node.kind {
            if plain_allowed && !text.contains("${") {
                return Some(Secret::new(text));
            }
            let message = if text.contains("${") {
                format!(
                    "`{what}`: `${{…}}` is not expanded; write `{{env: NAME}}` or `{{file: PATH}}`"
                )
            } else {
                format!(
                    "`{what}` is a secret: write `{{file: PATH}}` or `{{env: NAME}}`, not the text itself"
                )
            };
            self.problem(node.at, message);
            return None;
        }
        let mut fields = self.fields(node, what)?;
        let (file, env) = (fields.get("file"), fields.get("env"));
        fields.finish(self);
        match (file, env) {
            (Some(file), None) => {
                let path = self.path(file, "file")?;
                match self.sources.read(&path) {
                    Ok(text) => self.usable(file, what, text.trim_end_matches(['\r', '\n'])),
                    Err(error) => {
                        let path = path.display();
                        self.problem(file.at, format!("`{what}`: cannot read {path}: {error}"));
                        None
                    }
                }
            }
            (None, Some(env)) => {
                let name = self.text(env, "env")?;
                match self.sources.env(&name) {
                    Some(value) => self.usable(env, what, &value),
                    None => {
                        let message =
                            format!("`{what}`: the environment variable {name} is not set");
                        self.problem(env.at, message);
                        None
                    }
                }
            }
            _ => {
                let message = format!("`{what}` should be `{{file: PATH}}` or `{{env: NAME}}`");
                self.problem(node.at, message);
                None
            }
        }
    }

    fn usable(&mut self, node: &Node, what: &str, secret: &str) -> Option<Secret> {
        if secret.is_empty() || secret.contains(['\n', '\r', '\0']) {
            let message = format!("`{what}`: the secret is empty or has more than one line");
            self.problem(node.at, message);
            return None;
        }
        Some(Secret::new(secret))
    }
}

/// The entries of a mapping that is being read.
pub struct Fields<'n> {
    what: String,
    /// Where the mapping begins.
    pub at: Position,
    entries: &'n [(Key, Rc<Node>)],
    open: Vec<bool>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The value of a key; `None` when it is absent or null.
    pub fn get(&mut self, name: &'static str) -> Option<&'n Node> {
        self.known.push(name);
        let found = self.entries.iter().position(|(key, _)| key.text == name)?;
        self.open[found] = false;
        let node = &*self.entries[found].1;
        (!matches!(node.kind, Kind::Null)).then_some(node)
    }

    /// As [`Fields::get`], and its absence is a problem.
    pub fn need(&mut self, name: &'static str, reader: &mut Reader<'_>) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            // A key that is nearly the wanted one is reported by `finish`.
            reader.problem(self.at, format!("{} needs `{name}`", self.what));
        }
        found
    }

    /// Entries whose names the user chooses.
    pub fn all(&mut self) -> &'n [(Key, Rc<Node>)] {
        self.open.fill(false);
        self.entries
    }

    /// Each entry that nobody asked for is a problem.
    pub fn finish(self, reader: &mut Reader<'_>) {
        let entries = self.entries.iter().zip(&self.open);
        for ((key, _), _) in entries.filter(|(_, open)| **open) {
            let near = suggestion(&key.text, self.known.iter().copied());
            let mut message = format!("`{}` is not known in {}", shorten(&key.text), self.what);
            if near.is_empty() {
                message.push_str(&format!(", expected one of {}", self.known.join(", ")));
            }
            reader.problem(key.at, message + &near);
        }
    }
}
