//! YAML as a tree in which every node knows its place. Serde stops at the first error; a tree
//! lets us walk on and report all of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError};

use super::problem::{Position, Problem};

/// Nodes in a whole file, aliases expanded: a billion laughs end here.
const MOST_NODES: usize = 250_000;
/// Nesting of a configuration that a person wrote.
const DEEPEST: usize = 64;

/// A node and where it begins.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where.
    pub at: Position,
    /// What.
    pub kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Nothing: `~`, `null`, or no text at all.
    Null,
    /// Text as written; `plain` when it stands without quotes.
    Scalar {
        /// The text.
        text: String,
        /// Without quotes.
        plain: bool,
    },
    /// A list.
    List(Vec<Rc<Node>>),
    /// Keys with values in the order of the file.
    Map(Vec<(Key, Rc<Node>)>),
}

/// The key of a mapping.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where.
    pub at: Position,
    /// Its text.
    pub text: String,
}

impl Node {
    /// Whether it is text without a character in it.
    pub fn is_empty_text(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, .. } if text.is_empty())
    }

    /// What a person would call it.
    pub fn describe(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Scalar { text, .. } => format!("`{}`", shorten(text)),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// The beginning of a text, on one line.
pub fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    let short: String = line.chars().take(60).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

/// Reads one document. A duplicate key or a second document is a problem; the tree is given all
/// the same, so that further problems can be found.
pub fn parse(text: &str, problems: &mut Vec<Problem>) -> Option<Rc<Node>> {
    let mut reader = TreeReader {
        events: Parser::new_from_str(text.strip_prefix('\u{feff}').unwrap_or(text)),
        anchors: HashMap::new(),
        nodes: 0,
        problems,
    };
    match reader.document() {
        Ok(node) => node,
        Err(problem) => {
            problems.push(problem);
            None
        }
    }
}

struct TreeReader<'t, 'p> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, (Rc<Node>, usize)>,
    nodes: usize,
    problems: &'p mut Vec<Problem>,
}

type Step<'t> = (Event<'t>, Position);

