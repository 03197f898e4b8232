//! Ranges as lines of braille dots.

use super::answer::Series;
use super::show::Screen;
use crate::model::Timestamp;

/// Lines that one plot can tell apart by colour.
const COLOURS: [u8; 12] = [32, 33, 36, 35, 34, 31, 92, 93, 96, 95, 94, 91];
/// Plots below each other, where there is no colour.
const PANELS: usize = 8;
/// Rows of a panel.
const PANEL_ROWS: usize = 6;

/// A plot with all series in colour, or a plot for each. Empty when there is nothing to draw.
pub fn draw(series: &[Series], screen: &Screen) -> String {
    let drawn: Vec<&Series> = series.iter().filter(|series| !series.points.is_empty()).collect();
    let Some(span) = span(&drawn) else { return String::new() };
    let mut text = String::new();
    let shown = if screen.colour {
        let shown = drawn.len().min(COLOURS.len());
        let rows = screen.height.saturating_sub(shown + 4).clamp(6, 20);
        text.push_str(&plot(&drawn[..shown], span, rows, screen));
        for (series, colour) in drawn.iter().zip(COLOURS) {
            let line = legend(series, screen.width.saturating_sub(2));
            text.push_str(&format!("\u{1b}[{colour}m●\u{1b}[0m {line}\n"));
        }
        shown
    } else {
        let shown = drawn.len().min(PANELS);
        for series in &drawn[..shown] {
            text.push_str(&legend(series, screen.width));
            text.push('\n');
            let rows = if shown == 1 { 2 * PANEL_ROWS } else { PANEL_ROWS };
            text.push_str(&plot(std::slice::from_ref(series), span, rows, screen));
        }
        shown
    };
    if drawn.len() > shown {
        let more = drawn.len() - shown;
        text.push_str(&format!("… and {more} more series; `-o table` shows all\n"));
    }
    text
}

/// First and last instant of all series.
fn span(series: &[&Series]) -> Option<(f64, f64)> {
    let first = series.iter().filter_map(|series| series.points.first()).map(|(at, _)| *at);
    let last = series.iter().filter_map(|series| series.points.last()).map(|(at, _)| *at);
    let (first, last) = (first.reduce(f64::min)?, last.reduce(f64::max)?);
    Some((first, if last > first { last } else { first + 1.0 }))
}

/// What a series is, and its numbers; a long name is cut, never the numbers.
fn legend(series: &Series, width: usize) -> String {
    let values = || series.points.iter().map(|(_, cell)| cell.number()).filter(|v| !v.is_nan());
    let numbers = match (values().reduce(f64::min), values().reduce(f64::max), values().next_back())
    {
        (Some(low), Some(high), Some(last)) => {
            format!("last {}, min {}, max {}", short(last), short(low), short(high))
        }
        _ => "no numbers".to_owned(),
    };
    let title = cut(&series.title(), width.saturating_sub(numbers.chars().count() + 2));
    cut(&format!("{title}  {numbers}"), width)
}

/// Dots, eight in each cell of text.
struct Canvas {
    columns: usize,
    rows: usize,
    /// Pattern and series of each cell.
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    fn new(columns: usize, rows: usize) -> Self {
        Self { columns, rows, cells: vec![(0, 0); columns * rows] }
    }

    fn dot(&mut self, x: usize, y: usize, series: usize) {
        // Braille counts its dots down the left half, then the right half, the fourth row last.
        const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
        let (column, row) = (x / 2, y / 4);
        if column < self.columns && row < self.rows {
            let cell = &mut self.cells[row * self.columns + column];
            *cell = (cell.0 | BITS[x % 2][y % 4], series);
        }
    }

    /// Dots from one point to the other, both included.
    fn line(&mut self, from: (usize, usize), to: (usize, usize), series: usize) {
        let (dx, dy) = (from.0.abs_diff(to.0), from.1.abs_diff(to.1));
        let steps = dx.max(dy).max(1);
        let between = |a: usize, b: usize, at: usize| {
            if b >= a { a + (b - a) * at / steps } else { a - (a - b) * at / steps }
        };
        for at in 0..=steps {
            self.dot(between(from.0, to.0, at), between(from.1, to.1, at), series);
        }
    }

    fn row(&self, row: usize, colour: bool) -> String {
        let cells = &self.cells[row * self.columns..(row + 1) * self.columns];
        let end = cells.iter().rposition(|cell| cell.0 > 0).map_or(0, |at| at + 1);
        let mut text = String::new();
        let mut lit = None;
        for (pattern, series) in &cells[..end] {
            let wanted = (colour && *pattern > 0).then(|| COLOURS[series % COLOURS.len()]);
            if wanted != lit && wanted.is_some() {
                text.push_str(&format!("\u{1b}[{}m", wanted.unwrap_or(0)));
                lit = wanted;
            }
            text.push(match pattern {
                0 => ' ',
                dots => char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' '),
            });
        }
        if lit.is_some() {
            text.push_str("\u{1b}[0m");
        }
        text
    }
}

