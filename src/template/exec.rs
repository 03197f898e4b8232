//! Runs a template over a value.

use std::sync::Arc;

use super::html::Context;
use super::methods;
use super::tree::{Branch, Command, Expr, Kind, Name, Node, Number, Pipe};
use super::value::{Bounded, Safe, Value};
use super::{Functions, Library, Limits, Mode, Source, TemplateError, line_of};

/// What happens after a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

pub(super) type Ran<T> = Result<T, TemplateError>;

/// Runs the body called `name` with `dot`.
///
/// # Errors
/// As Go words them.
pub(super) fn execute(
    library: &Library,
    name: &str,
    dot: &Value,
    functions: &dyn Functions,
    limits: Limits,
    mode: Mode,
) -> Ran<String> {
    let Some((source, body)) = library.bodies.get(name) else {
        let message = format!("template: no template {name:?} associated with template {name:?}");
        return Err(TemplateError { message, line: 1, offset: 0 });
    };
    let mut run = Run {
        library,
        functions,
        limits,
        steps: 0,
        depth: 0,
        out: Bounded::new(limits.output),
        variables: vec![("$".into(), dot.clone())],
        template: name.into(),
        source: source.clone(),
        html: (mode == Mode::Html).then(Context::new),
    };
    run.list(dot, body)?;
    if run.html.as_ref().is_some_and(|html| !html.is_complete()) {
        let message = "html/template: ends in a non-text context".to_owned();
        return Err(TemplateError { message, line: 1, offset: 0 });
    }
    Ok(run.out.text)
}

/// A template that is being run.
pub(super) struct Run<'a> {
    library: &'a Library,
    pub(super) functions: &'a dyn Functions,
    pub(super) limits: Limits,
    steps: usize,
    depth: usize,
    out: Bounded,
    variables: Vec<(Name, Value)>,
    template: Name,
    source: Arc<Source>,
    pub(super) html: Option<Context>,
}

