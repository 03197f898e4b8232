//! Aggregations that pick series of a group and leave them as they are.

use std::collections::HashMap;

use xxhash_rust::xxh64::xxh64;

use super::super::syntax::{Aggregate, Aggregation};
use super::super::{EvalError, Span};
use super::aggregate::Grouping;
use super::notes::Note;
use super::points::{Points, Scalars, Series, Steps};
use super::{Evaluated, Evaluator, Sink};
use crate::model::Labels;

/// The best values of a group at one step, worst first, and the series they are from.
type Best = Vec<(f64, usize)>;

#[derive(Default)]
struct Picked {
    /// For each step.
    best: Vec<Best>,
    /// For each step how many were taken (`limitk`).
    taken: Vec<usize>,
}

/// Labels of the series seen, in order, and what was picked of them.
struct Seen {
    labels: Labels,
    drop_name: bool,
    points: Option<Points>,
}

impl Evaluator<'_> {
    pub(super) fn pick(
        &self,
        node: &Aggregate,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let Some(parameter) = &node.parameter else {
            return Err(EvalError::execution("a parameter is missing"));
        };
        let values = self.scalars(parameter, steps)?;
        if node.operator == Aggregation::LimitRatio {
            return self.limit_ratio(node, &values, parameter.span(), steps, sink);
        }
        let limits = self.limits(&values, steps)?;
        if limits.iter().all(|limit| *limit == 0) {
            return Ok(());
        }
        if node.operator == Aggregation::LimitK {
            return self.limit_k(node, &limits, steps, sink);
        }
        self.top(node, &limits, steps, sink)
    }

    /// `k` for each step.
    fn limits(&self, values: &Scalars, steps: &Steps) -> Evaluated<Vec<usize>> {
        (0..steps.count)
            .map(|step| {
                let k = values.at(step);
                if k.is_nan() {
                    return Err(EvalError::execution("Parameter value is NaN"));
                }
                if k >= 2f64.powi(63) {
                    return Err(EvalError::execution(format!("Scalar value {k} overflows int64")));
                }
                if k < -(2f64.powi(63)) {
                    return Err(EvalError::execution(format!("Scalar value {k} underflows int64")));
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Ok(if k >= 1.0 { k as usize } else { 0 })
            })
            .collect()
    }

    fn top(
        &self,
        node: &Aggregate,
        limits: &[usize],
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let top = node.operator == Aggregation::TopK;
        // Whether `a` is to be preferred to `b`; NaN to nothing.
        let better =
            |a: f64, b: f64| (if top { a > b } else { a < b }) || (b.is_nan() && !a.is_nan());
        let grouping = Grouping::new(node);
        let mut order: Vec<Picked> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        let mut seen: Vec<Seen> = Vec::new();
        self.vector(&node.inner, steps, &mut |series| {
            let key = grouping.key(&series.labels);
            let place = *places.entry(key).or_insert_with(|| {
                order.push(Picked { best: vec![Vec::new(); steps.count], taken: Vec::new() });
                order.len() - 1
            });
            if series.points.has_histograms() {
                self.note(Note::HistogramIgnored(node.operator.name()), node.inner.span());
            }
            let mut used = false;
            for (step, limit) in limits.iter().enumerate() {
                let Some(value) = series.points.float(step) else { continue };
                let best = &mut order[place].best[step];
                if best.len() >= *limit {
                    if *limit == 0 || !better(value, best[0].0) {
                        continue;
                    }
                    best.remove(0);
                } else {
                    self.hold(1)?;
                }
                // Before its equals, which came earlier and stay preferred.
                let at = best.partition_point(|(other, _)| better(value, *other));
                best.insert(at, (value, seen.len()));
                used = true;
            }
            if used {
                let (labels, drop_name) = (series.labels, series.drop_name);
                seen.push(Seen { labels, drop_name, points: None });
            }
            self.give_back(series.points);
            Ok(())
        })?;
        for group in order {
            let mut first: Vec<usize> = Vec::new();
            for (step, best) in group.best.iter().enumerate() {
                for (value, series) in best.iter().rev() {
                    let points = seen[*series].points.get_or_insert_with(|| {
                        first.push(*series);
                        Points::absent(steps.count)
                    });
                    points.floats[step] = *value;
                }
            }
            for series in first {
                let seen = &mut seen[series];
                if let Some(points) = seen.points.take() {
                    let labels = seen.labels.clone();
                    sink(Series { labels, drop_name: seen.drop_name, points })?;
                }
            }
        }
        Ok(())
    }

    fn limit_k(
        &self,
        node: &Aggregate,
        limits: &[usize],
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let grouping = Grouping::new(node);
        let mut groups: HashMap<Labels, Picked> = HashMap::new();
        self.vector(&node.inner, steps, &mut |mut series| {
            let group = groups
                .entry(grouping.key(&series.labels))
                .or_insert_with(|| Picked { best: Vec::new(), taken: vec![0; steps.count] });
            for (step, limit) in limits.iter().enumerate() {
                if !series.points.is_present(step) {
                    continue;
                }
                if group.taken[step] < *limit {
                    group.taken[step] += 1;
                } else {
                    series.points.remove(step);
                }
            }
            if series.points.is_empty() { Ok(()) } else { sink(series) }
        })
    }

    fn limit_ratio(
        &self,
        node: &Aggregate,
        ratios: &Scalars,
        span: Span,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let mut used = Vec::with_capacity(steps.count);
        for step in 0..steps.count {
            let ratio = ratios.at(step);
            if ratio.is_nan() {
                return Err(EvalError::execution("Ratio value is NaN"));
            }
            let capped = ratio.clamp(-1.0, 1.0);
            if capped != ratio {
                self.note(Note::Ratio(ratio, capped), span);
            }
            used.push(capped);
        }
        self.vector(&node.inner, steps, &mut |mut series| {
            // 0–1, evenly spread over label sets: the hash that Prometheus uses, over the same
            // bytes, so that both pick the same series.
            #[allow(clippy::cast_precision_loss)]
            let place = xxh64(series.labels.as_bytes(), 0) as f64 / u64::MAX as f64;
            for (step, ratio) in used.iter().enumerate() {
                let taken = if *ratio >= 0.0 { place < *ratio } else { place >= 1.0 + *ratio };
                let all = ratio.abs() == 1.0;
                if !taken && !all {
                    series.points.remove(step);
                }
            }
            if series.points.is_empty() { Ok(()) } else { sink(series) }
        })
    }
}
