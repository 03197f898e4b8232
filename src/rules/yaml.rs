//! YAML as a tree in which every node knows where it stands, so that a reader can judge a whole
//! file, report all that is wrong at once, and point at the very word.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Spanned};

use super::problem::{Place, Problem};

/// A YAML value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins (for an alias: where the alias stands).
    pub place: Place,
    /// Byte offset and length of the value in the text, as far as the parser knows them.
    span: (usize, usize),
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Any scalar as it was written, without quotes; `plain` when it had none, so that it may
    /// stand for a number or a truth value.
    Text {
        /// The text.
        text: String,
        /// Whether YAML would read something else than a string in it.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; keys are unique (merge keys are already applied).
    Map(Vec<(Node, Node)>),
}

/// Reads the first document of a text; `None` when there is none.
///
/// # Errors
/// What is not YAML, has a key twice, or costs too much (aliases, depth), with its place.
pub fn read(text: &str) -> Result<Option<Node>, Problem> {
    let text = first_document(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut patched = std::borrow::Cow::Borrowed(text);
    for _ in 0..=MAX_REPAIRS {
        match serde_saphyr::from_str_with_options::<Node>(&patched, options()) {
            Ok(mut node) => {
                node.take_spelling(&patched);
                return Ok((!matches!(node.value, Value::Null)).then_some(node));
            }
            Err(error) => match indented(&patched, &error) {
                Some(repaired) => patched = repaired.into(),
                None => return Err(problem_of(&error)),
            },
        }
    }
    Err(Problem::at(Place::START, "too many badly indented quoted texts"))
}

/// How many lines of quoted text may be indented less than YAML 1.2 asks for.
const MAX_REPAIRS: usize = 32;

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        with_snippet: false,
        strict_booleans: true,
        ignore_binary_tag_for_string: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
    }
}

/// The text up to the second document. Prometheus reads the first one and ignores the rest.
fn first_document(text: &str) -> &str {
    let (mut at, mut begun) = (0, false);
    for line in text.split_inclusive('\n') {
        let word = line.trim_end();
        let marker = |mark| word == mark || word.strip_prefix(mark).is_some_and(starts_blank);
        if begun && (marker("---") || marker("...")) {
            return &text[..at];
        }
        begun |= !word.is_empty() && !word.starts_with(['#', '%']);
        at += line.len();
    }
    text
}

fn starts_blank(rest: &str) -> bool {
    rest.starts_with([' ', '\t'])
}

/// libyaml and Go accept a quoted text that goes on at the indentation of its parent; YAML 1.2
/// does not. White space at the start of such a line is folded away, so more of it is harmless.
fn indented(text: &str, error: &Error) -> Option<String> {
    if !error.to_string().contains("multiline quoted scalar") {
        return None;
    }
    let line = usize::try_from(error.location()?.line()).ok()?.checked_sub(1)?;
    let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let mut repaired = String::with_capacity(text.len() + 64);
    repaired.push_str(&text[..start]);
    repaired.push_str("                                ");
    repaired.push_str(&text[start..]);
    Some(repaired)
}

fn problem_of(error: &Error) -> Problem {
    let place = error.location().map_or(Place::START, |at| Place {
        line: usize::try_from(at.line()).unwrap_or(usize::MAX).max(1),
        column: usize::try_from(at.column()).unwrap_or(usize::MAX).max(1),
    });
    let text = error.without_snippet().to_string();
    // The place is told apart; only the first line says what is wrong.
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" at line ").next().unwrap_or(line);
    Problem::at(place, format!("not valid YAML: {}", line.trim_start_matches("error: ")))
}

impl Node {
    /// Gives plain scalars back the spelling that the file has (`1.50`, `yes`, `0x1f`): Go reads
    /// them into strings letter by letter.
    fn take_spelling(&mut self, source: &str) {
        match &mut self.value {
            Value::Text { text, plain: true } => {
                let written = source.get(self.span.0..self.span.0 + self.span.1);
                if let Some(written) = written.map(str::trim).filter(|w| !w.is_empty()) {
                    written.clone_into(text);
                }
            }
            Value::Null | Value::Text { .. } => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.take_spelling(source)),
            Value::Map(pairs) => {
                for (key, value) in pairs {
                    key.take_spelling(source);
                    value.take_spelling(source);
                }
            }
        }
    }

    /// "a list", "the text …": for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The scalar's text; empty for nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text { text, .. } => Some(text),
            Value::Null => Some(""),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Where byte `offset` of this scalar's text stands in the file, whatever its quotes, folds
    /// and indentation. `source` is the whole file.
    pub fn place_within(&self, source: &str, offset: usize) -> Place {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let (Some(text), Some(rest)) = (self.text(), source.get(self.span.0..)) else {
            return self.place;
        };
        let mut walk = Walk { place: self.place, rest: rest.chars().peekable() };
        walk.skip_opening();
        for (_, wanted) in text.char_indices().take_while(|(at, _)| *at < offset) {
            walk.find(wanted);
            walk.advance();
        }
        // Stand on the character itself, not on the indentation before it.
        if let Some(next) = text.get(offset..).and_then(|t| t.chars().next()) {
            walk.find(next);
        }
        walk.place
    }
}

