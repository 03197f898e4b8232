use std::fmt::Write;
use std::time::Duration;

use crate::exposition::float_text;
use crate::model::Timestamp;
use crate::promql::{Point, SeriesPoints};

/// Most lines that are drawn; more cannot be told apart.
const MAX_LINES: usize = 8;
/// A longer pause than this is a gap in the line.
const GAP: Duration = Duration::from_secs(60);

/// Lines in a field from (70, 10) to (890, 230).
pub(super) struct Plot {
    pub(super) low: String,
    pub(super) high: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) lines: Vec<Line>,
}

/// A line without gaps; the lines of one series have one class.
pub(super) struct Line {
    pub(super) class: usize,
    pub(super) points: String,
}

/// `None` when there is nothing to draw.
pub(super) fn draw(
    series: &[SeriesPoints],
    start: Timestamp,
    end: Timestamp,
    clock: impl Fn(Timestamp) -> String,
) -> Option<Plot> {
    let series: Vec<Vec<(Timestamp, f64)>> =
        series.iter().take(MAX_LINES).map(|series| numbers(series)).collect();
    let values = || series.iter().flatten().map(|(_, value)| *value);
    let (low, high) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
    // A level line stands in the middle.
    let (low, high) = if low == high { (low - 1.0, high + 1.0) } else { (low, high) };
    let x = |at: Timestamp| {
        70.0 + 820.0 * (at.seconds() - start.seconds()) / (end.seconds() - start.seconds())
    };
    // Halved first, so that the distance of two huge numbers is a number.
    let y = |value: f64| 230.0 - 220.0 * (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
    let mut lines = Vec::new();
    for (class, points) in series.iter().enumerate() {
        for run in points.chunk_by(|a, b| b.0.since(a.0).is_some_and(|pause| pause <= GAP)) {
            let mut text = String::with_capacity(run.len() * 12);
            for (at, value) in run {
                // Writing into a String cannot fail.
                let _ = write!(text, "{:.1},{:.1} ", x(*at), y(*value));
            }
            lines.push(Line { class, points: text.trim_end().to_owned() });
        }
    }
    let (low, high) = (float_text(low), float_text(high));
    Some(Plot { low, high, start: clock(start), end: clock(end), lines })
}

fn numbers(series: &SeriesPoints) -> Vec<(Timestamp, f64)> {
    let number = |(at, point): &(Timestamp, Point)| {
        point.float().filter(|value| value.is_finite()).map(|value| (*at, value))
    };
    series.points.iter().filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;

    fn drawn(points: &[(i64, f64)]) -> Option<Plot> {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let points = points.iter().map(|(s, value)| (at(*s), Point::Float(*value))).collect();
        let series = SeriesPoints { labels: Labels::empty(), points };
        draw(&[series], at(0), at(100), |at| at.seconds().to_string())
    }

    #[test]
    fn lines_have_gaps_where_nothing_was_measured() {
        let plot = drawn(&[(0, 1.0), (30, 2.0), (100, 3.0)]).unwrap();
        let lines: Vec<_> = plot.lines.iter().map(|line| line.points.as_str()).collect();
        assert_eq!(lines, ["70.0,230.0 316.0,120.0", "890.0,10.0"]);
        assert_eq!((plot.low.as_str(), plot.high.as_str(), plot.end.as_str()), ("1", "3", "100"));
    }

    #[test]
    fn odd_numbers_are_drawn_or_left_out() {
        assert!(drawn(&[]).is_none());
        assert!(drawn(&[(0, f64::NAN), (1, f64::INFINITY)]).is_none());
        assert_eq!(drawn(&[(0, 5.0)]).unwrap().lines[0].points, "70.0,120.0");
        let huge = drawn(&[(0, f64::MIN), (100, f64::MAX)]).unwrap();
        assert_eq!(huge.lines[0].points, "70.0,230.0");
        assert_eq!(huge.lines[1].points, "890.0,10.0");
    }
}
