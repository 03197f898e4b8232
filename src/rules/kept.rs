//! Which labels the result of an expression can have.

use std::collections::BTreeSet;

use crate::model::{METRIC_NAME, Test};
use crate::promql::{Aggregate, Aggregation, Binary, Call, Cardinality, Expr, Selector, Type};

/// The labels that a result can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Any but these.
    AllBut(BTreeSet<String>),
    /// None but these.
    Only(BTreeSet<String>),
}

impl Kept {
    fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    pub(super) fn has(&self, label: &str) -> bool {
        match self {
            Self::AllBut(gone) => !gone.contains(label),
            Self::Only(left) => left.contains(label),
        }
    }

    fn only(self, labels: &[String]) -> Self {
        Self::Only(labels.iter().filter(|label| self.has(label)).cloned().collect())
    }

    fn without(self, labels: &[String]) -> Self {
        match self {
            Self::AllBut(mut gone) => {
                gone.extend(labels.iter().cloned());
                Self::AllBut(gone)
            }
            Self::Only(mut left) => {
                left.retain(|label| !labels.contains(label));
                Self::Only(left)
            }
        }
    }

    fn with(self, label: &str) -> Self {
        match self {
            Self::AllBut(mut gone) => {
                gone.remove(label);
                Self::AllBut(gone)
            }
            Self::Only(mut left) => {
                left.insert(label.to_owned());
                Self::Only(left)
            }
        }
    }

    fn either(self, other: Self) -> Self {
        match (self, other) {
            (Self::Only(mut a), Self::Only(b)) => {
                a.extend(b);
                Self::Only(a)
            }
            (Self::AllBut(a), Self::AllBut(b)) => Self::AllBut(&a & &b),
            (Self::AllBut(a), Self::Only(b)) | (Self::Only(b), Self::AllBut(a)) => {
                Self::AllBut(&a - &b)
            }
        }
    }
}

/// The labels that the result of `expr` can have; the metric name is none of them here.
pub(super) fn kept(expr: &Expr) -> Kept {
    match expr {
        Expr::Number(_) | Expr::Text(_) => Kept::none(),
        Expr::Selector(selector) => of_selector(selector),
        Expr::Range(range) => of_selector(&range.selector),
        Expr::Subquery(subquery) => kept(&subquery.inner),
        Expr::Unary(unary) => kept(&unary.inner),
        Expr::Paren(paren) => kept(&paren.inner),
        Expr::Call(call) => of_call(call),
        Expr::Aggregate(aggregate) => of_aggregate(aggregate),
        Expr::Binary(binary) => of_binary(binary),
    }
}

fn of_selector(selector: &Selector) -> Kept {
    let empty = |test: &Test| matches!(test, Test::Equal(value) if value.is_empty());
    let gone = selector.matchers.iter().filter(|matcher| empty(matcher.test()));
    let mut gone: BTreeSet<String> = gone.map(|matcher| matcher.name().to_owned()).collect();
    gone.insert(METRIC_NAME.to_owned());
    Kept::AllBut(gone)
}

fn of_call(call: &Call) -> Kept {
    let text = |at: usize| match call.arguments.get(at).map(Expr::unwrapped) {
        Some(Expr::Text(text)) => text.value.as_str(),
        _ => "",
    };
    let inner = || {
        let vectors = call
            .arguments
            .iter()
            .filter(|argument| matches!(argument.result_type(), Type::Vector | Type::Matrix));
        vectors.map(kept).reduce(Kept::either).unwrap_or_else(Kept::none)
    };
    match call.function.name {
        "absent" | "absent_over_time" => match call.arguments.first().map(Expr::unwrapped) {
            Some(Expr::Selector(selector)) => equals(selector),
            Some(Expr::Range(range)) => equals(&range.selector),
            _ => Kept::none(),
        },
        "label_replace" | "label_join" => inner().with(text(1)),
        "histogram_quantile" => inner().without(&["le".to_owned()]),
        // Adds labels of other series: nobody can tell here which.
        "info" => Kept::AllBut(BTreeSet::new()),
        _ => inner(),
    }
}

