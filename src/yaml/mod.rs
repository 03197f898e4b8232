//! YAML as a tree in which every node knows where it stands, so that a reader can judge a whole
//! file, report all that is wrong at once, and point at the very word. Pure.
//!
//! What is wrong with the YAML itself is a [`Flaw`] without words: each kind of file has its own.

mod json;

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

/// A place in a file; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Place {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins (for an alias: where the alias stands).
    pub at: Place,
    /// Byte offset of the value in the text (for an alias: of what it stands for).
    start: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing: `~`, `null`, or no text at all.
    Null,
    /// Text as it was written, without its quotes: Go reads `1.50` and `yes` into strings letter by
    /// letter.
    Scalar {
        /// The text.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// Keys with values in the order of the file, each key once; merge keys are already applied.
    Map(Vec<(Key, Rc<Node>)>),
}

/// The key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where.
    pub at: Place,
    /// Its text.
    pub text: String,
    /// Without quotes.
    pub plain: bool,
}

/// How a text is read.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Values in a whole file, aliases expanded: a billion laughs end here.
    pub most_nodes: usize,
    /// Levels of nesting.
    pub deepest: usize,
    /// As programs in Go read it: the first document counts, and a quoted text may go on at the
    /// indentation of its parent.
    pub as_go: bool,
}

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Where.
    pub at: Place,
    /// What.
    pub what: FlawKind,
}

/// What a [`Flaw`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlawKind {
    /// No YAML; in the words of the parser.
    NotYaml(String),
    /// A second document begins.
    SecondDocument,
    /// Nested deeper than so many levels.
    TooDeep(usize),
    /// More than so many values, aliases expanded.
    TooMany(usize),
    /// An alias refers to itself or to nothing.
    LostAlias,
    /// Something else stands where a value should.
    NoValue,
    /// A list or a mapping is a key.
    KeyIsNoText,
    /// A key is given again.
    KeyTwice {
        /// The key.
        key: String,
        /// Where it was given first.
        first: usize,
    },
    /// `<<` merges what is no mapping.
    MergesText,
}

/// How many lines of quoted text may be indented less than YAML 1.2 asks for.
const MAX_REPAIRS: usize = 32;

/// Reads a text. Keys that are given twice are flaws; the tree is given all the same, so that
/// further problems can be found. `None` when there is nothing in it, or no tree at all.
pub fn read(text: &str, reading: Reading) -> (Option<Rc<Node>>, Vec<Flaw>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !reading.as_go {
        let mut tree = Tree::new(text, reading);
        return match tree.document() {
            Ok(root) => (root, tree.flaws),
            Err(stop) => (None, tree.flaws.into_iter().chain([stop.flaw()]).collect()),
        };
    }
    let mut patched = std::borrow::Cow::Borrowed(first_document(text));
    for _ in 0..=MAX_REPAIRS {
        let mut tree = Tree::new(&patched, reading);
        let stop = match tree.document() {
            Ok(root) => return (root, tree.flaws),
            Err(stop) => stop,
        };
        let repaired = match &stop {
            Stop::Scan(error) => indented(&patched, error),
            Stop::Flaw(_) => None,
        };
        match repaired {
            Some(repaired) => patched = repaired.into(),
            None => return (None, tree.flaws.into_iter().chain([stop.flaw()]).collect()),
        }
    }
    let what = FlawKind::NotYaml("too many badly indented quoted texts".to_owned());
    (None, vec![Flaw { at: Place::START, what }])
}

/// The text up to the second document. Go reads the first one and ignores the rest.
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

/// Why a tree was not read to its end.
enum Stop {
    Scan(ScanError),
    Flaw(Flaw),
}

impl Stop {
    fn at(at: Place, what: FlawKind) -> Self {
        Self::Flaw(Flaw { at, what })
    }

    fn flaw(self) -> Flaw {
        match self {
            Stop::Flaw(flaw) => flaw,
            Stop::Scan(error) => {
                Flaw { at: place(error.marker()), what: FlawKind::NotYaml(error.info().to_owned()) }
            }
        }
    }
}

/// Makes a tree of what the parser tells.
struct Tree<'t> {
    events: Parser<'t, StrInput<'t>>,
    reading: Reading,
    /// With the number of nodes in each.
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    nodes: usize,
    flaws: Vec<Flaw>,
}

type Step<'t> = (Event<'t>, Place, usize);
type Entries = Vec<(Key, Rc<Node>)>;

impl<'t> Tree<'t> {
    fn new(text: &'t str, reading: Reading) -> Self {
        let (events, anchors) = (Parser::new_from_str(text), HashMap::new());
        Self { events, reading, anchors, nodes: 0, flaws: Vec::new() }
    }

