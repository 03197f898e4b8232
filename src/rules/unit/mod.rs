//! Unit tests of rules: promtool's format, judged as promtool judges, told more readably.
//!
//! As in promtool all groups are evaluated at each `evaluation_interval`, whatever their own interval
//! is; samples become visible as time passes; an alert test looks at the evaluation at or before
//! its time.

mod compare;
mod file;
mod report;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::duration::format_duration;
use super::file::{File, GroupRules, RuleKind};
use super::group::{Group, Health};
use super::language::Expression;
use super::world::World;
use crate::model::{Labels, Phase, Test as MatcherTest, Timestamp};
use crate::promql::{self, MemoryStore};
use file::{AlertTest, Test, TestFile};
pub use report::{Case, Class, Failure, FileReport, Report};

/// How tests are run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only tests whose name matches.
    pub run: Option<regex::Regex>,
    /// Pass over fields that the format of rule files does not have.
    pub ignore_unknown_fields: bool,
}

/// Gives the rule files for a name or pattern of a test file: names and texts. A pattern that
/// matches nothing gives nothing.
pub type RuleFiles<'a> = dyn Fn(&str) -> Result<Vec<(String, String)>, String> + 'a;

/// Runs one test file.
pub fn run(name: &str, text: &str, rule_files: &RuleFiles<'_>, options: &Options) -> FileReport {
    let mut report = FileReport::new(name);
    let tests = match file::parse(text) {
        Ok(tests) => tests,
        Err(problems) => {
            for problem in problems {
                report.broken(Class::TestFile, format!("{name}:{problem}"));
            }
            return report;
        }
    };
    let groups = load(&tests, rule_files, options, name, &mut report);
    if report.is_broken() {
        return report;
    }
    let mut touched = BTreeSet::new();
    for (number, test) in tests.tests.iter().enumerate() {
        let title = test.name.clone().unwrap_or_else(|| format!("#{}", number + 1));
        let named = test.name.as_deref().unwrap_or("");
        if options.run.as_ref().is_some_and(|only| !only.is_match(named)) {
            continue;
        }
        let run = Run { file: &tests, test, title, groups: &groups };
        run.run(&mut report);
        touch(test, &groups, &mut touched);
    }
    let all = groups.iter().flat_map(|group| &group.rules);
    report.rules = all.clone().count();
    report.untested = all
        .filter(|rule| !touched.contains(rule.name()))
        .map(|rule| rule.name().to_string())
        .collect();
    report
}

fn load(
    tests: &TestFile,
    rule_files: &RuleFiles<'_>,
    options: &Options,
    name: &str,
    report: &mut FileReport,
) -> Vec<Arc<GroupRules>> {
    let mut groups: Vec<Arc<GroupRules>> = Vec::new();
    for (pattern, place) in &tests.rule_files {
        let files = rule_files(pattern).unwrap_or_else(|reason| {
            report.broken(Class::RuleFile, format!("{name}:{place}: {pattern}: {reason}"));
            Vec::new()
        });
        for (name, text) in files {
            let parsed = if options.ignore_unknown_fields {
                File::parse_ignoring_unknown_fields(&name, &text)
            } else {
                File::parse(&name, &text)
            };
            match parsed {
                Ok(file) => groups.extend(file.groups),
                Err(problems) => {
                    for problem in problems {
                        report.broken(Class::RuleFile, format!("{name}:{problem}"));
                    }
                }
            }
        }
    }
    // Groups that are not named come first, as in promtool; the sort is stable.
    let rank = |name: &str| tests.order.iter().position(|o| o == name).map_or(0, |at| at + 1);
    groups.sort_by_key(|group| rank(&group.name));
    groups
}

struct Run<'a> {
    file: &'a TestFile,
    test: &'a Test,
    title: String,
    groups: &'a [Arc<GroupRules>],
}

