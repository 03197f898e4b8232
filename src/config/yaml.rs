//! YAML as a configuration has it, and what is wrong with it in words.

use std::rc::Rc;

use crate::yaml::{Flaw, FlawKind, Reading, read};
pub use crate::yaml::{Key, Kind, Node, shorten};

use super::problem::Problem;

/// A person wrote it: so much is enough.
const STRICT: Reading = Reading { most_nodes: 250_000, deepest: 64, as_go: false };
/// Files of programs in Go.
const GO: Reading = Reading { as_go: true, ..STRICT };

/// Reads one document. A duplicate key or a second document is a problem; the tree is given all
/// the same, so that further problems can be found.
pub fn parse(text: &str, problems: &mut Vec<Problem>) -> Option<Rc<Node>> {
    with(text, STRICT, problems)
}

/// The same for a file that a program in Go has read so far.
pub fn parse_as_go(text: &str, problems: &mut Vec<Problem>) -> Option<Rc<Node>> {
    with(text, GO, problems)
}

fn with(text: &str, reading: Reading, problems: &mut Vec<Problem>) -> Option<Rc<Node>> {
    let (root, flaws) = read(text, reading);
    problems.extend(flaws.into_iter().map(worded));
    root
}

fn worded(Flaw { at, what }: Flaw) -> Problem {
    let message = match what {
        FlawKind::NotYaml(why) => format!("this is not valid YAML: {why}"),
        FlawKind::SecondDocument => {
            "a second document begins here; one file holds one document".to_owned()
        }
        FlawKind::TooDeep(levels) => format!("nested more than {levels} levels deep"),
        FlawKind::TooMany(most) => format!("more than {most} values in one file (aliases count)"),
        FlawKind::LostAlias => "this alias refers to itself or to nothing".to_owned(),
        FlawKind::NoValue => "a value was expected here".to_owned(),
        FlawKind::KeyIsNoText => "a key must be a single word or text".to_owned(),
        FlawKind::KeyTwice { key, first } => {
            format!("`{}` is given twice, first in line {first}", shorten(&key))
        }
        FlawKind::MergesText => "`<<` merges mappings, this is a text".to_owned(),
    };
    Problem { at, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_worded_with_their_places() {
        let mut problems = Vec::new();
        parse("a: 1\nb: 2\na: 3\n[c]: {<<: d}\n", &mut problems);
        let found: Vec<_> = problems.iter().map(|p| format!("{}: {}", p.at, p.message)).collect();
        assert_eq!(
            found,
            [
                "3:1: `a` is given twice, first in line 1",
                "4:11: `<<` merges mappings, this is a text",
                "4:1: a key must be a single word or text",
            ]
        );
    }
}
