//! What a template means once it is read, with the source positions that error messages need.

use std::fmt;
use std::sync::Arc;

/// One name in a chain such as `.Labels.instance`.
pub(super) type Name = Arc<str>;

/// A piece of a template's body.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Text that is written as it is.
    Text(Arc<str>),
    /// `{{ pipeline }}`; prints unless it declares.
    Action(Pipe),
    /// `{{ if }}`.
    If(Branch),
    /// `{{ range }}`.
    Range(Branch),
    /// `{{ with }}`.
    With(Branch),
    /// `{{ template "name" pipeline }}`.
    Call {
        /// Byte offset.
        at: usize,
        /// Which template.
        name: Name,
        /// What becomes its dot.
        pipe: Option<Pipe>,
    },
    /// `{{ break }}`.
    Break,
    /// `{{ continue }}`.
    Continue,
}

/// `if`, `range` and `with` have the same shape.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    /// The condition, or what is ranged over.
    pub(super) pipe: Pipe,
    /// If there is something.
    pub(super) body: Vec<Node>,
    /// If there is nothing.
    pub(super) otherwise: Vec<Node>,
}

/// Commands joined by `|`.
#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Byte offset.
    pub(super) at: usize,
    /// `=` instead of `:=`.
    pub(super) assigns: bool,
    /// Variables that take the value, with `$`.
    pub(super) variables: Vec<Name>,
    /// At least one.
    pub(super) commands: Vec<Command>,
}

/// A word and its arguments.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// At least one.
    pub(super) words: Vec<Expr>,
}

impl Command {
    /// Byte offset of its first word.
    pub(super) fn at(&self) -> usize {
        self.words.first().map_or(0, |word| word.at)
    }
}

/// A word with its byte offset.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    /// Byte offset.
    pub(super) at: usize,
    /// What it is.
    pub(super) kind: Kind,
}

/// What a word is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// A constant, with the text it was written as.
    Number(Number, Name),
    /// A string, with the text it was written as.
    Text(Arc<str>, Name),
    /// `.a.b`
    Field(Vec<Name>),
    /// `$x.a.b`; the first name has its `$`.
    Variable(Vec<Name>),
    /// A function.
    Function(Name),
    /// `( … )`
    Pipe(Box<Pipe>),
    /// `( … ).a.b`
    Chain(Box<Expr>, Vec<Name>),
}

/// An untyped constant: what it can stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    /// As an integer, when it is one.
    pub(super) int: Option<i64>,
    /// As a float.
    pub(super) float: f64,
    /// Written as a float, and one where any type will do.
    pub(super) is_float: bool,
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            joined(f, &self.variables, ", ")?;
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        joined(f, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.words, " ")
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Dot => f.write_str("."),
            Kind::Nil => f.write_str("nil"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Number(_, written) | Kind::Text(_, written) => f.write_str(written),
            Kind::Field(names) => {
                f.write_str(".")?;
                joined(f, names, ".")
            }
            Kind::Variable(names) => joined(f, names, "."),
            Kind::Function(name) => f.write_str(name),
            Kind::Pipe(pipe) => write!(f, "({pipe})"),
            Kind::Chain(inner, names) => {
                write!(f, "{inner}.")?;
                joined(f, names, ".")
            }
        }
    }
}
