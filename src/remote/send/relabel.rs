//! Prometheus' relabelling: which series a destination gets, and under which labels.

use std::sync::Arc;

use regex::Regex;

use crate::model::{BadPattern, Labels, from_re2};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sets a label where the expression matches.
    Replace,
    /// Drops series that do not match.
    Keep,
    /// Drops series that match.
    Drop,
    /// Drops series whose joined labels are not the target label's value.
    KeepEqual,
    /// Drops series whose joined labels are the target label's value.
    DropEqual,
    /// Copies matching labels to new names.
    LabelMap,
    /// Drops matching labels.
    LabelDrop,
    /// Drops labels that do not match.
    LabelKeep,
    /// Sets a label to the joined labels in small letters.
    Lowercase,
    /// Sets a label to the joined labels in capital letters.
    Uppercase,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Relabel {
    /// Labels whose values are joined.
    pub source: Vec<Arc<str>>,
    /// What stands between them.
    pub separator: Arc<str>,
    /// Must match the whole; made by [`Relabel::pattern`].
    pub regex: Regex,
    /// The label that is set.
    pub target: Arc<str>,
    /// Its new value; `$1` stands for a part of the match.
    pub replacement: Arc<str>,
    /// What is done.
    pub action: Action,
}

impl PartialEq for Relabel {
    fn eq(&self, other: &Self) -> bool {
        let parts = |r: &Self| {
            (r.source.clone(), r.separator.clone(), r.regex.as_str().to_owned(), r.action)
        };
        parts(self) == parts(other)
            && (&self.target, &self.replacement) == (&other.target, &other.replacement)
    }
}

impl Relabel {
    /// The expression, anchored at both ends as Prometheus does.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn pattern(text: &str) -> Result<Regex, BadPattern> {
        let inner = from_re2(text)?;
        let built =
            regex::RegexBuilder::new(&format!("^(?s:{inner})$")).size_limit(1 << 20).build();
        built.map_err(|error| BadPattern { text: text.to_owned(), reason: error.to_string() })
    }

    fn apply(&self, labels: Labels) -> Option<Labels> {
        let value = || {
            let values: Vec<&str> =
                self.source.iter().map(|name| labels.get(name).unwrap_or("")).collect();
            values.join(&self.separator)
        };
        match self.action {
            Action::Keep => self.regex.is_match(&value()).then_some(labels),
            Action::Drop => (!self.regex.is_match(&value())).then_some(labels),
            Action::KeepEqual => {
                (labels.get(&self.target).unwrap_or("") == value()).then_some(labels)
            }
            Action::DropEqual => {
                (labels.get(&self.target).unwrap_or("") != value()).then_some(labels)
            }
            Action::Lowercase => Some(labels.with(&self.target, &value().to_lowercase())),
            Action::Uppercase => Some(labels.with(&self.target, &value().to_uppercase())),
            Action::Replace => {
                let value = value();
                let Some(found) = self.regex.captures(&value) else { return Some(labels) };
                let (mut name, mut text) = (String::new(), String::new());
                found.expand(&self.target, &mut name);
                found.expand(&self.replacement, &mut text);
                if name.is_empty() { Some(labels) } else { Some(labels.with(&name, &text)) }
            }
            Action::LabelMap => {
                let mut mapped = labels.clone();
                for (name, value) in &labels {
                    if let Some(found) = self.regex.captures(name) {
                        let mut new = String::new();
                        found.expand(&self.replacement, &mut new);
                        if !new.is_empty() {
                            mapped = mapped.with(&new, value);
                        }
                    }
                }
                Some(mapped)
            }
            Action::LabelDrop | Action::LabelKeep => {
                let keep = self.action == Action::LabelKeep;
                let fits = |name: &&str| self.regex.is_match(name) == keep;
                let names: Vec<&str> = labels.iter().map(|(name, _)| name).filter(fits).collect();
                Some(labels.only(&names))
            }
        }
    }
}

/// The labels after all rules; `None` when the series is dropped or nameless then.
pub fn relabel(rules: &[Relabel], labels: &Labels) -> Option<Labels> {
    let after = rules.iter().try_fold(labels.clone(), |labels, rule| rule.apply(labels))?;
    (!after.metric_name().is_empty()).then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(
        action: Action,
        source: &[&str],
        regex: &str,
        target: &str,
        replacement: &str,
    ) -> Relabel {
        Relabel {
            source: source.iter().map(|name| Arc::from(*name)).collect(),
            separator: ";".into(),
            regex: Relabel::pattern(regex).unwrap(),
            target: target.into(),
            replacement: replacement.into(),
            action,
        }
    }

    #[test]
    fn rules_do_what_prometheus_does() {
        let labels = Labels::from_pairs([
            ("__name__", "up"),
            ("job", "Node"),
            ("instance", "a:9100"),
            ("tmp_x", "1"),
        ])
        .unwrap();
        let check = |rule: Relabel, want: Option<&str>| {
            let got = relabel(std::slice::from_ref(&rule), &labels).map(|l| l.to_string());
            assert_eq!(got.as_deref(), want, "{rule:?}");
        };
        let all = "up{instance=\"a:9100\", job=\"Node\", tmp_x=\"1\"}";
        check(rule(Action::Keep, &["__name__"], "up|down", "", ""), Some(all));
        check(rule(Action::Keep, &["__name__"], "u", "", ""), None);
        check(rule(Action::Drop, &["__name__", "job"], "up;Node", "", ""), None);
        check(rule(Action::Drop, &["absent"], ".+", "", ""), Some(all));
        check(
            rule(Action::Replace, &["instance"], "(.*):.*", "host", "$1"),
            Some("up{host=\"a\", instance=\"a:9100\", job=\"Node\", tmp_x=\"1\"}"),
        );
        check(
            rule(Action::Replace, &["instance"], ".*", "site", "berlin"),
            Some("up{instance=\"a:9100\", job=\"Node\", site=\"berlin\", tmp_x=\"1\"}"),
        );
        check(
            rule(Action::LabelDrop, &[], "tmp_.*", "", ""),
            Some("up{instance=\"a:9100\", job=\"Node\"}"),
        );
        check(rule(Action::LabelKeep, &[], "__name__|job", "", ""), Some("up{job=\"Node\"}"));
        check(rule(Action::LabelKeep, &[], "job", "", ""), None);
        check(
            rule(Action::LabelMap, &[], "tmp_(.*)", "", "y_$1"),
            Some("up{instance=\"a:9100\", job=\"Node\", tmp_x=\"1\", y_x=\"1\"}"),
        );
        check(
            rule(Action::Lowercase, &["job"], ".*", "job", ""),
            Some("up{instance=\"a:9100\", job=\"node\", tmp_x=\"1\"}"),
        );
        check(rule(Action::DropEqual, &["job"], ".*", "job", ""), None);
    }
}
