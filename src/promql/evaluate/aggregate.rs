//! Aggregations that make one series of a group; the series of the group pass by one after the
//! other.

use std::collections::BTreeMap;

use smallvec::{SmallVec, smallvec};

use super::super::exact::{Exact, Mean, Variance, quantile};
use super::super::histogram::{Sum, compact, divide};
use super::super::syntax::{Aggregate, Aggregation, Expr, Type};
use super::super::{EvalError, Point, Span, format_float};
use super::elementwise::of_number;
use super::notes::{Doing, Note};
use super::places::Places;
use super::points::{Points, Scalars, Series, Steps};
use super::{Evaluated, Evaluator, METADATA_LABELS, Sink, histogram_point, text_of};
use crate::model::{CounterReset, Labels, STALE, is_stale};

/// The labels of a group as bytes.
pub(super) type Key = SmallVec<[u8; 64]>;
/// Something for each step; rules have only one.
type Each<T> = SmallVec<[T; 1]>;

/// Finds the group of a series.
pub(super) struct Grouping<'a> {
    names: Vec<&'a str>,
    without: bool,
}

impl<'a> Grouping<'a> {
    pub fn new(node: &'a Aggregate) -> Self {
        let mut names: Vec<&str> = node.labels.iter().map(String::as_str).collect();
        if node.without {
            names.extend(METADATA_LABELS);
        }
        Self { names, without: node.without }
    }

    /// The group's labels as bytes, to find it without making a label set for each series.
    pub fn write_key(&self, labels: &Labels, key: &mut Key) {
        key.clear();
        labels.each_part(&self.names, !self.without, |pair| key.extend_from_slice(pair));
    }

    /// Whether groups are the same whether or not series still have their names.
    pub fn ignores_names(&self) -> bool {
        self.without || !METADATA_LABELS.iter().any(|name| self.names.contains(name))
    }

    pub fn key(&self, labels: &Labels) -> Labels {
        if self.without {
            labels.without(&self.names)
        } else if self.names.is_empty() {
            Labels::empty()
        } else {
            labels.only(&self.names)
        }
    }
}

/// Whether the first thing that the expression does with its series is to take their names away.
pub(super) fn drops_first(expr: &Expr) -> bool {
    match expr.unwrapped() {
        Expr::Call(call) => {
            of_number(call.function.name).is_some()
                || (call.function.arguments.contains(&Type::Matrix)
                    && !matches!(
                        call.function.name,
                        "last_over_time" | "first_over_time" | "absent_over_time"
                    ))
        }
        _ => false,
    }
}

/// The numbers of a group so far, for each step.
enum Floats {
    Sum(Each<Exact>),
    Mean(Each<Mean>),
    Variance(Each<Variance>, bool),
    /// `min`, `max`
    Extreme(Each<f64>, bool),
    Count(Each<f64>),
    Group(Each<f64>),
    All(Vec<Vec<f64>>),
}

/// The histograms of a group at one step.
struct Histograms {
    sum: Sum,
    count: f64,
    incremental: bool,
    incompatible: bool,
    reset: bool,
    no_reset: bool,
}

struct Group {
    labels: Labels,
    drop_name: bool,
    floats: Floats,
    /// Steps with a number, where `floats` does not say so itself.
    seen: SmallVec<[bool; 8]>,
    histograms: Vec<Option<Box<Histograms>>>,
}

impl Floats {
    fn new(operator: Aggregation, count: usize) -> Self {
        match operator {
            Aggregation::Sum => Self::Sum(smallvec![Exact::default(); count]),
            Aggregation::Avg => Self::Mean(smallvec![Mean::default(); count]),
            Aggregation::Stddev => Self::Variance(smallvec![Variance::default(); count], true),
            Aggregation::Stdvar => Self::Variance(smallvec![Variance::default(); count], false),
            Aggregation::Max => Self::Extreme(smallvec![STALE; count], true),
            Aggregation::Min => Self::Extreme(smallvec![STALE; count], false),
            Aggregation::Quantile => Self::All(vec![Vec::new(); count]),
            Aggregation::Group => Self::Group(smallvec![STALE; count]),
            _ => Self::Count(smallvec![0.0; count]),
        }
    }

