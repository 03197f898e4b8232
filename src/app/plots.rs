//! Draws what an alert's expression looked like, from our own samples, within bounded time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::model::Timestamp;
use crate::ports::{Attachment, Clock, Doing, Draw, Plot, Queryable, Select};
use crate::promql::{self, Expr, Interrupt, Options, Value};
use crate::render::plot::{Chart, png};

/// The longest a message waits for its picture.
const LIMIT: Duration = Duration::from_secs(2);
/// Pictures drawn at the same time: they cost CPU that the probes want too.
const AT_ONCE: usize = 1;
/// Pictures kept: one for each of an owner's addresses is the same.
const KEPT: usize = 16;
/// The least and the longest time shown.
const SHORTEST: Duration = Duration::from_secs(3 * 3600);
const LONGEST: Duration = Duration::from_secs(48 * 3600);
/// What was measured for a part of that time only fills the picture, but for the first minutes.
const LEAST: Duration = Duration::from_secs(600);
/// Points of a curve.
const POINTS: u32 = 240;
/// Curves of a picture.
const CURVES: usize = 5;
/// 16 bytes each.
const SAMPLES: usize = 2_000_000;

/// Draws from a store.
pub struct Plotter {
    samples: Arc<dyn Queryable>,
    clock: Arc<dyn Clock>,
    turn: Arc<Semaphore>,
    kept: Mutex<VecDeque<(Plot, String, Attachment)>>,
}

impl Plotter {
    pub fn new(samples: Arc<dyn Queryable>, clock: Arc<dyn Clock>) -> Self {
        let turn = Arc::new(Semaphore::new(AT_ONCE));
        Self { samples, clock, turn, kept: Mutex::default() }
    }

    fn kept(&self, plot: &Plot, language: &str) -> Option<Attachment> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = kept.iter().find(|(known, tongue, _)| known == plot && tongue == language);
        same.map(|(_, _, picture)| picture.clone())
    }

    async fn picture(&self, plot: &Plot, language: &str) -> Option<Attachment> {
        if let Some(picture) = self.kept(plot, language) {
            return Some(picture);
        }
        // Whoever waited in line may find it drawn.
        let turn = self.turn.clone().acquire_owned().await.ok()?;
        if let Some(picture) = self.kept(plot, language) {
            return Some(picture);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let guard = SetOnDrop(stop.clone());
        let snapshot = self.samples.snapshot();
        let (wanted, tongue) = (plot.clone(), language.to_owned());
        let drawn = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            chart(&wanted, &tongue, &*snapshot, &stop).and_then(|chart| png(&chart))
        });
        let bytes = drawn.await.ok()??;
        drop(guard);
        let picture = Attachment {
            name: "plot.png".into(),
            mime: "image/png".into(),
            alt: plot.alt.as_str().into(),
            bytes: bytes.into(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((plot.clone(), language.to_owned(), picture.clone()));
        Some(picture)
    }
}

/// Ends the evaluation when nobody waits for it any more.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Draw for Plotter {
    fn draw<'a>(&'a self, plot: &'a Plot, language: &'a str) -> Doing<'a, Option<Attachment>> {
        Box::pin(async move {
            let end = self.clock.mono().after(LIMIT);
            tokio::select! {
                picture = self.picture(plot, language) => picture,
                () = self.clock.sleep_until(end) => None,
            }
        })
    }
}

/// What an alert looks at: the sides of the comparison at the top of its expression that are not
/// plain numbers, and the number.
fn looked_at(expr: &Expr) -> (Vec<&Expr>, Option<f64>) {
    let Expr::Binary(binary) = expr.unwrapped() else { return (vec![expr.unwrapped()], None) };
    // What is added to a condition only narrows it.
    if binary.operator.is_set() {
        return looked_at(&binary.left);
    }
    if !binary.operator.is_comparison() {
        return (vec![expr.unwrapped()], None);
    }
    match (number(&binary.left), number(&binary.right)) {
        (_, Some(threshold)) => (vec![&binary.left], Some(threshold)),
        (Some(threshold), None) => (vec![&binary.right], Some(threshold)),
        (None, None) => (vec![&binary.left, &binary.right], None),
    }
}

