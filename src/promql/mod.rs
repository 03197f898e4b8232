//! The PromQL engine: lex, parse, plan, evaluate over a [`crate::ports::Select`]. Pure.