    fn add(&mut self, values: &[f64]) {
        let present = |(step, value): (usize, &f64)| (!is_stale(*value)).then_some((step, *value));
        let values = values.iter().enumerate().filter_map(present);
        match self {
            Self::Sum(sums) => {
                let sums = &mut sums[..];
                values.for_each(|(step, value)| sums[step].add(value));
            }
            Self::Mean(means) => {
                let means = &mut means[..];
                values.for_each(|(step, value)| means[step].add(value));
            }
            Self::Variance(all, _) => values.for_each(|(step, value)| all[step].add(value)),
            Self::Count(counts) => values.for_each(|(step, _)| counts[step] += 1.0),
            Self::Group(ones) => values.for_each(|(step, _)| ones[step] = 1.0),
            Self::All(all) => values.for_each(|(step, value)| all[step].push(value)),
            Self::Extreme(best, larger) => values.for_each(|(step, value)| {
                let old = best[step];
                // NaN, and the marker of nothing, give way to every number.
                if old.is_nan() && (is_stale(old) || !value.is_nan())
                    || (if *larger { value > old } else { value < old })
                {
                    best[step] = value;
                }
            }),
        }
    }

    fn result(&mut self, step: usize, parameter: &Scalars) -> f64 {
        match self {
            Self::Sum(sums) => sums[step].get(),
            Self::Mean(means) => means[step].get(),
            Self::Variance(all, root) => {
                let variance = all[step].get();
                if *root { variance.sqrt() } else { variance }
            }
            Self::Extreme(best, _) => best[step],
            Self::Count(counts) => counts[step],
            Self::Group(ones) => ones[step],
            Self::All(all) => quantile(parameter.at(step), &mut all[step]),
        }
    }
}

impl Evaluator<'_> {
    pub(super) fn aggregate(
        &self,
        node: &Aggregate,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        match node.operator {
            Aggregation::TopK
            | Aggregation::BottomK
            | Aggregation::LimitK
            | Aggregation::LimitRatio => self.pick(node, steps, sink),
            Aggregation::CountValues => self.count_values(node, steps, sink),
            _ => self.fold(node, steps, sink),
        }
    }

    fn fold(&self, node: &Aggregate, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let parameter = match &node.parameter {
            Some(parameter) => {
                let q = self.scalars(parameter, steps)?;
                for step in 0..steps.count {
                    if !(0.0..=1.0).contains(&q.at(step)) {
                        self.note(Note::Quantile(q.at(step)), parameter.span());
                    }
                }
                q
            }
            None => Scalars::Constant(0.0),
        };
        let grouping = Grouping::new(node);
        let mut groups: Vec<Group> = Vec::new();
        let mut places = Places::default();
        let mut key = Key::new();
        self.names_unwanted.set(grouping.ignores_names() && drops_first(&node.inner));
        self.vector(&node.inner, steps, &mut |series| {
            grouping.write_key(&series.labels, &mut key);
            let place = match places.find(&key, |place| &groups[place].labels) {
                Some(place) => place,
                None => {
                    self.hold(steps.count * 2)?;
                    places.add(&key, groups.len(), |place| &groups[place].labels);
                    groups.push(Group {
                        labels: grouping.key(&series.labels),
                        drop_name: false,
                        floats: Floats::new(node.operator, steps.count),
                        seen: smallvec![false; steps.count],
                        histograms: Vec::new(),
                    });
                    groups.len() - 1
                }
            };
            if node.operator == Aggregation::Quantile {
                self.hold(steps.count)?;
            }
            let group = &mut groups[place];
            group.drop_name |= series.drop_name;
            group.floats.add(&series.points.floats);
            for (seen, value) in group.seen.iter_mut().zip(&series.points.floats) {
                *seen |= !is_stale(*value);
            }
            if series.points.has_histograms() {
                self.add_histograms(group, node, &series.points, steps);
            }
            self.give_back(series.points);
            Ok(())
        })?;
        // `sum(hour())` has nothing to drop.
        self.names_unwanted.set(false);
        for mut group in groups {
            let mut points = self.buffer(steps.count);
            for step in 0..steps.count {
                if let Some(point) = self.folded(&mut group, node, step, &parameter) {
                    points.set(step, point);
                }
            }
            if !points.is_empty() {
                sink(Series { labels: group.labels, drop_name: group.drop_name, points })?;
            }
        }
        Ok(())
    }

    fn add_histograms(&self, group: &mut Group, node: &Aggregate, points: &Points, steps: &Steps) {
        let span = node.inner.span();
        for step in 0..steps.count {
            let Some(histogram) = points.histogram(step) else { continue };
            match &mut group.floats {
                Floats::Count(counts) => {
                    counts[step] += 1.0;
                    group.seen[step] = true;
                }
                Floats::Group(ones) => {
                    ones[step] = 1.0;
                    group.seen[step] = true;
                }
                Floats::Sum(_) | Floats::Mean(_) => {
                    if group.histograms.is_empty() {
                        group.histograms.resize_with(steps.count, || None);
                    }
                    let average = node.operator == Aggregation::Avg;
                    let outcome = match &mut group.histograms[step] {
                        Some(sum) => sum.add(histogram, average),
                        slot => {
                            *slot = Some(Box::new(Histograms::new(histogram)));
                            Ok(false)
                        }
                    };
                    match outcome {
                        Ok(false) => {}
                        Ok(true) => {
                            self.note(Note::CustomBordersReconciled(Doing::Aggregation), span);
                        }
                        Err(()) => self.note(Note::MixedExponentialCustomAggregation, span),
                    }
                }
                _ => self.note(Note::HistogramIgnored(node.operator.name()), span),
            }
        }
    }

    fn folded(
        &self,
        group: &mut Group,
        node: &Aggregate,
        step: usize,
        parameter: &Scalars,
    ) -> Option<Point> {
        let span: Span = node.inner.span();
        let histogram = group.histograms.get_mut(step).and_then(Option::take);
        let Some(sum) = histogram else {
            return group.seen[step].then(|| Point::Float(group.floats.result(step, parameter)));
        };
        if group.seen[step] {
            self.note(Note::MixedFloatsHistogramsAggregation, span);
            return None;
        }
        if sum.incompatible {
            return None;
        }
        if sum.reset && sum.no_reset {
            self.note(Note::ResetsCollide(Doing::Aggregation), span);
        }
        let mut result = sum.sum.get();
        if node.operator == Aggregation::Avg && !sum.incremental {
            divide(&mut result, sum.count);
        }
        compact(&mut result);
        Some(histogram_point(result))
    }

    fn count_values(&self, node: &Aggregate, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let label = node.parameter.as_ref().map(text_of).unwrap_or_default();
        if label.is_empty() {
            return Err(EvalError::execution(format!("invalid label name {label:?}")));
        }
        let grouping = Grouping::new(node);
        let mut counts: BTreeMap<Labels, (bool, Points)> = BTreeMap::new();
        self.vector(&node.inner, steps, &mut |series| {
            let key = grouping.key(&series.labels);
            for step in 0..steps.count {
                let value = match series.points.get(step) {
                    Some(Point::Float(value)) => format_float(value),
                    Some(Point::Histogram(histogram)) => super::super::histogram::text(&histogram),
                    None => continue,
                };
                let labels = key.with(&label, &value);
                if !counts.contains_key(&labels) {
                    self.hold(steps.count)?;
                }
                let (drop_name, points) =
                    counts.entry(labels).or_insert_with(|| (false, Points::absent(steps.count)));
                *drop_name |= series.drop_name && label != crate::model::METRIC_NAME;
                points.floats[step] = points.float(step).unwrap_or(0.0) + 1.0;
            }
            self.give_back(series.points);
            Ok(())
        })?;
        counts.into_iter().try_for_each(|(labels, (drop_name, points))| {
            sink(Series { labels, drop_name, points })
        })
    }
}

