//! Other numbers for shipped rules, for everybody or for one service, without copying the rule.
//!
//! A number that may be changed is named by a comment behind it, which PromQL passes over:
//! `… > 0.9  # tune threshold ratio` (name and [`Unit`]; it is the last number before the comment).
//! Several places may share a name. `floor|threshold` is changed by the first of these names that
//! is given. Tuning for a service makes a second rule of the same name that asks for this service
//! alone, and takes the service out of the first one.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::file::{GroupRules, Rule, RuleKind};
use super::language::{Expression, Text};
use crate::model::{METRIC_NAME, Matcher, Test};
use crate::promql::Expr;

/// What a number means, and so how people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A length of time: `2s`, `26h`.
    Seconds,
    /// A share: `0.05` or `5%`.
    Ratio,
    /// A size: `50GB`.
    Bytes,
    /// Any number.
    Number,
}

/// A number of a rule that may be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Arc<str>,
    /// What it means.
    pub unit: Unit,
    /// What it is unless it is changed, in seconds, bytes or as a share.
    pub default: f64,
}

/// What is to be different about an alert.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuning {
    /// Its name.
    pub alert: Arc<str>,
    /// For this service only; everywhere when absent.
    pub service: Option<Arc<str>>,
    /// It does not run.
    pub off: bool,
    /// Another `for`.
    pub hold: Option<Duration>,
    /// Another `keep_firing_for`.
    pub keep: Option<Duration>,
    /// Labels that it sets (`class`, `owner`, …).
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Other numbers, in seconds, bytes or as a share.
    pub parameters: Vec<(Arc<str>, f64)>,
}

/// Why a tuning cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TuneError {
    /// The alert is not about services.
    #[error("the alert `{0}` is not about a service; change it under `rules: alerts:`")]
    NoService(Arc<str>),
    /// What came out is no rule; a mistake in the shipped rule.
    #[error("the alert `{0}` cannot be changed like that: {1}")]
    Broken(Arc<str>, String),
}

/// number, anything but digits and `#`, `# tune NAME[|NAME] UNIT`.
static MARK: LazyLock<Option<regex::Regex>> = LazyLock::new(|| {
    regex::Regex::new(r"(?m)([0-9][0-9.]*(?:e[0-9]+)?)[^0-9#\n]*#[ ]*tune ([a-z|_]+) ([a-z]+)[ ]*$")
        .ok()
});

/// One marked number in the text of an expression.
struct Mark<'a> {
    at: std::ops::Range<usize>,
    names: &'a str,
    unit: Unit,
    value: f64,
}

fn marks(expression: &str) -> Vec<Mark<'_>> {
    let found = MARK.iter().flat_map(|mark| mark.captures_iter(expression));
    let read = |captures: regex::Captures<'_>| {
        let number = captures.get(1)?;
        let unit = match captures.get(3)?.as_str() {
            "seconds" => Unit::Seconds,
            "ratio" => Unit::Ratio,
            "bytes" => Unit::Bytes,
            _ => Unit::Number,
        };
        let names = &expression[captures.get(2)?.range()];
        Some(Mark { at: number.range(), names, unit, value: number.as_str().parse().ok()? })
    };
    found.filter_map(read).collect()
}

