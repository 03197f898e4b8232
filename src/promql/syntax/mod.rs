//! PromQL as text: lexer, parser, checks, printer.

mod ast;
mod check;
mod error;
mod functions;
mod lex;
mod modifiers;
mod number;
mod parse;
mod pretty;
mod print;
mod selector;
#[cfg(test)]
mod tests;

pub use ast::{
    Aggregate, Aggregation, At, Binary, Call, Cardinality, Expr, Extension, Length,
    LengthOperation, Matching, Number, Operator, Paren, Range, Selector, Subquery, Text, Type,
    Unary,
};
pub use error::{ParseError, Span, line_and_column};
pub use functions::{FUNCTIONS, Function, function};
pub(crate) use lex::{has_raw_bytes, quoted, unquote};
pub(crate) use number::duration_seconds;
pub use number::{
    format_duration, format_float, format_float_general, parse_number, push_float, push_integer,
};

/// Parses and checks a PromQL expression of at most 1 MiB.
///
/// # Errors
/// What is wrong with it, in Prometheus' words, and where.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse::expression(query)
}

/// Parses an instant selector without modifiers, as in the API's `match[]`.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse_selector(query: &str) -> Result<Selector, ParseError> {
    parse::selector(query)
}
