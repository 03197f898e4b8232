//! PromQL: text to expression, expression over samples to an answer.
//!
//! ```text
//! parse(text) → Expr → instant / range over a ports::Select → Answer
//! ```
//! Evaluation goes series by series over all steps at once: the samples of a series are read once
//! into a reused buffer and all its steps are computed in one pass; aggregations take the series
//! as they come. An instant query is a range of one step. Nothing here knows a clock.

mod answer;
mod evaluate;
mod exact;
mod histogram;
mod memory;
pub mod script;
mod shared;
mod syntax;

pub use answer::{
    Annotation, Answer, EvalError, EvalErrorKind, Interrupt, Options, Point, SeriesPoints, Usage,
    Value, VectorSample,
};
pub use evaluate::{instant, range};
pub use memory::MemoryStore;
pub use shared::{CommonSelectors, SharedReads};
pub use syntax::{
    Aggregate, Aggregation, At, Binary, Call, Cardinality, Expr, Extension, FUNCTIONS, Function,
    Length, LengthOperation, Matching, Number, Operator, Paren, ParseError, Range, Selector, Span,
    Subquery, Text, Type, Unary, format_duration, format_float, format_float_general, function,
    line_and_column, parse, parse_number, parse_selector, push_float, push_integer,
};

/// Bytes of stack for threads that read and evaluate expressions: more than the tallest tree that
/// the parser lets through needs. Pages that are not used take no memory.
pub const STACK: usize = 16 << 20;
