//! Prometheus 3 rule files: from text to typed groups, with everything that is wrong at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::duration::parse_duration;
use super::fields::Fields;
use super::language::{Expression, Text};
use super::problem::{Place, Problem, ProblemKind};
use super::yaml::{self, Node};
use crate::model::{Labels, METRIC_NAME, Matcher};

/// A rule file that may run.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name, as it is shown.
    pub name: Arc<str>,
    /// Its groups, in order; names are unique.
    pub groups: Vec<Arc<GroupRules>>,
}

/// A group as it was written: rules that run one after the other at the same instants.
#[derive(Clone, Debug)]
pub struct GroupRules {
    /// Its name, unique in its file.
    pub name: Arc<str>,
    /// The file it stands in.
    pub file: Arc<str>,
    /// Time from one evaluation to the next; the global one when absent.
    pub interval: Option<Duration>,
    /// Most alerts or series that one of its rules may yield; 0 for no limit.
    pub limit: usize,
    /// The rules look this far back; the global offset when absent.
    pub query_offset: Option<Duration>,
    /// Its rules, in order.
    pub rules: Vec<Arc<Rule>>,
}

/// A rule as it was written.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What its result becomes.
    pub kind: RuleKind,
    /// What it asks.
    pub expression: Expression,
    /// Labels for its results, those of the group included; templates for alerts. Sorted by name.
    pub labels: Vec<(Arc<str>, Text)>,
    /// Where it stands.
    pub place: Place,
    /// Which series it is about, where another rule of the same name in its group is about the
    /// others ([`tune`](super::tune)); empty for all. The expression asks for no others.
    pub scope: Vec<Matcher>,
}

/// What the result of a rule becomes.
#[derive(Clone, Debug)]
pub enum RuleKind {
    /// Series of this name.
    Recording {
        /// The metric's name.
        record: Arc<str>,
    },
    /// Alerts.
    Alerting {
        /// The alert's name.
        alert: Arc<str>,
        /// `for`: how long the expression must hold.
        hold: Duration,
        /// `keep_firing_for`: how long the alert outlives the expression.
        keep: Duration,
        /// Templates for texts, in the order of their names.
        annotations: Vec<(Arc<str>, Text)>,
    },
}

impl Rule {
    /// The name of the alert or of the recorded metric.
    pub fn name(&self) -> &Arc<str> {
        match &self.kind {
            RuleKind::Recording { record } => record,
            RuleKind::Alerting { alert, .. } => alert,
        }
    }

    /// The labels as they were written (templates not expanded).
    pub fn written_labels(&self) -> Labels {
        written(&self.labels)
    }

    /// The annotations as they were written; none for a recording rule.
    pub fn written_annotations(&self) -> Labels {
        match &self.kind {
            RuleKind::Recording { .. } => Labels::empty(),
            RuleKind::Alerting { annotations, .. } => written(annotations),
        }
    }
}

fn written(pairs: &[(Arc<str>, Text)]) -> Labels {
    // Names come from a mapping with unique, non-empty keys.
    Labels::from_pairs(pairs.iter().map(|(name, text)| (&**name, text.as_str())))
        .unwrap_or_default()
}

impl File {
    /// Reads a rule file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_some(name, text, false)
    }

    /// Reads a rule file, and passes over fields that the format does not have.
    ///
    /// # Errors
    /// Everything else that is wrong with it.
    pub fn parse_ignoring_unknown_fields(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        Self::parse_some(name, text, true)
    }

    fn parse_some(name: &str, text: &str, lenient: bool) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { file: name.into(), source: text, problems: Vec::new() };
        let groups = match yaml::read(text) {
            Ok(Some(node)) => reader.file(&node),
            Ok(None) => Vec::new(),
            Err(problem) => {
                reader.problems.push(problem);
                Vec::new()
            }
        };
        let Reader { file, mut problems, .. } = reader;
        problems.retain(|problem| !lenient || problem.kind != ProblemKind::UnknownField);
        if problems.is_empty() {
            return Ok(Self { name: file, groups });
        }
        problems.sort_by_key(|problem| problem.place);
        Err(problems)
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.groups.iter().map(|group| group.rules.len()).sum()
    }
}

