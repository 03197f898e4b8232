use hashbrown::{HashMap, HashSet};
use std::cell::OnceCell;
use std::fmt::Write as _;
use std::rc::Rc;

use super::super::syntax::{Aggregate, Expr, Extension, Operator, Selector, Subquery};
use super::points::Steps;
use super::{Evaluated, Evaluator};
use crate::model::{Columns, Labels, METRIC_NAME, Matcher, Test, Timestamp, Window};

/// What is known about a query before it is evaluated.
#[derive(Default)]
pub(super) struct Plan {
    /// Expressions that have the same value at each step, by address.
    invariant: HashSet<*const Expr>,
    /// Whether what is picked depends on the order of the series.
    order_matters: bool,
    /// How many selectors stand in the query.
    selectors: usize,
    /// What is read, by its matchers; nothing when a single selector cannot be shared.
    reads: HashMap<String, Read>,
}

/// A selector that stands in the query once or more often.
pub(super) struct Read {
    /// Covers all its places.
    pub window: Window,
    pub uses: usize,
    /// Its samples when there is more than one place.
    pub shared: OnceCell<Rc<Vec<(Labels, Columns)>>>,
}

/// The text by which identical selectors are recognised.
pub(in crate::promql) fn key_of(matchers: &[Matcher]) -> String {
    let mut key = String::new();
    for matcher in matchers {
        let _ = write!(key, "{matcher},");
    }
    key
}

/// Functions whose value depends on the time of evaluation, whatever their arguments are.
fn depends_on_time(name: &str) -> bool {
    matches!(
        name,
        "time"
            | "timestamp"
            | "start_timestamp"
            | "predict_linear"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "days_in_month"
            | "hour"
            | "minute"
            | "month"
            | "year"
    )
}

impl Plan {
    pub fn new(evaluator: &Evaluator<'_>, expr: &Expr, steps: Steps) -> Evaluated<Self> {
        let mut plan = Self::default();
        plan.mark(expr);
        if plan.selectors > 1 {
            plan.reads_of(evaluator, expr, steps)?;
        }
        Ok(plan)
    }

    /// What is read, by its matchers: the window that covers all places, and their number.
    ///
    /// # Errors
    /// The query would fail.
    pub fn all_reads(
        evaluator: &Evaluator<'_>,
        expr: &Expr,
        steps: Steps,
    ) -> Evaluated<Vec<(String, Window, usize)>> {
        let mut plan = Self::default();
        plan.mark(expr);
        plan.reads_of(evaluator, expr, steps)?;
        Ok(plan.reads.into_iter().map(|(key, read)| (key, read.window, read.uses)).collect())
    }

    pub fn is_invariant(&self, expr: &Expr) -> bool {
        self.invariant.contains(&std::ptr::from_ref(expr))
    }

    pub fn order_matters(&self) -> bool {
        self.order_matters
    }

    /// What is read for a selector in all its places, if there is more than one.
    pub fn shared(&self, matchers: &[Matcher]) -> Option<&Read> {
        if self.reads.is_empty() {
            return None;
        }
        self.reads.get(&key_of(matchers)).filter(|read| read.uses > 1)
    }

    fn mark(&mut self, expr: &Expr) -> bool {
        // All children are visited, so no early end.
        let all = expr.children().into_iter().fold(true, |all, child| self.mark(child) & all);
        if let Expr::Aggregate(aggregate) = expr {
            self.order_matters |= picks(aggregate);
        }
        self.selectors += usize::from(matches!(expr, Expr::Selector(_) | Expr::Range(_)));
        let invariant = match expr {
            Expr::Number(_) | Expr::Text(_) => true,
            Expr::Selector(selector) => selector.at.is_some(),
            Expr::Range(range) => range.selector.at.is_some(),
            Expr::Subquery(subquery) => subquery.at.is_some(),
            Expr::Call(call) => {
                all && !depends_on_time(call.function.name)
                    && !matches!(
                        call.function.name,
                        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc"
                    )
            }
            _ => all,
        };
        if invariant {
            self.invariant.insert(std::ptr::from_ref(expr));
        }
        invariant
    }

    fn reads_of(&mut self, evaluator: &Evaluator<'_>, expr: &Expr, steps: Steps) -> Evaluated<()> {
        let steps = if self.is_invariant(expr) { Steps::once(steps.start) } else { steps };
        match expr {
            Expr::Selector(selector) => {
                let window = evaluator.selector_window(selector, &steps)?;
                self.add(&selector.matchers, window);
                Ok(())
            }
            Expr::Range(range) => {
                let length = evaluator.positive_millis(&range.length)?;
                let window = evaluator.range_window(&range.selector, length, &steps)?;
                self.add(&range.selector.matchers, window);
                Ok(())
            }
            Expr::Subquery(subquery) => {
                let inner = evaluator.subquery_steps(subquery, &steps)?;
                evaluator.check_steps(&inner)?;
                self.reads_of(evaluator, &subquery.inner, inner)
            }
            // What info() reads depends on what it finds.
            Expr::Call(call) if call.function.name == "info" => match call.arguments.first() {
                Some(first) => self.reads_of(evaluator, first, steps),
                None => Ok(()),
            },
            other => other
                .children()
                .into_iter()
                .try_for_each(|child| self.reads_of(evaluator, child, steps)),
        }
    }

