//! A picture of what an alert looks at, over the last hours, with its threshold. Pure.
//!
//! The lines and the few characters are drawn by ourselves: a library for SVG with fonts costs
//! three megabytes of program and the memory of every font, for a picture that has one curve.

mod canvas;
mod letters;
mod scale;

use self::canvas::{Area, Canvas, Colour};
use self::scale::{Mark, Span};
use super::texts;
use crate::model::Timestamp;

/// Pixels. A phone shows it at half of that, a mail program as it is.
const WIDTH: usize = 720;
const HEIGHT: usize = 320;
/// Pixels for a unit of the letters.
const LETTER: f32 = 2.5;

const PAPER: Colour = [255, 255, 255];
const GRID: Colour = [225, 228, 232];
const INK: Colour = [87, 96, 106];
const CURVE: Colour = [9, 105, 218];
const OTHERS: [Colour; 4] = [[130, 80, 223], [191, 135, 0], [17, 99, 41], [110, 119, 129]];
const LIMIT: Colour = [207, 34, 46];
const TROUBLE: Colour = [255, 235, 233];

/// What to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Curves, the most important one first; instants ascending. At most five are drawn.
    pub curves: Vec<Vec<(Timestamp, f64)>>,
    /// First instant shown.
    pub from: Timestamp,
    /// Last instant shown.
    pub to: Timestamp,
    /// Longest distance, in milliseconds, at which two points are joined.
    pub join: i64,
    /// Where the alert begins.
    pub threshold: Option<f64>,
    /// When it began, and ended if it did.
    pub trouble: Option<(Timestamp, Timestamp)>,
    /// IANA zone of the times.
    pub zone: String,
    /// BCP 47 language of the figures.
    pub language: String,
}

/// The chart as a PNG file of 720 × 320 pixels, usually below 15 kB; `None` when there is nothing
/// to see: fewer than two points.
pub fn png(chart: &Chart) -> Option<Vec<u8>> {
    let shown =
        |(at, value): &&(Timestamp, f64)| value.is_finite() && chart.from <= *at && *at <= chart.to;
    // One point is no course.
    let drawn = |curve: &Vec<(Timestamp, f64)>| curve.iter().filter(shown).nth(1).is_some();
    if chart.to <= chart.from || !chart.curves.iter().any(drawn) {
        return None;
    }
    let values = chart.curves.iter().flatten().filter(shown).map(|(_, value)| *value);
    let values = Span::of(values.chain(chart.threshold));
    let german = chart.language.starts_with("de");
    let marks = values.marks(german);
    let beside = marks.iter().map(|mark| letters::width(&mark.label)).fold(0.0, f32::max);
    let frame = Area {
        left: beside * LETTER + 18.0,
        top: 12.0,
        right: side(WIDTH) - 12.0,
        bottom: side(HEIGHT) - 36.0,
    };
    let mut plot = Plot { chart, frame, values, canvas: Canvas::new(WIDTH, HEIGHT, PAPER) };
    plot.ground(&marks, german);
    for (number, curve) in chart.curves.iter().enumerate().take(1 + OTHERS.len()).rev() {
        let colour = number.checked_sub(1).and_then(|other| OTHERS.get(other)).unwrap_or(&CURVE);
        plot.curve(curve, *colour);
    }
    plot.threshold();
    Some(plot.canvas.png())
}

#[allow(clippy::cast_precision_loss)] // a few hundred
fn side(pixels: usize) -> f32 {
    pixels as f32
}

struct Plot<'a> {
    chart: &'a Chart,
    frame: Area,
    values: Span,
    canvas: Canvas,
}

