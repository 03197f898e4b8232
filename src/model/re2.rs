//! Regular expressions as Go reads them (RE2's syntax), rewritten for the crate that runs them.
//!
//! Both notations share most of what people write, and differ where it hurts: in Go `\d`, `\w`,
//! `\s` and `\b` mean ASCII, `[a&&b]` is a class of three characters, `a{` is a text, `\Q…\E`
//! quotes, and `a**` or `(?x)` is refused. <https://github.com/google/re2/wiki/Syntax>

use super::BadPattern;

/// Most repetitions of a piece, those around it multiplied in.
const MOST_REPEATS: u32 = 1000;

/// Nesting that is refused before it costs stack.
const DEEPEST: usize = 250;

/// The same expression in the notation of the `regex` crate.
///
/// # Errors
/// Go would refuse it.
pub fn from_re2(text: &str) -> Result<String, BadPattern> {
    rewritten(text).map_err(|reason| BadPattern { text: text.to_owned(), reason })
}

fn rewritten(text: &str) -> Step<String> {
    let mut rewriter = Rewriter {
        rest: text,
        out: String::with_capacity(text.len()),
        depth: 0,
        names: Vec::new(),
    };
    rewriter.alternatives()?;
    if rewriter.rest.is_empty() { Ok(rewriter.out) } else { Err("unopened group".to_owned()) }
}

struct Rewriter<'t> {
    rest: &'t str,
    out: String,
    depth: usize,
    names: Vec<&'t str>,
}

/// What was read last, as far as a repetition after it cares.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    /// With the most repetitions in it.
    Piece(u32),
    Repetition(u32),
}

impl Last {
    fn repeats(self) -> u32 {
        match self {
            Last::Nothing => 1,
            Last::Piece(most) | Last::Repetition(most) => most,
        }
    }
}

type Step<T = ()> = Result<T, String>;

fn refused<T>(what: &str) -> Step<T> {
    Err(what.to_owned())
}

