//! Functions that change or sort by labels.

use std::cmp::Ordering;

use regex::Regex;

use super::super::EvalError;
use super::super::exact::nan_first;
use super::super::syntax::{Call, Expr, has_raw_bytes};
use super::notes::Note;
use super::points::{Series, Steps};
use super::{Evaluated, Evaluator, Sink, text_of};
use crate::model::METRIC_NAME;

fn valid_name(name: &str) -> bool {
    !name.is_empty() && !has_raw_bytes(name)
}

impl Evaluator<'_> {
    pub(super) fn label_replace(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let texts: Vec<String> = call.arguments[1..].iter().map(text_of).collect();
        let [target, replacement, source, pattern] = &texts[..] else {
            return Err(EvalError::execution("label_replace needs four texts"));
        };
        let bad = || {
            EvalError::execution(format!(
                "invalid regular expression in label_replace(): {pattern}"
            ))
        };
        // Alone first, so that it cannot break out of the brackets.
        let inner = crate::model::from_re2(pattern).map_err(|_| bad())?;
        let regex = regex::RegexBuilder::new(&format!("^(?s:{inner})$"))
            .size_limit(1 << 20)
            .build()
            .map_err(|_| bad())?;
        if !valid_name(target) {
            return Err(EvalError::execution(format!(
                "invalid destination label name in label_replace(): {target}"
            )));
        }
        self.merging(false, sink, |sink| {
            self.vector(&call.arguments[0], steps, &mut |mut series| {
                let value = series.labels.get(source).unwrap_or("");
                if let Some(value) = expanded(&regex, value, replacement) {
                    series.labels = series.labels.with(target, &value);
                    if target == METRIC_NAME {
                        series.drop_name = false;
                    }
                }
                sink(series)
            })
        })
    }

    pub(super) fn label_join(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let target = text_of(&call.arguments[1]);
        let separator = text_of(&call.arguments[2]);
        let sources: Vec<String> = call.arguments[3..].iter().map(text_of).collect();
        if !valid_name(&target) {
            return Err(EvalError::execution(format!(
                "invalid destination label name in label_join(): {target}"
            )));
        }
        if let Some(source) = sources.iter().find(|source| !valid_name(source)) {
            return Err(EvalError::execution(format!(
                "invalid source label name in label_join(): {source}"
            )));
        }
        self.merging(false, sink, |sink| {
            self.vector(&call.arguments[0], steps, &mut |mut series| {
                let values: Vec<&str> =
                    sources.iter().map(|source| series.labels.get(source).unwrap_or("")).collect();
                series.labels = series.labels.with(&target, &values.join(&separator));
                if target == METRIC_NAME {
                    series.drop_name = false;
                }
                sink(series)
            })
        })
    }

    /// Sorts by value; only the result of an instant query has an order.
    pub(super) fn sort(&self, call: &Call, steps: &Steps, sink: &mut Sink<'_>) -> Evaluated<()> {
        let descending = call.function.name == "sort_desc";
        self.sorted(call, steps, sink, true, |a, b| {
            let (a, b) = (a.points.floats[0], b.points.floats[0]);
            // NaN goes to the end both ways.
            match (a.is_nan(), b.is_nan()) {
                (false, false) if descending => nan_first(b, a),
                (a_is_nan, b_is_nan) => a_is_nan.cmp(&b_is_nan).then_with(|| nan_first(a, b)),
            }
        })
    }

    pub(super) fn sort_by_label(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        let names: Vec<String> = call.arguments[1..].iter().map(text_of).collect();
        let descending = call.function.name == "sort_by_label_desc";
        self.sorted(call, steps, sink, false, |a, b| {
            let by_names = names.iter().map(|name| {
                let (a, b) = (a.labels.get(name).unwrap_or(""), b.labels.get(name).unwrap_or(""));
                natural(a, b)
            });
            let order = by_names
                .fold(Ordering::Equal, Ordering::then)
                .then_with(|| a.labels.cmp(&b.labels));
            if descending { order.reverse() } else { order }
        })
    }

    fn sorted(
        &self,
        call: &Call,
        steps: &Steps,
        sink: &mut Sink<'_>,
        only_floats: bool,
        order: impl Fn(&Series, &Series) -> Ordering,
    ) -> Evaluated<()> {
        let argument: &Expr = &call.arguments[0];
        let mut all = self.all_series(argument, steps)?;
        if only_floats {
            for series in &mut all {
                series.points.histograms.clear();
            }
            all.retain(|series| !series.points.is_empty());
        }
        if self.bounds.step > 0 {
            self.note(Note::SortIneffective, call.span);
        } else if steps.count == 1 {
            all.sort_by(order);
        }
        all.into_iter().try_for_each(sink)
    }
}

/// The replacement with the groups of the match, or `None` without match.
fn expanded(regex: &Regex, value: &str, replacement: &str) -> Option<String> {
    let captures = regex.captures(value)?;
    let mut out = String::new();
    captures.expand(replacement, &mut out);
    Some(out)
}

/// Text with numbers in it as people sort it: `a2` before `a10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(x), Some(y)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        let run = |text: &[u8]| text.iter().take_while(|c| c.is_ascii_digit()).count();
        let (m, n) = (run(a), run(b));
        if m > 0 && n > 0 {
            let digits = |text: &[u8], length: usize| -> Vec<u8> {
                let run = &text[..length];
                let zeros = run.iter().take_while(|c| **c == b'0').count();
                run[zeros.min(length)..].to_vec()
            };
            let (p, q) = (digits(a, m), digits(b, n));
            let order = p.len().cmp(&q.len()).then_with(|| p.cmp(&q)).then(m.cmp(&n));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[m..], &b[n..]);
        } else if x == y {
            (a, b) = (&a[1..], &b[1..]);
        } else {
            return x.cmp(y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_texts_count() {
        assert_eq!(natural("a2", "a10"), Ordering::Less);
        assert_eq!(natural("4m5", "4m500"), Ordering::Less);
        assert_eq!(natural("b", "a10"), Ordering::Greater);
        assert_eq!(natural("", ""), Ordering::Equal);
    }
}
