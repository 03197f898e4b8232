//! The functions that panels and rules ask for most, over series of numbers alone: each sample
//! enters and leaves a window once, whatever the window's length is.

use super::over_time::Kernel;
use super::points::Steps;
use super::rate::{Edges, Kind};
use super::window::RangeSeries;
use super::{Evaluator, Points};
use crate::model::Timestamp;

/// Fewer samples in a window than this are added up one by one.
const SHORT: usize = 8;
/// Largest ratio of the largest to the smallest magnitude for which running sums are exact to more
/// digits than a sum of the window alone would be.
const SAFE_RATIO: f64 = 1e9;

impl Evaluator<'_> {
    /// Computes a kernel for all steps, if there is a quick way for this series.
    pub(super) fn quick(
        &self,
        kernel: Kernel,
        range: &RangeSeries<'_>,
        steps: &Steps,
        points: &mut Points,
    ) -> bool {
        let columns = range.columns;
        if !columns.histograms.is_empty() || range.is_extended() {
            return false;
        }
        let (times, values) = (&columns.times[..], &columns.values[..]);
        let out = &mut points.floats;
        match kernel {
            Kernel::Rate(kind) if columns.starts.is_empty() => rate(range, steps, kind, out),
            #[allow(clippy::cast_precision_loss)]
            Kernel::Count => windows(range, steps, |step, _, _, low, high| {
                out[step] = (high - low) as f64;
            }),
            Kernel::Present => windows(range, steps, |step, _, _, _, _| out[step] = 1.0),
            Kernel::Sum { average } => {
                let samples_per_window = times.len() / spanned(times, range.length);
                // Running sums pay when windows overlap.
                let overlap = samples_per_window.saturating_mul(steps.count) >= 3 * times.len();
                if samples_per_window < SHORT || !overlap || !is_even(values) {
                    return false;
                }
                sums(range, steps, average, out);
            }
            Kernel::Extreme { larger: true } => {
                extremes(range, steps, |new, old| new >= old, out);
            }
            Kernel::Extreme { larger: false } => {
                extremes(range, steps, |new, old| new <= old, out);
            }
            _ => return false,
        }
        true
    }
}

/// How many windows of this length fit between the first and the last sample; at least one.
fn spanned(times: &[Timestamp], length: i64) -> usize {
    match (times.first(), times.last()) {
        (Some(first), Some(last)) => {
            let windows = (last.millis() - first.millis()) / length.max(1);
            usize::try_from(windows).unwrap_or(0) + 1
        }
        _ => 1,
    }
}

/// Whether the values are finite and of magnitudes that running sums keep apart.
fn is_even(values: &[f64]) -> bool {
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for value in values {
        let magnitude = value.abs();
        if !magnitude.is_finite() {
            return false;
        }
        if magnitude > 0.0 {
            least = least.min(magnitude);
        }
        most = most.max(magnitude);
    }
    most < 1e100 && (most == 0.0 || (least > 1e-100 && most / least <= SAFE_RATIO))
}

/// Calls `f(step, start, end, low, high)` for each window that holds the samples `low..high`.
#[inline]
fn windows(
    range: &RangeSeries<'_>,
    steps: &Steps,
    mut f: impl FnMut(usize, i64, i64, usize, usize),
) {
    let times = &range.columns.times[..];
    let (mut low, mut high) = (0, 0);
    for step in 0..steps.count {
        let end = range.pinned.unwrap_or(steps.at(step)).saturating_sub(range.offset);
        let start = end.saturating_sub(range.length);
        if times.last().is_some_and(|last| last.millis() <= end) {
            high = times.len();
        }
        while high < times.len() && times[high].millis() <= end {
            high += 1;
        }
        while low < high && times[low].millis() <= start {
            low += 1;
        }
        if low < high {
            f(step, start, end, low, high);
        }
    }
}

