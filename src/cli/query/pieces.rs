//! Long ranges, asked piece by piece.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::answer::{self, Answered};
use super::source::{Source, Trouble};
use super::time::for_api;
use crate::model::Timestamp;
use crate::promql::{self, At, Expr, Length};

/// Prometheus gives no series with more points.
const MOST_POINTS: i64 = 11_000;
/// A range with more points is asked in pieces, so that progress can be shown.
const ONE_PIECE: i64 = 500;
/// Pieces, unless the server's limit asks for more.
const PIECES: i64 = 20;

/// The range as one answer.
pub async fn range(
    source: &Source,
    expr: &str,
    (from, to): (Timestamp, Timestamp),
    step: Duration,
) -> Result<Answered, Trouble> {
    let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX).max(1);
    let pieces = cut((from.millis(), to.millis()), millis, promql::parse(expr).ok().as_ref());
    let bar = indicatif::ProgressBar::new(pieces.len() as u64);
    if pieces.len() < 2 || std::env::var_os("NO_COLOR").is_some() {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let mut whole = Whole::default();
    for (first, last) in pieces {
        let form = [
            ("query", expr.to_owned()),
            ("start", for_api(Timestamp::from_millis(first))),
            ("end", for_api(Timestamp::from_millis(last))),
            ("step", format!("{}", step.as_secs_f64())),
        ];
        let answered = source.get("query_range", &form).await;
        let answered = answered.inspect_err(|_| bar.finish_and_clear())?;
        whole.add(answered);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(whole.finish())
}

/// First and last step of each piece. What looks at the whole range stays in one.
fn cut((from, to): (i64, i64), step: i64, expr: Option<&Expr>) -> Vec<(i64, i64)> {
    let steps = to.saturating_sub(from) / step + 1;
    if steps <= ONE_PIECE || expr.is_none_or(looks_at_range) {
        return vec![(from, to)];
    }
    let each = (steps.saturating_add(PIECES - 1) / PIECES).clamp(ONE_PIECE / 2, MOST_POINTS);
    let starts = (0..steps).step_by(usize::try_from(each).unwrap_or(usize::MAX));
    let piece = |first: i64| {
        let last = (first + each - 1).min(steps - 1);
        (from + first * step, from + last * step)
    };
    starts.map(piece).collect()
}

/// Whether the value at a step depends on where the range begins or ends.
fn looks_at_range(expr: &Expr) -> bool {
    fn pinned(at: Option<At>) -> bool {
        matches!(at, Some(At::Start | At::End))
    }
    fn long(length: &Length) -> bool {
        match length {
            Length::Range => true,
            Length::Seconds(_) | Length::Step => false,
            Length::Negated(inner) | Length::Paren(inner) => long(inner),
            Length::Operation(_, sides) => long(&sides.0) || long(&sides.1),
        }
    }
    let own = match expr {
        Expr::Selector(node) => pinned(node.at) || node.offset.as_ref().is_some_and(long),
        Expr::Range(node) => {
            let selector = &node.selector;
            let offset = selector.offset.as_ref().is_some_and(long);
            pinned(selector.at) || offset || long(&node.length)
        }
        Expr::Subquery(node) => {
            let lengths = [Some(&node.length), node.step.as_ref(), node.offset.as_ref()];
            pinned(node.at) || lengths.into_iter().flatten().any(long)
        }
        Expr::Call(node) => ["start", "end", "range"].contains(&node.function.name),
        _ => false,
    };
    own || expr.children().into_iter().any(looks_at_range)
}

/// The pieces put together again.
#[derive(Default)]
struct Whole {
    /// Rows by their labels.
    rows: BTreeMap<Vec<(String, String)>, Value>,
    /// Something that is no matrix, which no server gives for a range.
    other: Option<Value>,
    notes: Answered,
}

impl Whole {
    fn add(&mut self, answered: Answered) {
        for note in answered.warnings {
            if !self.notes.warnings.contains(&note) {
                self.notes.warnings.push(note);
            }
        }
        for note in answered.infos {
            if !self.notes.infos.contains(&note) {
                self.notes.infos.push(note);
            }
        }
        let mut data = answered.data;
        let Some(rows) = data["result"].as_array_mut().filter(|_| true) else {
            self.other = Some(data);
            return;
        };
        for row in rows.drain(..) {
            match self.rows.get_mut(&answer::labels(&row["metric"])) {
                None => {
                    self.rows.insert(answer::labels(&row["metric"]), row);
                }
                Some(known) => join(known, row),
            }
        }
    }

    fn finish(self) -> Answered {
        let rows: Vec<Value> = self.rows.into_values().collect();
        let data = self.other.unwrap_or_else(|| json!({"resultType": "matrix", "result": rows}));
        Answered { data, ..self.notes }
    }
}

fn join(known: &mut Value, mut row: Value) {
    for name in ["values", "histograms"] {
        let Some(Value::Array(more)) = row.get_mut(name).map(Value::take) else { continue };
        match known.get_mut(name).and_then(Value::as_array_mut) {
            Some(points) => points.extend(more),
            None => known[name] = Value::Array(more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_each_step_once() {
        let expr = promql::parse("up").unwrap();
        for (to, step) in [(0, 1), (499, 1), (500, 1), (9_999, 7), (20_000_000, 1), (86_400, 60)] {
            let pieces = cut((3, 3 + to), step, Some(&expr));
            let steps = pieces.iter().flat_map(|(first, last)| {
                assert!((last - first) / step < MOST_POINTS || pieces.len() == 1);
                (*first..=*last).step_by(step as usize)
            });
            assert!(steps.eq((3..=3 + to).step_by(step as usize)), "{to} {step}");
        }
    }

    #[test]
    fn what_looks_at_the_whole_range_is_not_cut() {
        let whole =
            |query: &str| cut((0, 10_000), 1, promql::parse(query).ok().as_ref()).len() == 1;
        assert!(whole("up @ end()"));
        assert!(whole("sum(rate(up[5m] @ start())) / 2"));
        assert!(whole("max_over_time(up[range()])"));
        assert!(whole("no PromQL of ours"));
        assert!(!whole("sum(rate(up[5m])) / 2"));
    }
}
