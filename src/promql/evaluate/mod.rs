//! From expression and samples to an answer.

use std::time::Duration;

use super::{Answer, EvalError, Expr, Options};
use crate::model::Timestamp;
use crate::ports::Select;

/// Evaluates an expression at one instant.
///
/// # Errors
/// See [`super::EvalErrorKind`].
pub fn instant(
    expr: &Expr,
    store: &dyn Select,
    at: Timestamp,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let _ = (expr, store, at, options);
    Err(EvalError::execution("nothing can be evaluated yet"))
}

/// Evaluates an expression at `start`, `start + step` … up to `end`.
///
/// # Errors
/// See [`super::EvalErrorKind`].
pub fn range(
    expr: &Expr,
    store: &dyn Select,
    start: Timestamp,
    end: Timestamp,
    step: Duration,
    options: &Options<'_>,
) -> Result<Answer, EvalError> {
    let _ = (expr, store, start, end, step, options);
    Err(EvalError::bad_data("nothing can be evaluated yet"))
}
