//! Arithmetic, comparison and trimming between two operands.

use std::sync::Arc;

use hashbrown::HashMap;

use super::super::histogram::{
    add, compact, divide, equal, scale, subtract, trim_lower, trim_upper,
};
use super::super::syntax::{Binary, Cardinality, Operator, Type};
use super::super::{EvalError, Point};
use super::aggregate::drops_first;
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
        // Most series do not pass a filter: names are dropped from those that do.
        let late = node.operator.is_comparison()
            && !node.bool_modifier
            && !self.options.delayed_name_removal
            && drops_first(vector);
        let produce = |sink: &mut Sink<'_>| {
            if late {
                self.names_unwanted.set(true);
            }
            self.vector(vector, steps, &mut |mut series| {
                self.apply_scalar(node, scalar_left, &values, &mut series.points);
                if series.points.is_empty() {
                    self.give_back(series.points);
                    return Ok(());
                }
                if late {
                    series.labels = series.labels.without(&METADATA_LABELS);
                }
                sink(series)
            })?;
            // `hour() > 7` has nothing to drop.
            self.names_unwanted.set(false);
            Ok(())
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
        // Where one side has nothing at all, nothing can be wrong with the other.
        let both = anywhere(&left, steps.count);
        let both: Vec<bool> =
            both.iter().zip(anywhere(&right, steps.count)).map(|(a, b)| *a && b).collect();
        let looked_at = if unfilled { both } else { vec![true; steps.count] };
        let produce = |sink: &mut Sink<'_>| {
            let mut pairing = Pairing::new(self, node, &looked_at);
            for (key, matched) in groups(&left, &right, &node.matching) {
                self.tick((matched.left.len() + matched.right.len()) * steps.count)?;
                pairing.run(key, &left, &right, &matched)?;
                for series in pairing.results.drain(..) {
                    if !series.points.is_empty() {
                        self.hold(steps.count)?;
                        sink(series)?;
                    }
                }
            }
            Ok(())
        };
        // Labels taken over from the other side can make results of different groups equal.
        if node.matching.include.is_empty() && !node.matching.on {
            produce(sink)
        } else {
            self.merging(false, sink, produce)
        }
    }
}

/// At which steps there is any series.
fn anywhere(all: &[Series], count: usize) -> Vec<bool> {
    let mut present = vec![false; count];
    for series in all {
        for (step, present) in present.iter_mut().enumerate() {
            *present = *present || series.points.is_present(step);
        }
    }
    present
}

/// One operand: a series, or the value that stands for a missing one.
#[derive(Clone, Copy)]
enum Side<'s> {
    Series(&'s Series),
    Filled(f64),
}

impl Side<'_> {
    fn value(self, step: usize) -> Option<Point> {
        match self {
            Self::Series(series) => series.points.get(step),
            Self::Filled(value) => Some(Point::Float(value)),
        }
    }
}

const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE: &str = "multiple matches for labels: grouping labels must ensure unique matches";

/// Results of a group for which the table is kept for the next.
const ROOM: usize = 64;

/// Combines the series of one group after the other.
struct Pairing<'p> {
    evaluator: &'p Evaluator<'p>,
    node: &'p Binary,
    one_to_one: bool,
    /// Whether the "many" side is the right one.
    swapped: bool,
    /// With delayed name removal the name goes at the end.
    delayed_bool: bool,
    /// The labels of a filled series: what the group is matched on.
    filled: Labels,
    looked_at: &'p [bool],
    /// Of the group at hand, as all that follows.
    results: Vec<Series>,
    places: HashMap<Labels, usize>,
    /// How many of the "many" side there were at each step.
    met: Vec<u32>,
    /// The series of the "one" side at each step.
    ones: Vec<Option<usize>>,
}

impl<'p> Pairing<'p> {
    fn new(evaluator: &'p Evaluator<'p>, node: &'p Binary, looked_at: &'p [bool]) -> Self {
        let cardinality = node.matching.cardinality;
        Self {
            evaluator,
            node,
            one_to_one: cardinality == Cardinality::OneToOne,
            swapped: cardinality == Cardinality::OneToMany,
            delayed_bool: evaluator.options.delayed_name_removal && node.bool_modifier,
            filled: Labels::empty(),
            looked_at,
            results: Vec::new(),
            places: HashMap::new(),
            met: Vec::new(),
            ones: Vec::new(),
        }
    }

