//! Functions of each number on its own, and of dates.

use super::super::syntax::Call;
use super::points::{Scalars, Series, Steps};
use super::{Evaluated, Evaluator, Sink};
use crate::model::{Labels, is_stale};

/// Larger of two, NaN if one of them is (Rust's `max` prefers the number).
pub(super) fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Smaller of two, NaN if one of them is.
pub(super) fn smaller(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The function of one number with this name.
pub(super) fn of_number(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * 180.0 / std::f64::consts::PI,
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * std::f64::consts::PI / 180.0,
        "sgn" => |value| {
            if value > 0.0 {
                1.0
            } else if value < 0.0 {
                -1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        "day_of_month" => |value| Date::of(value).map_or(f64::NAN, |date| f64::from(date.day)),
        "day_of_week" => |value| (days(value) + 4).rem_euclid(7) as f64,
        "day_of_year" => {
            |value| Date::of(value).map_or(f64::NAN, |date| f64::from(date.day_of_year))
        }
        "days_in_month" => |value| {
            Date::of(value).map_or(f64::NAN, |date| f64::from(days_in_month(date.year, date.month)))
        },
        "hour" => |value| (whole_seconds(value).rem_euclid(86_400) / 3600) as f64,
        "minute" => |value| (whole_seconds(value).rem_euclid(3600) / 60) as f64,
        "month" => |value| Date::of(value).map_or(f64::NAN, |date| f64::from(date.month)),
        "year" => |value| Date::of(value).map_or(f64::NAN, |date| date.year as f64),
        _ => return None,
    })
}

/// A day of the Gregorian calendar in UTC.
struct Date {
    year: i64,
    month: u8,
    day: u8,
    day_of_year: u16,
}

/// Whole seconds since 1970. What does not fit (NaN too) is what Go makes of it: one second past
/// the last that fits.
#[allow(clippy::cast_possible_truncation)]
fn whole_seconds(seconds: f64) -> i128 {
    if (-(2f64.powi(63))..2f64.powi(63)).contains(&seconds) { seconds as i128 } else { 1i128 << 63 }
}

/// Days since 1970-01-01.
#[allow(clippy::cast_possible_truncation)]
fn days(seconds: f64) -> i64 {
    whole_seconds(seconds).div_euclid(86_400) as i64
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January.
fn new_year(year: i64) -> i64 {
    let before = year - 1;
    let leap_days = before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    (year - 1970) * 365 + leap_days - 477
}

impl Date {
    fn of(seconds: f64) -> Option<Self> {
        let days = days(seconds);
        // 146097 days are 400 years; the guess is off by at most one.
        let mut year = 1970 + (days.saturating_mul(400)).div_euclid(146_097);
        while new_year(year) > days {
            year -= 1;
        }
        while new_year(year + 1) <= days {
            year += 1;
        }
        let day_of_year = days - new_year(year);
        let (mut month, mut rest) = (1, day_of_year);
        while rest >= i64::from(days_in_month(year, month)) {
            rest -= i64::from(days_in_month(year, month));
            month += 1;
        }
        Some(Self {
            year,
            month,
            day: u8::try_from(rest + 1).ok()?,
            day_of_year: u16::try_from(day_of_year + 1).ok()?,
        })
    }
}

impl Evaluator<'_> {
    /// Functions that change each number of a vector.
    pub(super) fn elementwise(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
        f: fn(f64) -> f64,
    ) -> Evaluated<()> {
        let Some(argument) = call.arguments.first() else {
            // The date functions without argument take the time of the evaluation.
            let floats = (0..steps.count).map(|step| f(seconds(steps.at(step)))).collect();
            let points = super::Points { floats, histograms: Vec::new() };
            return sink(Series { labels: Labels::empty(), drop_name: false, points });
        };
        self.dropping(argument, false, sink, |sink| {
            self.vector(argument, steps, &mut |mut series| {
                series.points.map_floats(f);
                keep(self, series, sink)
            })
        })
    }

    /// `clamp`, `clamp_min`, `clamp_max`, `round`.
    pub(super) fn bounded(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let argument = &call.arguments[0];
        let scalars: Vec<Scalars> = call.arguments[1..]
            .iter()
            .map(|scalar| self.scalars(scalar, steps))
            .collect::<Evaluated<_>>()?;
        let bounds = |step: usize| match call.function.name {
            "clamp" => (scalars[0].at(step), scalars[1].at(step)),
            "clamp_min" => (scalars[0].at(step), f64::INFINITY),
            _ => (f64::NEG_INFINITY, scalars[0].at(step)),
        };
        let round = call.function.name == "round";
        self.dropping(argument, false, sink, |sink| {
            self.vector(argument, steps, &mut |mut series| {
                series.points.histograms.clear();
                for (step, value) in series.points.floats.iter_mut().enumerate() {
                    if is_stale(*value) {
                        continue;
                    }
                    if round {
                        let inverse = 1.0 / scalars.first().map_or(1.0, |to| to.at(step));
                        *value = (*value * inverse + 0.5).floor() / inverse;
                        continue;
                    }
                    let (low, high) = bounds(step);
                    *value = if high < low {
                        crate::model::STALE
                    } else {
                        larger(low, smaller(high, *value))
                    };
                }
                keep(self, series, sink)
            })
        })
    }
}

fn keep(evaluator: &Evaluator<'_>, series: Series, sink: &mut Sink<'_>) -> Evaluated<()> {
    if series.points.is_empty() {
        evaluator.give_back(series.points);
        return Ok(());
    }
    sink(series)
}

pub(super) fn seconds(millis: i64) -> f64 {
    crate::model::Timestamp::from_millis(millis).seconds()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right() {
        let of = |name: &str, at: f64| of_number(name).unwrap()(at);
        for (at, year, month, day, week, yearday) in [
            (0.0, 1970.0, 1.0, 1.0, 4.0, 1.0),
            (1_456_704_000.0, 2016.0, 2.0, 29.0, 1.0, 60.0),
            (-1.0, 1969.0, 12.0, 31.0, 3.0, 365.0),
            (4_102_444_799.0, 2099.0, 12.0, 31.0, 4.0, 365.0),
        ] {
            assert_eq!(of("year", at), year);
            assert_eq!(of("month", at), month);
            assert_eq!(of("day_of_month", at), day);
            assert_eq!(of("day_of_week", at), week);
            assert_eq!(of("day_of_year", at), yearday);
        }
        assert_eq!(of("days_in_month", 1_456_704_000.0), 29.0);
        assert_eq!(of("hour", 1_456_790_399.0), 23.0);
        assert_eq!(of("minute", 1_456_790_399.0), 59.0);
    }
}
