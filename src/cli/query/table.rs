//! Aligned columns, and the same as CSV.

use super::plot::{columns, cut};
use super::show::Screen;

/// Rows below a head; the last column is a value and stands to the right.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[String]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    pub fn without_last(mut self) -> Self {
        for row in self.rows.iter_mut().chain([&mut self.head]) {
            row.pop();
        }
        self
    }

    /// Columns as wide as needed, two blanks apart; empty for a table without rows. On a terminal
    /// too narrow for it, what is the same in all rows moves to a line above, and what is still too
    /// long is cut.
    pub fn text(mut self, screen: &Screen) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut above = String::new();
        if screen.cut && self.rows.len() > 1 && self.width() > screen.width {
            above = self.take_same();
        }
        let mut widths = self.widths();
        if screen.cut {
            squeeze(&mut widths, screen.width);
        }
        let last = widths.len().saturating_sub(1);
        let mut text = String::new();
        if !above.is_empty() {
            text.push_str(&cut(&above, screen.width));
            text.push('\n');
        }
        for (at, row) in [&self.head].into_iter().chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let cell = clean(cell);
                let cell = if screen.cut { cut(&cell, *width) } else { cell };
                let gap = " ".repeat(width.saturating_sub(columns(&cell)));
                let (before, behind) =
                    if column == last { (gap, String::new()) } else { (String::new(), gap) };
                let between = if column == 0 { "" } else { "  " };
                line.push_str(&format!("{between}{before}{cell}{behind}"));
            }
            let line = if screen.cut { cut(line.trim_end(), screen.width) } else { line };
            let line = line.trim_end();
            match screen.colour && at == 0 {
                true => text.push_str(&format!("\u{1b}[1m{line}\u{1b}[0m\n")),
                false => text.push_str(&format!("{line}\n")),
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let all = || [&self.head].into_iter().chain(&self.rows);
        let width = |at: usize| all().map(|row| columns(&clean(&row[at]))).max().unwrap_or(0);
        (0..self.head.len()).map(width).collect()
    }

    fn width(&self) -> usize {
        self.widths().iter().map(|width| width + 2).sum::<usize>().saturating_sub(2)
    }

    /// Takes the columns that say the same in each row out of the table.
    fn take_same(&mut self) -> String {
        let last = self.head.len() - 1;
        let first = self.rows[0].clone();
        let keep: Vec<bool> = (0..=last)
            .map(|at| at == last || self.rows.iter().any(|row| row[at] != first[at]))
            .collect();
        let same = keep.iter().enumerate().filter(|(_, keep)| !**keep);
        let said: Vec<String> =
            same.map(|(at, _)| format!("{}={:?}", self.head[at], first[at])).collect();
        for row in self.rows.iter_mut().chain([&mut self.head]) {
            let mut flags = keep.iter();
            row.retain(|_| flags.next().copied().unwrap_or(true));
        }
        said.join("  ")
    }

    /// Comma-separated (RFC 4180, with line feeds only).
    pub fn csv(self) -> String {
        let field = |cell: &String| {
            if cell.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", cell.replace('"', "\"\""))
            } else {
                cell.clone()
            }
        };
        let line = |row: &Vec<String>| row.iter().map(field).collect::<Vec<_>>().join(",") + "\n";
        [&self.head].into_iter().chain(&self.rows).map(line).collect()
    }
}

/// Takes from the widest columns what does not fit, and from the value last.
fn squeeze(widths: &mut [usize], width: usize) {
    const LEAST: usize = 6;
    let last = widths.len().saturating_sub(1);
    loop {
        let sum: usize = widths.iter().map(|width| width + 2).sum();
        let widest = (0..last).max_by_key(|at| widths[*at]);
        match widest.filter(|at| sum > width + 2 && widths[*at] > LEAST) {
            Some(at) => widths[at] -= 1,
            None => return,
        }
    }
}

/// Labels may hold anything; a terminal must not obey it.
fn clean(text: &str) -> String {
    if text.chars().any(char::is_control) {
        text.escape_debug().to_string()
    } else {
        text.to_owned()
    }
}
