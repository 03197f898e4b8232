//! Unit-test files for rules, in promtool's format.

use std::sync::Arc;
use std::time::Duration;

use super::super::duration::parse_duration;
use super::super::fields::Fields;
use super::super::problem::{Place, Problem, ProblemKind};
use super::super::yaml::{self, Node};
use crate::model::{Histogram, Labels, Timestamp};
use crate::promql::script::{WrittenSeries, parse_histogram, parse_labels, parse_series};

/// A unit-test file.
#[derive(Debug)]
pub(super) struct TestFile {
    /// Names or patterns of rule files, relative to the test file, with their places.
    pub(super) rule_files: Vec<(String, Place)>,
    pub(super) evaluation_interval: Duration,
    pub(super) order: Vec<String>,
    pub(super) fuzzy: bool,
    pub(super) tests: Vec<Test>,
}

/// One test: series, and what the rules make of them.
#[derive(Debug)]
pub(super) struct Test {
    pub(super) name: Option<String>,
    pub(super) place: Place,
    pub(super) interval: Duration,
    pub(super) start: Timestamp,
    pub(super) series: Vec<WrittenSeries>,
    pub(super) alerts: Vec<AlertTest>,
    pub(super) expressions: Vec<ExpressionTest>,
    pub(super) external_labels: Labels,
    pub(super) external_url: Arc<str>,
}

/// Which alerts of a name fire at a time.
#[derive(Debug)]
pub(super) struct AlertTest {
    pub(super) at: Duration,
    pub(super) alert: String,
    pub(super) expected: Vec<(Labels, Labels)>,
}

/// What a query gives at a time.
#[derive(Debug)]
pub(super) struct ExpressionTest {
    pub(super) at: Duration,
    pub(super) query: String,
    /// A sample that cannot be read fails when the query runs, as in promtool.
    pub(super) expected: Result<Vec<Sample>, String>,
}

/// An expected value.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) labels: Labels,
    pub(super) value: f64,
    pub(super) histogram: Option<Histogram>,
}