struct Reader<'a> {
    file: Arc<str>,
    source: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn file(&mut self, node: &Node) -> Vec<Arc<GroupRules>> {
        let fields = Fields::of(node, "a rule file", &["groups"], &mut self.problems);
        let mut groups = Vec::new();
        let mut places: HashMap<Arc<str>, Place> = HashMap::new();
        for node in fields.list("groups", &mut self.problems) {
            let Some(group) = self.group(node) else { continue };
            if let Some(first) = places.insert(group.name.clone(), node.at) {
                let what = format!(
                    "the group {:?} stands twice in this file, first at {first}; names of groups \
                     are unique in a file",
                    group.name
                );
                self.wrong(node.at, what);
            }
            groups.push(Arc::new(group));
        }
        groups
    }

    fn group(&mut self, node: &Node) -> Option<GroupRules> {
        const KNOWN: [&str; 6] = ["name", "interval", "limit", "query_offset", "labels", "rules"];
        let before = self.problems.len();
        let fields = Fields::of(node, "a rule group", &KNOWN, &mut self.problems);
        let name = fields.text("name", &mut self.problems).map_or("", |(text, _)| text);
        if name.is_empty() && self.problems.len() == before {
            self.wrong(node.at, "a rule group has no name; write `name: something`".to_owned());
        }
        let interval = self.length(&fields, "interval").filter(|length| !length.is_zero());
        let query_offset = self.length(&fields, "query_offset");
        let limit = self.limit(&fields);
        let labels = self.labels(&fields, "labels", false);
        let nodes = fields.list("rules", &mut self.problems);
        let rules = nodes.iter().filter_map(|node| self.rule(node, &labels)).map(Arc::new);
        let rules = rules.collect();
        let file = self.file.clone();
        Some(GroupRules { name: name.into(), file, interval, limit, query_offset, rules })
    }

    fn limit(&mut self, fields: &Fields<'_>) -> usize {
        let Some((text, node)) = fields.text("limit", &mut self.problems) else { return 0 };
        match text.parse::<i64>() {
            // As in Prometheus, nothing below one is a limit.
            Ok(limit) => usize::try_from(limit).unwrap_or(0),
            Err(_) => {
                self.wrong(node.at, format!("limit is {text:?}; it must be a whole number"));
                0
            }
        }
    }

    fn rule(&mut self, node: &Node, group_labels: &[(Arc<str>, Text)]) -> Option<Rule> {
        const KNOWN: [&str; 7] =
            ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
        let before = self.problems.len();
        let fields = Fields::of(node, "a rule", &KNOWN, &mut self.problems);
        let record = fields.text("record", &mut self.problems);
        let alert = fields.text("alert", &mut self.problems);
        let (record, alert) = (
            record.filter(|(text, _)| !text.is_empty()),
            alert.filter(|(text, _)| !text.is_empty()),
        );
        let name = match (&record, &alert) {
            (Some((_, node)), Some(_)) => {
                self.wrong(node.at, "a rule has either `record` or `alert`, not both".to_owned());
                return None;
            }
            (None, None) => {
                if self.problems.len() == before {
                    let what = "a rule needs `alert` or `record` with a name".to_owned();
                    self.wrong(node.at, what);
                }
                return None;
            }
            (Some((name, _)), None) | (None, Some((name, _))) => *name,
        };
        let expression = self.expression(&fields, node, name);
        let hold = self.length(&fields, "for");
        let keep = self.length(&fields, "keep_firing_for");
        let own = self.labels(&fields, "labels", alert.is_some());
        let annotations = self.labels(&fields, "annotations", alert.is_some());
        let kind = if let Some((record, place)) = record {
            self.recording(&fields, record, place.at);
            RuleKind::Recording { record: record.into() }
        } else {
            let (hold, keep) = (hold.unwrap_or_default(), keep.unwrap_or_default());
            RuleKind::Alerting { alert: name.into(), hold, keep, annotations }
        };
        let mut labels: Vec<(Arc<str>, Text)> = group_labels
            .iter()
            .filter(|(name, _)| own.iter().all(|(other, _)| other != name))
            .map(|(label, text)| (label.clone(), text.for_rule(alert.is_some())))
            .collect();
        labels.extend(own);
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        Some(Rule { kind, expression: expression?, labels, place: node.at, scope: Vec::new() })
    }

    fn recording(&mut self, fields: &Fields<'_>, record: &str, place: Place) {
        if record.contains(['{', '}']) {
            let what = format!(
                "record is {record:?}; it must be a metric name alone: labels belong under \
                 `labels`, a selector into `expr`"
            );
            self.wrong(place, what);
        }
        for name in ["for", "keep_firing_for", "annotations"] {
            if let Some(key) = fields.place_of_set(name) {
                let what = format!("`{name}` belongs to alerts; {record:?} is a recording rule");
                self.wrong(key, what);
            }
        }
    }

    fn expression(&mut self, fields: &Fields<'_>, rule: &Node, name: &str) -> Option<Expression> {
        let found = fields.text("expr", &mut self.problems);
        let Some((text, node)) = found.filter(|(text, _)| !text.is_empty()) else {
            self.wrong(rule.at, format!("the rule {name:?} has no `expr`"));
            return None;
        };
        match Expression::parse(text) {
            Ok(expression) => Some(expression),
            Err(refused) => {
                // An unexpected end is shown behind the last letter, not behind a line feed.
                let offset = refused.offset.min(text.trim_end().len());
                let place = node.place_within(self.source, offset);
                let what = format!("the expression of {name:?} is not PromQL: {}", refused.reason);
                self.problems.push(Problem { place, kind: ProblemKind::Expression, what });
                None
            }
        }
    }

    fn length(&mut self, fields: &Fields<'_>, name: &str) -> Option<Duration> {
        let (text, node) = fields.text(name, &mut self.problems)?;
        match parse_duration(text) {
            Ok(length) => Some(length),
            Err(reason) => {
                self.wrong(node.at, format!("{name}: {reason}"));
                None
            }
        }
    }

    /// Labels or annotations, sorted by name. `templates`: each value must be a template.
    fn labels(
        &mut self,
        fields: &Fields<'_>,
        field: &str,
        templates: bool,
    ) -> Vec<(Arc<str>, Text)> {
        let mut labels: Vec<(Arc<str>, Text)> = Vec::new();
        for (key, value) in fields.map(field, &mut self.problems) {
            let name = key.text.as_str();
            let Some(text) = value.text() else {
                let what = format!("{name:?} in {field} is {}; it must be a text", value.shape());
                self.wrong(value.at, what);
                continue;
            };
            if name.is_empty() || (field == "labels" && name == METRIC_NAME) {
                let what = format!(
                    "{name:?} cannot be a name in {field}; {}",
                    if name.is_empty() { "a name is needed" } else { "use `record` for it" }
                );
                self.wrong(key.at, what);
                continue;
            }
            let checked = if templates { Text::template(text) } else { Ok(Text::plain(text)) };
            match checked {
                Ok(checked) => labels.push((Arc::from(name), checked)),
                Err(refused) => {
                    let place = value.place_within(self.source, refused.offset);
                    let what = format!("the template {name:?} in {field}: {}", refused.reason);
                    self.problems.push(Problem { place, kind: ProblemKind::Template, what });
                }
            }
        }
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels
    }

    fn wrong(&mut self, place: Place, what: String) {
        self.problems.push(Problem { place, kind: ProblemKind::Value, what });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problems(text: &str) -> Vec<String> {
        File::parse("r.yml", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_wrong_is_told_at_once_with_its_place() {
        let text = "groups:\n- name: g\n  interval: 5 minutes\n  rules:\n  - alert: A\n    \
                    exprr: up == 0\n    for: 5x\n  - record: b\n    expr: |\n      sum(\n        up\n    \
                    for: 5m\n";
        let told = problems(text);
        let starts: Vec<_> =
            told.iter().map(|t| t.split(": ").next().unwrap().to_owned()).collect();
        assert_eq!(starts, ["3:13", "5:5", "6:5", "7:10", "11:11", "12:5"]);
        assert!(told.iter().any(|t| t.contains("did you mean \"expr\"?")), "{told:#?}");
        assert!(told.iter().any(|t| t.contains("unknown unit \" minutes\"")), "{told:#?}");
        assert!(told.iter().any(|t| t.contains("`for` belongs to alerts")), "{told:#?}");
    }

    #[test]
    fn an_error_of_promql_stands_at_its_place_in_the_file() {
        let text = "groups:\n- name: g\n  rules:\n  - record: b\n    expr: |\n      up\n        + foo(x)\n";
        assert_eq!(problems(text).len(), 1);
        assert!(problems(text)[0].starts_with("7:11: "), "{:?}", problems(text));
    }

    #[test]
    fn an_error_in_a_template_stands_at_its_place_in_the_file() {
        let text = "groups:\n- name: g\n  rules:\n  - alert: b\n    expr: up\n    annotations:\n      \
                    s: '{{ $value }} {{ nope }}'\n";
        let told = problems(text);
        assert!(told[0].starts_with("7:") && told[0].contains("nope"), "{told:?}");
    }

    #[test]
    fn labels_of_the_group_count_for_each_rule_unless_it_has_its_own() {
        let text = "groups:\n- name: g\n  labels: {team: a, x: '{{ 1 }}'}\n  rules:\n  \
                    - {alert: b, expr: up, labels: {team: b}}\n  - {record: c, expr: up}\n";
        let file = File::parse("r.yml", text).unwrap();
        let rules = &file.groups[0].rules;
        assert_eq!(rules[0].written_labels().to_string(), r#"{team="b", x="{{ 1 }}"}"#);
        assert!(rules[0].labels[1].1.is_template() && !rules[1].labels[1].1.is_template());
        assert_eq!(file.rules(), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_a_file_or_a_list_of_problems(
            name in "[a-z{}]{0,4}", expr in "[a-z(){}=+ '\"]{0,12}", length in "[0-9a-z]{0,4}",
        ) {
            let text = format!(
                "groups:\n- name: g\n  rules:\n  - alert: {name}\n    expr: {expr}\n    for: {length}\n"
            );
            if let Err(problems) = File::parse("r.yml", &text) {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}
