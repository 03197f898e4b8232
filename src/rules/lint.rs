//! What is allowed, but most likely not meant: rules that can never yield anything, or never reach
//! anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::duration::format_duration;
use super::file::{File, Rule, RuleKind};
use super::kept::kept;
use super::problem::{Place, nearest};
use super::yaml::{self, Kind, Node};
use crate::model::{Labels, METRIC_NAME, Matcher, MetricType, Test};
use crate::promql::{Expr, Selector};

/// Kinds of doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LintKind {
    /// A selector that no series of the configured probes and rules can match.
    NoSeries,
    /// An alert that no route carries to anybody.
    NobodyTold,
    /// `rate` and its like over what goes up and down.
    RateOverGauge,
    /// A `for` in which fewer than two looks fit.
    ShortFor,
    /// A text that uses a label which the expression drops.
    DroppedLabel,
    /// The same rule twice.
    Duplicate,
}

impl LintKind {
    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoSeries => "no-series",
            Self::NobodyTold => "nobody-told",
            Self::RateOverGauge => "rate-over-gauge",
            Self::ShortFor => "short-for",
            Self::DroppedLabel => "dropped-label",
            Self::Duplicate => "duplicate",
        }
    }
}

/// A doubt about a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Where.
    pub place: Place,
    /// Which.
    pub kind: LintKind,
    /// What is doubtful, and what would be right.
    pub what: String,
}

/// Something that makes series: a probe of a target, a recording rule, alerts, ourselves.
#[derive(Clone, Debug)]
pub struct Source {
    /// Labels that each of its series has; others are possible.
    pub labels: Labels,
    /// Its metrics.
    pub metrics: BTreeMap<String, MetricType>,
    /// Time from one look to the next, for probes.
    pub interval: Option<Duration>,
}

/// What is known of the world in which the rules will run.
pub struct Surroundings<'a> {
    /// Everything that makes series, the rules themselves excepted. `None`: nobody knows.
    pub sources: Option<Vec<Source>>,
    /// Metrics whose names are known, configured or not.
    pub metrics: BTreeMap<String, MetricType>,
    /// Why nobody would be told of an alert with these labels; `None` when somebody is.
    pub untold: Option<&'a Untold<'a>>,
}

/// Says why nobody would be told.
pub type Untold<'a> = dyn Fn(&Labels) -> Option<String> + 'a;

/// Labels that a source decides: a series has its value or does not have the label.
const IDENTITY: [&str; 6] = ["service", "owner", "target", "probe", "job", "instance"];

/// The results of rules as sources.
pub fn results<'a>(files: impl IntoIterator<Item = &'a File>) -> Vec<Source> {
    let mut sources = Vec::new();
    let rules = files.into_iter().flat_map(|file| &file.groups).flat_map(|group| &group.rules);
    for rule in rules {
        let (metrics, labels) = match &rule.kind {
            RuleKind::Recording { record } => (vec![record.to_string()], Labels::empty()),
            RuleKind::Alerting { alert, .. } => (
                vec!["ALERTS".to_owned(), "ALERTS_FOR_STATE".to_owned()],
                Labels::empty().with("alertname", alert),
            ),
        };
        let metrics = metrics.into_iter().map(|name| (name, MetricType::Unknown)).collect();
        sources.push(Source { labels, metrics, interval: None });
    }
    sources
}

impl Source {
    /// Whether one of its series can match.
    fn can_match(&self, matchers: &[Matcher], own: bool) -> bool {
        matchers.iter().all(|matcher| match matcher.name() {
            METRIC_NAME => self.metrics.keys().any(|metric| matcher.accepts(metric)),
            name => match self.labels.get(name) {
                Some(value) => matcher.accepts(value),
                // A probe's series have these labels or never; a rule's may have any.
                None if own && IDENTITY.contains(&name) => matcher.accepts(""),
                None => true,
            },
        })
    }
}

