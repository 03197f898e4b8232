//! What a matcher tells about a value before any pattern is run.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::model::{Test, from_re2};

/// Which values are worth testing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shortcut {
    /// Exactly these values pass, no test is needed.
    OneOf(Vec<String>),
    /// Only values that begin so can pass.
    Prefix(String),
}

/// Most literals that an alternation is expanded to.
const LITERAL_LIMIT: usize = 1_000;
/// Most characters of a class that is expanded to literals.
const CLASS_LIMIT: usize = 16;

impl Shortcut {
    /// Reads it off a positive test (`=` or `=~`); a negative one gives no hint.
    pub(super) fn of(test: &Test) -> Shortcut {
        match test {
            Test::Equal(value) => Shortcut::OneOf(vec![value.to_string()]),
            Test::Match(pattern) => {
                // As the pattern itself is compiled: `.` also matches a line feed.
                let mut parser =
                    regex_syntax::ParserBuilder::new().dot_matches_new_line(true).build();
                let text = from_re2(pattern.as_str()).ok();
                match text.and_then(|text| parser.parse(&text).ok()) {
                    Some(hir) => match literals(&hir) {
                        Some(values) => Shortcut::OneOf(values),
                        None => Shortcut::Prefix(prefix(&hir)),
                    },
                    None => Shortcut::Prefix(String::new()),
                }
            }
            Test::NotEqual(_) | Test::NotMatch(_) => Shortcut::Prefix(String::new()),
        }
    }
}

/// All values that the expression accepts, when they are few and known.
fn literals(hir: &Hir) -> Option<Vec<String>> {
    match hir.kind() {
        HirKind::Empty => Some(vec![String::new()]),
        HirKind::Literal(literal) => Some(vec![std::str::from_utf8(&literal.0).ok()?.to_owned()]),
        HirKind::Capture(capture) => literals(&capture.sub),
        HirKind::Alternation(branches) => {
            let mut all = Vec::new();
            for branch in branches {
                all.extend(literals(branch)?);
                if all.len() > LITERAL_LIMIT {
                    return None;
                }
            }
            Some(all)
        }
        HirKind::Concat(parts) => {
            let mut all = vec![String::new()];
            for part in parts {
                let tails = literals(part)?;
                if all.len() * tails.len() > LITERAL_LIMIT {
                    return None;
                }
                all = all
                    .iter()
                    .flat_map(|head| tails.iter().map(move |tail| format!("{head}{tail}")))
                    .collect();
            }
            Some(all)
        }
        HirKind::Class(Class::Unicode(class)) => {
            let count: usize = class.iter().map(regex_syntax::hir::ClassUnicodeRange::len).sum();
            let all = || class.iter().flat_map(|range| range.start()..=range.end());
            (count <= CLASS_LIMIT).then(|| all().map(String::from).collect())
        }
        HirKind::Class(Class::Bytes(_)) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

/// The text that every accepted value begins with.
fn prefix(hir: &Hir) -> String {
    match hir.kind() {
        HirKind::Literal(literal) => {
            std::str::from_utf8(&literal.0).map(str::to_owned).unwrap_or_default()
        }
        HirKind::Capture(capture) => prefix(&capture.sub),
        HirKind::Concat(parts) => {
            let mut all = String::new();
            for part in parts {
                match literals(part).as_deref() {
                    Some([only]) => all.push_str(only),
                    _ => {
                        all.push_str(&prefix(part));
                        break;
                    }
                }
            }
            all
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Pattern;

    fn shortcut(pattern: &str) -> Shortcut {
        Shortcut::of(&Test::Match(Pattern::new(pattern).unwrap()))
    }

    fn one_of(values: &[&str]) -> Shortcut {
        Shortcut::OneOf(values.iter().map(|v| (*v).to_owned()).collect())
    }

    #[test]
    fn literal_sets_and_prefixes_are_read_off() {
        assert_eq!(shortcut("web|mail"), one_of(&["web", "mail"]));
        assert_eq!(shortcut("eth(0|10)"), one_of(&["eth0", "eth10"]));
        assert_eq!(shortcut("ha|hb"), one_of(&["ha", "hb"]));
        assert_eq!(shortcut("disk[0-3]"), one_of(&["disk0", "disk1", "disk2", "disk3"]));
        assert_eq!(shortcut(""), one_of(&[""]));
        assert_eq!(shortcut("node-.*"), Shortcut::Prefix("node-".to_owned()));
        assert_eq!(shortcut("node-(a|b)x.+"), Shortcut::Prefix("node-".to_owned()));
        assert!(
            matches!(shortcut("(?i)ok"), Shortcut::OneOf(all) if all.len() == 6),
            "K has three"
        );
        assert_eq!(shortcut(".*x"), Shortcut::Prefix(String::new()));
        assert_eq!(shortcut("^a$"), Shortcut::Prefix(String::new()));
    }
}