/// One plot with its axes, `rows` lines high without them.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
fn plot(series: &[&Series], (first, last): (f64, f64), rows: usize, screen: &Screen) -> String {
    let numbers = series.iter().flat_map(|series| &series.points).map(|(_, cell)| cell.number());
    let (low, high) = numbers
        .filter(|value| value.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let (low, high) = if low > high { (0.0, 1.0) } else { (low, high) };
    let ticks = ticks(low, high, rows);
    let (low, high) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
    let labels: Vec<String> = ticks.iter().map(|tick| short(*tick)).collect();
    let margin = labels.iter().map(|label| columns(label)).max().unwrap_or(0);
    let width = screen.width.saturating_sub(margin + 2).max(10);
    let mut canvas = Canvas::new(width, rows);
    let (right, bottom) = ((2 * width - 1) as f64, (4 * rows - 1) as f64);
    let place = |at: f64, value: f64| {
        let x = (at - first) / (last - first) * right;
        // Halves, because the difference of two huge numbers is not finite.
        let y = (high / 2.0 - value / 2.0) / (high / 2.0 - low / 2.0) * bottom;
        (x.round() as usize, y.clamp(0.0, bottom).round() as usize)
    };
    for (number, series) in series.iter().enumerate() {
        let step = step_of(series);
        let mut before: Option<(f64, (usize, usize))> = None;
        for (at, cell) in &series.points {
            let value = cell.number();
            if !value.is_finite() {
                before = None;
                continue;
            }
            let here = place(*at, value);
            match before.filter(|(then, _)| at - then <= step * 1.5) {
                Some((_, there)) => canvas.line(there, here, number),
                None => canvas.dot(here.0, here.1, number),
            }
            before = Some((*at, here));
        }
    }
    let mut text = String::new();
    let row_of = |tick: f64| place(first, tick).1 / 4;
    for row in 0..rows {
        let label = ticks.iter().rposition(|tick| row_of(*tick) == row);
        let label = label.map_or("", |at| labels[at].as_str());
        let axis = if label.is_empty() { '│' } else { '┤' };
        let line = canvas.row(row, screen.colour);
        text.push_str(&format!("{}{label} {axis}{line}\n", " ".repeat(margin - columns(label))));
    }
    text.push_str(&format!("{} └{}\n", " ".repeat(margin), "─".repeat(width)));
    text.push_str(&format!("{}{}\n", " ".repeat(margin + 2), times(first, last, width)));
    text
}

/// The usual distance of a series' points: gaps are not drawn.
fn step_of(series: &Series) -> f64 {
    let gaps = series.points.windows(2).map(|pair| pair[1].0 - pair[0].0);
    gaps.reduce(f64::min).unwrap_or(1.0)
}

/// Round numbers around the values, the least and the greatest beyond them.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
fn ticks(low: f64, high: f64, rows: usize) -> Vec<f64> {
    let (low, high) = match high - low {
        distance if distance > 0.0 && distance.is_finite() => (low, high),
        distance if distance > 0.0 => return vec![low, high],
        // One value only: some room around it.
        _ if low == 0.0 => (0.0, 1.0),
        _ => (low - low.abs() / 2.0, low + low.abs() / 2.0),
    };
    let rough = (high - low) / (rows as f64 / 3.0).max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = round.into_iter().find(|step| *step >= rough).unwrap_or(rough);
    let (first, last) = ((low / step).floor(), (high / step).ceil());
    if step.is_nan() || step <= 0.0 || last - first > 100.0 {
        return vec![low, high];
    }
    (0..=(last - first) as i32).map(|at| (first + f64::from(at)) * step).collect()
}

/// Begin, middle and end of the time axis.
fn times(first: f64, last: f64, width: usize) -> String {
    let format = match last - first {
        seconds if seconds < 600.0 => "%H:%M:%S",
        seconds if seconds < 86_400.0 => "%H:%M",
        seconds if seconds < 90.0 * 86_400.0 => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    let text = |seconds: f64| {
        let at = Timestamp::from_seconds(seconds).map(Timestamp::millis);
        let at = at.and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
        at.map(|at| at.strftime(format).to_string()).unwrap_or_default()
    };
    let (begin, middle, end) = (text(first), text((first + last) / 2.0), text(last) + " UTC");
    let taken = begin.len() + middle.len() + end.len();
    let Some(free) = width.checked_sub(taken).filter(|free| *free >= 4) else {
        return format!("{begin} … {end}");
    };
    format!("{begin}{}{middle}{}{end}", " ".repeat(free / 2), " ".repeat(free - free / 2))
}

/// At most four digits, with k, M, G, T for thousands.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() || size == 0.0 {
        return crate::promql::format_float(value);
    }
    if !(1e-3..1e15).contains(&size) {
        return format!("{value:.2e}");
    }
    let (divisor, unit) = match size {
        size if size >= 1e12 => (1e12, "T"),
        size if size >= 1e9 => (1e9, "G"),
        size if size >= 1e6 => (1e6, "M"),
        size if size >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let scaled = value / divisor;
    let digits = match scaled.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 0.1 => 3,
        _ => 5,
    };
    let text = format!("{scaled:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Columns of the terminal that a text takes; wide characters count as one.
pub fn columns(text: &str) -> usize {
    text.chars().count()
}

/// At most so many columns, with `…` where something is missing.
pub fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