/// All doubts about a file that was accepted. `text` is what it was read from; `all` are the files
/// that will run with it.
pub fn lint<'a>(
    file: &File,
    text: &str,
    all: impl IntoIterator<Item = &'a File>,
    world: &Surroundings<'_>,
) -> Vec<Lint> {
    let root = yaml::read(text).ok().flatten();
    let root = root.as_deref();
    let results = results(all);
    let mut found = Vec::new();
    let mut seen: BTreeSet<(String, Labels)> = BTreeSet::new();
    for (at, group) in file.groups.iter().enumerate() {
        for (number, rule) in group.rules.iter().enumerate() {
            let node = root
                .and_then(|root| item(field(item(field(root, "groups")?, at)?, "rules")?, number));
            let one = Look { rule, node, text, world, results: &results };
            one.series(&mut found);
            one.rates(&mut found);
            one.hold(&mut found);
            one.texts(&mut found);
            one.told(&mut found);
            if !seen.insert((rule.name().to_string(), rule.written_labels())) {
                let what = format!(
                    "the rule `{}` with these labels stands twice in this file; both would give \
                     the same series",
                    rule.name()
                );
                found.push(Lint { place: rule.place, kind: LintKind::Duplicate, what });
            }
        }
    }
    found.sort_by_key(|lint| (lint.place, lint.kind));
    found.dedup();
    found
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Kind::Map(pairs) = &node.kind else { return None };
    pairs.iter().find(|(key, _)| key.text == name).map(|(_, value)| &**value)
}

fn item(node: &Node, at: usize) -> Option<&Node> {
    let Kind::List(items) = &node.kind else { return None };
    items.get(at).map(|item| &**item)
}

struct Look<'a> {
    rule: &'a Rule,
    node: Option<&'a Node>,
    text: &'a str,
    world: &'a Surroundings<'a>,
    results: &'a [Source],
}

