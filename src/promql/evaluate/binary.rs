//! Arithmetic, comparison and trimming between two operands.

use std::sync::Arc;

use super::super::histogram::{
    add, compact, divide, equal, scale, subtract, trim_lower, trim_upper,
};
use super::super::syntax::{Binary, Cardinality, Operator, Type};
use super::super::{EvalError, Point};
use super::matching::{Matched, groups, result_labels};
use super::notes::{Doing, Note};
use super::points::{Points, Scalars, Series, Steps};
use super::{Evaluated, Evaluator, METADATA_LABELS, Sink, histogram_point};
use crate::model::{CounterReset, Histogram, Labels, STALE, is_stale};

/// Arithmetic and comparison (0 or 1) of two numbers.
pub(super) fn of_numbers(operator: Operator) -> fn(f64, f64) -> f64 {
    match operator {
        Operator::Add => |a, b| a + b,
        Operator::Subtract => |a, b| a - b,
        Operator::Multiply => |a, b| a * b,
        Operator::Divide => |a, b| a / b,
        Operator::Modulo => |a, b| a % b,
        Operator::Power => f64::powf,
        Operator::Atan2 => f64::atan2,
        Operator::Equal => |a, b| f64::from(u8::from(a == b)),
        Operator::NotEqual => |a, b| f64::from(u8::from(a != b)),
        Operator::Less => |a, b| f64::from(u8::from(a < b)),
        Operator::Greater => |a, b| f64::from(u8::from(a > b)),
        Operator::LessOrEqual => |a, b| f64::from(u8::from(a <= b)),
        Operator::GreaterOrEqual => |a, b| f64::from(u8::from(a >= b)),
        Operator::TrimLower
        | Operator::TrimUpper
        | Operator::And
        | Operator::Or
        | Operator::Unless => |_, _| f64::NAN,
    }
}

/// Whether the metric's name makes no sense any more after this operation.
fn drops_name(node: &Binary) -> bool {
    node.bool_modifier
        || !(node.operator.is_comparison() || node.operator.is_trim() || node.operator.is_set())
}

