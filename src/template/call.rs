//! Calls of functions: their arguments, and what may be given for which parameter.

use super::builtins;
use super::exec::{Ran, Run};
use super::tree::{Command, Expr, Kind};
use super::value::Value;
use super::{Param, Signature};

impl Run<'_> {
    pub(super) fn function(
        &mut self,
        dot: &Value,
        name: &str,
        command: &Command,
        last: Option<Value>,
    ) -> Ran<Value> {
        self.step(command.at())?;
        if name == "and" || name == "or" {
            return self.and_or(dot, name, command, last);
        }
        let own = builtins::signature(name);
        let Some(signature) = self.functions.signature(name).or(own) else {
            let message = format!("{} is not a defined function", super::text::quote(name));
            return self.fail(command.at(), name, &message);
        };
        let arguments = self.arguments(dot, name, command, signature, last)?;
        let limit = self.limits.output;
        let result = if self.functions.signature(name).is_some() {
            self.functions.call(name, &arguments, limit)
        } else {
            builtins::call(name, &arguments, limit)
        };
        self.result(name, command, result)
    }

    pub(super) fn result(
        &self,
        name: &str,
        command: &Command,
        result: Result<Value, String>,
    ) -> Ran<Value> {
        result.or_else(|why| {
            let message = format!("error calling {name}: {why}");
            self.fail(command.at(), &command.to_string(), &message)
        })
    }

    /// They stop at the first argument that decides.
    fn and_or(
        &mut self,
        dot: &Value,
        name: &str,
        command: &Command,
        last: Option<Value>,
    ) -> Ran<Value> {
        let decides = name == "or";
        let mut value = None;
        for word in &command.words[1..] {
            let this = self.argument(dot, word, Param::Any)?;
            if this.is_true() == decides {
                return Ok(this);
            }
            value = Some(this);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => {
                let message = format!("wrong number of args for {name}: want at least 1 got 0");
                self.fail(command.at(), name, &message)
            }
        }
    }

    pub(super) fn arguments(
        &mut self,
        dot: &Value,
        name: &str,
        command: &Command,
        signature: Signature,
        last: Option<Value>,
    ) -> Ran<Vec<Value>> {
        let words = &command.words[1..];
        let (given, wanted) = (words.len() + usize::from(last.is_some()), signature.params.len());
        let wrong = if signature.rest.is_some() { given < wanted } else { given != wanted };
        if wrong {
            let least = if signature.rest.is_some() { "at least " } else { "" };
            let message =
                format!("wrong number of args for {name}: want {least}{wanted} got {given}");
            return self.fail(command.at(), &command.words[0].to_string(), &message);
        }
        let param = |index: usize| {
            signature.params.get(index).copied().or(signature.rest).unwrap_or(Param::Any)
        };
        let mut values = Vec::with_capacity(given);
        for (index, word) in words.iter().enumerate() {
            values.push(self.argument(dot, word, param(index))?);
        }
        if let Some(last) = last {
            if let Err(message) = check(&last, param(words.len())) {
                return self.fail(command.at(), &command.to_string(), &message);
            }
            values.push(last);
        }
        Ok(values)
    }

    fn argument(&mut self, dot: &Value, word: &Expr, param: Param) -> Ran<Value> {
        match (&word.kind, param) {
            (Kind::Nil, Param::Text | Param::Time) => {
                self.fail_at(word, &format!("cannot assign nil to {}", param.type_name()))
            }
            (Kind::Nil, _) => Ok(Value::Nothing),
            (Kind::Text(text, _), Param::Text) => Ok(Value::Text(text.clone())),
            (Kind::Bool(_) | Kind::Number(..) | Kind::Text(..), Param::Any) => self.word(dot, word),
            (Kind::Bool(_) | Kind::Number(..) | Kind::Text(..), _) => {
                let message = match param {
                    Param::Text => format!("expected string; found {word}"),
                    _ => format!("can't handle {word} for arg of type {}", param.type_name()),
                };
                self.fail_at(word, &message)
            }
            _ => {
                let value = self.word(dot, word)?;
                match check(&value, param) {
                    Ok(()) => Ok(value),
                    Err(message) => self.fail_at(word, &message),
                }
            }
        }
    }
}

impl Param {
    fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Time => "time.Time",
            Param::Texts => "[]string",
            Param::List => "[]interface {}",
            Param::Vector => "template.queryResult",
            Param::Sample => "*template.sample",
        }
    }
}

/// Whether a value may be given for a parameter.
fn check(value: &Value, param: Param) -> Result<(), String> {
    use super::value::ListKind;
    let fits = match (param, value) {
        (Param::Any, _) | (Param::Text, Value::Text(_)) | (Param::Time, Value::Time(_)) => true,
        (Param::Texts, Value::List(list)) => list.kind == ListKind::Texts,
        (Param::List, Value::List(list)) => list.kind == ListKind::Any,
        (Param::Vector, Value::List(list)) => list.kind == ListKind::Vector,
        (Param::Sample, Value::Record(record)) => record.type_name == param.type_name(),
        _ => false,
    };
    let wanted = param.type_name();
    match value {
        _ if fits => Ok(()),
        Value::Nothing => Err(format!("invalid value; expected {wanted}")),
        other => Err(format!("wrong type for value; expected {wanted}; got {}", other.type_name())),
    }
}