impl Look<'_> {
    /// The place of a byte of a field of the rule.
    fn place(&self, path: &[&str], offset: usize) -> Place {
        let walk = |node| path.iter().try_fold(node, |node, name| field(node, name));
        let node = self.node.and_then(walk);
        node.map_or(self.rule.place, |node| node.place_within(self.text, offset))
    }

    fn selectors(&self) -> Vec<&Selector> {
        self.rule.expression.selectors()
    }

    /// Sources of probes (and of ourselves) that a selector can read.
    fn read_by(&self, selector: &Selector) -> Vec<&Source> {
        let sources = self.world.sources.iter().flatten();
        sources.filter(|source| source.can_match(&selector.matchers, true)).collect()
    }

    fn series(&self, found: &mut Vec<Lint>) {
        let Some(sources) = &self.world.sources else { return };
        for selector in self.selectors() {
            let ours = || self.read_by(selector).is_empty();
            let rules = || self.results.iter().any(|s| s.can_match(&selector.matchers, false));
            if !ours() || rules() {
                continue;
            }
            let name = selector.matchers.iter().find_map(|matcher| match matcher.test() {
                Test::Equal(name) if matcher.name() == METRIC_NAME => Some(&**name),
                _ => None,
            });
            let all = sources.iter().chain(self.results);
            let known: BTreeSet<&str> =
                all.flat_map(|source| source.metrics.keys()).map(String::as_str).collect();
            let what = match name {
                Some(name) if known.contains(name) => format!(
                    "no configured probe or rule gives a series `{name}` with these labels, so \
                     this never yields anything"
                ),
                Some(name) if self.world.metrics.contains_key(name) => format!(
                    "`{name}` comes from a kind of probe that is not configured, so this never \
                     yields anything"
                ),
                Some(name) => {
                    let names: Vec<&str> = known.into_iter().collect();
                    let near = nearest(name, &names)
                        .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    format!("no configured probe or rule gives series called `{name}`{near}")
                }
                None => "no series of the configured probes and rules matches this".to_owned(),
            };
            let place = self.place(&["expr"], selector.span.start as usize);
            found.push(Lint { place, kind: LintKind::NoSeries, what });
        }
    }

    fn rates(&self, found: &mut Vec<Lint>) {
        let mut todo = vec![self.rule.expression.expr()];
        while let Some(expr) = todo.pop() {
            todo.extend(expr.children());
            let Expr::Call(call) = expr else { continue };
            if !["rate", "irate", "increase", "resets"].contains(&call.function.name) {
                continue;
            }
            let Some(Expr::Range(range)) = call.arguments.first().map(Expr::unwrapped) else {
                continue;
            };
            let Some(name) = range.selector.name.as_deref() else { continue };
            if self.world.metrics.get(name) != Some(&MetricType::Gauge) {
                continue;
            }
            let what = format!(
                "`{}` is for counters, and `{name}` goes up and down: every fall would count as a \
                 restart; use `delta`, `deriv` or a function such as `max_over_time`",
                call.function.name
            );
            let place = self.place(&["expr"], call.span.start as usize);
            found.push(Lint { place, kind: LintKind::RateOverGauge, what });
        }
    }

    fn hold(&self, found: &mut Vec<Lint>) {
        let RuleKind::Alerting { hold, .. } = &self.rule.kind else { return };
        let selectors = self.selectors();
        let read = selectors.iter().flat_map(|selector| self.read_by(selector));
        let slowest = read.filter_map(|source| source.interval).max().unwrap_or_default();
        if !hold.is_zero() && *hold < slowest * 2 {
            let what = format!(
                "`for: {}` is shorter than two rounds of the probe it waits for (one every {}): a \
                 single look decides; give it at least {}",
                format_duration(*hold),
                format_duration(slowest),
                format_duration(slowest * 2)
            );
            let place = self.place(&["for"], 0);
            found.push(Lint { place, kind: LintKind::ShortFor, what });
        }
    }

    fn texts(&self, found: &mut Vec<Lint>) {
        let RuleKind::Alerting { annotations, .. } = &self.rule.kind else { return };
        let kept = kept(self.rule.expression.expr());
        let annotations = annotations.iter().map(|(name, text)| ("annotations", name, text));
        let labels = self.rule.labels.iter().map(|(name, text)| ("labels", name, text));
        for (field, name, text) in annotations.chain(labels) {
            if !text.is_template() {
                continue;
            }
            for (offset, label) in used(text.as_str()) {
                if kept.has(label) || guarded(text.as_str(), label) {
                    continue;
                }
                let what = format!(
                    "the label `{label}` in `{name}` is always empty: the expression drops it; \
                     keep it with `by`, `on` or `group_left`"
                );
                let place = self.place(&[field, name], offset);
                found.push(Lint { place, kind: LintKind::DroppedLabel, what });
            }
        }
    }

    fn told(&self, found: &mut Vec<Lint>) {
        let (Some(untold), RuleKind::Alerting { alert, .. }) = (self.world.untold, &self.rule.kind)
        else {
            return;
        };
        let kept = kept(self.rule.expression.expr());
        let fixed = self.rule.labels.iter().filter(|(_, text)| !text.is_template());
        let with_own = |labels: &Labels| {
            let own = fixed
                .clone()
                .fold(labels.clone(), |all, (name, text)| all.with(name, text.as_str()));
            own.with("alertname", alert)
        };
        // One that always fires, for a dead man's switch, is for nobody to read.
        if &**alert == "Watchdog" {
            return;
        }
        let selectors = self.selectors();
        let mut candidates: BTreeSet<Labels> = BTreeSet::new();
        for source in selectors.iter().flat_map(|selector| self.read_by(selector)) {
            let pairs = source.labels.iter().filter(|(name, _)| kept.has(name));
            candidates.insert(with_own(&Labels::from_pairs(pairs).unwrap_or_default()));
        }
        if candidates.is_empty() {
            candidates.insert(with_own(&Labels::empty()));
        }
        let reasons: Option<Vec<String>> = candidates.iter().map(untold).collect();
        if let Some(reason) = reasons.and_then(|reasons| reasons.into_iter().next()) {
            let what = format!("nobody would be told of `{alert}`: {reason}");
            let place = self.place(&["alert"], 0);
            found.push(Lint { place, kind: LintKind::NobodyTold, what });
        }
    }
}

