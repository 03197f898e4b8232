//! Classic histograms (`x_bucket`, `x_sum`, `x_count`) as native ones with custom buckets.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::syntax::parse_number;
use super::command::Loaded;
use crate::model::{Histogram, Labels, METRIC_NAME, Point, Span};

#[derive(Default)]
struct Parts {
    /// Upper border and cumulative count.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// All classic histograms among the series: labels, step, histogram.
pub(super) fn converted(series: &[Loaded]) -> Vec<(Labels, usize, Point)> {
    let mut all: BTreeMap<(Labels, usize), Parts> = BTreeMap::new();
    for loaded in series {
        let labels = &loaded.series.labels;
        let name = labels.metric_name();
        let Some((base, part)) = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| Some((name.strip_suffix(part)?, *part)))
        else {
            continue;
        };
        let border = labels.get("le").and_then(parse_number);
        if part == "_bucket" && border.is_none() {
            continue;
        }
        let own = labels.without(&["le"]).with(METRIC_NAME, base);
        for (step, value) in loaded.series.values.iter().enumerate() {
            let Some(Point::Float(value)) = value else { continue };
            let parts = all.entry((own.clone(), step)).or_default();
            match (part, border) {
                ("_bucket", Some(border)) => parts.buckets.push((border, *value)),
                ("_sum", _) => parts.sum = *value,
                _ => parts.count = Some(*value),
            }
        }
    }
    all.into_iter()
        .filter_map(|((labels, step), parts)| Some((labels, step, native(parts)?)))
        .collect()
}

fn native(mut parts: Parts) -> Option<Point> {
    if parts.buckets.is_empty() {
        return None;
    }
    parts.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let last = parts.buckets.last().map_or(0.0, |(_, count)| *count);
    let count = parts.count.unwrap_or(last);
    if parts.buckets.last().is_none_or(|(border, _)| *border != f64::INFINITY) {
        parts.buckets.push((f64::INFINITY, count));
    }
    let mut before = 0.0;
    let mut counts = Vec::with_capacity(parts.buckets.len());
    for (_, cumulative) in &parts.buckets {
        if *cumulative < before {
            return None;
        }
        counts.push(cumulative - before);
        before = *cumulative;
    }
    let length = u32::try_from(counts.len()).ok()?;
    Some(Point::Histogram(Arc::new(Histogram {
        schema: Histogram::CUSTOM_BUCKETS,
        count,
        sum: parts.sum,
        positive_spans: vec![Span { offset: 0, length }],
        positive: counts,
        custom_values: parts
            .buckets
            .iter()
            .map(|(border, _)| *border)
            .filter(|border| border.is_finite())
            .collect(),
        ..Histogram::default()
    })))
}
