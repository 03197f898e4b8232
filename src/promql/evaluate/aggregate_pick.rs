//! Aggregations that pick series of a group and leave them as they are.

use hashbrown::HashMap;

use xxhash_rust::xxh64::xxh64;

use super::super::syntax::{Aggregate, Aggregation};
use super::super::{EvalError, Span};
use super::aggregate::Grouping;
use super::notes::Note;
use super::points::{Points, Scalars, Series, Steps};
use super::{Evaluated, Evaluator, Sink};
use crate::model::Labels;

/// The best values of a group at one step as a heap, worst first, and the series they are from.
type Best = Vec<(f64, usize)>;

/// A binary heap in the order of steps of Go's, so that of equal values the same ones stay and
/// come first as in Prometheus.
struct Heap {
    top: bool,
}

impl Heap {
    /// Whether `a` is worse than `b`; NaN is worse than everything.
    fn is_before(&self, a: f64, b: f64) -> bool {
        a.is_nan() || if self.top { a < b } else { a > b }
    }

    fn push(&self, heap: &mut Best, item: (f64, usize)) {
        heap.push(item);
        let mut at = heap.len() - 1;
        while at > 0 && self.is_before(heap[at].0, heap[(at - 1) / 2].0) {
            heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Moves the root down to its place.
    fn sink(&self, heap: &mut Best) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= heap.len() {
                return;
            }
            if child + 1 < heap.len() && self.is_before(heap[child + 1].0, heap[child].0) {
                child += 1;
            }
            if !self.is_before(heap[child].0, heap[at].0) {
                return;
            }
            heap.swap(at, child);
            at = child;
        }
    }

    /// Best first.
    fn sort(&self, best: &mut Best) {
        best.sort_by(|a, b| {
            let key = |x: f64| {
                if x.is_nan() {
                    f64::NEG_INFINITY
                } else if self.top {
                    x
                } else {
                    -x
                }
            };
            a.0.is_nan().cmp(&b.0.is_nan()).then_with(|| key(b.0).total_cmp(&key(a.0)))
        });
    }
}

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
        let heap = Heap { top };
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
                if best.len() < *limit {
                    self.hold(1)?;
                    heap.push(best, (value, seen.len()));
                } else if *limit > 0 && heap.is_before(best[0].0, value) && !value.is_nan()
                    || *limit > 0 && best[0].0.is_nan() && !value.is_nan()
                {
                    best[0] = (value, seen.len());
                    heap.sink(best);
                } else {
                    continue;
                }
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
            for (step, mut best) in group.best.into_iter().enumerate() {
                heap.sort(&mut best);
                for (value, series) in &best {
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
