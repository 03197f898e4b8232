use axum::extract::State;
use serde_json::{Value, json};
use std::sync::Arc;

use super::super::router::Shared;
use super::compute::compute;
use super::form::Form;
use super::reply::{Failure, Reply, Success};
use crate::model::{Matcher, Test, Timestamp};
use crate::promql::{self, At, Binary, Cardinality, Expr, Length, Selector, Type, format_float};

/// `/format_query`: the expression as Prometheus would write it.
pub(super) async fn format(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    read(shared, form, |expr| Value::from(expr.pretty())).await
}

/// `/parse_query`: the expression as a tree.
pub(super) async fn parsed(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    read(shared, form, tree).await
}

async fn read(shared: Arc<Shared>, form: Form, show: fn(&Expr) -> Value) -> Reply {
    let timeout = shared.settings.queries.timeout;
    // A query may be as long as a megabyte.
    compute(&shared, timeout, move |_, _| {
        let expr = promql::parse(form.get("query")).map_err(|e| Failure::parameter("query", e))?;
        Ok(Success::from(show(&expr)))
    })
    .await
}

/// A node and what is below it. The parser bounds the depth.
fn tree(expr: &Expr) -> Value {
    match expr {
        Expr::Number(node) => json!({ "type": "numberLiteral", "val": format_float(node.value) }),
        Expr::Text(node) => json!({ "type": "stringLiteral", "val": node.value }),
        Expr::Paren(node) => json!({ "type": "parenExpr", "expr": tree(&node.inner) }),
        Expr::Unary(node) => {
            let sign = if node.minus { "-" } else { "+" };
            json!({ "type": "unaryExpr", "op": sign, "expr": tree(&node.inner) })
        }
        Expr::Selector(node) => selector("vectorSelector", node),
        Expr::Range(node) => {
            let mut value = selector("matrixSelector", &node.selector);
            value["range"] = millis(Some(&node.length)).into();
            value
        }
        Expr::Subquery(node) => {
            let mut value = json!({
                "type": "subquery",
                "expr": tree(&node.inner),
                "range": millis(Some(&node.length)),
                "step": millis(node.step.as_ref()),
                "offset": millis(node.offset.as_ref()),
            });
            pin(&mut value, node.at);
            value
        }
        Expr::Call(node) => {
            let types: Vec<&str> = node.function.arguments.iter().map(|t| t.api_name()).collect();
            let variadic = match node.function.repeat {
                None => -1,
                Some(_) => i64::try_from(node.function.optional).unwrap_or(i64::MAX),
            };
            json!({
                "type": "call",
                "func": {
                    "name": node.function.name,
                    "argTypes": types,
                    "variadic": variadic,
                    "returnType": node.function.result.api_name(),
                },
                "args": node.arguments.iter().map(tree).collect::<Vec<_>>(),
            })
        }
        Expr::Aggregate(node) => json!({
            "type": "aggregation",
            "op": node.operator.name(),
            "expr": tree(&node.inner),
            "param": node.parameter.as_ref().map(tree),
            "grouping": node.labels,
            "without": node.without,
        }),
        Expr::Binary(node) => binary(node),
    }
}

fn binary(node: &Binary) -> Value {
    let vectors = [&node.left, &node.right].iter().all(|e| e.result_type() == Type::Vector);
    let matching = vectors.then(|| {
        json!({
            "card": match node.matching.cardinality {
                Cardinality::OneToOne => "one-to-one",
                Cardinality::ManyToOne => "many-to-one",
                Cardinality::OneToMany => "one-to-many",
                Cardinality::ManyToMany => "many-to-many",
            },
            "labels": node.matching.labels,
            "on": node.matching.on,
            "include": node.matching.include,
        })
    });
    json!({
        "type": "binaryExpr",
        "op": node.operator.symbol(),
        "lhs": tree(&node.left),
        "rhs": tree(&node.right),
        "matching": matching,
        "bool": node.bool_modifier,
    })
}

fn selector(kind: &str, node: &Selector) -> Value {
    let mut value = json!({
        "type": kind,
        "name": node.name.as_deref().unwrap_or(""),
        "offset": millis(node.offset.as_ref()),
        "matchers": node.matchers.iter().map(matcher).collect::<Vec<_>>(),
    });
    pin(&mut value, node.at);
    value
}

fn matcher(matcher: &Matcher) -> Value {
    let (operator, value) = match matcher.test() {
        Test::Equal(value) => ("=", &**value),
        Test::NotEqual(value) => ("!=", &**value),
        Test::Match(pattern) => ("=~", pattern.as_str()),
        Test::NotMatch(pattern) => ("!~", pattern.as_str()),
    };
    json!({ "name": matcher.name(), "value": value, "type": operator })
}

/// The `@` modifier.
fn pin(value: &mut Value, at: Option<At>) {
    let time = match at {
        Some(At::Time(at)) => Some(Timestamp::millis(at)),
        _ => None,
    };
    let word = match at {
        Some(At::Start) => Some("start"),
        Some(At::End) => Some("end"),
        _ => None,
    };
    value["timestamp"] = time.into();
    value["startOrEnd"] = word.into();
}

/// A length that is known before the query runs, in milliseconds; 0 for one that is not.
fn millis(length: Option<&Length>) -> i64 {
    match length {
        #[allow(clippy::cast_possible_truncation)]
        Some(Length::Seconds(seconds)) => (seconds * 1000.0) as i64,
        Some(Length::Negated(inner)) => -millis(Some(inner)),
        Some(Length::Paren(inner)) => millis(Some(inner)),
        Some(Length::Step | Length::Range | Length::Operation(..)) | None => 0,
    }
}