impl<'t> Rewriter<'t> {
    fn take(&mut self, what: &str) -> bool {
        match self.rest.strip_prefix(what) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Up to the end or a closing bracket; gives the most repetitions in it.
    fn alternatives(&mut self) -> Step<u32> {
        let (mut last, mut most) = (Last::Nothing, 1);
        while let Some(c) = self.rest.chars().next() {
            if c == ')' {
                break;
            }
            let before = self.rest;
            self.next();
            last = match c {
                '|' => {
                    self.out.push('|');
                    Last::Nothing
                }
                '(' => match self.group()? {
                    Some(repeats) => Last::Piece(repeats),
                    None => Last::Nothing,
                },
                '*' | '+' | '?' => self.repetition(last, 1, &before[..1])?,
                '{' => match self.counted()? {
                    Some((least, most)) => {
                        let written = &before[..before.len() - self.rest.len()];
                        self.repetition(last, most.unwrap_or(least).max(1), written)?
                    }
                    None => self.literal('{'),
                },
                '[' => {
                    self.class()?;
                    Last::Piece(1)
                }
                '\\' => self.escape()?,
                '^' | '$' | '.' => {
                    self.out.push(c);
                    Last::Piece(1)
                }
                c => self.literal(c),
            };
            most = most.max(last.repeats());
        }
        Ok(most)
    }

    fn literal(&mut self, c: char) -> Last {
        if regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        Last::Piece(1)
    }

    /// `least` and `most` of a `{…}`, or `None` where it is text.
    fn counted(&mut self) -> Step<Option<(u32, Option<u32>)>> {
        let Some((inside, behind)) = self.rest.split_once('}') else { return Ok(None) };
        let number = |digits: &str| -> Option<u32> {
            let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            let fits = fits && (digits.len() == 1 || !digits.starts_with('0'));
            fits.then(|| digits.parse().unwrap_or(u32::MAX))
        };
        let counts = match inside.split_once(',') {
            None => number(inside).map(|count| (count, Some(count))),
            Some((least, "")) => number(least).map(|least| (least, None)),
            Some((least, most)) => number(least).zip(number(most).map(Some)),
        };
        let Some((least, most)) = counts else { return Ok(None) };
        if least > MOST_REPEATS || most.is_some_and(|most| most > MOST_REPEATS || most < least) {
            return Err(format!(
                "invalid repeat count {{{inside}}}, at most {MOST_REPEATS} is possible"
            ));
        }
        self.rest = behind;
        Ok(Some((least, most)))
    }

    fn repetition(&mut self, last: Last, count: u32, written: &str) -> Step<Last> {
        let inner = match last {
            Last::Nothing => {
                return Err(format!("repetition operator missing expression: {written}"));
            }
            Last::Repetition(_) => return Err(format!("a repetition is repeated: {written}")),
            Last::Piece(inner) => inner,
        };
        let all = inner.saturating_mul(count);
        if all > MOST_REPEATS {
            return Err(format!("nested repetitions: more than {MOST_REPEATS} are possible"));
        }
        self.out.push_str(written);
        if self.take("?") {
            self.out.push('?');
        }
        Ok(Last::Repetition(all))
    }

    /// After an opening bracket; `None` when it only sets flags.
    fn group(&mut self) -> Step<Option<u32>> {
        if self.depth >= DEEPEST {
            return refused("nested too deep");
        }
        self.out.push('(');
        if self.take("?") && !self.kind_of_group()? {
            return Ok(None);
        }
        self.depth += 1;
        let repeats = self.alternatives()?;
        self.depth -= 1;
        if !self.take(")") {
            return refused("unclosed group");
        }
        self.out.push(')');
        Ok(Some(repeats))
    }

    /// After `(?`; whether something is in the group.
    fn kind_of_group(&mut self) -> Step<bool> {
        if self.take("P<") || self.take("<") {
            let Some((name, behind)) = self.rest.split_once('>') else {
                return refused("the name of a group has no end");
            };
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(fits) {
                return refused("the name of a group must be letters, digits and underscores");
            }
            if self.names.contains(&name) {
                return Err(format!("two groups have the name {name}"));
            }
            self.names.push(name);
            self.rest = behind;
            // A name that begins with a digit can be referred to by nothing but its number.
            if !name.starts_with(|c: char| c.is_ascii_digit()) {
                self.out.push_str(&format!("?P<{name}>"));
            }
            return Ok(true);
        }
        let (mut negative, mut flag_since) = (false, true);
        let flags = self.rest;
        loop {
            match self.next() {
                Some('i' | 'm' | 's' | 'U') => flag_since = true,
                Some('-') if !negative => (negative, flag_since) = (true, false),
                Some(end @ (':' | ')')) if flag_since => {
                    let flags = &flags[..flags.len() - self.rest.len() - 1];
                    // `(?)` sets nothing; there it is an empty group.
                    let flags = without_repeats(flags);
                    match (flags.is_empty(), end) {
                        (true, ')') => self.out.push_str("?:)"),
                        _ => self.out.push_str(&format!("?{flags}{end}")),
                    }
                    return Ok(end == ':');
                }
                _ => return refused("unrecognized flag or look-around"),
            }
        }
    }

    /// After a backslash outside of a class.
    fn escape(&mut self) -> Step<Last> {
        let rest = self.rest;
        let Some(c) = rest.chars().next() else { return refused("a backslash at the end") };
        let piece = match c {
            'A' => "\\A",
            'z' => "\\z",
            'b' => "(?-u:\\b)",
            'B' => "(?-u:\\B)",
            // Without an end it would quote what the expression is put into.
            'Q' => {
                const OPEN: &str = "`\\Q` without `\\E`";
                self.next();
                let (quoted, behind) = self.rest.split_once("\\E").ok_or(OPEN)?;
                self.rest = behind;
                quoted.chars().for_each(|c| {
                    self.literal(c);
                });
                return Ok(Last::Piece(1));
            }
            _ => {
                if let Some(class) = self.known_class()? {
                    self.out.push_str(&class);
                } else {
                    let c = self.escaped()?;
                    self.literal(c);
                }
                return Ok(Last::Piece(1));
            }
        };
        self.next();
        self.out.push_str(piece);
        Ok(Last::Piece(1))
    }

    /// After a backslash: `d`, `W`, `pL`, `p{Greek}`, `p{^Greek}`.
    fn known_class(&mut self) -> Step<Option<String>> {
        let Some(c) = self.rest.chars().next() else { return Ok(None) };
        let known = match c {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => "[\\t\\n\\x0C\\r ]",
            'S' => "[^\\t\\n\\x0C\\r ]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => return self.unicode_class(c == 'P').map(Some),
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(known.to_owned()))
    }

    fn unicode_class(&mut self, negated: bool) -> Step<String> {
        self.next();
        let name = if self.take("{") {
            let Some((name, behind)) = self.rest.split_once('}') else {
                return refused("`\\p{` has no end");
            };
            self.rest = behind;
            name
        } else {
            let rest = self.rest;
            let Some(c) = self.next() else { return refused("`\\p` at the end") };
            &rest[..c.len_utf8()]
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, !negated),
            None => (name, negated),
        };
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
        let kind = if negated { 'P' } else { 'p' };
        if !name.is_empty() && name.chars().all(letters) {
            // A category or a script; no other property.
            for property in ["gc", "sc"] {
                let class = format!("\\{kind}{{{property}={name}}}");
                if regex_syntax::Parser::new().parse(&class).is_ok() {
                    return Ok(class);
                }
            }
        }
        Err(format!("there is no class of characters {name}"))
    }

