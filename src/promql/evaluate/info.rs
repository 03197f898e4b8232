//! `info()`: labels from info metrics.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;

use super::super::syntax::{At, Call, Expr, Length, Selector};
use super::super::{EvalError, Extension, Point, Span};
use super::points::{Points, Series, Steps};
use super::select::{Cursor, Place};
use super::{Evaluated, Evaluator, Sink};
use crate::model::{Labels, METRIC_NAME, Matcher, Pattern, Test, Timestamp};

/// The labels by which an info series and a series are known to be about the same thing.
const IDENTIFYING: [&str; 2] = ["instance", "job"];
const DEFAULT_INFO: &str = "target_info";

/// Which info metrics and which of their labels are asked for.
struct Wanted {
    names: Vec<Matcher>,
    /// By label.
    data: BTreeMap<String, Vec<Matcher>>,
}

impl Wanted {
    fn new(call: &Call) -> Self {
        let mut wanted = Self { names: Vec::new(), data: BTreeMap::new() };
        if let Some(Expr::Selector(selector)) = call.arguments.get(1) {
            for matcher in &selector.matchers {
                if matcher.name() == METRIC_NAME {
                    wanted.names.push(matcher.clone());
                } else {
                    wanted.data.entry(matcher.name().to_owned()).or_default().push(matcher.clone());
                }
            }
        }
        if wanted.names.is_empty() {
            wanted.names.push(Matcher::metric(DEFAULT_INFO));
        } else if !wanted.names.iter().any(|m| matches!(m.test(), Test::Equal(_) | Test::Match(_)))
            && let Ok(all) = Pattern::new(".+_info")
        {
            // Only names that are not wanted: of all info metrics, the others.
            wanted.names.push(Matcher::new(METRIC_NAME, Test::Match(all)));
        }
        wanted
    }

    /// Whether a series is an info series itself and stays as it is.
    fn is_info(&self, labels: &Labels) -> bool {
        self.names.iter().all(|matcher| matcher.matches(labels))
    }

    /// Whether a label is asked for.
    fn takes(&self, label: &str) -> bool {
        self.data.is_empty() || self.data.contains_key(label)
    }

    fn accepts_nothing(&self) -> bool {
        self.data.values().flatten().all(|matcher| matcher.accepts(""))
    }
}

impl Evaluator<'_> {
    pub(super) fn info(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let wanted = Wanted::new(call);
        let base = self.all_series(&call.arguments[0], steps)?;
        let infos = self.info_series(&wanted, &base, &call.arguments[0], steps)?;
        let mut by_identity: HashMap<Labels, Vec<&InfoSeries>> = HashMap::new();
        for info in &infos {
            by_identity.entry(info.labels.only(&IDENTIFYING)).or_default().push(info);
        }
        self.merging(false, sink, |sink| {
            for series in base {
                if wanted.is_info(&series.labels) {
                    sink(series)?;
                    continue;
                }
                let identity = series.labels.only(&IDENTIFYING);
                let found = by_identity.get(&identity).map_or(&[][..], Vec::as_slice);
                let found = if identity.is_empty() { &[] } else { found };
                for enriched in enrich(&series, found, &wanted, steps)? {
                    sink(enriched)?;
                }
            }
            Ok(())
        })
    }

    /// The info series that may belong to the base series, at the times these are looked at.
    fn info_series(
        &self,
        wanted: &Wanted,
        base: &[Series],
        argument: &Expr,
        steps: &Steps,
    ) -> Evaluated<Vec<InfoSeries>> {
        let plain: Vec<&Series> = base.iter().filter(|s| !wanted.is_info(&s.labels)).collect();
        let identified = plain
            .iter()
            .any(|series| IDENTIFYING.iter().any(|name| series.labels.get(name).is_some()));
        if !identified {
            return Ok(Vec::new());
        }
        let mut matchers = wanted.names.clone();
        matchers.extend(wanted.data.values().flatten().filter(|m| !m.accepts("")).cloned());
        let (at, offset) = time_of(argument).unwrap_or((None, None));
        let selector = Selector {
            name: None,
            matchers,
            offset,
            at,
            extension: Extension::None,
            span: Span::default(),
        };
        let offset = self.offset_of(&selector)?;
        let pinned = self.pinned(at);
        let window = self.instant_window(&selector, steps)?;
        let mut infos = Vec::new();
        self.read(&selector.matchers, window, &mut |labels, columns| {
            let mut info = InfoSeries { labels: labels.clone(), times: vec![None; steps.count] };
            let mut cursor = Cursor::default();
            for step in 0..steps.count {
                let at = pinned.unwrap_or(steps.at(step)).saturating_sub(offset);
                match cursor.last(columns, at, self.lookback) {
                    Some(Place::Float(place)) => info.times[step] = Some(columns.times[place]),
                    Some(Place::Histogram(_)) => {
                        let message = "this should be an info metric, with float samples";
                        return Err(EvalError::execution(format!("{message}: {labels}")));
                    }
                    None => {}
                }
            }
            self.hold(steps.count)?;
            infos.push(info);
            Ok(())
        })?;
        Ok(infos)
    }
}