/// Walks through a scalar as it is written while its value is followed.
struct Walk<'a> {
    place: Place,
    rest: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Walk<'_> {
    /// Quotes, or the header line of a block.
    fn skip_opening(&mut self) {
        match self.rest.peek() {
            Some('"' | '\'') => self.advance(),
            Some('|' | '>') => {
                while self.rest.peek().is_some_and(|c| *c != '\n') {
                    self.advance();
                }
            }
            _ => {}
        }
    }

    /// Goes to the next place that shows `wanted`; any white space stands for any other.
    fn find(&mut self, wanted: char) {
        let same = |c: char| c == wanted || (c.is_whitespace() && wanted.is_whitespace());
        // A letter written as an escape (\u00fc) is not found: stay where we are.
        if !self.rest.clone().take(256).any(same) {
            return;
        }
        while self.rest.peek().is_some_and(|c| !same(*c)) {
            self.advance();
        }
    }

    fn advance(&mut self) {
        match self.rest.next() {
            Some('\n') => self.place = Place { line: self.place.line + 1, column: 1 },
            Some(_) => self.place.column += 1,
            None => {}
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Bare>::deserialize(deserializer)?;
        let place = |at: serde_saphyr::Location| Place {
            line: usize::try_from(at.line()).unwrap_or(usize::MAX),
            column: usize::try_from(at.column()).unwrap_or(usize::MAX),
        };
        let span = spanned.defined.span();
        let known = |bytes: Option<u64>| bytes.and_then(|b| usize::try_from(b).ok()).unwrap_or(0);
        Ok(Self {
            place: place(spanned.referenced),
            span: (known(span.byte_offset()), known(span.byte_len())),
            value: spanned.value.0,
        })
    }
}

/// A [`Value`] on its way out of the parser.
struct Bare(Value);

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BareVisitor(PhantomData)).map(Self)
    }
}

struct BareVisitor(PhantomData<Value>);

impl BareVisitor {
    #[allow(clippy::unnecessary_wraps)]
    fn guessed<E>(text: impl fmt::Display) -> Result<Value, E> {
        Ok(Value::Text { text: text.to_string(), plain: true })
    }
}

impl<'de> Visitor<'de> for BareVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Self::guessed(value)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text { text: text.to_owned(), plain: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn map(text: &str) -> Vec<(Node, Node)> {
        match read(text).unwrap().unwrap().value {
            Value::Map(pairs) => pairs,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scalars_keep_their_spelling_and_their_place() {
        let pairs = map("a: 1.50\nb: yes\nc: 0x1f\nd: 'q'\ne:\nf: true\n");
        let texts: Vec<_> = pairs.iter().map(|(_, v)| v.text().unwrap()).collect();
        assert_eq!(texts, ["1.50", "yes", "0x1f", "q", "", "true"]);
        assert_eq!(pairs[3].1.place, Place { line: 4, column: 4 });
        assert_eq!(pairs[3].0.place, Place { line: 4, column: 1 });
    }

    #[test]
    fn a_place_within_a_text_is_found_in_all_styles() {
        let find = |file: &str, needle: &str| {
            let pairs = map(file);
            let text = pairs[0].1.text().unwrap();
            let place = pairs[0].1.place_within(file, text.find(needle).unwrap());
            (place.line, place.column)
        };
        assert_eq!(find("a: up == x\n", "x"), (1, 10));
        assert_eq!(find("a: 'it''s x'\n", "x"), (1, 11));
        assert_eq!(find("a: \"q\\\"q x\"\n", "x"), (1, 10));
        assert_eq!(find("a: |\n  up\n    == x\n", "x"), (3, 8));
        assert_eq!(find("a: >-\n  up\n  == x\n", "x"), (3, 6));
        assert_eq!(find("a: |- # | x\n  up x\n", "x"), (2, 6));
        assert_eq!(find("a: up\n  == x\n", "x"), (2, 6));
        assert_eq!(find("a: \"\\u00fc x\"\n", "x"), (1, 12));
    }

    #[test]
    fn only_the_first_document_counts() {
        assert_eq!(map("# c\n---\na: 1\n---\na: [").len(), 1);
        assert!(read("# nothing\n").unwrap().is_none());
        assert!(read("").unwrap().is_none());
        assert!(read("---\n").unwrap().is_none());
    }

    #[test]
    fn a_key_twice_and_a_tab_are_told_with_their_place() {
        let twice = read("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(twice.place, Place { line: 3, column: 1 }, "{twice}");
        assert!(read("a:\n\tb: 1\n").is_err());
    }

    #[test]
    fn merge_keys_and_aliases_are_followed() {
        let pairs = map("x: &r {a: 1, b: 2}\ny: {<<: *r, b: 3}\n");
        let Value::Map(merged) = &pairs[1].1.value else { panic!() };
        let read: Vec<_> =
            merged.iter().map(|(k, v)| (k.text().unwrap(), v.text().unwrap())).collect();
        assert!(read.contains(&("a", "1")) && read.contains(&("b", "3")), "{read:?}");
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn a_quoted_text_may_go_on_at_its_parents_indentation() {
        let pairs = map("a:\n  b: \"one\n  two\"\n");
        let Value::Map(inner) = &pairs[0].1.value else { panic!() };
        assert_eq!(inner[0].1.text(), Some("one two"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-a: \\[\\]{}&*<|>'\"#\\n\\t!%]{0,80}") {
            if let Ok(Some(node)) = read(&text) {
                node.place_within(&text, 3);
            }
        }
    }
}
