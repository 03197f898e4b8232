//! Functions of histograms: native ones and those made of `_bucket` series.

use hashbrown::HashMap;

use super::super::histogram::{fraction, quantile, variance};
use super::super::syntax::{Call, format_float_general, parse_number};
use super::super::{EvalError, Span};
use super::notes::Note;
use super::points::{Points, Scalars, Series, Steps};
use super::{Evaluated, Evaluator, METADATA_LABELS, Sink, text_of};
use crate::model::{Labels, METRIC_NAME};

const BUCKET_LABEL: &str = "le";

/// The series that make up one histogram.
struct Group {
    /// With the name, without `le`.
    labels: Labels,
    drop_name: bool,
    /// Upper border and cumulative count.
    buckets: Vec<(f64, Points)>,
    native: Option<Points>,
}

/// What is asked of each histogram.
enum Asked {
    Quantile(Scalars, Span),
    /// Label and quantiles.
    Quantiles(String, Vec<(Scalars, Span)>),
    Fraction(Scalars, Scalars),
}

impl Evaluator<'_> {
    pub(super) fn distribution(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let scalar = |at: usize| self.scalars(&call.arguments[at], steps);
        let (asked, argument) = match call.function.name {
            "histogram_quantile" => {
                (Asked::Quantile(scalar(0)?, call.arguments[0].span()), &call.arguments[1])
            }
            "histogram_fraction" => (Asked::Fraction(scalar(0)?, scalar(1)?), &call.arguments[2]),
            _ => {
                let quantiles = (2..call.arguments.len())
                    .map(|at| Ok((scalar(at)?, call.arguments[at].span())))
                    .collect::<Evaluated<_>>()?;
                (Asked::Quantiles(text_of(&call.arguments[1]), quantiles), &call.arguments[0])
            }
        };
        match &asked {
            Asked::Quantile(q, span) => self.check_quantile(q, *span, steps),
            Asked::Quantiles(_, all) => {
                all.iter().for_each(|(q, span)| self.check_quantile(q, *span, steps));
            }
            Asked::Fraction(..) => {}
        }
        let mut groups: Vec<Group> = Vec::new();
        let mut places: HashMap<Labels, usize> = HashMap::new();
        self.vector(argument, steps, &mut |series| {
            self.hold(series.points.floats.len())?;
            self.sort_into(series, argument.span(), &mut groups, &mut places)
        })?;
        for group in &mut groups {
            group.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        // Two histograms whose names differ may give the same labels.
        self.merging(false, sink, |sink| match &asked {
            Asked::Quantile(q, _) => groups.iter().try_for_each(|group| {
                let points = self.per_step(group, steps, argument.span(), |step, histogram| {
                    self.one_quantile(q.at(step), group, histogram, argument.span())
                });
                self.give(group, points, None, sink)
            }),
            Asked::Quantiles(label, quantiles) => groups.iter().try_for_each(|group| {
                if group.labels.get(label).is_some() && label != METRIC_NAME {
                    return Err(EvalError::execution(format!("label {label:?} is there already")));
                }
                quantiles.iter().try_for_each(|(q, _)| {
                    let points = self.per_step(group, steps, argument.span(), |step, histogram| {
                        self.one_quantile(q.at(step), group, histogram, argument.span())
                    });
                    self.give(group, points, Some((label, &quantile_label(q.at(0)))), sink)
                })
            }),
            Asked::Fraction(lower, upper) => groups.iter().try_for_each(|group| {
                let points = self.per_step(group, steps, argument.span(), |step, histogram| {
                    let (lower, upper) = (lower.at(step), upper.at(step));
                    match histogram {
                        Found::Native(histogram) => {
                            if histogram.sum.is_nan() {
                                self.note(Note::FractionNan(&group.labels), argument.span());
                            }
                            fraction(lower, upper, histogram)
                        }
                        Found::Classic(mut buckets) => bucket_fraction(lower, upper, &mut buckets),
                    }
                });
                self.give(group, points, None, sink)
            }),
        })
    }

    /// A quantile outside of 0–1 is noted even where there is no histogram.
    fn check_quantile(&self, q: &Scalars, span: Span, steps: &Steps) {
        for step in 0..steps.count {
            if !(0.0..=1.0).contains(&q.at(step)) {
                self.note(Note::Quantile(q.at(step)), span);
            }
        }
    }

    fn sort_into(
        &self,
        series: Series,
        span: Span,
        groups: &mut Vec<Group>,
        places: &mut HashMap<Labels, usize>,
    ) -> Evaluated<()> {
        let Series { labels, drop_name, points } = series;
        let mut floats = points.clone();
        floats.histograms.clear();
        if !floats.is_empty() {
            let border = labels.get(BUCKET_LABEL).unwrap_or("");
            match parse_number(border).filter(|_| !border.starts_with("0x")) {
                Some(upper) => {
                    let key = labels.without(&[BUCKET_LABEL]);
                    let at = place_of(key, drop_name, groups, places);
                    groups[at].buckets.push((upper, floats));
                }
                None => self.note(Note::BucketLabel(&labels, border), span),
            }
        }
        if points.has_histograms() {
            let at = place_of(labels, drop_name, groups, places);
            groups[at].native = Some(points);
        }
        Ok(())
    }

    /// One value for each step at which the group is a histogram.
    fn per_step(
        &self,
        group: &Group,
        steps: &Steps,
        span: Span,
        compute: impl Fn(usize, Found<'_>) -> f64,
    ) -> Points {
        let mut points = self.buffer(steps.count);
        for step in 0..steps.count {
            let buckets: Vec<(f64, f64)> = group
                .buckets
                .iter()
                .filter_map(|(upper, counts)| Some((*upper, counts.float(step)?)))
                .collect();
            let native = group.native.as_ref().and_then(|points| points.histogram(step));
            points.floats[step] = match native {
                Some(_) if !buckets.is_empty() => {
                    self.note(Note::MixedClassicNative(&group.labels), span);
                    continue;
                }
                Some(histogram) => compute(step, Found::Native(histogram)),
                None if !buckets.is_empty() => compute(step, Found::Classic(buckets)),
                None => continue,
            };
        }
        points
    }

    fn one_quantile(&self, q: f64, group: &Group, histogram: Found<'_>, span: Span) -> f64 {
        match histogram {
            Found::Native(histogram) => {
                let found = quantile(q, histogram);
                if found.nan_result {
                    self.note(Note::QuantileNanResult(&group.labels), span);
                }
                if found.nan_skew {
                    self.note(Note::QuantileNanSkew(&group.labels), span);
                }
                found.value
            }
            Found::Classic(mut buckets) => {
                let (value, forced) = bucket_quantile(q, &mut buckets);
                if forced {
                    self.note(Note::ForcedMonotonicity(&group.labels), span);
                }
                value
            }
        }
    }

    fn give(
        &self,
        group: &Group,
        points: Points,
        label: Option<(&String, &str)>,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        if points.is_empty() {
            return Ok(());
        }
        let delayed = self.options.delayed_name_removal;
        let mut labels =
            if delayed { group.labels.clone() } else { group.labels.without(&METADATA_LABELS) };
        let mut drop_name = delayed || group.drop_name;
        if let Some((name, value)) = label {
            labels = labels.with(name, value);
            drop_name &= name != METRIC_NAME;
        }
        sink(Series { labels, drop_name, points })
    }

    /// `histogram_count`, `histogram_sum` …: floats are left out.
    pub(super) fn histogram_property(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let argument = &call.arguments[0];
        let plain =
            matches!(call.function.name, "histogram_count" | "histogram_sum" | "histogram_avg");
        let evaluate =
            |sink: &mut Sink<'_>| self.with_hints(plain, || self.vector(argument, steps, sink));
        self.dropping(argument, false, sink, |sink| {
            evaluate(&mut |series| {
                if !series.points.has_histograms() {
                    return Ok(());
                }
                let mut points = self.buffer(steps.count);
                for step in 0..steps.count {
                    let Some(histogram) = series.points.histogram(step) else { continue };
                    points.floats[step] = match call.function.name {
                        "histogram_count" => histogram.count,
                        "histogram_sum" => histogram.sum,
                        "histogram_avg" => histogram.sum / histogram.count,
                        "histogram_stddev" => variance(histogram).sqrt(),
                        _ => variance(histogram),
                    };
                }
                if points.is_empty() {
                    return Ok(());
                }
                sink(Series { points, ..series })
            })
        })
    }
}

/// A quantile as OpenMetrics writes it in a label: always with a point.
fn quantile_label(q: f64) -> String {
    let text = format_float_general(q);
    let whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if whole { format!("{text}.0") } else { text }
}

fn place_of(
    key: Labels,
    drop_name: bool,
    groups: &mut Vec<Group>,
    places: &mut HashMap<Labels, usize>,
) -> usize {
    *places.entry(key.clone()).or_insert_with(|| {
        groups.push(Group { labels: key, drop_name, buckets: Vec::new(), native: None });
        groups.len() - 1
    })
}

/// A histogram at one step.
enum Found<'h> {
    Native(&'h crate::model::Histogram),
    /// Upper borders, ascending, and cumulative counts.
    Classic(Vec<(f64, f64)>),
}

/// Differences between neighbouring buckets below this share are rounding errors.
const ROUNDING: f64 = 1e-12;

/// Joins buckets with the same border and makes counts grow; whether they did not grow before.
fn repair(buckets: &mut Vec<(f64, f64)>) -> bool {
    let mut joined: Vec<(f64, f64)> = Vec::with_capacity(buckets.len());
    for (upper, count) in buckets.drain(..) {
        match joined.last_mut() {
            Some((last, sum)) if *last == upper => *sum += count,
            _ => joined.push((upper, count)),
        }
    }
    let mut forced = false;
    let mut before = joined.first().map_or(0.0, |(_, count)| *count);
    for (_, count) in joined.iter_mut().skip(1) {
        let same = (*count - before).abs() <= ROUNDING * count.abs().max(before.abs());
        if same {
            *count = before;
        } else if *count < before {
            *count = before;
            forced = true;
        }
        before = *count;
    }
    *buckets = joined;
    forced
}

fn bucket_quantile(q: f64, buckets: &mut Vec<(f64, f64)>) -> (f64, bool) {
    if q.is_nan() {
        return (f64::NAN, false);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, false);
    }
    if q > 1.0 {
        return (f64::INFINITY, false);
    }
    if buckets.last().is_none_or(|(upper, _)| *upper != f64::INFINITY) {
        return (f64::NAN, false);
    }
    let forced = repair(buckets);
    let last = buckets.len() - 1;
    let all = buckets[last].1;
    if buckets.len() < 2 || all == 0.0 {
        return (f64::NAN, false);
    }
    let rank = q * all;
    let at = buckets[..last].partition_point(|(_, count)| *count < rank || count.is_nan());
    if at == last {
        return (buckets[last - 1].0, forced);
    }
    let (upper, count) = buckets[at];
    if at == 0 && upper <= 0.0 {
        return (upper, forced);
    }
    let (lower, below) = if at == 0 { (0.0, 0.0) } else { buckets[at - 1] };
    (lower + (upper - lower) * ((rank - below) / (count - below)), forced)
}

fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<(f64, f64)>) -> f64 {
    if buckets.last().is_none_or(|(upper, _)| *upper != f64::INFINITY) {
        return f64::NAN;
    }
    repair(buckets);
    let all = buckets.last().map_or(0.0, |(_, count)| *count);
    if all == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        let mut below = 0.0;
        let mut border = f64::NEG_INFINITY;
        for (upper, count) in buckets.iter() {
            if border >= value {
                return below;
            }
            if *upper > value {
                let from = if border == f64::NEG_INFINITY && *upper > 0.0 { 0.0 } else { border };
                if from == f64::NEG_INFINITY {
                    return *count;
                }
                if value <= from || *upper == f64::INFINITY {
                    return below;
                }
                return below + (count - below) * (value - from) / (upper - from);
            }
            below = *count;
            border = *upper;
        }
        all
    };
    (rank_of(upper).min(all) - rank_of(lower).min(all)) / all
}
