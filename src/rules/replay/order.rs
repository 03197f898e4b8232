//! In which order groups are replayed: those first whose results others read.

use std::sync::Arc;

use super::super::file::{GroupRules, Rule, RuleKind};
use crate::model::{METRIC_NAME, Matcher};

/// The groups in a good order, each with whether it must be evaluated step by step.
pub(super) fn ordered(groups: &[Arc<GroupRules>]) -> Vec<(Arc<GroupRules>, bool)> {
    let mut left: Vec<&Arc<GroupRules>> = groups.iter().collect();
    let mut done: Vec<(Arc<GroupRules>, bool)> = Vec::new();
    while !left.is_empty() {
        // Groups in a ring wait for each other: the first of them begins, step by step.
        let free = left.iter().position(|group| {
            let others = || left.iter().filter(|other| !Arc::ptr_eq(other, group));
            !group
                .rules
                .iter()
                .any(|rule| others().flat_map(|other| &other.rules).any(|other| reads(rule, other)))
        });
        let group = left.remove(free.unwrap_or(0));
        let stepwise = free.is_none() || reads_itself(group);
        done.push((group.clone(), stepwise));
    }
    // What is evaluated step by step comes last, so that it sees the results of all others.
    done.sort_by_key(|(_, stepwise)| *stepwise);
    done
}

/// Whether a rule reads what it or a later rule yields, or any alert of the group.
fn reads_itself(group: &GroupRules) -> bool {
    let alerting = |rule: &Rule| matches!(rule.kind, RuleKind::Alerting { .. });
    group.rules.iter().enumerate().any(|(at, rule)| {
        let later = group.rules.iter().enumerate().filter(|(n, r)| *n >= at || alerting(r));
        later.into_iter().any(|(_, other)| reads(rule, other))
    })
}

/// Whether `rule` can read what `other` yields.
fn reads(rule: &Rule, other: &Rule) -> bool {
    let (names, label): (&[&str], _) = match &other.kind {
        RuleKind::Recording { record } => (&[&**record], None),
        RuleKind::Alerting { alert, .. } => (&["ALERTS", "ALERTS_FOR_STATE"], Some(&**alert)),
    };
    let fits = |matcher: &Matcher| match matcher.name() {
        METRIC_NAME => names.iter().any(|name| matcher.accepts(name)),
        "alertname" => label.is_none_or(|label| matcher.accepts(label)),
        _ => true,
    };
    rule.expression.selectors().iter().any(|selector| {
        let says = selector.matchers.iter().any(|matcher| matcher.name() == METRIC_NAME);
        says && selector.matchers.iter().all(fits)
    })
}