impl Run<'_> {
    fn run(&self, report: &mut FileReport) {
        let test = self.test;
        let world = World {
            external_labels: test.external_labels.clone(),
            external_url: test.external_url.clone(),
            functions_url: None,
            // Nothing stood before a test.
            tolerance: Duration::ZERO,
            ..World::default()
        };
        let mut groups: Vec<Group> = self.groups.iter().cloned().map(Group::new).collect();
        let mut feed = Feed { test, next: vec![0; test.series.len()], store: MemoryStore::new() };
        let mut alerts: Vec<&AlertTest> = test.alerts.iter().collect();
        alerts.sort_by_key(|alert| alert.at);
        let mut alerts = alerts.into_iter().peekable();
        let step = self.file.evaluation_interval;
        let times = test.alerts.iter().map(|a| a.at).chain(test.expressions.iter().map(|e| e.at));
        let last = times.max().unwrap_or_default();
        let mut since = Duration::ZERO;
        while since <= last {
            let now = test.start + since;
            feed.until(now);
            let mut failed = false;
            for group in &mut groups {
                let outcome = group.evaluate(now, step, &feed.store, &world, &|| Duration::ZERO);
                for row in outcome.batch.rows {
                    feed.store.append(&row.labels, outcome.batch.at, row.point, None);
                }
                for state in &group.states {
                    if let Health::Err(reason) = &state.health {
                        failed = true;
                        let case = self.case("rule", state.rule.name(), since, 0);
                        self.failed(report, case, Class::RuleEvaluation, reason);
                    }
                }
            }
            if failed {
                return;
            }
            while let Some(alert) = alerts.next_if(|alert| alert.at < since + step) {
                self.check_alerts(alert, &groups, report);
            }
            since += step;
        }
        for expression in &test.expressions {
            self.check_expression(expression, &feed.store, &world, report);
        }
    }

    fn check_alerts(&self, test: &AlertTest, groups: &[Group], report: &mut FileReport) {
        let mut got: Vec<(Labels, Labels)> = Vec::new();
        for state in groups.iter().flat_map(|group| &group.states) {
            if matches!(&state.rule.kind, RuleKind::Alerting { alert, .. } if **alert == *test.alert)
            {
                let firing = state
                    .alerts
                    .iter()
                    .filter(|(_, active)| matches!(active.phase, Phase::Firing { .. }));
                got.extend(
                    firing.map(|(labels, active)| (labels.clone(), active.annotations.clone())),
                );
            }
        }
        let case = self.case("alert", &test.alert, test.at, test.expected.len());
        match compare::alerts(&test.expected, &got) {
            None => report.cases.push(case),
            Some(difference) => self.failed(report, case, Class::Alerts, &difference),
        }
    }

    fn check_expression(
        &self,
        test: &file::ExpressionTest,
        store: &MemoryStore,
        world: &World,
        report: &mut FileReport,
    ) {
        let answered = query(&test.query, store, self.test.start + test.at, world);
        let expected = test.expected.as_ref().map_or(0, Vec::len);
        let case = self.case("expr", &test.query, test.at, expected);
        let both =
            answered.and_then(|got| Ok((got, test.expected.as_ref().map_err(String::clone)?)));
        match both {
            Err(reason) => self.failed(report, case, Class::Query, &reason),
            Ok((got, expected)) => match compare::samples(expected, &got, self.file.fuzzy) {
                None => report.cases.push(case),
                Some(difference) => self.failed(report, case, Class::Samples, &difference),
            },
        }
    }

    fn failed(&self, report: &mut FileReport, case: Case, class: Class, difference: &str) {
        let failure = Some(Failure { class, difference: difference.to_owned() });
        report.cases.push(Case { failure, ..case });
    }

    fn case(&self, kind: &'static str, name: &str, at: Duration, expected: usize) -> Case {
        Case {
            test: self.title.clone(),
            line: self.test.place.line,
            kind,
            name: name.to_owned(),
            time: format_duration(at),
            at,
            expected,
            failure: None,
        }
    }
}

/// The samples of a test, put into the store as time passes.
struct Feed<'a> {
    test: &'a Test,
    next: Vec<usize>,
    store: MemoryStore,
}

impl Feed<'_> {
    fn until(&mut self, now: Timestamp) {
        for (series, next) in self.test.series.iter().zip(&mut self.next) {
            while let Some(value) = series.values.get(*next) {
                let steps = u32::try_from(*next).unwrap_or(u32::MAX);
                let at = self.test.start + self.test.interval.saturating_mul(steps);
                if at > now {
                    break;
                }
                if let Some(point) = value {
                    self.store.append(&series.labels, at, point.clone(), None);
                }
                *next += 1;
            }
        }
    }
}

/// The elements of a query's answer; a scalar is one without labels.
fn query(
    text: &str,
    store: &MemoryStore,
    at: Timestamp,
    world: &World,
) -> Result<Vec<(Labels, promql::Point)>, String> {
    let expr = promql::parse(text).map_err(|error| error.to_string())?;
    let answer = promql::instant(&expr, store, at, &world.options()).map_err(|e| e.message)?;
    match answer.value {
        promql::Value::Vector(samples) => {
            Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect())
        }
        promql::Value::Scalar(_, value) => Ok(vec![(Labels::empty(), promql::Point::Float(value))]),
        promql::Value::String(..) | promql::Value::Matrix(_) => {
            Err("rule result is not a vector or scalar".to_owned())
        }
    }
}

