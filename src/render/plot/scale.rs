//! Where the lines of an axis are, and what stands beside them.

use jiff::tz::TimeZone;

use crate::model::Timestamp;

/// A mark on an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark<T> {
    pub(super) at: T,
    pub(super) label: String,
}

/// The values that an axis shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Span {
    /// From all values there are, with some air; from zero where that costs little.
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        let bounds = values.filter(|value| value.is_finite() && value.abs() < 1e300);
        let (low, high) = bounds.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return Self { low: 0.0, high: 1.0 };
        }
        let air = match high - low {
            0.0 if low == 0.0 => 1.0,
            0.0 => low.abs() * 0.2,
            length => length * 0.1,
        };
        let from_zero = low >= 0.0 && (low == 0.0 || low < high * 0.5);
        let low = if from_zero { 0.0 } else { low - air };
        Self { low, high: high + air }
    }

    /// 0 at the bottom, 1 at the top.
    pub(super) fn part(self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// Three to six round values.
    pub(super) fn marks(self, comma: bool) -> Vec<Mark<f64>> {
        let rough = (self.high - self.low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
        let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(power * 10.0);
        let mut marks = Vec::new();
        let mut number = (self.low / step).ceil();
        while number * step <= self.high && marks.len() < 10 {
            let at = number * step;
            marks.push(Mark { at, label: value(at, step, comma) });
            number += 1.0;
        }
        marks
    }
}

/// A value with the digits that tell it from its neighbours, and a letter for its size.
pub(super) fn value(value: f64, step: f64, comma: bool) -> String {
    let size = value.abs().max(step.abs());
    let (unit, letter) = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")]
        .into_iter()
        .find(|(unit, _)| size >= *unit)
        .map_or((1.0, ""), |(unit, letter)| (if unit == 1e4 { 1e3 } else { unit }, letter));
    if size > 0.0 && size < 1e-4 {
        return format!("{value:.0e}");
    }
    let digits = (-(step / unit).abs().log10().floor()).clamp(0.0, 6.0);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to 6
    let text = format!("{:.*}{letter}", digits as usize, value / unit);
    let text = if value == 0.0 { "0".to_owned() } else { text };
    if comma { text.replace('.', ",") } else { text }
}

/// Distances between marks of time, in seconds.
const STEPS: [i64; 15] = [
    60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800,
    2_592_000,
];

/// Round times of day in a zone; at most `most`.
pub(super) fn times(
    from: Timestamp,
    to: Timestamp,
    zone: &TimeZone,
    german: bool,
    most: i64,
) -> Vec<Mark<Timestamp>> {
    let (from, to) = (from.millis().div_euclid(1000), to.millis().div_euclid(1000));
    let fits = |step: &i64| to.saturating_sub(from) / step <= most;
    let step = STEPS.into_iter().find(fits).unwrap_or(2_592_000);
    let mut marks = Vec::new();
    let mut at = from - from.rem_euclid(60);
    while at <= to && marks.len() < 50 {
        let Ok(instant) = jiff::Timestamp::from_second(at) else { break };
        let local = instant.to_zoned(zone.clone());
        // On the hours of the wall, which a zone with an odd offset has elsewhere than UTC.
        let wall = at + i64::from(local.offset().seconds());
        let late = wall.rem_euclid(step);
        if late == 0 && at >= from {
            let label = match step {
                86_400.. if german => local.strftime("%d.%m.").to_string(),
                86_400.. => local.strftime("%m-%d").to_string(),
                _ => local.strftime("%H:%M").to_string(),
            };
            marks.push(Mark { at: Timestamp::from_millis(at * 1000), label });
        }
        at += step - late;
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        let labels = |low, high| {
            let marks = Span { low, high }.marks(false);
            marks.into_iter().map(|mark| mark.label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(0.0, 1.0), "0 0.5 1.0");
        assert_eq!(labels(0.0, 2.2), "0 1 2");
        assert_eq!(labels(-3.0, 11.0), "0 5 10");
        assert_eq!(labels(0.0, 45_000.0), "0 20k 40k");
        assert_eq!(labels(0.0, 3.3e9), "0 1G 2G 3G");
        assert_eq!(labels(0.0, 0.004), "0 0.001 0.002 0.003 0.004");
        assert_eq!(value(1.5, 0.5, true), "1,5");
        assert_eq!(value(3e-7, 1e-7, false), "3e-7");
    }

    #[test]
    fn any_values_give_an_axis() {
        assert_eq!(Span::of([].into_iter()), Span { low: 0.0, high: 1.0 });
        assert_eq!(Span::of([0.0].into_iter()), Span { low: 0.0, high: 1.0 });
        assert_eq!(Span::of([f64::NAN, 1.0, 9.0].into_iter()).low, 0.0);
        let high = Span::of([98.0, 99.0].into_iter());
        assert!(high.low > 97.0 && high.high < 100.0, "{high:?}");
        for (low, high) in [(0.0, f64::MAX), (-1e300, 1e300), (1.0, 1.0 + 1e-16)] {
            assert!(Span::of([low, high].into_iter()).marks(false).len() <= 10);
        }
    }

    #[test]
    fn times_are_those_of_the_readers_wall() {
        let zone = crate::render::texts::zone("Asia/Kolkata");
        let noon = 1_763_805_600_000;
        let (from, to) = (Timestamp::from_millis(noon), Timestamp::from_millis(noon + 10_800_000));
        let labels: Vec<String> =
            times(from, to, &zone, false, 6).into_iter().map(|mark| mark.label).collect();
        assert_eq!(labels, ["15:30", "16:00", "16:30", "17:00", "17:30", "18:00", "18:30"]);
        let week = Timestamp::from_millis(noon + 7 * 86_400_000);
        let labels: Vec<String> =
            times(from, week, &TimeZone::UTC, true, 7).into_iter().map(|mark| mark.label).collect();
        assert_eq!(labels[0], "23.11.");
        assert_eq!(labels.len(), 7);
    }
}
