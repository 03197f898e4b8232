use std::fmt;
use std::sync::Arc;

use regex::Regex;
use regex_syntax::hir::Hir;
use regex_syntax::hir::literal::Extractor;

use super::labels::{EscapedValue, is_legacy_label_name};
use super::{Labels, METRIC_NAME, from_re2};

/// One condition on one label. An absent label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    name: Arc<str>,
    test: Test,
}

/// The four operators `=`, `!=`, `=~`, `!~`. Regular expressions are anchored at both ends.
#[derive(Clone, Debug)]
pub enum Test {
    /// `=`
    Equal(Arc<str>),
    /// `!=`
    NotEqual(Arc<str>),
    /// `=~`
    Match(Pattern),
    /// `!~`
    NotMatch(Pattern),
}

/// A regular expression, fully anchored as Prometheus does; the compiled form and the text
/// cannot drift apart.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Arc<str>,
    program: Program,
}

/// What is compiled. Most expressions that people write need no automaton.
#[derive(Clone, Debug)]
enum Program {
    /// `a|b|c` without special characters: sorted.
    OneOf(Arc<[Box<str>]>),
    /// `.*`, where the dot matches everything.
    Anything,
    /// `.+`, where the dot matches everything.
    Something,
    Automaton {
        /// Every value that matches begins with one of them; none: nobody knows.
        beginnings: Arc<[Box<[u8]>]>,
        regex: Regex,
    },
}

/// What an expression's text says about the values that match it, without comparing any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals<'a> {
    /// These values match, and no others. Sorted.
    Whole(&'a [Box<str>]),
    /// What matches begins with one of these bytes; none of them is empty.
    Beginning(&'a [Box<[u8]>]),
    /// Nothing.
    Unknown,
}

/// More beginnings than that are compared slower than the automaton decides.
const BEGINNINGS: usize = 16;

fn beginnings(text: &Hir) -> Arc<[Box<[u8]>]> {
    let sequence = Extractor::new().extract(text);
    let found = sequence.literals().unwrap_or_default();
    if found.len() > BEGINNINGS || found.iter().any(|literal| literal.is_empty()) {
        return [].into();
    }
    found.iter().map(|literal| literal.as_bytes().into()).collect()
}

impl Program {
    /// The short way for an expression, if there is one; `dot_is_all`: also line feeds.
    fn short(text: &str, dot_is_all: bool) -> Option<Self> {
        match text {
            ".*" if dot_is_all => return Some(Self::Anything),
            ".+" if dot_is_all => return Some(Self::Something),
            _ => {}
        }
        let inner = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text);
        if inner.contains(|c: char| "\\.+*?()[]{}^$".contains(c)) {
            return None;
        }
        let mut words: Vec<Box<str>> = inner.split('|').map(Into::into).collect();
        words.sort_unstable();
        words.dedup();
        Some(Self::OneOf(words.into()))
    }
}

/// A regular expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadPattern {
    /// What the user wrote.
    pub text: String,
    /// Why it was refused.
    pub reason: String,
}

impl Pattern {
    /// Largest compiled size, so that `(a{1000}){1000}` costs an error and not the memory.
    const SIZE_LIMIT: usize = 1 << 20;

    /// Compiles `^(?s:text)$`.
    ///
    /// # Errors
    /// The expression is not valid or too large when compiled.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let bad = |reason: String| BadPattern { text: text.to_owned(), reason };
        // Checked alone first: `a)(b` must not become valid inside our brackets.
        let inner = from_re2(text)?;
        let alone = regex_syntax::Parser::new().parse(&inner).map_err(|e| bad(reason_of(&e)))?;
        if let Some(program) = Program::short(text, true) {
            return Ok(Self { text: text.into(), program });
        }
        let regex = regex::RegexBuilder::new(&format!("^(?s:{inner})$"))
            .size_limit(Self::SIZE_LIMIT)
            .build()
            .map_err(|e| bad(e.to_string()))?;
        let beginnings = beginnings(&alone);
        Ok(Self { text: text.into(), program: Program::Automaton { beginnings, regex } })
    }

    /// As [`Pattern::new`], but `.` does not match a line feed (Alertmanager's matchers).
    ///
    /// # Errors
    /// The expression is not valid or too large when compiled.
    pub fn within_lines(text: &str) -> Result<Self, BadPattern> {
        let Self { text: kept, program } = Self::new(text)?;
        let beginnings = match program {
            Program::OneOf(_) => return Ok(Self { text: kept, program }),
            Program::Automaton { beginnings, .. } => beginnings,
            Program::Anything | Program::Something => [].into(),
        };
        let bad = |reason: String| BadPattern { text: text.to_owned(), reason };
        let regex = regex::RegexBuilder::new(&format!("^(?:{})$", from_re2(text)?))
            .size_limit(Self::SIZE_LIMIT)
            .build()
            .map_err(|e| bad(e.to_string()))?;
        Ok(Self { text: kept, program: Program::Automaton { beginnings, regex } })
    }

    /// What the user wrote.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole value matches.
    pub fn is_match(&self, value: &str) -> bool {
        match &self.program {
            Program::OneOf(words) => words.binary_search_by(|word| (**word).cmp(value)).is_ok(),
            Program::Anything => true,
            Program::Something => !value.is_empty(),
            Program::Automaton { beginnings, regex } => {
                let fits = |beginning: &[u8]| value.as_bytes().starts_with(beginning);
                let mut all = beginnings.iter();
                (beginnings.is_empty() || all.any(|one| fits(one))) && regex.is_match(value)
            }
        }
    }

    /// What its text says about the values that match, for whoever keeps many expressions.
    pub fn literals(&self) -> Literals<'_> {
        match &self.program {
            Program::OneOf(words) => Literals::Whole(words),
            Program::Automaton { beginnings, .. } if !beginnings.is_empty() => {
                Literals::Beginning(beginnings)
            }
            _ => Literals::Unknown,
        }
    }
}