fn rate(range: &RangeSeries<'_>, steps: &Steps, kind: Kind, out: &mut [f64]) {
    let (times, values) = (&range.columns.times[..], &range.columns.values[..]);
    // Where the counter began anew: rarely anywhere.
    let falls = |at: &usize| values[*at] < values[*at - 1];
    // All pairs are looked at, without a branch between them.
    let fallen = values.iter().zip(values.iter().skip(1)).fold(false, |any, (a, b)| any | (b < a));
    let resets: Vec<usize> =
        if kind.counter && fallen { (1..values.len()).filter(falls).collect() } else { Vec::new() };
    let mut next_reset = 0;
    windows(range, steps, |step, start, end, low, high| {
        let (first, last) = (values[low], values[high - 1]);
        let mut change = last - first;
        while next_reset < resets.len() && resets[next_reset] <= low {
            next_reset += 1;
        }
        for reset in resets[next_reset..].iter().take_while(|reset| **reset < high) {
            change += values[reset - 1];
        }
        let edges = Edges {
            first: times[low].millis(),
            last: times[high - 1].millis(),
            samples: high - low,
            start: None,
        };
        if let Some(factor) = edges.factor((start, end), kind, (first, change), range.length) {
            out[step] = change * factor;
        }
    });
}

/// A sum of two numbers that do not overlap: 106 bits.
#[derive(Clone, Copy, Default)]
struct Double {
    high: f64,
    low: f64,
}

impl Double {
    fn plus(self, value: f64) -> Self {
        let sum = self.high + value;
        let part = sum - self.high;
        let error = (self.high - (sum - part)) + (value - part) + self.low;
        let high = sum + error;
        Self { high, low: error - (high - sum) }
    }

    fn minus(self, other: Self) -> f64 {
        let difference = self.high - other.high;
        let part = difference - self.high;
        let error = (self.high - (difference - part)) - (other.high + part);
        difference + (error + (self.low - other.low))
    }
}

fn sums(range: &RangeSeries<'_>, steps: &Steps, average: bool, out: &mut [f64]) {
    let values = &range.columns.values[..];
    let mut sums = Vec::with_capacity(values.len() + 1);
    let mut sum = Double::default();
    sums.push(sum);
    for value in values {
        sum = sum.plus(*value);
        sums.push(sum);
    }
    windows(range, steps, |step, _, _, low, high| {
        let sum = sums[high].minus(sums[low]);
        #[allow(clippy::cast_precision_loss)]
        let count = (high - low) as f64;
        out[step] = if average { sum / count } else { sum };
    });
}

/// Largest or smallest value: a queue of the candidates, each better than those behind it. NaN
/// counts only where there is nothing else.
fn extremes(
    range: &RangeSeries<'_>,
    steps: &Steps,
    better: impl Fn(f64, f64) -> bool,
    out: &mut [f64],
) {
    let values = &range.columns.values[..];
    // A queue in a vector: `first` is its head.
    let mut queue: Vec<usize> = Vec::new();
    let (mut first, mut next) = (0, 0);
    windows(range, steps, |step, _, _, low, high| {
        while next < high {
            let value = values[next];
            if !value.is_nan() {
                while queue.len() > first
                    && queue.last().is_some_and(|last| better(value, values[*last]))
                {
                    queue.pop();
                }
                queue.push(next);
            }
            next += 1;
        }
        while first < queue.len() && queue[first] < low {
            first += 1;
        }
        out[step] = queue.get(first).map_or(f64::NAN, |at| values[*at]);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_sums_keep_small_values() {
        let mut sum = Double::default().plus(1e16);
        let before = sum;
        for _ in 0..1000 {
            sum = sum.plus(0.1);
        }
        assert!((sum.minus(before) - 100.0).abs() < 1e-12);
        assert!(is_even(&[0.0, -1.0, 1e8]) && !is_even(&[1e-5, 1e8]) && !is_even(&[f64::NAN]));
    }
}