    fn run(
        &mut self,
        key: Labels,
        left: &[Series],
        right: &[Series],
        matched: &Matched,
    ) -> Evaluated<()> {
        self.filled = key;
        // Clearing costs by capacity, and one large group must not make all others dear.
        if self.places.capacity() > ROOM {
            self.places = HashMap::new();
        }
        self.places.clear();
        let (many_side, many_at, one_side, one_at) = if self.swapped {
            (right, &matched.right, left, &matched.left)
        } else {
            (left, &matched.left, right, &matched.right)
        };
        self.find_ones(one_side, one_at)?;
        // With group_right, too, Prometheus fills the "many" side by fill_left.
        let (fill_many, fill_one) = (self.node.matching.fill_left, self.node.matching.fill_right);
        let count = self.looked_at.len();
        self.met.clear();
        self.met.resize(count, 0);
        for at in many_at {
            let many = &many_side[*at];
            // The partner rarely changes from step to step, and with it the result's place.
            let mut last: Option<(Option<usize>, usize)> = None;
            for step in 0..count {
                if !many.points.is_present(step) {
                    continue;
                }
                self.met[step] += 1;
                let one = match (self.ones[step], fill_one) {
                    (Some(one), _) => Side::Series(&one_side[one]),
                    (None, Some(fill)) => Side::Filled(fill),
                    (None, None) => continue,
                };
                if self.one_to_one && self.met[step] > 1 {
                    return Err(EvalError::execution(MANY_TO_ONE));
                }
                let Some(point) = self.result(step, Side::Series(many), one) else { continue };
                let place = match last {
                    Some((partner, place)) if partner == self.ones[step] => place,
                    _ => self.place_of(Side::Series(many), one),
                };
                last = Some((self.ones[step], place));
                self.put(place, step, point)?;
            }
        }
        if let Some(fill) = fill_many {
            for step in 0..count {
                if self.met[step] > 0 {
                    continue;
                }
                let Some(one) = self.ones[step] else { continue };
                let (many, one) = (Side::Filled(fill), Side::Series(&one_side[one]));
                if let Some(point) = self.result(step, many, one) {
                    let place = self.place_of(many, one);
                    self.put(place, step, point)?;
                }
            }
        }
        Ok(())
    }

    fn find_ones(&mut self, side: &[Series], at: &[usize]) -> Evaluated<()> {
        self.ones.clear();
        self.ones.resize(self.looked_at.len(), None);
        for at in at {
            for (step, one) in self.ones.iter_mut().enumerate() {
                if !side[*at].points.is_present(step) {
                    continue;
                }
                if let Some(first) = one.filter(|_| self.looked_at[step]) {
                    let pair = [side[first].labels.clone(), side[*at].labels.clone()];
                    return Err(duplicates(&self.filled, pair, self.swapped));
                }
                *one = Some(*at);
            }
        }
        Ok(())
    }

    fn result(&self, step: usize, many: Side<'_>, one: Side<'_>) -> Option<Point> {
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        let (left, right) = (left.value(step)?, right.value(step)?);
        match self.evaluator.element(self.node, &left, &right) {
            Some((point, true)) => Some(point),
            _ => None,
        }
    }

    fn put(&mut self, place: usize, step: usize, point: Point) -> Evaluated<()> {
        let points = &mut self.results[place].points;
        if points.is_present(step) {
            let message = if self.one_to_one { MANY_TO_ONE } else { NOT_UNIQUE };
            return Err(EvalError::execution(message));
        }
        points.set(step, point);
        Ok(())
    }

    fn place_of(&mut self, many: Side<'_>, one: Side<'_>) -> usize {
        let empty = Labels::empty();
        let many = match many {
            Side::Series(series) => &series.labels,
            Side::Filled(_) => &self.filled,
        };
        let one = match one {
            Side::Series(series) => &series.labels,
            Side::Filled(_) => &empty,
        };
        let drops = drops_name(self.node) && !self.delayed_bool;
        let labels = result_labels(many, one, &self.node.matching, self.one_to_one, drops);
        if let Some(place) = self.places.get(&labels) {
            return *place;
        }
        let points = self.evaluator.buffer(self.looked_at.len());
        self.places.insert(labels.clone(), self.results.len());
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