impl Evaluator<'_> {
    pub(super) fn scalar_binary(&self, node: &Binary, steps: &Steps) -> Evaluated<Scalars> {
        let left = self.scalars(&node.left, steps)?;
        let right = self.scalars(&node.right, steps)?;
        let f = of_numbers(node.operator);
        Ok(match (left, right) {
            (Scalars::Constant(left), Scalars::Constant(right)) => {
                Scalars::Constant(f(left, right))
            }
            (left, right) => Scalars::Each(
                (0..steps.count).map(|step| f(left.at(step), right.at(step))).collect(),
            ),
        })
    }

    pub(super) fn binary(
        &self,
        node: &Binary,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        match (node.left.result_type(), node.right.result_type()) {
            (Type::Scalar, _) => self.with_scalar(node, true, steps, sink),
            (_, Type::Scalar) => self.with_scalar(node, false, steps, sink),
            _ if node.operator.is_set() => self.set_operation(node, steps, sink),
            _ => self.between_vectors(node, steps, sink),
        }
    }

    /// A vector and a number; `scalar_left`: the number stands on the left.
    fn with_scalar(
        &self,
        node: &Binary,
        scalar_left: bool,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let (vector, scalar) =
            if scalar_left { (&node.right, &node.left) } else { (&node.left, &node.right) };
        let values = self.scalars(scalar, steps)?;
        let produce = |sink: &mut Sink<'_>| {
            self.vector(vector, steps, &mut |mut series| {
                self.apply_scalar(node, scalar_left, &values, &mut series.points);
                if series.points.is_empty() {
                    self.give_back(series.points);
                    return Ok(());
                }
                sink(series)
            })
        };
        if drops_name(node) { self.dropping(vector, false, sink, produce) } else { produce(sink) }
    }

    fn apply_scalar(
        &self,
        node: &Binary,
        scalar_left: bool,
        values: &Scalars,
        points: &mut Points,
    ) {
        let f = of_numbers(node.operator);
        let filter = node.operator.is_comparison() && !node.bool_modifier;
        if node.operator.is_trim() {
            if points.floats.iter().any(|value| !is_stale(*value)) {
                self.note_types(node, "float", "float");
            }
            points.floats.fill(STALE);
        } else {
            for (step, value) in points.floats.iter_mut().enumerate() {
                if is_stale(*value) {
                    continue;
                }
                let scalar = values.at(step);
                let result = if scalar_left { f(scalar, *value) } else { f(*value, scalar) };
                *value = match (filter, result == 0.0) {
                    (true, true) => STALE,
                    (true, false) => *value,
                    (false, _) => result,
                };
            }
        }
        for step in 0..points.histograms.len() {
            let Some(histogram) = points.histogram(step).map(Arc::clone) else { continue };
            let histogram = Point::Histogram(histogram);
            let scalar = Point::Float(values.at(step));
            let result = if scalar_left {
                self.element(node, &scalar, &histogram)
            } else {
                self.element(node, &histogram, &scalar)
            };
            match result {
                Some((point, true)) => points.set(step, point),
                _ => points.remove(step),
            }
        }
    }

    fn note_types(&self, node: &Binary, left: &str, right: &str) {
        self.note(Note::IncompatibleTypes(left, node.operator.symbol(), right), node.span);
    }

    /// One value from two, and whether a comparison lets it pass. `None` when the types do not go
    /// together.
    fn element(&self, node: &Binary, left: &Point, right: &Point) -> Option<(Point, bool)> {
        let operator = node.operator;
        let comparison = operator.is_comparison();
        let judged = |holds: bool, kept: &Point| {
            let point = if node.bool_modifier {
                Point::Float(f64::from(u8::from(holds)))
            } else {
                kept.clone()
            };
            Some((point, holds || node.bool_modifier))
        };
        match (left, right) {
            (Point::Float(a), Point::Float(b)) => {
                if operator.is_trim() {
                    self.note_types(node, "float", "float");
                    return None;
                }
                let result = of_numbers(operator)(*a, *b);
                if comparison {
                    judged(result != 0.0, left)
                } else {
                    Some((Point::Float(result), true))
                }
            }
            (Point::Float(factor), Point::Histogram(histogram))
                if operator == Operator::Multiply =>
            {
                Some((changed(histogram, |histogram| scale(histogram, *factor)), true))
            }
            (Point::Histogram(histogram), Point::Float(number)) => match operator {
                Operator::Multiply => {
                    Some((changed(histogram, |histogram| scale(histogram, *number)), true))
                }
                Operator::Divide => {
                    Some((changed(histogram, |histogram| divide(histogram, *number)), true))
                }
                Operator::TrimLower => {
                    Some((histogram_point(trim_lower(histogram, *number)), true))
                }
                Operator::TrimUpper => {
                    Some((histogram_point(trim_upper(histogram, *number)), true))
                }
                _ => {
                    self.note_types(node, "histogram", "float");
                    None
                }
            },
            (Point::Float(_), Point::Histogram(_)) => {
                self.note_types(node, "float", "histogram");
                None
            }
            (Point::Histogram(a), Point::Histogram(b)) => match operator {
                Operator::Add | Operator::Subtract => {
                    self.histograms(node, a, b).map(|h| (h, true))
                }
                Operator::Equal => judged(equal(a, b), left),
                Operator::NotEqual => judged(!equal(a, b), left),
                _ => {
                    self.note_types(node, "histogram", "histogram");
                    None
                }
            },
        }
    }

    fn histograms(&self, node: &Binary, a: &Histogram, b: &Histogram) -> Option<Point> {
        let mut result = a.clone();
        let (outcome, doing) = if node.operator == Operator::Add {
            (add(&mut result, b), Doing::Addition)
        } else {
            (subtract(&mut result, b), Doing::Subtraction)
        };
        let Ok(reconciled) = outcome else {
            self.note(Note::IncompatibleLayout(node.operator.symbol()), node.span);
            return None;
        };
        if reconciled.custom_borders {
            self.note(Note::CustomBordersReconciled(doing), node.span);
        }
        if reconciled.resets_collide {
            self.note(Note::ResetsCollide(doing), node.span);
        }
        if node.operator == Operator::Subtract {
            result.reset = CounterReset::Gauge;
        }
        compact(&mut result);
        Some(histogram_point(result))
    }

    fn between_vectors(&self, node: &Binary, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let left = self.all_series(&node.left, steps)?;
        let right = self.all_series(&node.right, steps)?;
        let unfilled = node.matching.fill_left.is_none() && node.matching.fill_right.is_none();
        if unfilled && (left.is_empty() || right.is_empty()) {
            return Ok(());
        }
        let drops_name = drops_name(node);
        let one_to_one = node.matching.cardinality == Cardinality::OneToOne;
        self.merging(false, sink, |sink| {
            for (key, matched) in groups(&left, &right, &node.matching) {
                self.tick((matched.left.len() + matched.right.len()) * steps.count)?;
                let mut pairing = Pairing {
                    node,
                    one_to_one,
                    drops_name,
                    delayed_bool: self.options.delayed_name_removal && node.bool_modifier,
                    filled: key,
                    results: Vec::new(),
                    count: steps.count,
                };
                self.pair(&mut pairing, &left, &right, &matched)?;
                for series in pairing.results {
                    if !series.points.is_empty() {
                        sink(series)?;
                    }
                }
            }
            Ok(())
        })
    }

    /// Combines the series of one group step by step.
    fn pair(
        &self,
        pairing: &mut Pairing<'_>,
        left: &[Series],
        right: &[Series],
        matched: &Matched,
    ) -> Evaluated<()> {
        let matching = &pairing.node.matching;
        let swapped = matching.cardinality == Cardinality::OneToMany;
        let (many_at, one_at) =
            if swapped { (&matched.right, &matched.left) } else { (&matched.left, &matched.right) };
        let (many_side, one_side) = if swapped { (right, left) } else { (left, right) };
        // With group_right, too, Prometheus fills the "many" side by fill_left.
        let (fill_many, fill_one) = (matching.fill_left, matching.fill_right);
        for step in 0..pairing.count {
            let here = |side: &[Series], at: &&usize| side[**at].points.is_present(step);
            let mut ones = one_at.iter().filter(|at| here(one_side, at));
            let one = ones.next();
            if let (Some(first), Some(second)) = (one, ones.next()) {
                // Only an error when there is something to match.
                let names = [one_side[*first].labels.clone(), one_side[*second].labels.clone()];
                return Err(duplicates(&pairing.filled, names, swapped));
            }
            let mut many = many_at.iter().filter(|at| here(many_side, at)).peekable();
            if many.peek().is_none() {
                if let (Some(one), Some(fill)) = (one, fill_many) {
                    self.combine(
                        pairing,
                        step,
                        Side::Filled(fill),
                        Side::Series(&one_side[*one]),
                        swapped,
                    )?;
                }
                continue;
            }
            let one = match (one, fill_one) {
                (Some(one), _) => Side::Series(&one_side[*one]),
                (None, Some(fill)) => Side::Filled(fill),
                (None, None) => continue,
            };
            let mut first = true;
            for at in many {
                if pairing.one_to_one && !first {
                    return Err(EvalError::execution(
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                    ));
                }
                self.combine(pairing, step, Side::Series(&many_side[*at]), one, swapped)?;
                first = false;
            }
        }
        Ok(())
    }

    /// Whether there is a result.
    fn combine(
        &self,
        pairing: &mut Pairing<'_>,
        step: usize,
        many: Side<'_>,
        one: Side<'_>,
        swapped: bool,
    ) -> Evaluated<bool> {
        let value = |side: Side<'_>| match side {
            Side::Series(series) => series.points.get(step),
            Side::Filled(value) => Some(Point::Float(value)),
        };
        let (Some(many_value), Some(one_value)) = (value(many), value(one)) else {
            return Ok(false);
        };
        let result = if swapped {
            self.element(pairing.node, &one_value, &many_value)
        } else {
            self.element(pairing.node, &many_value, &one_value)
        };
        let Some((point, true)) = result else { return Ok(false) };
        let at = pairing.place_of(many, one);
        let points = &mut pairing.results[at].points;
        if points.is_present(step) {
            return Err(EvalError::execution(if pairing.one_to_one {
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            } else {
                "multiple matches for labels: grouping labels must ensure unique matches"
            }));
        }
        points.set(step, point);
        Ok(true)
    }
}