impl Rule {
    /// The numbers of its expression that may be changed, in their order, each once. The value of
    /// a name that several places share is that of its last place.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut found: Vec<Parameter> = Vec::new();
        for mark in marks(self.expression.as_str()) {
            for name in mark.names.split('|') {
                let one = Parameter { name: name.into(), unit: mark.unit, default: mark.value };
                match found.iter_mut().find(|known| known.name == one.name) {
                    Some(known) => *known = one,
                    None => found.push(one),
                }
            }
        }
        found
    }

    /// Whether it is about services, so that it can be another for one of them.
    pub fn is_about_services(&self) -> bool {
        let selectors = self.expression.selectors();
        let own = |matcher: &Matcher| {
            matcher.name() == METRIC_NAME
                && matches!(matcher.test(), Test::Equal(name) if name.starts_with("augenmass_"))
        };
        !selectors.is_empty() && !selectors.iter().any(|s| s.matchers.iter().any(own))
    }

    fn tuned(&self, tuning: &Tuning) -> Result<Self, TuneError> {
        let mut rule = self.clone();
        let mut text = self.expression.as_str().to_owned();
        for mark in marks(self.expression.as_str()).into_iter().rev() {
            let given = |name: &str| tuning.parameters.iter().find(|(other, _)| **other == *name);
            if let Some((_, value)) = mark.names.split('|').find_map(given) {
                text.replace_range(mark.at, &value.to_string());
            }
        }
        rule.expression = self.parsed(&text)?;
        if let RuleKind::Alerting { hold, keep, .. } = &mut rule.kind {
            *hold = tuning.hold.unwrap_or(*hold);
            *keep = tuning.keep.unwrap_or(*keep);
        }
        for (name, value) in &tuning.labels {
            rule.labels.retain(|(known, _)| known != name);
            rule.labels.push((name.clone(), Text::plain(value)));
        }
        rule.labels.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(rule)
    }

    /// The same rule for those series alone that all of `scope` match.
    fn within(&self, scope: Vec<Matcher>) -> Result<Self, TuneError> {
        let mut starts = Vec::new();
        starts_of(self.expression.expr(), &mut starts);
        starts.sort_unstable();
        let mut text = self.expression.as_str().to_owned();
        let added: Vec<String> = scope.iter().map(ToString::to_string).collect();
        let added = added.join(",");
        for start in starts.into_iter().rev() {
            let rest = text.get(start..).unwrap_or_default();
            let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
            let name = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if rest[name..].starts_with('{') {
                let empty = rest[name + 1..].trim_start().starts_with('}');
                let comma = if empty { "" } else { "," };
                text.insert_str(start + name + 1, &format!("{added}{comma}"));
            } else {
                text.insert_str(start + name, &format!("{{{added}}}"));
            }
        }
        let expression = self.parsed(&text)?;
        Ok(Self { expression, scope, ..self.clone() })
    }

    fn parsed(&self, text: &str) -> Result<Expression, TuneError> {
        let broken = |reason: String| TuneError::Broken(self.name().clone(), reason);
        Expression::parse(text).map_err(|refused| broken(refused.reason))
    }
}

/// Where the selectors of an expression begin.
fn starts_of(expr: &Expr, starts: &mut Vec<usize>) {
    match expr {
        Expr::Selector(selector) => starts.push(selector.span.start as usize),
        Expr::Range(range) => starts.push(range.selector.span.start as usize),
        _ => expr.children().into_iter().for_each(|child| starts_of(child, starts)),
    }
}