impl<'t> TreeReader<'t, '_> {
    fn next(&mut self) -> Result<Step<'t>, Problem> {
        match self.events.next() {
            Some(Ok((event, span))) => {
                let at = Position { line: span.start.line(), column: span.start.col() + 1 };
                Ok((event, at))
            }
            Some(Err(error)) => Err(scan_problem(&error)),
            None => Ok((Event::StreamEnd, Position::default())),
        }
    }

    fn document(&mut self) -> Result<Option<Rc<Node>>, Problem> {
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(root),
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    let message = "a second document begins here; one file holds one document";
                    return Err(Problem { at, message: message.to_owned() });
                }
                Event::DocumentStart(..) => {
                    let first = self.next()?;
                    if !matches!(first.0, Event::DocumentEnd) {
                        root = Some(self.node(first, 0)?);
                    }
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, (event, at): Step<'t>, depth: usize) -> Result<Rc<Node>, Problem> {
        self.count(1, at)?;
        if depth > DEEPEST {
            let message = format!("nested more than {DEEPEST} levels deep");
            return Err(Problem { at, message });
        }
        let before = self.nodes;
        let (kind, anchor) = match event {
            Event::Alias(id) => return self.alias(id, at),
            Event::Scalar(text, style, anchor, _) => (scalar(text, style), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            _ => {
                let message = "a value was expected here".to_owned();
                return Err(Problem { at, message });
            }
        };
        let node = Rc::new(Node { at, kind });
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES {
            let message = format!("more than {MOST_NODES} values in one file (aliases count)");
            return Err(Problem { at, message });
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Rc<Node>, Problem> {
        let Some((node, size)) = self.anchors.get(&id).cloned() else {
            let message = "this alias refers to itself or to nothing".to_owned();
            return Err(Problem { at, message });
        };
        self.count(size, at)?;
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, Problem> {
        let mut items = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::SequenceEnd) {
                return Ok(Kind::List(items));
            }
            items.push(self.node(step, depth + 1)?);
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, Problem> {
        let mut entries: Vec<(Key, Rc<Node>)> = Vec::new();
        let mut merged: Vec<Rc<Node>> = Vec::new();
        loop {
            let step = self.next()?;
            if matches!(step.0, Event::MappingEnd) {
                break;
            }
            let at = step.1;
            let key = self.node(step, depth + 1)?;
            let value = self.next()?;
            let value = self.node(value, depth + 1)?;
            let text = match &key.kind {
                Kind::Scalar { text, .. } => text.clone(),
                Kind::Null => "null".to_owned(),
                Kind::List(_) | Kind::Map(_) => {
                    let message = "a key must be a single word or text".to_owned();
                    self.problems.push(Problem { at, message });
                    continue;
                }
            };
            if text == "<<" {
                merged.push(value);
            } else if let Some((first, _)) = entries.iter().find(|(key, _)| key.text == text) {
                let line = first.at.line;
                let message = format!("`{}` is given twice, first in line {line}", shorten(&text));
                self.problems.push(Problem { at, message });
            } else {
                entries.push((Key { at, text }, value));
            }
        }
        for source in merged {
            self.merge(&source, &mut entries);
        }
        Ok(Kind::Map(entries))
    }

    /// YAML's `<<`: what is written in the mapping itself wins.
    fn merge(&mut self, source: &Rc<Node>, entries: &mut Vec<(Key, Rc<Node>)>) {
        match &source.kind {
            Kind::Map(from) => {
                for (key, value) in from {
                    if !entries.iter().any(|(own, _)| own.text == key.text) {
                        entries.push((key.clone(), value.clone()));
                    }
                }
            }
            Kind::List(sources) => {
                for source in sources {
                    self.merge(source, entries);
                }
            }
            Kind::Null | Kind::Scalar { .. } => {
                let message = format!("`<<` merges mappings, found {}", source.describe());
                self.problems.push(Problem { at: source.at, message });
            }
        }
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Kind {
    let plain = style == ScalarStyle::Plain;
    if plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        return Kind::Null;
    }
    Kind::Scalar { text: text.into_owned(), plain }
}

fn scan_problem(error: &ScanError) -> Problem {
    let mark = error.marker();
    let at = Position { line: mark.line().max(1), column: mark.col() + 1 };
    Problem { at, message: format!("this is not valid YAML: {}", error.info()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn problems_of(text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        parse(text, &mut problems);
        let show = |p: &Problem| format!("{}:{}: {}", p.at.line, p.at.column, p.message);
        problems.iter().map(show).collect()
    }

    #[test]
    fn places_are_exact() {
        let mut problems = Vec::new();
        let root = parse("a:\n  b: [1, x]\n", &mut problems).unwrap();
        let Kind::Map(entries) = &root.kind else { panic!("no map") };
        let Kind::Map(inner) = &entries[0].1.kind else { panic!("no map") };
        assert_eq!(inner[0].0.at, Position { line: 2, column: 3 });
        let Kind::List(items) = &inner[0].1.kind else { panic!("no list") };
        assert_eq!(items[1].at, Position { line: 2, column: 10 });
        assert!(problems.is_empty());
    }

    #[test]
    fn a_key_twice_is_told_with_both_places() {
        assert_eq!(problems_of("a: 1\nb: 2\na: 3\n"), ["3:1: `a` is given twice, first in line 1"]);
    }

    #[test]
    fn a_billion_laughs_end() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let before = n - 1;
            let nine = vec![format!("*a{before}"); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{nine}]\n"));
        }
        assert!(problems_of(&text)[0].contains("more than 250000 values"));
        assert!(!problems_of(&"[".repeat(100_000)).is_empty());
    }

    #[test]
    fn a_merge_loses_against_what_is_written() {
        let mut problems = Vec::new();
        let root = parse("d: &d {x: 1, y: 2}\ne:\n  <<: *d\n  x: 3\n", &mut problems).unwrap();
        let Kind::Map(entries) = &root.kind else { panic!("no map") };
        let Kind::Map(merged) = &entries[1].1.kind else { panic!("no map") };
        let read: Vec<_> = merged.iter().map(|(k, v)| (k.text.as_str(), v.describe())).collect();
        assert_eq!(read, [("x", "`3`".to_owned()), ("y", "`2`".to_owned())]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c:\\-\\[\\]{}&*<!|>'\"\\n \t#,]{0,80}") {
            let mut problems = Vec::new();
            parse(&text, &mut problems);
        }
    }
}