/// The labels that a template uses, with their places in bytes.
fn used(template: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for opening in ["$labels.", ".Labels."] {
        for (at, _) in template.match_indices(opening) {
            let rest = &template[at + opening.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let label = &rest[..end.unwrap_or(rest.len())];
            if !label.is_empty() {
                found.push((at, label));
            }
        }
    }
    found
}

/// Whether the template asks for the label before it uses it.
fn guarded(template: &str, label: &str) -> bool {
    ["if", "with", "else if", "and", "or", "not"].iter().any(|word| {
        ["$labels.", ".Labels."].iter().any(|opening| {
            let asked = format!("{word} {opening}{label}");
            template.match_indices(&asked).any(|(at, _)| {
                let next = template[at + asked.len()..].chars().next();
                !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(labels: &[(&str, &str)], metrics: &[&str], seconds: u64) -> Source {
        Source {
            labels: Labels::from_pairs(labels.iter().copied()).unwrap(),
            metrics: metrics.iter().map(|m| ((*m).to_owned(), MetricType::Gauge)).collect(),
            interval: Some(Duration::from_secs(seconds)),
        }
    }

    fn lints(rules: &str) -> Vec<String> {
        let text = format!("groups:\n- name: g\n  rules:\n{rules}");
        let file = File::parse("r.yml", &text).unwrap();
        let page = [("service", "shop"), ("owner", "web"), ("target", "t"), ("probe", "http")];
        let untold = |labels: &Labels| {
            (labels.get("team") == Some("nobody")).then(|| "the receiver has no channel".to_owned())
        };
        let mut metrics: BTreeMap<String, MetricType> = BTreeMap::new();
        metrics.insert("probe_duration_seconds".into(), MetricType::Gauge);
        metrics.insert("ups_on_battery".into(), MetricType::Gauge);
        metrics.insert("printer_pages_total".into(), MetricType::Counter);
        let world = Surroundings {
            sources: Some(vec![source(&page, &["probe_success", "probe_duration_seconds"], 30)]),
            metrics,
            untold: Some(&untold),
        };
        let found = lint(&file, &text, [&file], &world);
        found.iter().map(|l| format!("{} {} {}", l.place, l.kind.name(), l.what)).collect()
    }

    fn one(rules: &str, start: &str, told: &str) {
        let found = lints(rules);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(start) && found[0].contains(told), "{found:#?}");
    }

    #[test]
    fn a_rule_that_can_match_no_series() {
        one("  - {record: a, expr: sum(probe_sucess)}\n", "4:27 no-series", "`probe_success`?");
        one(
            "  - alert: A\n    expr: |\n      1 +\n      probe_success{service=\"shpo\"}\n",
            "7:7 no-series",
            "with these labels",
        );
        one("  - {record: a, expr: ups_on_battery}\n", "4:23 no-series", "not configured");
        one("  - {alert: A, expr: 'ALERTS{alertname=\"B\"}'}\n", "4:23 no-series", "ALERTS");
        let fine = "  - {record: r, expr: 'probe_success{phase=\"x\"}'}\n  - {alert: A, expr: r > 1}\n  \
                    - {alert: B, expr: 'ALERTS{alertname=\"A\"}'}\n";
        assert_eq!(lints(fine), Vec::<String>::new());
    }

    #[test]
    fn an_alert_that_no_route_carries() {
        one(
            "  - alert: A\n    expr: probe_success == 0\n    labels: {team: nobody}\n",
            "4:12 nobody-told",
            "the receiver has no channel",
        );
    }

    #[test]
    fn a_rate_over_a_gauge() {
        one(
            "  - {record: a, expr: 'sum(rate(probe_duration_seconds[5m]))'}\n",
            "4:28 rate-over-gauge",
            "use `delta`",
        );
    }

    #[test]
    fn a_for_in_which_fewer_than_two_looks_fit() {
        one(
            "  - alert: A\n    expr: probe_success == 0\n    for: 45s\n",
            "6:10 short-for",
            "one every 30s",
        );
        assert!(lints("  - {alert: A, expr: probe_success == 0, for: 1m}\n").is_empty());
    }

    #[test]
    fn a_label_that_the_expression_drops() {
        one(
            "  - alert: A\n    expr: sum by (service) (probe_success) == 0\n    annotations:\n      \
             s: '{{ $labels.service }} {{ $labels.target }}'\n",
            "7:36 dropped-label",
            "`target` in `s`",
        );
        let asked = "  - alert: A\n    expr: sum(probe_success) == 0\n    labels: {c: '{{ if $labels.c \
                     }}{{ $labels.c }}{{ end }}'}\n";
        assert!(lints(asked).is_empty());
    }

    #[test]
    fn the_same_rule_twice() {
        let twice = "  - {record: a, expr: probe_success}\n  - {record: a, expr: probe_success}\n";
        one(twice, "5:5 duplicate", "stands twice");
    }

    #[test]
    fn the_shipped_rules_raise_no_doubts_of_their_own() {
        let world = Surroundings { sources: None, metrics: BTreeMap::new(), untold: None };
        for (name, text) in crate::rules::pack::FILES {
            let file = File::parse(name, text).unwrap();
            assert_eq!(lint(&file, text, [&file], &world), []);
        }
    }
}