    /// One character after a backslash.
    fn escaped(&mut self) -> Step<char> {
        let unknown = |c: Option<char>| match c {
            Some(c) => Err(format!("unrecognized escape sequence \\{c}")),
            None => refused("a backslash at the end"),
        };
        let c = self.next();
        let code = match c {
            Some(first @ '0'..='7') => {
                let octal = |c: char| c.to_digit(8);
                if first != '0' && self.rest.chars().next().and_then(octal).is_none() {
                    return refused("backreferences are not supported");
                }
                let mut code = first.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(octal) else { break };
                    self.next();
                    code = code * 8 + digit;
                }
                code
            }
            Some('x') => return self.hexadecimal(),
            Some('a') => 7,
            Some('f') => 12,
            Some('n') => 10,
            Some('r') => 13,
            Some('t') => 9,
            Some('v') => 11,
            Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => return Ok(c),
            c => return unknown(c),
        };
        char::from_u32(code).map_or_else(|| unknown(c), Ok)
    }

    fn hexadecimal(&mut self) -> Step<char> {
        let bad = || "unrecognized escape sequence \\x".to_owned();
        let digits = if self.take("{") {
            let (digits, behind) = self.rest.split_once('}').ok_or_else(bad)?;
            self.rest = behind;
            digits
        } else {
            let digits = self.rest.get(..2).ok_or_else(bad)?;
            self.rest = &self.rest[2..];
            digits
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(bad)
    }

    /// After `[`.
    fn class(&mut self) -> Step {
        const NO_END: &str = "unclosed character class";
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            if self.rest.is_empty() {
                return refused(NO_END);
            }
            if !first && self.take("]") {
                self.out.push(']');
                return Ok(());
            }
            first = false;
            if let Some(named) = self.named_class()? {
                self.out.push_str(named);
                continue;
            }
            if let Some(behind) = self.rest.strip_prefix('\\') {
                let before = std::mem::replace(&mut self.rest, behind);
                if let Some(class) = self.known_class()? {
                    self.out.push_str(&class);
                    continue;
                }
                self.rest = before;
            }
            let from = self.one_of_class()?;
            let mut to = from;
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") {
                self.next();
                to = self.one_of_class()?;
                if to < from {
                    return Err(format!("the range {from}-{to} is upside down"));
                }
            }
            self.in_class(from);
            if to != from {
                self.out.push('-');
                self.in_class(to);
            }
        }
    }

    /// `[:alpha:]` where a class may stand in a class.
    fn named_class(&mut self) -> Step<Option<&'t str>> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print",
            "punct", "space", "upper", "word", "xdigit",
        ];
        let Some((name, behind)) = self.rest.strip_prefix("[:").and_then(|r| r.split_once(":]"))
        else {
            return Ok(None);
        };
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("there is no class of characters [:{name}:]"));
        }
        let whole = &self.rest[..self.rest.len() - behind.len()];
        self.rest = behind;
        Ok(Some(whole))
    }

    fn one_of_class(&mut self) -> Step<char> {
        match self.next() {
            Some('\\') => self.escaped(),
            Some(c) => Ok(c),
            None => refused("unclosed character class"),
        }
    }

    fn in_class(&mut self, c: char) {
        if c.is_ascii_punctuation() && regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
    }
}

