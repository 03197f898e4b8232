//! Expressions back to text, as Prometheus writes them in one line.

use std::fmt::{self, Display, Formatter};

use super::ast::{
    Aggregate, At, Binary, Cardinality, Extension, Length, LengthOperation, Matching, Selector,
    Subquery,
};
use super::lex::quoted;
use super::number::{format_duration, format_float};
use super::{Expr, Operator};
use crate::model::{METRIC_NAME, Matcher, Test, is_legacy_label_name, is_legacy_metric_name};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(node) if node.duration && node.value >= 0.0 => {
                f.write_str(&duration_text(node.value))
            }
            Self::Number(node) => f.write_str(&format_float(node.value)),
            Self::Text(node) => f.write_str(&quoted(&node.value)),
            Self::Selector(node) => {
                write_selector(f, node)?;
                write_extension(f, node.extension)?;
                write_modifiers(f, node.at, node.offset.as_ref())
            }
            Self::Range(node) => {
                write_selector(f, &node.selector)?;
                write!(f, "[{}]", node.length)?;
                write_extension(f, node.selector.extension)?;
                write_modifiers(f, node.selector.at, node.selector.offset.as_ref())
            }
            Self::Subquery(node) => {
                write!(f, "{}{}", node.inner, Brackets(node))
            }
            Self::Call(node) => {
                write!(f, "{}(", node.function.name)?;
                for (at, argument) in node.arguments.iter().enumerate() {
                    let comma = if at > 0 { ", " } else { "" };
                    write!(f, "{comma}{argument}")?;
                }
                f.write_str(")")
            }
            Self::Aggregate(node) => {
                f.write_str(&aggregation_head(node))?;
                f.write_str("(")?;
                if let Some(parameter) = &node.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", node.inner)
            }
            Self::Binary(node) => {
                write!(f, "{} {} {}", node.left, Between(node), node.right)
            }
            Self::Unary(node) => {
                write!(f, "{}{}", if node.minus { "-" } else { "+" }, node.inner)
            }
            Self::Paren(node) => write!(f, "({})", node.inner),
        }
    }
}

/// What stands behind a subquery's expression.
pub(super) struct Brackets<'a>(pub &'a Subquery);

impl Display for Brackets<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.length)?;
        if let Some(step) = &self.0.step {
            write!(f, "{step}")?;
        }
        f.write_str("]")?;
        write_modifiers(f, self.0.at, self.0.offset.as_ref())
    }
}

/// What stands between two operands.
pub(super) struct Between<'a>(pub &'a Binary);

impl Display for Between<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.operator.symbol())?;
        if self.0.bool_modifier {
            f.write_str(" bool")?;
        }
        write_matching(f, &self.0.matching)
    }
}

/// `sum by (job) `, or `sum` alone.
pub(super) fn aggregation_head(node: &Aggregate) -> String {
    let name = node.operator.name();
    if node.without || !node.labels.is_empty() {
        let word = if node.without { "without" } else { "by" };
        return format!("{name} {word} ({}) ", labels(&node.labels));
    }
    name.to_owned()
}

fn duration_text(seconds: f64) -> String {
    #[allow(clippy::cast_possible_truncation)]
    let millis = (seconds * 1000.0).round() as i64;
    format_duration(millis)
}

fn name_of(label: &str) -> String {
    if is_legacy_label_name(label) { label.to_owned() } else { quoted(label) }
}

fn labels(names: &[String]) -> String {
    names.iter().map(|name| name_of(name)).collect::<Vec<_>>().join(", ")
}

/// A matcher in Go's quotes.
fn matcher_text(matcher: &Matcher) -> String {
    let (operator, value) = match matcher.test() {
        Test::Equal(value) => ("=", &**value),
        Test::NotEqual(value) => ("!=", &**value),
        Test::Match(pattern) => ("=~", pattern.as_str()),
        Test::NotMatch(pattern) => ("!~", pattern.as_str()),
    };
    format!("{}{operator}{}", name_of(matcher.name()), quoted(value))
}