/// Reads a test file.
pub(super) fn parse(text: &str) -> Result<TestFile, Vec<Problem>> {
    let node = match yaml::read(text) {
        Ok(node) => node,
        Err(problem) => return Err(vec![problem]),
    };
    let mut reader = Reader { problems: Vec::new() };
    let file = node.map(|node| reader.file(&node)).unwrap_or_else(|| TestFile {
        rule_files: Vec::new(),
        evaluation_interval: DEFAULT_INTERVAL,
        order: Vec::new(),
        fuzzy: false,
        tests: Vec::new(),
    });
    if reader.problems.is_empty() { Ok(file) } else { Err(reader.problems) }
}

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn file(&mut self, node: &Node) -> TestFile {
        const KNOWN: [&str; 5] =
            ["rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests"];
        let fields = Fields::of(node, "a unit-test file", &KNOWN, &mut self.problems);
        let interval = self.length(&fields, "evaluation_interval");
        let interval = interval.filter(|i| !i.is_zero()).unwrap_or(DEFAULT_INTERVAL);
        let rule_files = self.texts(&fields, "rule_files");
        let order = self.texts(&fields, "group_eval_order");
        for (at, (name, place)) in order.iter().enumerate() {
            if order[..at].iter().any(|(other, _)| other == name) {
                self.wrong(*place, format!("the group {name:?} stands twice in group_eval_order"));
            }
        }
        let fuzzy = fields.text("fuzzy_compare", &mut self.problems).is_some_and(|(t, node)| {
            if !["true", "false"].contains(&t) {
                self.wrong(node.at, format!("fuzzy_compare is {t:?}; it is true or false"));
            }
            t == "true"
        });
        let nodes = fields.list("tests", &mut self.problems);
        let tests = nodes.iter().map(|node| self.test(node, interval)).collect();
        TestFile {
            rule_files,
            evaluation_interval: interval,
            order: order.into_iter().map(|(name, _)| name).collect(),
            fuzzy,
            tests,
        }
    }

    fn test(&mut self, node: &Node, evaluation: Duration) -> Test {
        const KNOWN: [&str; 8] = [
            "name",
            "interval",
            "start_timestamp",
            "input_series",
            "alert_rule_test",
            "promql_expr_test",
            "external_labels",
            "external_url",
        ];
        let fields = Fields::of(node, "a test", &KNOWN, &mut self.problems);
        let text = |name: &str, problems: &mut Vec<Problem>| {
            fields.text(name, problems).map(|(text, _)| text.to_owned())
        };
        let name = text("name", &mut self.problems).filter(|name| !name.is_empty());
        let external_url = text("external_url", &mut self.problems).unwrap_or_default();
        let interval = self.length(&fields, "interval").filter(|i| !i.is_zero());
        let start = self.start(&fields);
        let series = fields.list("input_series", &mut self.problems);
        let series = series.iter().filter_map(|node| self.series(node)).collect();
        let alerts = fields.list("alert_rule_test", &mut self.problems);
        let alerts = alerts.iter().map(|node| self.alert(node)).collect();
        let expressions = fields.list("promql_expr_test", &mut self.problems);
        let expressions = expressions.iter().map(|node| self.expression(node)).collect();
        Test {
            name,
            place: node.at,
            interval: interval.unwrap_or(evaluation),
            start,
            series,
            alerts,
            expressions,
            external_labels: self.labels(&fields, "external_labels"),
            external_url: external_url.into(),
        }
    }

    /// A date (RFC 3339) or seconds since 1970.
    fn start(&mut self, fields: &Fields<'_>) -> Timestamp {
        let Some((text, node)) = fields.text("start_timestamp", &mut self.problems) else {
            return Timestamp::default();
        };
        let seconds = text.parse::<f64>().ok().and_then(Timestamp::from_seconds);
        let date = || text.parse::<jiff::Timestamp>().ok().map(|t| t.as_millisecond());
        if let Some(start) = seconds.or_else(|| date().map(Timestamp::from_millis)) {
            return start;
        }
        let what = format!(
            "start_timestamp is {text:?}; write a date such as 2024-01-01T00:00:00Z, or seconds \
             since 1970"
        );
        self.wrong(node.at, what);
        Timestamp::default()
    }

    fn series(&mut self, node: &Node) -> Option<WrittenSeries> {
        let fields = Fields::of(node, "an input series", &["series", "values"], &mut self.problems);
        let (series, place) = fields.text("series", &mut self.problems)?;
        let (values, _) = fields.text("values", &mut self.problems).unwrap_or(("", node));
        // For promtool `NaNx3` is a word, not a number with a count.
        if let Some(word) = values.split_whitespace().find(|word| is_stretched_word(word)) {
            self.wrong(
                node.at,
                format!("the values of {series:?} hold {word:?}; only numbers repeat"),
            );
            return None;
        }
        match parse_series(&format!("{series} {values}")) {
            Ok(written) => Some(written),
            Err(reason) => {
                self.wrong(place.at, format!("the series {series:?} {values:?}: {reason}"));
                None
            }
        }
    }

    fn alert(&mut self, node: &Node) -> AlertTest {
        const KNOWN: [&str; 3] = ["eval_time", "alertname", "exp_alerts"];
        let fields = Fields::of(node, "an item of alert_rule_test", &KNOWN, &mut self.problems);
        let at = self.length(&fields, "eval_time").unwrap_or_default();
        let alert = fields.text("alertname", &mut self.problems).map_or("", |(text, _)| text);
        if alert.is_empty() {
            self.wrong(node.at, "an item of alert_rule_test names no alertname".to_owned());
        }
        let expected = fields.list("exp_alerts", &mut self.problems);
        let expected = expected.iter().map(|node| {
            const KNOWN: [&str; 2] = ["exp_labels", "exp_annotations"];
            let fields = Fields::of(node, "an expected alert", &KNOWN, &mut self.problems);
            let labels = self.labels(&fields, "exp_labels").with("alertname", alert);
            (labels, self.labels(&fields, "exp_annotations"))
        });
        AlertTest { at, alert: alert.to_owned(), expected: expected.collect() }
    }

    fn expression(&mut self, node: &Node) -> ExpressionTest {
        const KNOWN: [&str; 3] = ["expr", "eval_time", "exp_samples"];
        let fields = Fields::of(node, "an item of promql_expr_test", &KNOWN, &mut self.problems);
        let at = self.length(&fields, "eval_time").unwrap_or_default();
        let query = fields.text("expr", &mut self.problems).map_or("", |(text, _)| text);
        let samples = fields.list("exp_samples", &mut self.problems);
        let expected = samples.iter().map(|node| self.sample(node)).collect();
        ExpressionTest { at, query: query.to_owned(), expected }
    }

    fn sample(&mut self, node: &Node) -> Result<Sample, String> {
        const KNOWN: [&str; 3] = ["labels", "value", "histogram"];
        let fields = Fields::of(node, "an expected sample", &KNOWN, &mut self.problems);
        let labels = fields.text("labels", &mut self.problems).map_or("", |(text, _)| text);
        let value = fields.text("value", &mut self.problems).and_then(|(text, node)| {
            let number = number(text);
            if number.is_none() {
                self.wrong(node.at, format!("value is {text:?}; it must be a number"));
            }
            number
        });
        let histogram = fields.text("histogram", &mut self.problems).map(|(text, _)| text);
        let labels =
            parse_labels(labels).map_err(|reason| format!("labels {labels:?}: {reason}"))?;
        let histogram = histogram.filter(|text| !text.is_empty()).map(|text| {
            let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
            parse_histogram(inner.unwrap_or(text))
                .map_err(|reason| format!("histogram {text:?}: {reason}"))
        });
        Ok(Sample { labels, value: value.unwrap_or(0.0), histogram: histogram.transpose()? })
    }

    fn labels(&mut self, fields: &Fields<'_>, field: &str) -> Labels {
        let mut labels = Labels::empty();
        for (key, value) in fields.map(field, &mut self.problems) {
            match value.text() {
                Some(text) if !key.text.is_empty() => labels = labels.with(&key.text, text),
                _ => self.wrong(key.at, format!("{field} maps names to texts")),
            }
        }
        labels
    }

    fn texts(&mut self, fields: &Fields<'_>, field: &str) -> Vec<(String, Place)> {
        let mut texts = Vec::new();
        for node in fields.list(field, &mut self.problems) {
            match node.text() {
                Some(text) => texts.push((text.to_owned(), node.at)),
                None => self.wrong(node.at, format!("{field} is a list of texts")),
            }
        }
        texts
    }

    fn length(&mut self, fields: &Fields<'_>, name: &str) -> Option<Duration> {
        let (text, node) = fields.text(name, &mut self.problems)?;
        let length = parse_duration(text);
        length.map_err(|reason| self.wrong(node.at, format!("{name}: {reason}"))).ok()
    }

    fn wrong(&mut self, place: Place, what: String) {
        self.problems.push(Problem { place, kind: ProblemKind::Value, what });
    }
}

/// A number as YAML writes it.
fn number(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        ".inf" | "+.inf" | "inf" | "+inf" => Some(f64::INFINITY),
        "-.inf" | "-inf" => Some(f64::NEG_INFINITY),
        ".nan" | "nan" => Some(f64::NAN),
        other => other.replace('_', "").parse().ok(),
    }
}

/// `NaNx3`, `Infx2`.
fn is_stretched_word(word: &str) -> bool {
    let word = word.trim_start_matches(['+', '-']).to_ascii_lowercase();
    ["nan", "inf"]
        .iter()
        .any(|name| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('x')))
}