/// Go allows a flag to be named twice.
fn without_repeats(flags: &str) -> String {
    let mut kept = String::new();
    let (set, cleared) = flags.split_once('-').map_or((flags, None), |(a, b)| (a, Some(b)));
    for c in set.chars() {
        if !kept.contains(c) && !cleared.is_some_and(|cleared| cleared.contains(c)) {
            kept.push(c);
        }
    }
    if let Some(cleared) = cleared {
        kept.push('-');
        for c in cleared.chars() {
            if !kept.contains(c) {
                kept.push(c);
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    fn compiled(text: &str) -> Regex {
        let rewritten = rewritten(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        Regex::new(&format!("^(?:{rewritten})$")).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn texts_match_as_in_go() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            (r"\d+", &["12"], &["\u{663}"]),
            (r"\w+", &["a_1"], &["\u{fc}"]),
            (r"\s", &["\t"], &["\u{a0}", "\u{b}"]),
            (r".*\bb", &["b", "\u{fc}b"], &["ab"]),
            (r"\D\W\S", &["\u{663}\u{fc}\u{a0}"], &["1"]),
            ("[a&&b]+", &["a&b"], &["c"]),
            ("[+--a~~]+", &["+-,a~"], &["b"]),
            ("[[a]+", &["[", "a["], &["]"]),
            ("[]a]", &["]", "a"], &["b"]),
            ("[^]a]", &["b"], &["]"]),
            (r"[\d-z]+", &["1-z"], &["y"]),
            ("a{", &["a{"], &["a"]),
            ("a{,2}", &["a{,2}"], &["aa"]),
            ("a{02}", &["a{02}"], &["aa"]),
            ("{a}", &["{a}"], &["a"]),
            (r"\Qa.b\E+", &["a.b"], &["axb"]),
            (r"\<\_\/", &["<_/"], &[""]),
            (r"\101\x41\x{42}\n", &["AAB\n"], &[""]),
            (r"(?)a(?ii-s:B)", &["ab", "aB"], &["A"]),
            (r"\p{Greek}\p{^Greek}\PL\pN", &["\u{3b1}a-1"], &["a"]),
            ("[[:alpha:][:^digit:]]", &["a", "-"], &["1"]),
            ("(?P<1a>x)(?<n>y)", &["xy"], &["x"]),
            ("a##b ~c", &["a##b ~c"], &["a"]),
            ("", &[""], &["a"]),
            ("|a", &["", "a"], &["b"]),
        ];
        for (text, fit, differ) in cases {
            let regex = compiled(text);
            assert!(fit.iter().all(|one| regex.is_match(one)), "{text}");
            assert!(!differ.iter().any(|one| regex.is_match(one)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "a**",
            "a{2}{3}",
            "a+*",
            "a*??",
            "*",
            "|*",
            "(*)",
            "(?i)*",
            "(?x)a",
            "(?R)a",
            "(?u)a",
            "(?-u)a",
            "(?-)",
            "(?i-)",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "(?<n>a)(?P<n>b)",
            "(?P<a.b>x)",
            "(a",
            "a)",
            "a)(b",
            "[",
            "[a",
            "[]",
            "[b-a]",
            r"[a-\d]",
            r"[\b]",
            "[[:foo:]]",
            r"\Z",
            r"\C",
            r"\E",
            r"\Qa",
            r"\h",
            r"\u0041",
            r"\e",
            r"\1",
            r"\8",
            r"\",
            "\\\u{e9}",
            r"\x4",
            r"\x{110000}",
            r"\p{Foo}",
            r"\p{Alphabetic}",
            r"\pX",
            r"\p{",
            "a{1001}",
            "a{2,1}",
            "(a{100}){100}",
        ] {
            assert!(rewritten(text).is_err(), "{text}");
        }
        assert!(rewritten(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        /// Any text is rewritten or refused, and what is rewritten is an expression.
        #[test]
        fn what_is_rewritten_compiles(text in "\\PC{0,12}|[ab()|*+?{}\\[\\]^$.:,&~\\-\\\\dwsbQEpLxPi0-9<>]{0,24}") {
            if let Ok(rewritten) = rewritten(&text) {
                let parsed = regex_syntax::Parser::new().parse(&rewritten);
                prop_assert!(parsed.is_ok(), "{text} became {rewritten}: {parsed:?}");
            }
        }
    }
}