/// What `absent` gives: the labels that must have a certain value.
fn equals(selector: &Selector) -> Kept {
    let certain = selector.matchers.iter().filter(|matcher| {
        matches!(matcher.test(), Test::Equal(value) if !value.is_empty())
            && matcher.name() != METRIC_NAME
    });
    Kept::Only(certain.map(|matcher| matcher.name().to_owned()).collect())
}

fn of_aggregate(aggregate: &Aggregate) -> Kept {
    let inner = kept(&aggregate.inner);
    let left = match aggregate.operator {
        Aggregation::TopK | Aggregation::BottomK => return inner,
        Aggregation::LimitK | Aggregation::LimitRatio => return inner,
        _ if aggregate.without => inner.without(&aggregate.labels),
        _ => inner.only(&aggregate.labels),
    };
    match (aggregate.operator, &aggregate.parameter) {
        (Aggregation::CountValues, Some(Expr::Text(label))) => left.with(&label.value),
        _ => left,
    }
}

fn of_binary(binary: &Binary) -> Kept {
    let (left, right) = (&binary.left, &binary.right);
    let vector = |expr: &Expr| expr.result_type() == Type::Vector;
    match (vector(left), vector(right)) {
        (true, false) => return kept(left),
        (false, true) => return kept(right),
        (false, false) => return Kept::none(),
        (true, true) => {}
    }
    if binary.operator.is_set() {
        return match binary.operator {
            crate::promql::Operator::Or => kept(left).either(kept(right)),
            _ => kept(left),
        };
    }
    let matching = &binary.matching;
    let many = match matching.cardinality {
        Cardinality::OneToMany => kept(right),
        Cardinality::ManyToOne => kept(left),
        Cardinality::OneToOne | Cardinality::ManyToMany if matching.on => {
            return kept(left).only(&matching.labels);
        }
        Cardinality::OneToOne | Cardinality::ManyToMany => {
            return kept(left).without(&matching.labels);
        }
    };
    matching.include.iter().fold(many, |many, label| many.with(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_an_expression_drops() {
        for (query, yes, no) in [
            ("up{job=\"x\"}", "job,instance", "__name__"),
            ("up{job=\"\"}", "instance", "job"),
            ("sum by (job) (up)", "job", "instance"),
            ("sum without (job) (up)", "instance", "job"),
            ("sum(up)", "", "job"),
            ("topk by (job) (1, up)", "job,instance", ""),
            ("count_values(\"v\", up)", "v", "job"),
            ("a / on (x) b", "x", "y"),
            ("a / ignoring (x) b", "y", "x"),
            ("a * on (x) group_left (owner) b", "x,y,owner", ""),
            ("a * on (x) group_right (owner) sum by (x, z) (b)", "x,z,owner", "y"),
            ("sum by (x) (a) or b", "x,y", ""),
            ("sum by (x) (a) and b", "x", "y"),
            ("absent(up{job=\"x\", a=~\"y\"})", "job", "a,instance"),
            ("vector(1)", "", "job"),
            ("label_replace(sum by (x) (a), \"to\", \"$1\", \"x\", \"(.*)\")", "x,to", "y"),
            ("histogram_quantile(0.5, sum by (le, x) (rate(a[5m])))", "x", "le"),
            ("1 - sum by (x) (rate(a[5m])) > bool 3", "x", "y"),
            ("max_over_time(sum by (x) (a)[5m:1m])", "x", "y"),
        ] {
            let kept = kept(&crate::promql::parse(query).unwrap());
            for label in yes.split(',').filter(|l| !l.is_empty()) {
                assert!(kept.has(label), "{query}: {label}");
            }
            for label in no.split(',').filter(|l| !l.is_empty()) {
                assert!(!kept.has(label), "{query}: {label}");
            }
        }
    }
}