    fn flaw(&mut self, at: Place, what: FlawKind) {
        self.flaws.push(Flaw { at, what });
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
    fn document(&mut self) -> Result<Option<Rc<Node>>, Stop> {
        let mut root = None;
        loop {
            let (event, at, _) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::DocumentStart(..) if root.is_none() => {
                    let first = self.next()?;
                    if !matches!(first.0, Event::DocumentEnd) {
                        root = Some(self.node(first, 0)?);
                    }
                }
                Event::DocumentStart(..) if !self.reading.as_go => {
                    return Err(Stop::at(at, FlawKind::SecondDocument));
                }
                _ => {}
            }
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        let most = self.reading.most_nodes;
        if self.nodes > most {
            return Err(Stop::at(at, FlawKind::TooMany(most)));
        }
        Ok(())
    }

    fn node(&mut self, (event, at, start): Step<'t>, depth: usize) -> Result<Rc<Node>, Stop> {
        self.count(1, at)?;
        if depth > self.reading.deepest {
            return Err(Stop::at(at, FlawKind::TooDeep(self.reading.deepest)));
        }
        let before = self.nodes;
        let (kind, anchor) = match event {
            Event::Alias(id) => {
                let Some((node, size)) = self.anchors.get(&id).cloned() else {
                    return Err(Stop::at(at, FlawKind::LostAlias));
                };
                self.count(size, at)?;
                return Ok(Rc::new(Node { at, ..Node::clone(&node) }));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let text = || Kind::Scalar { text: text.into_owned(), plain };
                (if null { Kind::Null } else { text() }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(Stop::at(at, FlawKind::NoValue)),
        };
        let node = Rc::new(Node { at, start, kind });
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Stop> {
        let mut items = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::SequenceEnd) {
                return Ok(Kind::List(items));
            }
            items.push(self.node(step, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Stop> {
        let (mut entries, mut known) = (Entries::new(), HashMap::<String, usize>::new());
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
            let (text, plain) = match &key.kind {
                _ if merges => {
                    merged.push(value);
                    continue;
                }
                Kind::Scalar { text, plain } => (text.clone(), *plain),
                Kind::Null => ("null".to_owned(), true),
                Kind::List(_) | Kind::Map(_) => {
                    self.flaw(key.at, FlawKind::KeyIsNoText);
                    continue;
                }
            };
            if let Some(&first) = known.get(&text) {
                self.flaw(key.at, FlawKind::KeyTwice { key: text, first });
            } else {
                known.insert(text.clone(), key.at.line);
                entries.push((Key { at: key.at, text, plain }, value));
            }
        }
        for source in merged {
            self.merge(&source, &mut known, &mut entries);
        }
        Ok(Kind::Map(entries))
    }

    /// YAML's `<<`: what is written in the mapping itself wins, then what is merged first.
    fn merge(&mut self, from: &Node, known: &mut HashMap<String, usize>, into: &mut Entries) {
        match &from.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    if known.insert(key.text.clone(), key.at.line).is_none() {
                        into.push((key.clone(), value.clone()));
                    }
                }
            }
            Kind::List(sources) => {
                sources.iter().for_each(|source| self.merge(source, known, into));
            }
            Kind::Null => {}
            Kind::Scalar { .. } => self.flaw(from.at, FlawKind::MergesText),
        }
    }
}

impl Node {
    /// Nothing, in the place of what is not written.
    pub fn nothing(at: Place) -> Self {
        Self { at, start: 0, kind: Kind::Null }
    }

    /// Whether it is text without a character in it.
    pub fn is_empty_text(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, .. } if text.is_empty())
    }

    /// The scalar's text; empty for nothing.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Null => Some(""),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// "a list", "a text" …: for messages that show nothing of it.
    pub fn shape(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Scalar { .. } => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// What a person would call it: as [`Node::shape`], but texts by their beginning.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, .. } => format!("`{}`", shorten(text)),
            _ => self.shape().to_owned(),
        }
    }

    /// Where byte `offset` of this scalar's text stands in the file, whatever its quotes, folds
    /// and indentation. `source` is the whole file.
    pub fn place_within(&self, source: &str, offset: usize) -> Place {
        let source = source.strip_prefix('\u{feff}').unwrap_or(source);
        let (Some(text), Some(rest)) = (self.text(), source.get(self.start..)) else {
            return self.at;
        };
        let mut walk = Walk { place: self.at, rest: rest.chars().peekable() };
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

/// The beginning of a text, on one line.
pub fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
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
mod tests;
