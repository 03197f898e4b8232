/// A running sum together with what rounding has cost so far (Neumaier's summation), so that
/// `1e100 + 1 - 1e100` is 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exact {
    pub value: f64,
    pub lost: f64,
}

impl Exact {
    pub fn new(value: f64) -> Self {
        Self { value, lost: 0.0 }
    }

    pub fn add(&mut self, more: f64) {
        let sum = self.value + more;
        if sum.is_infinite() {
            self.lost = 0.0;
        } else if self.value.abs() >= more.abs() {
            self.lost += (self.value - sum) + more;
        } else {
            self.lost += (more - sum) + self.value;
        }
        self.value = sum;
    }

    pub fn join(&mut self, other: Exact) {
        self.add(other.value);
        self.add(other.lost);
    }

    pub fn scale(&mut self, factor: f64) {
        self.value *= factor;
        self.lost *= factor;
    }

    pub fn divide(&mut self, divisor: f64) {
        self.value /= divisor;
        self.lost /= divisor;
    }

    pub fn get(self) -> f64 {
        if self.value.is_infinite() { self.value } else { self.value + self.lost }
    }
}

/// A running average: the sum divided by the number of values, until the sum would overflow; from
/// then on the average itself is carried along.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: Exact,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut sum = self.sum;
            sum.add(value);
            if self.count == 1.0 || sum.value.is_finite() || sum.value.is_nan() {
                self.sum = sum;
                return;
            }
            self.incremental = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.scale((self.count - 1.0) / self.count);
        self.sum.add(value / self.count);
    }

    pub fn get(self) -> f64 {
        if self.incremental {
            self.sum.get()
        } else if self.sum.value.is_infinite() {
            self.sum.value
        } else {
            self.sum.value / self.count + self.sum.lost / self.count
        }
    }
}

/// Running variance (Welford), with compensated sums.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variance {
    count: f64,
    mean: Exact,
    squares: Exact,
}

impl Variance {
    pub fn add(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean.get();
        self.mean.add(delta / self.count);
        self.squares.add(delta * (value - self.mean.get()));
    }

    pub fn get(self) -> f64 {
        self.squares.get() / self.count
    }
}

/// The φ-quantile, linearly between the two nearest values; NaN sorts first. Sorts `values`.
pub(super) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    #[allow(clippy::cast_precision_loss)]
    let last = (values.len() - 1) as f64;
    let rank = q * last;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Ascending, NaN before everything.
pub(super) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}