impl Histograms {
    fn new(first: &crate::model::Histogram) -> Self {
        Self {
            sum: Sum::new(first),
            count: 1.0,
            incremental: false,
            incompatible: false,
            reset: first.reset == CounterReset::Reset,
            no_reset: first.reset == CounterReset::NotReset,
        }
    }

    /// Whether custom borders had to be reconciled; an error the first time that exponential and
    /// custom borders meet.
    fn add(&mut self, histogram: &crate::model::Histogram, average: bool) -> Result<bool, ()> {
        if self.incompatible {
            return Ok(false);
        }
        self.reset |= histogram.reset == CounterReset::Reset;
        self.no_reset |= histogram.reset == CounterReset::NotReset;
        self.count += 1.0;
        let share = (self.count - 1.0) / self.count;
        let before = (average && !self.incremental).then(|| self.sum.clone());
        if self.incremental {
            self.sum.scale(share);
        }
        let divisor = if self.incremental { self.count } else { 1.0 };
        let Ok(reconciled) = self.sum.add(histogram, divisor) else {
            self.incompatible = true;
            return Err(());
        };
        if let Some(mut before) = before.filter(|_| self.sum.overflows()) {
            self.incremental = true;
            before.divide(self.count - 1.0);
            before.scale(share);
            // It could be added above, so it can be added here.
            let _ = before.add(histogram, self.count);
            self.sum = before;
        }
        Ok(reconciled.custom_borders)
    }
}