/// The value of an expression that is the same at all times.
fn number(expr: &Expr) -> Option<f64> {
    match expr.unwrapped() {
        Expr::Number(number) => Some(number.value),
        Expr::Unary(unary) => number(&unary.inner).map(|v| if unary.minus { -v } else { v }),
        Expr::Binary(binary) => {
            let (left, right) = (number(&binary.left)?, number(&binary.right)?);
            match binary.operator.symbol() {
                "+" => Some(left + right),
                "-" => Some(left - right),
                "*" => Some(left * right),
                "/" => Some(left / right),
                "^" => Some(left.powf(right)),
                _ => None,
            }
        }
        _ => None,
    }
}

fn chart(plot: &Plot, language: &str, store: &dyn Select, stop: &AtomicBool) -> Option<Chart> {
    let lasts = plot.until.since(plot.since).unwrap_or_default();
    let length = (lasts * 2).clamp(SHORTEST, LONGEST);
    let drawn = course(plot, language, store, stop, length)?;
    // A line in the last corner shows nobody anything.
    let first = drawn.curves.iter().filter_map(|curve| curve.first()).map(|(at, _)| *at).min();
    let known = first.and_then(|first| plot.until.since(first)).map(|known| known.max(LEAST));
    match known.filter(|known| *known < length / 2) {
        Some(known) => course(plot, language, store, stop, known),
        None => Some(drawn),
    }
}