/// Notes the rules that a test looks at, and those whose results these read.
fn touch(test: &Test, groups: &[Arc<GroupRules>], touched: &mut BTreeSet<Arc<str>>) {
    let mut todo: Vec<Arc<str>> =
        test.alerts.iter().map(|alert| alert.alert.as_str().into()).collect();
    for expression in &test.expressions {
        if let Ok(expression) = Expression::parse(&expression.query) {
            todo.extend(named_by(&expression, groups));
        }
    }
    while let Some(name) = todo.pop() {
        let rules = groups.iter().flat_map(|group| &group.rules);
        for rule in rules.filter(|rule| *rule.name() == name) {
            if touched.insert(name.clone()) {
                todo.extend(named_by(&rule.expression, groups));
            }
        }
    }
}

/// The rules whose results an expression reads.
fn named_by(expression: &Expression, groups: &[Arc<GroupRules>]) -> Vec<Arc<str>> {
    let mut named = Vec::new();
    for selector in expression.selectors() {
        for rule in groups.iter().flat_map(|group| &group.rules) {
            let result = match &rule.kind {
                RuleKind::Recording { record } => [("__name__", &**record), ("", "")],
                RuleKind::Alerting { alert, .. } => [("__name__", "ALERTS"), ("alertname", alert)],
            };
            let reads = selector.matchers.iter().all(|matcher| {
                match result.iter().find(|(name, _)| *name == matcher.name()) {
                    Some((_, value)) => matcher.accepts(value) || accepts_state(matcher, value),
                    None => true,
                }
            });
            if reads {
                named.push(rule.name().clone());
            }
        }
    }
    named
}

/// `ALERTS_FOR_STATE` tells of an alert too.
fn accepts_state(matcher: &crate::model::Matcher, value: &str) -> bool {
    value == "ALERTS"
        && matches!(matcher.test(), MatcherTest::Equal(name) if &**name == "ALERTS_FOR_STATE")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x > 1, annotations: {s: 'is {{ $value }}'}}\n  \
                         - {record: r, expr: x}\n  - {record: lonely, expr: y}\n";

    fn tested(tests: &str, options: &Options) -> Report {
        let files = |_: &str| Ok(vec![("r.yml".to_owned(), RULES.to_owned())]);
        let text = format!("rule_files: [r.yml]\ntests:\n{tests}");
        Report { files: vec![run("t.yml", &text, &files, options)] }
    }

    const TWO: &str = "- name: wrong\n  input_series: [{series: x, values: '2 2'}]\n  alert_rule_test:\n  \
        - {eval_time: 1m, alertname: A, exp_alerts: [{exp_annotations: {s: 'is <3>'}}]}\n\
        - name: right\n  input_series: [{series: x, values: '2 2'}]\n  promql_expr_test:\n  \
        - {expr: r, eval_time: 1m, exp_samples: [{labels: r, value: 2}]}\n";

    #[test]
    fn a_difference_is_told_where_it_is() {
        let report = tested(TWO, &Options::default());
        assert_eq!(report.counts(), (1, 1));
        let text = report.text();
        assert!(text.contains("t.yml:3 test \"wrong\": alert A at 1m"), "{text}");
        assert!(text.contains("expected \"is <3>\"\n        got      \"is 2\""), "{text}");
        assert!(text.contains("2 of 3 rules tested; not: lonely"), "{text}");
        assert!(text.ends_with("1 passed, 1 failed\n"), "{text}");
    }

    #[test]
    fn junit_is_well_formed() {
        let xml = tested(TWO, &Options::default()).junit();
        assert!(xml.contains("tests=\"2\" failures=\"1\""), "{xml}");
        assert!(xml.contains("&quot;is &lt;3&gt;&quot;"), "{xml}");
    }

    #[test]
    fn only_the_tests_asked_for_run() {
        let only = regex::Regex::new("^right$").unwrap();
        let options = Options { run: Some(only), ..Options::default() };
        let report = tested(TWO, &options);
        assert!(report.is_good());
        assert_eq!(report.counts(), (1, 0));
    }

    #[test]
    fn a_broken_test_file_is_named_with_its_place() {
        let report =
            tested("- {promql_expr_test: [{expr: x, eval_tim: 1m}]}\n", &Options::default());
        let (class, problem) = &report.files[0].problems[0];
        assert_eq!(*class, Class::TestFile);
        assert!(problem.starts_with("t.yml:3:33: "), "{problem}");
        assert!(problem.contains("did you mean \"eval_time\"?"), "{problem}");
    }
}