/// The group with everything that is to be different. Rules that nothing is said about stay what
/// they are.
///
/// # Errors
/// The first tuning that cannot be applied.
pub fn tuned(group: &GroupRules, tunings: &[Tuning]) -> Result<GroupRules, TuneError> {
    let mut rules = Vec::with_capacity(group.rules.len());
    for rule in &group.rules {
        let RuleKind::Alerting { alert, .. } = &rule.kind else {
            rules.push(rule.clone());
            continue;
        };
        let mine: Vec<&Tuning> = tunings.iter().filter(|t| t.alert == *alert).collect();
        let (mut usual, mut off) = (Rule::clone(rule), false);
        for tuning in mine.iter().filter(|tuning| tuning.service.is_none()) {
            usual = usual.tuned(tuning)?;
            off |= tuning.off;
        }
        let special: Vec<(&Arc<str>, &Tuning)> =
            mine.iter().filter_map(|t| Some((t.service.as_ref()?, *t))).collect();
        if !special.is_empty() && !rule.is_about_services() {
            return Err(TuneError::NoService(alert.clone()));
        }
        let test = |service: &Arc<str>| Test::NotEqual(service.clone());
        let others = special.iter().map(|(service, _)| Matcher::new("service", test(service)));
        let others: Vec<Matcher> = others.collect();
        if !off {
            let all = if others.is_empty() { usual.clone() } else { usual.within(others)? };
            rules.push(Arc::new(all));
        }
        for (service, tuning) in special.into_iter().filter(|(_, tuning)| !tuning.off) {
            let one = usual.tuned(tuning)?.within(vec![Matcher::equal("service", service)])?;
            rules.push(Arc::new(one));
        }
    }
    Ok(GroupRules { rules, ..group.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{File, pack};

    const RULES: &str = "groups:\n- name: g\n  rules:\n  - alert: Slow\n    expr: |\n      \
        (a{x=\"1\"} > 3  # tune factor number\n        * a:usual) > 0.5  # tune floor|threshold seconds\n      \
        or avg_over_time(a{}[5m]) > 9  # tune threshold seconds\n    for: 5m\n    labels: {class: '3'}\n  \
        - {record: r, expr: a}\n";

    fn group() -> Arc<GroupRules> {
        File::parse("r.yml", RULES).unwrap().groups[0].clone()
    }

    fn tuning(service: Option<&str>, parameters: &[(&str, f64)]) -> Tuning {
        Tuning {
            alert: "Slow".into(),
            service: service.map(Into::into),
            parameters: parameters.iter().map(|(name, value)| ((*name).into(), *value)).collect(),
            ..Tuning::default()
        }
    }

    fn numbers(rule: &Rule) -> Vec<f64> {
        marks(rule.expression.as_str()).iter().map(|mark| mark.value).collect()
    }

    #[test]
    fn parameters_are_named_behind_their_numbers() {
        let found = group().rules[0].parameters();
        let told: Vec<_> = found.iter().map(|p| (&*p.name, p.unit, p.default)).collect();
        assert_eq!(
            told,
            [
                ("factor", Unit::Number, 3.0),
                ("floor", Unit::Seconds, 0.5),
                ("threshold", Unit::Seconds, 9.0),
            ]
        );
    }

    #[test]
    fn a_tuning_for_everybody_changes_the_rule() {
        let mut tuning = tuning(None, &[("factor", 5.0)]);
        tuning.hold = Some(Duration::from_secs(60));
        tuning.labels = vec![("class".into(), "1".into()), ("owner".into(), "me".into())];
        let tuned = tuned(&group(), &[tuning]).unwrap();
        assert_eq!(tuned.rules.len(), 2);
        assert_eq!(numbers(&tuned.rules[0]), [5.0, 0.5, 9.0]);
        assert_eq!(tuned.rules[0].written_labels().to_string(), r#"{class="1", owner="me"}"#);
        let RuleKind::Alerting { hold, .. } = tuned.rules[0].kind else { panic!() };
        assert_eq!(hold, Duration::from_secs(60));
    }

    #[test]
    fn a_tuning_for_a_service_is_a_rule_of_its_own() {
        let mine = tuning(Some("my \"shop\""), &[("threshold", 2.0)]);
        let tuned = tuned(&group(), &[tuning(None, &[("factor", 4.0)]), mine]).unwrap();
        assert_eq!(tuned.rules.len(), 3);
        assert_eq!(numbers(&tuned.rules[0]), [4.0, 0.5, 9.0]);
        assert_eq!(numbers(&tuned.rules[1]), [4.0, 2.0, 2.0]);
        for (rule, accepts) in [(&tuned.rules[0], false), (&tuned.rules[1], true)] {
            assert_eq!(rule.expression.selectors().len(), 3);
            for selector in rule.expression.selectors() {
                let own = selector.matchers.iter().find(|m| m.name() == "service").unwrap();
                assert_eq!(own.accepts("my \"shop\""), accepts);
            }
        }
    }

    #[test]
    fn what_is_switched_off_does_not_run() {
        let off = |service| Tuning { off: true, ..tuning(service, &[]) };
        assert_eq!(tuned(&group(), &[off(None)]).unwrap().rules.len(), 1);
        let without = tuned(&group(), &[off(Some("shop"))]).unwrap();
        assert_eq!(without.rules.len(), 2);
        assert!(without.rules[0].expression.as_str().contains("service!=\"shop\""));
    }

    #[test]
    fn every_shipped_rule_can_be_tuned() {
        let mut parameters = 0;
        for (name, text) in pack::FILES {
            for group in File::parse(name, text).unwrap().groups {
                for rule in &group.rules {
                    let RuleKind::Alerting { alert, .. } = &rule.kind else { continue };
                    let written = rule.expression.as_str().matches("# tune").count();
                    assert_eq!(marks(rule.expression.as_str()).len(), written, "{alert}");
                    let all = rule.parameters();
                    parameters += all.len();
                    let one = Tuning {
                        alert: alert.clone(),
                        service: rule.is_about_services().then(|| "shop".into()),
                        parameters: all.iter().map(|p| (p.name.clone(), p.default * 2.0)).collect(),
                        ..Tuning::default()
                    };
                    let tuned = tuned(&group, &[one]).unwrap();
                    let variant = tuned.rules.iter().rfind(|r| r.name() == alert).unwrap();
                    for (old, new) in all.iter().zip(variant.parameters()) {
                        assert!((new.default - old.default * 2.0).abs() < 1e-9, "{alert}: {old:?}");
                    }
                }
            }
        }
        assert!(parameters >= 15, "{parameters}");
    }

    #[test]
    fn what_is_not_about_services_cannot_be_another_for_one() {
        let text = "groups: [{name: g, rules: [{alert: Slow, expr: vector(1)}]}]";
        let group = File::parse("r.yml", text).unwrap().groups[0].clone();
        let refused = tuned(&group, &[tuning(Some("shop"), &[])]).unwrap_err();
        assert!(refused.to_string().contains("rules: alerts:"), "{refused}");
    }
}
