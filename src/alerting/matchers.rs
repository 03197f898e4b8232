//! Alertmanager's text form of matchers: the newer one with UTF-8 names first, the classic one
//! where that fails or means something else.

use crate::model::{BadPattern, Matcher, Pattern, Test};

/// Why a text is no list of matchers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMatcher {
    /// Not of the form `name=value`.
    #[error("`{0}` is not a matcher, expected name=\"value\", name!=…, name=~… or name!~…")]
    Form(String),
    /// Braces where one matcher should stand.
    #[error("unexpected open or close brace: {0}")]
    Braces(String),
    /// A quote begins and does not end, or stands where it must be escaped.
    #[error("`{0}`: the quotes do not fit together")]
    Quotes(String),
    /// A regular expression that does not compile.
    #[error("`{text}`: {reason}")]
    Regex {
        /// The expression.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Match,
    NotMatch,
}

/// Name, operator, value.
type Parts = (String, Operator, String);

/// Reads `{a="b", c=~"d.*"}`, `a=b`, `a=b,c=d` … as Alertmanager does. Sorted by name and value.
///
/// # Errors
/// Neither form understands it, or a regular expression is wrong.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, BadMatcher> {
    let all = |parts: Vec<Parts>| parts.into_iter().map(matcher).collect::<Result<Vec<_>, _>>();
    let newer = || Newer::parse(text).and_then(all);
    // Where both understand it and disagree, the classic meaning is the one people rely on.
    let mut matchers = match classic(text).and_then(all) {
        Ok(matchers) => matchers,
        Err(classic) => newer().map_err(|newer| match (&newer, classic) {
            (BadMatcher::Form(_), classic @ BadMatcher::Regex { .. }) => classic,
            _ => newer,
        })?,
    };
    sort_matchers(&mut matchers);
    Ok(matchers)
}

/// Reads one matcher, as in the addresses of the API: no braces around it, and in the classic form
/// commas belong to the value.
///
/// # Errors
/// Neither form understands it, there is another number of them, or the regular expression is
/// wrong.
pub fn parse_matcher(text: &str) -> Result<Matcher, BadMatcher> {
    if text.starts_with('{') || text.ends_with('}') {
        return Err(BadMatcher::Braces(shorten(text)));
    }
    classic_matcher(text).and_then(matcher).or_else(|error| {
        let mut newer = Newer::parse(text).ok().filter(|parts| parts.len() == 1);
        newer.as_mut().and_then(Vec::pop).map_or(Err(error), matcher)
    })
}

/// A matcher from its parts, with a regular expression as Alertmanager means it: `.` does not
/// match a line feed.
///
/// # Errors
/// The regular expression is wrong.
pub fn regex_matcher(name: &str, text: &str, equal: bool) -> Result<Matcher, BadMatcher> {
    let operator = if equal { Operator::Match } else { Operator::NotMatch };
    matcher((name.to_owned(), operator, text.to_owned()))
}

/// Sorts by name and value, as Alertmanager does in the keys of routes and groups.
pub fn sort_matchers(matchers: &mut [Matcher]) {
    fn value(matcher: &Matcher) -> &str {
        match matcher.test() {
            Test::Equal(value) | Test::NotEqual(value) => value,
            Test::Match(pattern) | Test::NotMatch(pattern) => pattern.as_str(),
        }
    }
    matchers.sort_by(|a, b| (a.name(), value(a)).cmp(&(b.name(), value(b))));
}

fn matcher((name, operator, value): Parts) -> Result<Matcher, BadMatcher> {
    let pattern = || {
        Pattern::within_lines(&value)
            .map_err(|BadPattern { text, reason }| BadMatcher::Regex { text, reason })
    };
    let test = match operator {
        Operator::Equal => Test::Equal(value.as_str().into()),
        Operator::NotEqual => Test::NotEqual(value.as_str().into()),
        Operator::Match => Test::Match(pattern()?),
        Operator::NotMatch => Test::NotMatch(pattern()?),
    };
    Ok(Matcher::new(&name, test))
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The form without UTF-8 names: split at commas outside quotes, then name, operator, rest.
fn classic(text: &str) -> Result<Vec<Parts>, BadMatcher> {
    let text = text.strip_prefix('{').unwrap_or(text);
    let text = text.strip_suffix('}').unwrap_or(text);
    let (mut tokens, mut token) = (Vec::new(), String::new());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            ',' if !quoted => {
                tokens.push(std::mem::take(&mut token));
                continue;
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        token.push(c);
    }
    let last = token.trim();
    if !last.is_empty() {
        tokens.push(last.to_owned());
    }
    tokens.iter().map(|token| classic_matcher(token)).collect()
}

/// White space of a regular expression in Go.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\u{c}' | '\r' | ' ')
}

fn classic_matcher(text: &str) -> Result<Parts, BadMatcher> {
    let bad = || BadMatcher::Form(shorten(text));
    let rest = text.trim_start_matches(is_blank);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = rest.find(|c| !legal(c)).ok_or_else(bad)?;
    let (name, rest) = rest.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let (operator, rest) = operator(rest.trim_start_matches(is_blank)).ok_or_else(bad)?;
    Ok((name.to_owned(), operator, classic_value(rest.trim_matches(is_blank))?))
}