/// One operand: a series, or the value that stands for a missing one.
#[derive(Clone, Copy)]
enum Side<'s> {
    Series(&'s Series),
    Filled(f64),
}

/// The results of one group.
struct Pairing<'p> {
    node: &'p Binary,
    one_to_one: bool,
    drops_name: bool,
    /// With delayed name removal the name goes at the end.
    delayed_bool: bool,
    /// The labels of a filled series.
    filled: Labels,
    results: Vec<Series>,
    count: usize,
}

impl Pairing<'_> {
    fn place_of(&mut self, many: Side<'_>, one: Side<'_>) -> usize {
        let empty = Labels::empty();
        let many_labels = match many {
            Side::Series(series) => &series.labels,
            Side::Filled(_) => &self.filled,
        };
        let one_labels = match one {
            Side::Series(series) => &series.labels,
            Side::Filled(_) => &empty,
        };
        let arithmetic = self.drops_name && !self.node.bool_modifier;
        let drops = arithmetic || (self.drops_name && !self.delayed_bool);
        let labels =
            result_labels(many_labels, one_labels, &self.node.matching, self.one_to_one, drops);
        let labels =
            if self.drops_name && !self.delayed_bool && self.node.matching.include.is_empty() {
                labels.without(if self.node.matching.on { &[] } else { &METADATA_LABELS })
            } else {
                labels
            };
        if let Some(place) = self.results.iter().position(|series| series.labels == labels) {
            return place;
        }
        let points = Points::absent(self.count);
        self.results.push(Series { labels, drop_name: self.delayed_bool, points });
        self.results.len() - 1
    }
}

/// The error of two series on the side that should have one.
fn duplicates(key: &Labels, mut pair: [Labels; 2], swapped: bool) -> EvalError {
    pair.sort();
    let side = if swapped { "left" } else { "right" };
    let shown = |labels: &Labels| {
        let pairs: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", super::super::syntax::quoted(value)))
            .collect();
        format!("{{{}}}", pairs.join(", "))
    };
    EvalError::execution(format!(
        "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
        shown(key),
        shown(&pair[0]),
        shown(&pair[1])
    ))
}

/// A changed copy of a histogram.
fn changed(histogram: &Histogram, change: impl FnOnce(&mut Histogram)) -> Point {
    let mut copy = histogram.clone();
    change(&mut copy);
    histogram_point(copy)
}
