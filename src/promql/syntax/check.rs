//! What the grammar cannot say: types, numbers of arguments, matching clauses.

use super::ast::{Binary, Call, Cardinality, Extension, Operator, Selector, Type};
use super::error::ParseError;
use super::lex::{has_raw_bytes, quoted};
use super::{Expr, Span};

struct Checker<'a> {
    query: &'a str,
}

type Checked = Result<(), ParseError>;

/// Checks a whole expression, leaves first.
pub(super) fn check(expr: &Expr, query: &str) -> Checked {
    Checker { query }.expr(expr)
}

impl Checker<'_> {
    fn error(&self, span: Span, message: impl Into<String>) -> Checked {
        Err(ParseError::new(message.into(), span, self.query))
    }

    fn typed(&self, expr: &Expr, wanted: Type, context: &str) -> Checked {
        let found = expr.result_type();
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.documented(), found.documented());
        self.error(expr.span(), format!("expected type {wanted} in {context}, got {found}"))
    }

    fn expr(&self, expr: &Expr) -> Checked {
        match expr {
            // The second argument of info() is no selector of its own; its matchers may be empty.
            Expr::Call(call) if call.function.name == "info" => {
                call.arguments.first().map_or(Ok(()), |argument| self.expr(argument))?;
            }
            other => {
                for child in other.children() {
                    self.expr(child)?;
                }
            }
        }
        match expr {
            Expr::Number(_) | Expr::Paren(_) => Ok(()),
            Expr::Text(_) => Ok(()),
            Expr::Selector(selector) => self.selector(selector),
            Expr::Range(range) => self.selector(&range.selector),
            Expr::Subquery(subquery) => match subquery.inner.result_type() {
                Type::Vector => Ok(()),
                other => {
                    let found = if other == Type::Matrix { "matrix" } else { other.api_name() };
                    let message =
                        format!("subquery is only allowed on instant vector, got {found} instead");
                    self.error(subquery.span, message)
                }
            },
            Expr::Call(call) => self.call(call),
            Expr::Aggregate(node) => {
                self.typed(&node.inner, Type::Vector, "aggregation expression")?;
                for label in &node.labels {
                    if has_raw_bytes(label) {
                        return self
                            .error(node.span, format!("invalid label name {}", quoted(label)));
                    }
                }
                match &node.parameter {
                    Some(parameter) if node.operator.name() == "count_values" => {
                        self.typed(parameter, Type::Text, "aggregation parameter")?;
                        match parameter.unwrapped() {
                            Expr::Text(text) if has_raw_bytes(&text.value) => self.error(
                                parameter.span(),
                                format!("invalid label name {}", quoted(&text.value)),
                            ),
                            _ => Ok(()),
                        }
                    }
                    Some(parameter) => self.typed(parameter, Type::Scalar, "aggregation parameter"),
                    None => Ok(()),
                }
            }
            Expr::Binary(node) => self.binary(node),
            Expr::Unary(node) => match node.inner.result_type() {
                Type::Scalar | Type::Vector => Ok(()),
                other => {
                    let found = other.documented();
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant vector, got {found:?}"
                    );
                    self.error(node.span, message)
                }
            },
        }
    }

    fn selector(&self, selector: &Selector) -> Checked {
        if selector.matchers.iter().all(|matcher| matcher.accepts("")) {
            let message = "vector selector must contain at least one non-empty matcher";
            return self.error(selector.span, message);
        }
        Ok(())
    }

    fn call(&self, call: &Call) -> Checked {
        let function = call.function;
        let (given, most) = (call.arguments.len(), function.arguments.len());
        let least = most - function.optional;
        let name = function.name;
        let count = match (function.optional, function.repeat) {
            (0, Some(0)) if given != most => {
                Some(format!("expected {most} argument(s) in call to {name:?}, got {given}"))
            }
            _ if given < least => Some(format!(
                "expected at least {least} argument(s) in call to {name:?}, got {given}"
            )),
            (_, Some(repeat)) if given > most + repeat => {
                let most = most + repeat;
                Some(format!(
                    "expected at most {most} argument(s) in call to {name:?}, got {given}"
                ))
            }
            _ => None,
        };
        if let Some(message) = count {
            return self.error(call.span, message);
        }
        for (at, argument) in call.arguments.iter().enumerate() {
            let wanted = function.arguments[at.min(most - 1)];
            self.typed(argument, wanted, &format!("call to function {name:?}"))?;
        }
        if name == "info"
            && let Some(second) = call.arguments.get(1)
        {
            let Expr::Selector(selector) = second else {
                return self.error(
                    second.span(),
                    "expected label selectors as the second argument to \"info\" function",
                );
            };
            if selector.name.is_some() {
                return self.error(
                    second.span(),
                    "expected label selectors only, got vector selector instead",
                );
            }
        }
        self.extension(call)
    }

    fn extension(&self, call: &Call) -> Checked {
        let name = call.function.name;
        for argument in &call.arguments {
            let Expr::Range(range) = argument.unwrapped() else { continue };
            let (word, allowed): (_, &[&str]) = match range.selector.extension {
                Extension::None => continue,
                Extension::Anchored => {
                    ("anchored", &["changes", "delta", "increase", "rate", "resets"])
                }
                Extension::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
            };
            if !allowed.contains(&name) {
                let list = allowed.join(", ");
                let message =
                    format!("{word} modifier can only be used with: {list} - not with {name}");
                return self.error(argument.span(), message);
            }
        }
        Ok(())
    }

    fn binary(&self, node: &Binary) -> Checked {
        let (left, right) = (node.left.result_type(), node.right.result_type());
        let symbol = node.operator.symbol();
        if node.bool_modifier && !node.operator.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            return self.error(node.operator_span, message);
        }
        let both_scalar = left == Type::Scalar && right == Type::Scalar;
        if node.operator.is_comparison() && !node.bool_modifier && both_scalar {
            let message = "comparisons between scalars must use BOOL modifier";
            return self.error(node.operator_span, message);
        }
        if node.operator.is_set() && node.matching.cardinality != Cardinality::ManyToMany {
            return self.error(node.span, format!("no grouping allowed for {symbol:?} operation"));
        }
        if node.matching.on {
            for label in &node.matching.labels {
                if node.matching.include.contains(label) {
                    let message =
                        format!("label {label:?} must not occur in ON and GROUP clause at once");
                    return self.error(node.operator_span, message);
                }
            }
        }
        for side in [&node.left, &node.right] {
            if !matches!(side.result_type(), Type::Scalar | Type::Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                return self.error(side.span(), message);
            }
        }
        let both_vectors = left == Type::Vector && right == Type::Vector;
        let filled = node.matching.fill_left.is_some() || node.matching.fill_right.is_some();
        if !both_vectors && filled {
            return self.error(
                node.operator_span,
                "filling in missing series only allowed between instant vectors",
            );
        }
        if !both_vectors && node.matching.written && !node.matching.labels.is_empty() {
            return self
                .error(node.operator_span, "vector matching only allowed between instant vectors");
        }
        if node.operator.is_set() && !both_vectors {
            let message =
                format!("set operator {symbol:?} not allowed in binary scalar expression");
            return self.error(node.left.span(), message);
        }
        if matches!(node.operator, Operator::TrimLower | Operator::TrimUpper) && both_scalar {
            return self.error(
                node.operator_span,
                format!("operator {symbol:?} not allowed between scalars"),
            );
        }
        Ok(())
    }
}
