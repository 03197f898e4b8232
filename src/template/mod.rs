//! Go templates with Prometheus' and Alertmanager's functions. Pure.
//!
//! Reader, values and evaluation follow Go's `text/template`: the same texts come out, and the same
//! error messages with the same positions, because Prometheus puts these into annotations. What a
//! template may cost is bounded ([`Limits`]): its author may be careless, and labels are foreign.
//!
//! - [`prometheus`]: annotations and labels of alerting rules.
//! - [`alertmanager`]: texts of notifications in an `alertmanager.yml`.

pub mod alertmanager;
mod builtins;
mod call;
mod escape;
mod exec;
mod html;
mod humanize;
mod json;
mod lex;
mod methods;
mod parse;
mod printf;
pub mod prometheus;
mod text;
mod time;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use tree::{Name, Node};
use value::Value;

/// Why a template cannot be read or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// As Go words it, with name and position.
    pub message: String,
    /// 1-based line in the template.
    pub line: usize,
    /// Byte offset in the template.
    pub offset: usize,
}

impl TemplateError {
    fn syntax(name: &str, source: &str, at: usize, message: impl Into<String>) -> Self {
        let line = line_of(source, at);
        let message = format!("template: {name}:{line}: {}", message.into());
        Self { message, line, offset: at }
    }
}

fn line_of(source: &str, at: usize) -> usize {
    1 + source.as_bytes()[..at.min(source.len())].iter().filter(|b| **b == b'\n').count()
}

/// What one execution may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Steps: nodes, pipelines, iterations.
    pub steps: usize,
    /// Nested blocks, pipelines and template calls.
    pub depth: usize,
    /// Bytes of output, and of each single text on the way.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 200_000, depth: 120, output: 1 << 20 }
    }
}

/// What a template makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Text,
    /// Values are escaped by where they land.
    Html,
}

/// What a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Param {
    Any,
    Text,
    Time,
    /// `[]string`
    Texts,
    /// `[]interface {}`
    List,
    /// Result of `query`.
    Vector,
    /// One sample of it.
    Sample,
}

/// The shape of a function.
#[derive(Clone, Copy, Debug)]
struct Signature {
    params: &'static [Param],
    rest: Option<Param>,
}

impl Signature {
    const fn new(params: &'static [Param]) -> Self {
        Self { params, rest: None }
    }

    const fn variadic(params: &'static [Param], rest: Param) -> Self {
        Self { params, rest: Some(rest) }
    }
}

/// Functions beyond Go's own.
trait Functions {
    /// `None` when there is no such function.
    fn signature(&self, name: &str) -> Option<Signature>;
    /// Arguments fit the signature. No text of the result may be longer than `limit` bytes.
    ///
    /// # Errors
    /// What the function complains about.
    fn call(&self, name: &str, args: &[Value], limit: usize) -> Result<Value, String>;
}

/// Where a body was read from.
#[derive(Debug)]
struct Source {
    name: Name,
    text: Arc<str>,
}

/// Bodies by name, each with its source.
#[derive(Clone, Debug, Default)]
struct Library {
    bodies: BTreeMap<Name, (Arc<Source>, Arc<[Node]>)>,
}

impl Library {
    /// Reads a source; its own body goes under `name`.
    fn add(
        &mut self,
        name: &str,
        text: &str,
        functions: &dyn Functions,
    ) -> Result<(), TemplateError> {
        let knows =
            |word: &str| builtins::signature(word).is_some() || functions.signature(word).is_some();
        let (body, mut defined) = parse::parse(name, text, &knows)?;
        parse::define(&mut defined, name.into(), body);
        let source = Arc::new(Source { name: name.into(), text: text.into() });
        for (name, body) in defined {
            let blank =
                body.iter().all(|n| matches!(n, Node::Text(text) if text.trim().is_empty()));
            if !blank || !self.bodies.contains_key(&name) {
                self.bodies.insert(name, (source.clone(), body.into()));
            }
        }
        Ok(())
    }
}