impl Run<'_> {
    pub(super) fn fail<T>(&self, at: usize, context: &str, message: &str) -> Ran<T> {
        let text = &self.source.text;
        let line = line_of(text, at);
        let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let message = format!(
            "template: {}:{line}:{column}: executing {} at <{context}>: {message}",
            self.source.name,
            super::text::quote(&self.template),
        );
        Err(TemplateError { message, line, offset: at })
    }

    pub(super) fn fail_at<T>(&self, expr: &Expr, message: &str) -> Ran<T> {
        self.fail(expr.at, &expr.to_string(), message)
    }

    pub(super) fn step(&mut self, at: usize) -> Ran<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return self.fail(at, "", "the template takes too many steps");
        }
        Ok(())
    }

    fn deeper<T>(&mut self, at: usize, inner: impl FnOnce(&mut Self) -> Ran<T>) -> Ran<T> {
        if self.depth >= self.limits.depth {
            return self.fail(at, "", "exceeded maximum template depth");
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self, dot: &Value, nodes: &[Node]) -> Ran<Flow> {
        for node in nodes {
            let flow = self.node(dot, node)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Ran<Flow> {
        match node {
            Node::Text(text) => {
                self.step(0)?;
                match self.html.as_mut().map(|html| html.literal(text)) {
                    Some(text) => self.write(0, &text)?,
                    None => self.write(0, text)?,
                }
            }
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    let value = if self.html.is_some() { escaped(pipe, value) } else { value };
                    self.print(pipe.at, &value)?;
                }
            }
            Node::If(branch) => return self.choose(dot, branch, false),
            Node::With(branch) => return self.choose(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Call { at, name, pipe } => self.call_template(dot, *at, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn write(&mut self, at: usize, text: &str) -> Ran<()> {
        use std::fmt::Write as _;
        let written = self.out.write_str(text);
        self.written(at, written)
    }

    fn print(&mut self, at: usize, value: &Value) -> Ran<()> {
        if let Some(html) = &mut self.html {
            let Ok(text) = html.value(value, self.limits.output) else {
                return self.written(at, Err(std::fmt::Error));
            };
            return self.write(at, &text);
        }
        if let Value::Nothing = value {
            return self.write(at, "<no value>");
        }
        let written = value.print(&mut self.out);
        self.written(at, written)
    }

    fn written(&self, at: usize, written: std::fmt::Result) -> Ran<()> {
        let limit = self.limits.output;
        match written {
            Ok(()) => Ok(()),
            Err(_) => self.fail(at, "", &format!("the text gets longer than {limit} bytes")),
        }
    }

    fn choose(&mut self, dot: &Value, branch: &Branch, rebind: bool) -> Ran<Flow> {
        let outer = self.variables.len();
        let flow = self.deeper(branch.pipe.at, |run| {
            let value = run.pipe(dot, &branch.pipe)?;
            if value.is_true() {
                run.list(if rebind { &value } else { dot }, &branch.body)
            } else {
                run.list(dot, &branch.otherwise)
            }
        });
        self.variables.truncate(outer);
        flow
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Ran<Flow> {
        let outer = self.variables.len();
        let flow = self.deeper(branch.pipe.at, |run| run.range_over(dot, branch));
        self.variables.truncate(outer);
        flow
    }

    fn range_over(&mut self, dot: &Value, branch: &Branch) -> Ran<Flow> {
        let value = self.pipe(dot, &branch.pipe)?;
        let inner = self.variables.len();
        let mut any = false;
        let mut each = |run: &mut Self, index: Value, item: Value| -> Ran<Flow> {
            any = true;
            run.step(branch.pipe.at)?;
            run.bind(&branch.pipe, inner, index, &item);
            let flow = run.list(&item, &branch.body);
            run.variables.truncate(inner);
            flow
        };
        match &value {
            Value::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    let index = Value::Int(i64::try_from(index).unwrap_or(i64::MAX));
                    if each(self, index, item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (key, item) in &map.entries {
                    if each(self, Value::Text(key.clone()), item.clone())? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Int(count) => {
                for index in 0..*count {
                    if each(self, Value::Int(index), Value::Int(index))? == Flow::Break {
                        break;
                    }
                }
            }
            Value::Nothing => {}
            other => {
                let message = format!("range can't iterate over {}", other.shown());
                return self.fail(branch.pipe.at, &branch.pipe.to_string(), &message);
            }
        }
        if any {
            return Ok(Flow::Next);
        }
        self.list(dot, &branch.otherwise)
    }

    /// Gives the variables of `range $i, $x :=` their values for one round.
    fn bind(&mut self, pipe: &Pipe, inner: usize, index: Value, item: &Value) {
        let count = pipe.variables.len();
        if pipe.assigns {
            match pipe.variables.as_slice() {
                [one] => self.assign(one, item.clone()),
                [first, second] => {
                    self.assign(first, index);
                    self.assign(second, item.clone());
                }
                _ => {}
            }
            return;
        }
        // The pipeline has declared them just below `inner`.
        if count > 0 && inner >= count {
            self.variables[inner - 1].1 = item.clone();
            if count > 1 {
                self.variables[inner - 2].1 = index;
            }
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(found) = self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            found.1 = value;
        }
    }

    fn call_template(
        &mut self,
        dot: &Value,
        at: usize,
        name: &Name,
        pipe: Option<&Pipe>,
    ) -> Ran<()> {
        let value = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nothing,
        };
        let library = self.library;
        let Some((source, body)) = library.bodies.get(name) else {
            let name = super::text::quote(name);
            let shown = pipe.map_or_else(String::new, |pipe| format!(" {pipe}"));
            let context = format!("{{{{template {name}{shown}}}}}");
            return self.fail(at, &context, &format!("template {name} not defined"));
        };
        let variables = vec![("$".into(), value.clone())];
        let outer_variables = std::mem::replace(&mut self.variables, variables);
        let outer_source = std::mem::replace(&mut self.source, source.clone());
        let outer_template = std::mem::replace(&mut self.template, name.clone());
        let result = self.deeper(0, |run| run.list(&value, body));
        self.variables = outer_variables;
        self.source = outer_source;
        self.template = outer_template;
        result.map(|_| ())
    }

    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Ran<Value> {
        self.step(pipe.at)?;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nothing);
        if pipe.assigns {
            // In `range $i, $x =` the rounds assign.
            if let [one] = pipe.variables.as_slice() {
                self.assign(one, value.clone());
            }
        } else {
            for name in &pipe.variables {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &Command, last: Option<Value>) -> Ran<Value> {
        let Some((first, arguments)) = command.words.split_first() else {
            return Ok(Value::Nothing);
        };
        match &first.kind {
            Kind::Field(names) => {
                self.fields(dot, dot.clone(), names, first, Some((command, last)))
            }
            Kind::Chain(inner, names) => {
                let base = self.word(dot, inner)?;
                self.fields(dot, base, names, first, Some((command, last)))
            }
            Kind::Variable(names) => {
                let base = self.variable(first, &names[0])?;
                if names.len() == 1 {
                    self.no_function(first, arguments, last.is_some())?;
                    return Ok(base);
                }
                self.fields(dot, base, &names[1..], first, Some((command, last)))
            }
            Kind::Function(name) => self.function(dot, name, command, last),
            Kind::Nil => self.fail_at(first, "nil is not a command"),
            _ => {
                self.no_function(first, arguments, last.is_some())?;
                self.word(dot, first)
            }
        }
    }

    fn no_function(&self, first: &Expr, arguments: &[Expr], piped: bool) -> Ran<()> {
        if arguments.is_empty() && !piped {
            return Ok(());
        }
        self.fail_at(first, &format!("can't give argument to non-function {first}"))
    }

    fn variable(&self, at: &Expr, name: &str) -> Ran<Value> {
        match self.variables.iter().rev().find(|(known, _)| **known == *name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail_at(at, &format!("undefined variable: {name}")),
        }
    }

    /// A word on its own.
    pub(super) fn word(&mut self, dot: &Value, word: &Expr) -> Ran<Value> {
        match &word.kind {
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => Ok(Value::Nothing),
            Kind::Bool(value) => Ok(Value::Bool(*value)),
            Kind::Number(number, _) => Ok(constant(*number)),
            Kind::Text(text, _) => Ok(Value::Text(text.clone())),
            Kind::Field(names) => self.fields(dot, dot.clone(), names, word, None),
            Kind::Variable(names) => {
                let base = self.variable(word, &names[0])?;
                self.fields(dot, base, &names[1..], word, None)
            }
            Kind::Function(name) => {
                let command = Command { words: vec![word.clone()] };
                self.function(dot, name, &command, None)
            }
            Kind::Pipe(pipe) => self.deeper(word.at, |run| run.pipe(dot, pipe)),
            Kind::Chain(inner, names) => {
                let base = self.deeper(word.at, |run| run.word(dot, inner))?;
                self.fields(dot, base, names, word, None)
            }
        }
    }

    /// `.a.b`; only the last one may take arguments.
    fn fields(
        &mut self,
        dot: &Value,
        base: Value,
        names: &[Name],
        word: &Expr,
        call: Option<(&Command, Option<Value>)>,
    ) -> Ran<Value> {
        let mut value = base;
        let Some((last, before)) = names.split_last() else {
            return Ok(value);
        };
        for name in before {
            value = self.field(dot, &value, name, word, None)?;
        }
        self.field(dot, &value, last, word, call)
    }

    fn field(
        &mut self,
        dot: &Value,
        base: &Value,
        name: &str,
        word: &Expr,
        call: Option<(&Command, Option<Value>)>,
    ) -> Ran<Value> {
        self.step(word.at)?;
        if let Some(signature) = methods::signature(base, name) {
            let alone = Command { words: vec![word.clone()] };
            let (command, last) = call.unwrap_or((&alone, None));
            let arguments = self.arguments(dot, name, command, signature, last)?;
            let result = methods::call(base, name, &arguments, self.limits.output);
            return self.result(name, command, result);
        }
        let with_arguments = call.is_some_and(|(c, last)| c.words.len() > 1 || last.is_some());
        match base {
            Value::Nothing => Ok(Value::Nothing),
            Value::Map(map) if with_arguments => {
                let _ = map;
                self.fail_at(word, &format!("{name} is not a method but has arguments"))
            }
            Value::Map(map) => Ok(map.get(name)),
            Value::Record(record) if record.fields.iter().any(|(field, _)| *field == name) => {
                if with_arguments {
                    let message = format!("{name} has arguments but cannot be invoked as function");
                    return self.fail_at(word, &message);
                }
                Ok(record.field(name))
            }
            other => {
                let type_name = other.type_name();
                self.fail_at(word, &format!("can't evaluate field {name} in type {type_name}"))
            }
        }
    }
}

/// What an untyped constant becomes where any type will do.
fn constant(number: Number) -> Value {
    match number.int {
        Some(int) if !number.is_float => Value::Int(int),
        _ => Value::Float(number.float),
    }
}

/// What `html` or `urlquery` has escaped at the end of an action is not escaped again; elsewhere they
/// give texts like others.
fn escaped(pipe: &Pipe, value: Value) -> Value {
    let last = pipe.commands.last().and_then(|command| command.words.first());
    let name = match last.map(|word| &word.kind) {
        Some(Kind::Function(name)) => &**name,
        _ => "",
    };
    match (name, value) {
        ("html", Value::Text(text)) => Value::Safe(Safe::Html, text),
        ("urlquery", Value::Text(text)) => Value::Safe(Safe::Url, text),
        (_, value) => value,
    }
}