    fn add(&mut self, matchers: &[Matcher], window: Window) {
        self.reads
            .entry(key_of(matchers))
            .and_modify(|read| {
                read.uses += 1;
                read.window.after = read.window.after.min(window.after);
                read.window.through = read.window.through.max(window.through);
            })
            .or_insert_with(|| Read { window, uses: 1, shared: OnceCell::new() });
    }
}

impl Evaluator<'_> {
    /// First and last instant a selector with these modifiers refers to.
    pub(super) fn references(&self, pinned: Option<i64>, offset: i64, steps: &Steps) -> (i64, i64) {
        let first = pinned.unwrap_or(steps.start).saturating_sub(offset);
        let last = pinned.unwrap_or(steps.last()).saturating_sub(offset);
        (first, last)
    }

    pub(super) fn offset_of(&self, selector: &Selector) -> Evaluated<i64> {
        selector.offset.as_ref().map_or(Ok(0), |offset| self.millis(offset))
    }

    fn selector_window(&self, selector: &Selector, steps: &Steps) -> Evaluated<Window> {
        let offset = self.offset_of(selector)?;
        let (first, last) = self.references(self.pinned(selector.at), offset, steps);
        let ahead = if selector.extension == Extension::Smoothed { self.lookback } else { 0 };
        Ok(window(first.saturating_sub(self.lookback), last.saturating_add(ahead)))
    }

    pub(super) fn range_window(
        &self,
        selector: &Selector,
        length: i64,
        steps: &Steps,
    ) -> Evaluated<Window> {
        let offset = self.offset_of(selector)?;
        let (first, last) = self.references(self.pinned(selector.at), offset, steps);
        let (before, ahead) = match selector.extension {
            Extension::None => (0, 0),
            // One more on the left, where the anchor may lie exactly on the border.
            Extension::Anchored => (self.lookback, 0),
            Extension::Smoothed => (self.lookback, self.lookback),
        };
        let after = first.saturating_sub(length).saturating_sub(before);
        Ok(window(after, last.saturating_add(ahead)))
    }

    /// The steps at which a subquery's expression is evaluated: multiples of its own step.
    pub(super) fn subquery_steps(&self, subquery: &Subquery, steps: &Steps) -> Evaluated<Steps> {
        let offset = subquery.offset.as_ref().map_or(Ok(0), |offset| self.millis(offset))?;
        let length = self.positive_millis(&subquery.length)?;
        let step = match &subquery.step {
            Some(step) => self.positive_millis(step)?,
            None => i64::try_from(self.options.subquery_step.as_millis()).unwrap_or(60_000).max(1),
        };
        let (first, last) = self.references(self.pinned(subquery.at), offset, steps);
        let before = first.saturating_sub(length);
        let start = before.div_euclid(step).saturating_mul(step).saturating_add(step);
        Ok(Steps::between(start, last, step))
    }
}

fn window(after: i64, through: i64) -> Window {
    Window { after: Timestamp::from_millis(after), through: Timestamp::from_millis(through) }
}

/// The first part of the query that Prometheus hides behind a flag.
pub(super) fn experimental(expr: &Expr) -> Option<&'static str> {
    let own = match expr {
        Expr::Call(call) if call.function.experimental => Some(call.function.name),
        Expr::Aggregate(node) if node.operator.is_experimental() => Some(node.operator.name()),
        _ => None,
    };
    own.or_else(|| expr.children().into_iter().find_map(experimental))
}

/// Whether all series of a vector surely have the same name (or none), so that they stay
/// different without it.
pub(super) fn names_are_fixed(expr: &Expr) -> bool {
    match expr {
        Expr::Selector(selector) => one_name(&selector.matchers),
        Expr::Range(range) => one_name(&range.selector.matchers),
        Expr::Subquery(subquery) => names_are_fixed(&subquery.inner),
        Expr::Paren(paren) => names_are_fixed(&paren.inner),
        Expr::Unary(_) => true,
        Expr::Aggregate(aggregate) => !groups_by_name(aggregate) && !picks(aggregate),
        Expr::Binary(binary) => match binary.operator {
            Operator::And | Operator::Unless => names_are_fixed(&binary.left),
            Operator::Or => false,
            operator => !operator.is_comparison() && !operator.is_trim(),
        },
        Expr::Call(call) => match call.function.name {
            "last_over_time" | "first_over_time" => names_are_fixed(&call.arguments[0]),
            "label_replace" | "label_join" | "info" | "absent" | "absent_over_time" | "vector"
            | "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => false,
            // All others have dropped the names and looked at the result.
            _ => true,
        },
        Expr::Number(_) | Expr::Text(_) => true,
    }
}

fn one_name(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|m| m.name() == METRIC_NAME && matches!(m.test(), Test::Equal(_)))
}

fn groups_by_name(aggregate: &Aggregate) -> bool {
    !aggregate.without && aggregate.labels.iter().any(|label| label == METRIC_NAME)
}

/// Aggregations that pick series and leave them their labels.
fn picks(aggregate: &Aggregate) -> bool {
    use super::super::Aggregation::{BottomK, CountValues, LimitK, LimitRatio, TopK};
    matches!(aggregate.operator, TopK | BottomK | LimitK | LimitRatio | CountValues)
}
