use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::super::Point;
use crate::model::{Histogram, Labels, STALE, Timestamp, is_stale};

/// The instants at which an expression is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub start: i64,
    /// More than zero.
    pub step: i64,
    pub count: usize,
}

impl Steps {
    /// One instant.
    pub fn once(at: i64) -> Self {
        Self { start: at, step: 1, count: 1 }
    }

    /// From `start` to at most `end`; none when `end` is earlier.
    pub fn between(start: i64, end: i64, step: i64) -> Self {
        let count = if end < start { 0 } else { end.abs_diff(start) / step.unsigned_abs() + 1 };
        Self { start, step, count: usize::try_from(count).unwrap_or(usize::MAX) }
    }

    #[allow(clippy::cast_possible_wrap)]
    pub fn at(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    pub fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// A number, or a different one at each step.
#[derive(Clone, Debug)]
pub(super) enum Scalars {
    Constant(f64),
    Each(Vec<f64>),
}

impl Scalars {
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Each(values) => values.get(step).copied().unwrap_or(f64::NAN),
        }
    }

    pub fn map(self, f: impl Fn(f64) -> f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(f(value)),
            Self::Each(mut values) => {
                for value in &mut values {
                    *value = f(*value);
                }
                Self::Each(values)
            }
        }
    }
}

/// A number for each step; rules have only one.
pub(super) type Floats = SmallVec<[f64; 1]>;

/// The values of one series at all steps. An absent value is the staleness marker in `floats`,
/// which no computation can yield; a histogram's place holds it too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Points {
    pub floats: Floats,
    /// Empty when there is no histogram, else as long as `floats`.
    pub histograms: Vec<Option<Arc<Histogram>>>,
}

impl Points {
    /// No values at all.
    pub fn absent(count: usize) -> Self {
        Self { floats: smallvec![STALE; count], histograms: Vec::new() }
    }

    pub fn get(&self, step: usize) -> Option<Point> {
        let float = self.floats[step];
        if !is_stale(float) {
            return Some(Point::Float(float));
        }
        self.histogram(step).map(|histogram| Point::Histogram(Arc::clone(histogram)))
    }

    pub fn float(&self, step: usize) -> Option<f64> {
        Some(self.floats[step]).filter(|value| !is_stale(*value))
    }

    pub fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step).and_then(Option::as_ref)
    }

    pub fn is_present(&self, step: usize) -> bool {
        !is_stale(self.floats[step]) || self.histogram(step).is_some()
    }

    pub fn set(&mut self, step: usize, point: Point) {
        match point {
            Point::Float(value) => {
                self.floats[step] = value;
                if let Some(slot) = self.histograms.get_mut(step) {
                    *slot = None;
                }
            }
            Point::Histogram(histogram) => {
                self.floats[step] = STALE;
                if self.histograms.is_empty() {
                    self.histograms.resize(self.floats.len(), None);
                }
                self.histograms[step] = Some(histogram);
            }
        }
    }

    pub fn remove(&mut self, step: usize) {
        self.floats[step] = STALE;
        if let Some(slot) = self.histograms.get_mut(step) {
            *slot = None;
        }
    }

    pub fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// Whether there is no value at any step.
    pub fn is_empty(&self) -> bool {
        self.floats.iter().all(|value| is_stale(*value))
            && self.histograms.iter().all(Option::is_none)
    }

    /// Changes each number; histograms vanish.
    pub fn map_floats(&mut self, f: impl Fn(f64) -> f64) {
        self.histograms.clear();
        for value in &mut self.floats {
            if !is_stale(*value) {
                *value = f(*value);
            }
        }
    }

    /// The values with their instants.
    pub fn into_timed(self, steps: &Steps) -> Vec<(Timestamp, Point)> {
        let mut all = Vec::with_capacity(self.floats.len());
        let timed = |step| Some((Timestamp::from_millis(steps.at(step)), self.get(step)?));
        all.extend((0..self.floats.len()).filter_map(timed));
        all
    }
}

/// One series of a vector at all steps.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub labels: Labels,
    /// With delayed name removal: the name goes at the end.
    pub drop_name: bool,
    pub points: Points,
}