impl Plot<'_> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // pixels
    fn x(&self, at: Timestamp) -> f32 {
        let millis = |at: Timestamp| at.millis().saturating_sub(self.chart.from.millis()) as f64;
        let part = millis(at) / millis(self.chart.to);
        self.frame.left + part.clamp(0.0, 1.0) as f32 * (self.frame.right - self.frame.left)
    }

    #[allow(clippy::cast_possible_truncation)] // pixels
    fn y(&self, value: f64) -> f32 {
        let part = self.values.part(value).clamp(0.0, 1.0) as f32;
        self.frame.bottom - part * (self.frame.bottom - self.frame.top)
    }

    fn ground(&mut self, marks: &[Mark<f64>], german: bool) {
        if let Some((from, to)) = self.chart.trouble {
            let (left, right) = (self.x(from), self.x(to).max(self.x(from) + 2.0));
            self.canvas.fill(Area { left, right, ..self.frame }, TROUBLE);
        }
        let Area { left, right, bottom, top } = self.frame;
        for mark in marks {
            let y = self.y(mark.at);
            self.canvas.stroke(&[(left, y), (right, y)], 1.0, GRID);
            let wide = letters::width(&mark.label) * LETTER;
            let at = (left - 10.0 - wide, y - letters::HEIGHT * LETTER / 2.0);
            self.canvas.write(&mark.label, at, LETTER, INK);
        }
        let zone = texts::zone(&self.chart.zone);
        let marks = scale::times(self.chart.from, self.chart.to, &zone, german, 6);
        for mark in marks {
            let x = self.x(mark.at);
            self.canvas.stroke(&[(x, top), (x, bottom + 5.0)], 1.0, GRID);
            let wide = letters::width(&mark.label) * LETTER;
            let at = (x - wide / 2.0).clamp(2.0, side(WIDTH) - wide - 2.0);
            self.canvas.write(&mark.label, (at, bottom + 12.0), LETTER, INK);
        }
        self.canvas.stroke(&[(left, top), (left, bottom), (right, bottom)], 1.5, INK);
    }

    /// Joined where the points are neighbours; what was not measured stays a gap.
    fn curve(&mut self, curve: &[(Timestamp, f64)], colour: Colour) {
        let mut part: Vec<(f32, f32)> = Vec::new();
        let mut before: Option<Timestamp> = None;
        let join = self.chart.join;
        for (at, value) in curve {
            let near = before.is_some_and(|before| at.millis() - before.millis() <= join);
            let goes_on = near && value.is_finite();
            if !goes_on && !part.is_empty() {
                self.canvas.stroke(&part, 2.5, colour);
                part.clear();
            }
            before = Some(*at);
            if value.is_finite() && self.chart.from <= *at && *at <= self.chart.to {
                part.push((self.x(*at), self.y(*value)));
            }
        }
        if !part.is_empty() {
            self.canvas.stroke(&part, 2.5, colour);
        }
    }

    /// A broken line.
    fn threshold(&mut self) {
        let Some(threshold) = self.chart.threshold.filter(|value| value.is_finite()) else {
            return;
        };
        let (y, mut from) = (self.y(threshold), self.frame.left);
        while from < self.frame.right {
            let to = (from + 10.0).min(self.frame.right);
            self.canvas.stroke(&[(from, y), (to, y)], 2.0, LIMIT);
            from += 18.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_millis(1_763_805_600_000 + minutes * 60_000)
    }

    fn chart() -> Chart {
        let curve = (0..180).map(|minute| {
            let value = if minute < 150 { 0.3 } else { 2.6 };
            (at(minute), value + f64::from(minute as i32 % 7) * 0.02)
        });
        Chart {
            curves: vec![curve.collect()],
            from: at(0),
            to: at(180),
            join: 150_000,
            threshold: Some(2.0),
            trouble: Some((at(150), at(180))),
            zone: "Europe/Berlin".to_owned(),
            language: "de".to_owned(),
        }
    }

    /// The picture of a chart, to look at the colour at an instant and a value.
    fn look(chart: &Chart) -> impl Fn(Timestamp, f64) -> Colour {
        let file = png(chart).unwrap();
        let data = file.windows(4).position(|window| window == b"IDAT").unwrap() + 4;
        let mut rows = Vec::new();
        let mut unzip = flate2::read::ZlibDecoder::new(&file[data..]);
        std::io::Read::read_to_end(&mut unzip, &mut rows).unwrap();
        // Where the drawing puts it, worked out from the frame alone.
        let values =
            Span::of(chart.curves.iter().flatten().map(|(_, value)| *value).chain(chart.threshold));
        let wide = values.marks(true).iter().map(|m| letters::width(&m.label)).fold(0.0, f32::max);
        let left = f64::from(wide * LETTER) + 18.0;
        let (from, span) = (chart.from.millis(), (chart.to.millis() - chart.from.millis()) as f64);
        move |at, value| {
            let part = (at.millis() - from) as f64 / span;
            let x = left + part * (708.0 - left);
            let y = 284.0 - values.part(value) * 272.0;
            let place = y as usize * (1 + WIDTH * 3) + 1 + x as usize * 3;
            [rows[place], rows[place + 1], rows[place + 2]]
        }
    }

    #[test]
    fn curve_threshold_and_trouble_are_where_they_belong() {
        let chart = chart();
        let seen = look(&chart);
        assert_eq!(seen(at(70), 0.3), CURVE);
        assert_eq!(seen(at(77), 1.1), PAPER);
        assert_eq!(seen(at(165), 1.1), TROUBLE);
        let red = (0..60).filter(|minute| seen(at(60 + minute), 2.0) == LIMIT).count();
        assert!((15..45).contains(&red), "{red}");
        assert!(png(&chart).unwrap().len() < 15_000);
    }

    #[test]
    fn what_was_not_measured_is_a_gap() {
        let mut chart = chart();
        chart.curves[0].retain(|(when, _)| *when < at(60) || *when > at(80));
        assert_eq!(look(&chart)(at(70), 0.3), PAPER);
        assert_eq!(png(&Chart { curves: vec![vec![]], ..chart.clone() }), None);
        // A point at the edge would be hidden by the threshold.
        let one = Chart { curves: vec![vec![(at(180), 2.0)]], ..chart.clone() };
        assert_eq!(png(&one), None);
        assert_eq!(png(&Chart { to: at(-1), ..chart }), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]
        #[test]
        fn any_values_give_a_small_picture(
            values in proptest::collection::vec(any::<f64>(), 1..20), threshold in any::<f64>()
        ) {
            let minutes = 0_i64..;
            let curve = minutes.zip(values).map(|(minute, value)| (at(minute), value)).collect();
            let chart = Chart { curves: vec![curve], threshold: Some(threshold), ..chart() };
            let size = png(&chart).map_or(0, |file| file.len());
            prop_assert!(size < 60_000, "{}", size);
        }
    }
}