/// The last `length` of it.
fn course(
    plot: &Plot,
    language: &str,
    store: &dyn Select,
    stop: &AtomicBool,
    length: Duration,
) -> Option<Chart> {
    let expr = promql::parse(&plot.expression).ok()?;
    let (shown, threshold) = looked_at(&expr);
    let (from, step) = (plot.until - length, length / POINTS);
    let interrupt = || stop.load(Ordering::Relaxed).then_some(Interrupt::Canceled);
    let options = Options { max_samples: SAMPLES, interrupt: &interrupt, ..Options::default() };
    let mut curves: Vec<Vec<(Timestamp, f64)>> = Vec::new();
    for expr in shown {
        let answer = promql::range(expr, store, from, plot.until, step, &options).ok()?;
        let Value::Matrix(series) = answer.value else { continue };
        let ours = series.into_iter().filter(|series| {
            let mut labels = series.labels.iter().filter(|(name, _)| *name != "__name__");
            labels.all(|(name, value)| plot.labels.get(name) == Some(value))
        });
        let points = ours.map(|series| {
            let values = series.points.into_iter();
            values.filter_map(|(at, point)| Some((at, point.float()?))).collect()
        });
        curves.extend(points.take(CURVES - curves.len()));
    }
    Some(Chart {
        curves,
        from,
        to: plot.until,
        join: i64::try_from(step.as_millis()).ok()?.saturating_mul(2),
        threshold,
        trouble: Some((plot.since, plot.until)),
        zone: plot.zone.clone(),
        language: language.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use crate::model::Point;
    use crate::promql::MemoryStore;

    #[test]
    fn the_threshold_is_the_number_that_is_compared_with() {
        for (text, shown, threshold) in [
            ("probe_confirmed_down == 1", "probe_confirmed_down", Some(1.0)),
            ("(up < -(2 * 3)) and on (a) b", "up", Some(-6.0)),
            ("14 * 86400 > (x - time())", "x - time()", Some(1_209_600.0)),
            ("max by (a) (x) > bool 0.5 unless y", "max by (a) (x)", Some(0.5)),
            ("absent(x)", "absent(x)", None),
            ("x > y", "x y", None),
        ] {
            let expr = promql::parse(text).unwrap();
            let (parts, found) = looked_at(&expr);
            let parts: Vec<String> =
                parts.iter().map(|part| part.unwrapped().to_string()).collect();
            assert_eq!((parts.join(" "), found), (shown.to_owned(), threshold), "{text}");
        }
    }

    fn minute(number: i64) -> Timestamp {
        Timestamp::from_millis(1_763_805_600_000 + number * 60_000)
    }

    /// Two pages, one of which becomes slow.
    struct Pages(Arc<MemoryStore>);

    impl Queryable for Pages {
        fn snapshot(&self) -> crate::ports::Snapshot {
            self.0.clone()
        }
    }

    fn pages() -> Pages {
        let mut store = MemoryStore::new();
        for (target, slow) in [("a", 2.5), ("b", 0.1)] {
            let labels = [("__name__", "seconds"), ("target", target)];
            let labels = Labels::from_pairs(labels).unwrap();
            for number in 0..200 {
                let value = if number < 150 { 0.2 } else { slow };
                store.append(&labels, minute(number), Point::Float(value), None);
            }
        }
        Pages(Arc::new(store))
    }

    fn plot(expression: &str) -> Plot {
        Plot {
            expression: expression.to_owned(),
            labels: Labels::from_pairs([("alertname", "Slow"), ("target", "a")]).unwrap(),
            since: minute(150),
            until: minute(190),
            firing: true,
            zone: "UTC".to_owned(),
            alt: "a curve".to_owned(),
        }
    }

    #[test]
    fn an_alert_sees_its_own_series_and_the_threshold() {
        let stop = AtomicBool::new(false);
        let of = |expression: &str| chart(&plot(expression), "de", &*pages().snapshot(), &stop);
        let drawn = of("seconds > 2").unwrap();
        assert_eq!((drawn.curves.len(), drawn.threshold), (1, Some(2.0)));
        assert_eq!(drawn.to.since(drawn.from), Some(SHORTEST));
        let last = |drawn: &Chart| drawn.curves[0].last().map(|(_, value)| *value);
        assert_eq!(last(&drawn), Some(2.5));
        assert_eq!(last(&of("sum(seconds) > 2").unwrap()), Some(2.6));
        assert!(of("nothing > 2").unwrap().curves.is_empty());
        assert_eq!(of("seconds >"), None);
        stop.store(true, Ordering::Relaxed);
        // Stopped between pieces of work: a small one may be done already.
        let _ = of("seconds > 2");
    }

    #[test]
    fn what_was_measured_for_minutes_only_fills_the_picture() {
        let mut store = MemoryStore::new();
        let labels = Labels::from_pairs([("__name__", "seconds"), ("target", "a")]).unwrap();
        for number in 170..=190 {
            store.append(&labels, minute(number), Point::Float(1.0), None);
        }
        let stop = AtomicBool::new(false);
        let drawn = chart(&plot("seconds > 2"), "de", &store, &stop).unwrap();
        let shown = drawn.to.since(drawn.from).unwrap();
        assert!(shown >= LEAST && shown < Duration::from_secs(1_300), "{shown:?}");
        assert!(png(&drawn).is_some());
    }

    #[tokio::test]
    async fn the_same_picture_is_drawn_once() {
        let clock = Arc::new(crate::ports::SystemClock::start());
        let plotter = Plotter::new(Arc::new(pages()), clock);
        let first = plotter.picture(&plot("seconds > 2"), "de").await.unwrap();
        assert!(first.bytes.starts_with(b"\x89PNG"));
        assert_eq!(&*first.alt, "a curve");
        let again = plotter.picture(&plot("seconds > 2"), "de").await.unwrap();
        assert!(Arc::ptr_eq(&first.bytes, &again.bytes));
        assert_eq!(plotter.picture(&plot("nothing > 2"), "de").await, None);
    }
}