/// An info series, and at each step the instant of its sample, if there is one.
struct InfoSeries {
    labels: Labels,
    times: Vec<Option<Timestamp>>,
}

/// `@` and `offset` of the first selector or subquery: info series are looked at then.
fn time_of(expr: &Expr) -> Option<(Option<At>, Option<Length>)> {
    match expr {
        Expr::Selector(selector) => Some((selector.at, selector.offset.clone())),
        Expr::Range(range) => Some((range.selector.at, range.selector.offset.clone())),
        Expr::Subquery(subquery) if subquery.at.is_some() || subquery.offset.is_some() => {
            Some((subquery.at, subquery.offset.clone()))
        }
        other => other.children().into_iter().find_map(time_of),
    }
}

/// A series with the labels of its info series; one result for each set of labels that occurs.
fn enrich(
    series: &Series,
    infos: &[&InfoSeries],
    wanted: &Wanted,
    steps: &Steps,
) -> Evaluated<Vec<Series>> {
    let mut results: Vec<Series> = Vec::new();
    for step in 0..steps.count {
        let Some(point) = series.points.get(step) else { continue };
        let mut labels = series.labels.clone();
        let mut added: BTreeSet<String> = BTreeSet::new();
        // Of one metric's series the one with the newest sample counts.
        let mut newest: BTreeMap<&str, (Timestamp, &InfoSeries)> = BTreeMap::new();
        for info in infos {
            let Some(time) = info.times[step] else { continue };
            let name = info.labels.metric_name();
            match newest.get(name) {
                Some((other, _)) if *other > time => {}
                Some((other, existing)) if *other == time => {
                    return Err(EvalError::execution(format!(
                        "found duplicate series for info metric: {} and {}",
                        existing.labels, info.labels
                    )));
                }
                _ => {
                    newest.insert(name, (time, info));
                }
            }
        }
        let found = !newest.is_empty();
        for (_, info) in newest.values() {
            for (name, value) in &info.labels {
                if name == METRIC_NAME
                    || IDENTIFYING.contains(&name)
                    || !wanted.takes(name)
                    || series.labels.get(name).is_some()
                {
                    continue;
                }
                if added.contains(name) && labels.get(name) != Some(value) {
                    return Err(EvalError::execution(format!("conflicting label: {name}")));
                }
                added.insert(name.to_owned());
                labels = labels.with(name, value);
            }
        }
        if !found && !wanted.accepts_nothing() {
            continue;
        }
        put(&mut results, series, labels, step, point, steps.count);
    }
    Ok(results)
}

fn put(
    results: &mut Vec<Series>,
    series: &Series,
    labels: Labels,
    step: usize,
    point: Point,
    count: usize,
) {
    let at = match results.iter().position(|result| result.labels == labels) {
        Some(at) => at,
        None => {
            let points = Points::absent(count);
            results.push(Series { labels, drop_name: series.drop_name, points });
            results.len() - 1
        }
    };
    results[at].points.set(step, point);
}
