//! YAML as a tree in which every node knows where it stands, so that a reader can judge a whole
//! file, report all that is wrong at once, and point at the very word.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

use super::problem::{Place, Problem};

/// A YAML value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins (for an alias: where the alias stands).
    pub place: Place,
    /// Byte offset of the value in the text (for an alias: of what it stands for).
    start: usize,
    /// What it is.
    pub value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// Any scalar as it was written, without quotes: Go reads `1.50` and `yes` into strings letter
    /// by letter.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; keys are unique (merge keys are already applied).
    Map(Vec<(Node, Node)>),
}

/// Nodes in a whole file, aliases expanded: a billion laughs end here.
const MOST_NODES: usize = 1_000_000;
/// Nesting of a file.
const DEEPEST: usize = 128;
/// How many lines of quoted text may be indented less than YAML 1.2 asks for.
const MAX_REPAIRS: usize = 32;

/// Reads the first document of a text; `None` when there is none.
///
/// # Errors
/// What is not YAML, has a key twice, or costs too much (aliases, depth), with its place.
pub fn read(text: &str) -> Result<Option<Node>, Problem> {
    let text = first_document(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut patched = std::borrow::Cow::Borrowed(text);
    for _ in 0..=MAX_REPAIRS {
        match Tree::new(&patched).document() {
            Ok(node) => return Ok(node.filter(|node| !matches!(node.value, Value::Null))),
            Err(Stop::Problem(problem)) => return Err(problem),
            Err(Stop::Scan(error)) => match indented(&patched, &error) {
                Some(repaired) => patched = repaired.into(),
                None => return Err(refused(place(error.marker()), error.info())),
            },
        }
    }
    Err(Problem::at(Place::START, "too many badly indented quoted texts"))
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
fn indented(text: &str, error: &ScanError) -> Option<String> {
    if !error.info().contains("multiline quoted scalar") {
        return None;
    }
    let line = error.marker().line().checked_sub(1)?;
    let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
    let mut repaired = String::with_capacity(text.len() + 64);
    repaired.push_str(&text[..start]);
    repaired.push_str("                                ");
    repaired.push_str(&text[start..]);
    Some(repaired)
}

fn place(mark: &granit_parser::Marker) -> Place {
    Place { line: mark.line().max(1), column: mark.col() + 1 }
}

fn refused(place: Place, what: impl std::fmt::Display) -> Problem {
    Problem::at(place, format!("not valid YAML: {what}"))
}

/// Why a tree was not read to its end.
enum Stop {
    Scan(ScanError),
    Problem(Problem),
}

impl Stop {
    fn at(place: Place, what: impl std::fmt::Display) -> Self {
        Self::Problem(refused(place, what))
    }
}

/// Makes a tree of what the parser tells.
struct Tree<'t> {
    events: Parser<'t, StrInput<'t>>,
    /// With the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

type Step<'t> = (Event<'t>, Place, usize);

impl<'t> Tree<'t> {
    fn new(text: &'t str) -> Self {
        Self { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 }
    }

    fn next(&mut self) -> Result<Step<'t>, Stop> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                Ok((event, place(&span.start), span.start.byte_offset().unwrap_or(0)))
            }
            Some(Err(error)) => Err(Stop::Scan(error)),
            None => Ok((Event::StreamEnd, Place::START, 0)),
        }
    }

    /// The first document; what follows must be YAML too.
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        let mut root = None;
        loop {
            match self.next()?.0 {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if root.is_none() => {
                    let first = self.next()?;
                    if !matches!(first.0, Event::DocumentEnd) {
                        root = Some(self.node(first, 0)?);
                    }
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            let what = format!("more than {MOST_NODES} values in one file (aliases count)");
            return Err(Stop::at(place, what));
        }
        Ok(())
    }

    fn node(&mut self, (event, place, start): Step<'t>, depth: usize) -> Result<Node, Stop> {
        self.count(1, place)?;
        if depth > DEEPEST {
            return Err(Stop::at(place, format!("nested more than {DEEPEST} levels deep")));
        }
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(Stop::at(place, "this alias refers to itself or to nothing"));
                };
                self.count(size, place)?;
                return Ok(Node { place, ..node });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                (if null { Value::Null } else { Value::Text(text.into_owned()) }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(Stop::at(place, "a value was expected here")),
        };
        let node = Node { place, start, value };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut items = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::SequenceEnd) {
                return Ok(Value::List(items));
            }
            items.push(self.node(step, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut merged = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::MappingEnd) {
                break;
            }
            let merges = matches!(&step.0, Event::Scalar(text, ScalarStyle::Plain, _, None) if &**text == "<<");
            let key = self.node(step, depth + 1)?;
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            if merges {
                merged.push(value);
                continue;
            }
            if let Some(text) = key.text()
                && let Some(first) = known.insert(text.to_owned(), key.place.line)
            {
                let what = format!("the key {text:?} is given twice, first in line {first}");
                return Err(Stop::at(key.place, what));
            }
            pairs.push((key, value));
        }
        for source in merged {
            merge(source, &mut known, &mut pairs)?;
        }
        Ok(Value::Map(pairs))
    }
}

/// YAML's `<<`: what is written in the mapping itself wins, then what is merged first.
fn merge(
    source: Node,
    known: &mut HashMap<String, usize>,
    into: &mut Vec<(Node, Node)>,
) -> Result<(), Stop> {
    match source.value {
        Value::Map(pairs) => {
            for (key, value) in pairs {
                let text = key.text().unwrap_or_default().to_owned();
                if let std::collections::hash_map::Entry::Vacant(place) = known.entry(text) {
                    place.insert(key.place.line);
                    into.push((key, value));
                }
            }
            Ok(())
        }
        Value::List(sources) => sources.into_iter().try_for_each(|s| merge(s, known, into)),
        Value::Null => Ok(()),
        Value::Text(_) => Err(Stop::at(source.place, "`<<` merges mappings, this is a text")),
    }
}

impl Node {
    /// "a list", "the text …": for messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The scalar's text; empty for nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null => Some(""),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Where byte `offset` of this scalar's text stands in the file, whatever its quotes, folds
    /// and indentation. `source` is the whole file.
    pub fn place_within(&self, source: &str, offset: usize) -> Place {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let (Some(text), Some(rest)) = (self.text(), source.get(self.start..)) else {
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
    fn a_billion_laughs_and_a_deep_well_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let nine = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{nine}]\n"));
        }
        assert!(read(&text).unwrap_err().what.contains("aliases count"));
        assert!(read(&"[".repeat(100_000)).is_err());
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