fn classic_value(raw: &str) -> Result<String, BadMatcher> {
    let bad = || BadMatcher::Quotes(shorten(raw));
    let (raw, mut open) = match raw.strip_prefix('"') {
        Some(rest) => (rest, true),
        None => (raw, false),
    };
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.char_indices();
    let last = |at: usize| at + 1 >= raw.len();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if last(at) => value.push('\\'),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => {}
            },
            '"' if open && last(at) => open = false,
            '"' => return Err(bad()),
            c => value.push(c),
        }
    }
    if open { Err(bad()) } else { Ok(value) }
}

fn operator(text: &str) -> Option<(Operator, &str)> {
    let all = [
        ("=~", Operator::Match),
        ("!~", Operator::NotMatch),
        ("!=", Operator::NotEqual),
        ("=", Operator::Equal),
    ];
    all.into_iter().find_map(|(sign, operator)| Some((operator, text.strip_prefix(sign)?)))
}

/// The form with UTF-8 names: both sides may be quoted as in Go, and anything that is not
/// reserved needs no quotes.
struct Newer<'t> {
    whole: &'t str,
    rest: &'t str,
}

impl<'t> Newer<'t> {
    fn parse(text: &'t str) -> Result<Vec<Parts>, BadMatcher> {
        let mut parser = Newer { whole: text, rest: text.trim_start() };
        let braces = parser.take('{');
        let mut parts = Vec::new();
        loop {
            let ends = if braces { parser.rest.starts_with('}') } else { parser.rest.is_empty() };
            if ends {
                break;
            }
            let name = parser.word()?;
            let (operator, rest) = operator(parser.rest).ok_or_else(|| parser.bad())?;
            parser.rest = rest.trim_start();
            parts.push((name, operator, parser.word()?));
            if !parser.take(',') {
                break;
            }
        }
        if braces && !parser.take('}') {
            return Err(parser.bad());
        }
        if parser.rest.is_empty() { Ok(parts) } else { Err(parser.bad()) }
    }

    fn bad(&self) -> BadMatcher {
        BadMatcher::Form(shorten(self.whole))
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Result<String, BadMatcher> {
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (word, rest) =
                unquote(rest).ok_or_else(|| BadMatcher::Quotes(shorten(self.whole)))?;
            self.rest = rest.trim_start();
            return Ok(word);
        }
        let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
        let end = self.rest.find(reserved).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.bad());
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        Ok(word.to_owned())
    }
}

/// The text up to the closing quote, with Go's escapes, and what follows.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut word = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((String::from_utf8(word).ok()?, &text[at + 1..])),
            '\n' => return None,
            '\\' => {
                let (_, kind) = chars.next()?;
                let mut digits = |count: usize, radix: u32, first: Option<char>| {
                    let mut number = first.map_or(Some(0), |c| c.to_digit(radix))?;
                    for _ in 0..count {
                        number = number * radix + chars.next()?.1.to_digit(radix)?;
                    }
                    Some(number)
                };
                let plain = match kind {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => 10,
                    'r' => 13,
                    't' => 9,
                    'v' => 11,
                    '\\' | '"' => kind as u8,
                    'x' => u8::try_from(digits(2, 16, None)?).ok()?,
                    '0'..='7' => u8::try_from(digits(2, 8, Some(kind))?).ok()?,
                    'u' | 'U' => {
                        let count = if kind == 'u' { 4 } else { 8 };
                        let c = char::from_u32(digits(count, 16, None)?)?;
                        word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        continue;
                    }
                    _ => return None,
                };
                word.push(plain);
            }
            c => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Labels;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        let all = parse_matchers(text).unwrap();
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn both_forms_are_understood() {
        assert_eq!(shown(r#"{foo="bar", a=~"b.*",}"#), r#"a=~"b.*",foo="bar""#);
        assert_eq!(shown("a = b"), r#"a="b""#);
        assert_eq!(shown(r#""ü x"="a""#), r#""ü x"="a""#);
        assert_eq!(shown("a="), r#"a="""#);
        assert_eq!(shown("a='b'"), r#"a="'b'""#);
        assert_eq!(shown(r#"a="\u00fc""#), r#"a="\\u00fc""#, "the classic meaning");
        assert_eq!(shown(r#""ä"="\u00fc""#), r#""ä"="ü""#);
        assert_eq!(shown(r#"a=~"\u00fc""#), r#"a=~"ü""#, "the classic one is no expression");
        assert_eq!(shown(""), "");
        assert_eq!(shown("a=b, \u{a0}"), r#"a="b""#);
        assert_eq!(shown("\u{a0}a=b c"), r#"a="b c""#, "blanks around the last one are let go");
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for text in
            ["a", "=b", "{,a=b}", "a=\"b", "a!b", "'a'=b", "a=~(", "foo=b,baz", "\u{a0}a=b c,"]
        {
            assert!(parse_matchers(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_matcher_stands_alone() {
        let shown = |text| parse_matcher(text).map(|one| one.to_string());
        assert_eq!(shown("a=b,c=d").unwrap(), r#"a="b,c=d""#);
        assert_eq!(shown(r#" "ä"="b" "#).unwrap(), r#""ä"="b""#);
        for text in ["", "{a=b}", "a=b}", r#"a="b",c="d""#, r#""ä"="b","c"="d""#, "a"] {
            assert!(parse_matcher(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_dot_matches_no_line_feed() {
        let labels = Labels::from_pairs([("a", "b\nc")]).unwrap();
        assert!(!parse_matchers("a=~\".*\"").unwrap()[0].matches(&labels));
        assert!(parse_matchers("a!~\".*\"").unwrap()[0].matches(&labels));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[a-c=~!\"\\\\{},\n u0-9x]{0,40}") {
            let _ = parse_matchers(&text);
        }
    }
}