fn reason_of(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(e) => e.kind().to_string(),
        regex_syntax::Error::Translate(e) => e.kind().to_string(),
        other => other.to_string(),
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Matcher {
    /// A matcher on the label `name`.
    pub fn new(name: &str, test: Test) -> Self {
        Self { name: name.into(), test }
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self::new(name, Test::Equal(value.into()))
    }

    /// `__name__="metric"`.
    pub fn metric(metric: &str) -> Self {
        Self::equal(METRIC_NAME, metric)
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The condition.
    pub fn test(&self) -> &Test {
        &self.test
    }

    /// Whether a label with this value passes; `""` for an absent label.
    pub fn accepts(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(want) => **want == *value,
            Test::NotEqual(want) => **want != *value,
            Test::Match(pattern) => pattern.is_match(value),
            Test::NotMatch(pattern) => !pattern.is_match(value),
        }
    }

    /// Whether a label set passes.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.name).unwrap_or(""))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && match (&self.test, &other.test) {
                (Test::Equal(a), Test::Equal(b)) | (Test::NotEqual(a), Test::NotEqual(b)) => a == b,
                (Test::Match(a), Test::Match(b)) | (Test::NotMatch(a), Test::NotMatch(b)) => a == b,
                _ => false,
            }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operator, value) = match &self.test {
            Test::Equal(value) => ("=", &**value),
            Test::NotEqual(value) => ("!=", &**value),
            Test::Match(pattern) => ("=~", pattern.as_str()),
            Test::NotMatch(pattern) => ("!~", pattern.as_str()),
        };
        if is_legacy_label_name(&self.name) {
            write!(f, "{}{operator}\"{}\"", self.name, EscapedValue(value))
        } else {
            write!(f, "\"{}\"{operator}\"{}\"", EscapedValue(&self.name), EscapedValue(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_anchored_and_crosses_lines() {
        let pattern = Pattern::new("a.*|b").unwrap();
        assert!(pattern.is_match("a\nx") && pattern.is_match("b"));
        assert!(!pattern.is_match("xb") && !pattern.is_match("bx"));
    }

    #[test]
    fn the_short_way_means_the_same() {
        let texts =
            ["", "a", "a|b", "(a|b)", "(a)|(b)", "a|", "|", "(|a)", ".*", ".+", "(.*)", "a-b c"];
        let values = ["", "a", "b", "ab", "a|b", "(a)", "\n", "x\ny", "a-b c", ")"];
        for text in texts {
            let all = Regex::new(&format!("^(?s:{text})$")).unwrap();
            let lines = Regex::new(&format!("^(?:{text})$")).unwrap();
            for value in values {
                let pattern = Pattern::new(text).unwrap();
                assert_eq!(pattern.is_match(value), all.is_match(value), "{text} {value:?}");
                let pattern = Pattern::within_lines(text).unwrap();
                assert_eq!(pattern.is_match(value), lines.is_match(value), "{text} {value:?}");
            }
        }
        assert!(matches!(Pattern::new("web|mail").unwrap().program, Program::OneOf(_)));
    }

    #[test]
    fn a_literal_beginning_excludes_nothing_that_matches() {
        let texts = [
            "ab.*",
            "(ab|cd)x?.*",
            "(?i)ab.*",
            "a+b",
            "^ab",
            "ab$",
            "\\Aab.*",
            "[ab]c.*",
            "(ab)?c",
            "(?m)^ab.*",
            "(?-s)ab.",
            "ä.*",
            "a{2}b*",
            "x|ab.*",
            "(?:)ab.+",
            "\\bab.*",
            "a|b.*|",
            "[^a]b",
        ];
        let values = [
            "", "a", "ab", "aB", "AB", "abx", "cd", "cdx", "aab", "ac", "bc", "c", "ä", "äb", "aa",
            "aabb", "x", "ab\nc", "ab\n", "\nab", "b", "bb", "xb", "ba",
        ];
        for text in texts {
            let all = Regex::new(&format!("^(?s:{text})$")).unwrap();
            let lines = Regex::new(&format!("^(?:{text})$")).unwrap();
            for value in values {
                let pattern = Pattern::new(text).unwrap();
                assert_eq!(pattern.is_match(value), all.is_match(value), "{text} {value:?}");
                let pattern = Pattern::within_lines(text).unwrap();
                assert_eq!(pattern.is_match(value), lines.is_match(value), "{text} {value:?}");
            }
        }
        let words: [Box<[u8]>; 1] = [b"host-1".as_slice().into()];
        let pattern = Pattern::within_lines("host-1.*").unwrap();
        assert_eq!(pattern.literals(), Literals::Beginning(&words));
        assert_eq!(Pattern::new(".*a").unwrap().literals(), Literals::Unknown);
        assert_eq!(Pattern::new("(a.*)?").unwrap().literals(), Literals::Unknown);
    }

    #[test]
    fn brackets_cannot_break_out() {
        assert!(Pattern::new("a)(b").is_err());
        assert!(Pattern::new("(((((((x{100}){100}){100}){100})))").is_err());
    }

    #[test]
    fn an_absent_label_is_empty() {
        let labels = Labels::from_pairs([("a", "1")]).unwrap();
        assert!(Matcher::equal("b", "").matches(&labels));
        let something = Matcher::new("b", Test::Match(Pattern::new(".+").unwrap()));
        assert!(!something.matches(&labels));
        assert_eq!(something.to_string(), r#"b=~".+""#);
    }
}