fn write_selector(f: &mut Formatter<'_>, node: &Selector) -> fmt::Result {
    let plain = node.name.as_deref().filter(|name| is_legacy_metric_name(name));
    let mut inside = Vec::new();
    if let (Some(name), None) = (&node.name, plain) {
        inside.push(quoted(name));
    }
    let own_name = |matcher: &Matcher| {
        matcher.name() == METRIC_NAME
            && node.name.as_deref().is_some_and(|name| *matcher == Matcher::metric(name))
    };
    inside.extend(node.matchers.iter().filter(|m| !own_name(m)).map(matcher_text));
    f.write_str(plain.unwrap_or(""))?;
    if plain.is_none() || !inside.is_empty() {
        write!(f, "{{{}}}", inside.join(","))?;
    }
    Ok(())
}

fn write_extension(f: &mut Formatter<'_>, extension: Extension) -> fmt::Result {
    f.write_str(match extension {
        Extension::None => "",
        Extension::Anchored => " anchored",
        Extension::Smoothed => " smoothed",
    })
}

fn write_modifiers(f: &mut Formatter<'_>, at: Option<At>, offset: Option<&Length>) -> fmt::Result {
    match at {
        None => {}
        Some(At::Start) => f.write_str(" @ start()")?,
        Some(At::End) => f.write_str(" @ end()")?,
        Some(At::Time(time)) => write!(f, " @ {:.3}", time.seconds())?,
    }
    match offset {
        None => Ok(()),
        Some(offset @ Length::Operation(operation, _))
            if !matches!(operation, LengthOperation::Least | LengthOperation::Greatest) =>
        {
            write!(f, " offset ({offset})")
        }
        Some(offset) => write!(f, " offset {offset}"),
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &Matching) -> fmt::Result {
    if matching.written
        && (matching.on
            || !matching.labels.is_empty()
            || !matching.include.is_empty()
            || matching.cardinality != Cardinality::OneToOne)
    {
        let word = if matching.on { "on" } else { "ignoring" };
        write!(f, " {word} ({})", labels(&matching.labels))?;
    }
    match matching.cardinality {
        Cardinality::ManyToOne => write!(f, " group_left ({})", labels(&matching.include))?,
        Cardinality::OneToMany => write!(f, " group_right ({})", labels(&matching.include))?,
        Cardinality::OneToOne | Cardinality::ManyToMany => {}
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            write!(f, " fill ({})", format_float(left))
        }
        (left, right) => {
            if let Some(left) = left {
                write!(f, " fill_left ({})", format_float(left))?;
            }
            if let Some(right) = right {
                write!(f, " fill_right ({})", format_float(right))?;
            }
            Ok(())
        }
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => {
                let whole = (seconds * 1000.0).fract() == 0.0;
                if whole {
                    f.write_str(&duration_text(*seconds))
                } else {
                    f.write_str(&format_float(*seconds))
                }
            }
            Self::Step => f.write_str("step()"),
            Self::Range => f.write_str("range()"),
            Self::Negated(inner) => write!(f, "-{inner}"),
            Self::Paren(inner) => write!(f, "({inner})"),
            Self::Operation(operation, sides) => {
                let (left, right) = &**sides;
                let sign = match operation {
                    LengthOperation::Least => return write!(f, "min_of({left}, {right})"),
                    LengthOperation::Greatest => return write!(f, "max_of({left}, {right})"),
                    LengthOperation::Add => Operator::Add,
                    LengthOperation::Subtract => Operator::Subtract,
                    LengthOperation::Multiply => Operator::Multiply,
                    LengthOperation::Divide => Operator::Divide,
                    LengthOperation::Modulo => Operator::Modulo,
                    LengthOperation::Power => Operator::Power,
                };
                write!(f, "{left} {} {right}", sign.symbol())
            }
        }
    }
}
