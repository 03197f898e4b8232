//! YAML as Prometheus reads it, and what is wrong with it in words.

use std::rc::Rc;

use crate::yaml::{Flaw, FlawKind, Reading};
pub(super) use crate::yaml::{Key, Kind, Node};

use super::problem::Problem;

/// Generated files are long.
const GO: Reading = Reading { most_nodes: 1_000_000, deepest: 128, as_go: true };

/// Reads the first document of a text; `None` when there is none.
///
/// # Errors
/// What is not YAML, has a key twice, or costs too much (aliases, depth), with its place.
pub(super) fn read(text: &str) -> Result<Option<Rc<Node>>, Problem> {
    let (root, flaws) = crate::yaml::read(text, GO);
    match flaws.into_iter().next() {
        Some(flaw) => Err(worded(flaw)),
        None => Ok(root.filter(|root| !matches!(root.kind, Kind::Null))),
    }
}

fn worded(Flaw { at, what }: Flaw) -> Problem {
    let what = match what {
        FlawKind::NotYaml(why) => why,
        FlawKind::SecondDocument => "a second document begins here".to_owned(),
        FlawKind::TooDeep(levels) => format!("nested more than {levels} levels deep"),
        FlawKind::TooMany(most) => format!("more than {most} values in one file (aliases count)"),
        FlawKind::LostAlias => "this alias refers to itself or to nothing".to_owned(),
        FlawKind::NoValue => "a value was expected here".to_owned(),
        FlawKind::KeyIsNoText => "a key must be a text".to_owned(),
        FlawKind::KeyTwice { key, first } => {
            format!("the key {key:?} is given twice, first in line {first}")
        }
        FlawKind::MergesText => "`<<` merges mappings, this is a text".to_owned(),
    };
    Problem::at(at, format!("not valid YAML: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaws_are_worded_with_their_places() {
        let worded = |text: &str| read(text).unwrap_err().to_string();
        let twice = "3:1: not valid YAML: the key \"a\" is given twice, first in line 1";
        assert_eq!(worded("a: 1\nb: 2\na: 3\n"), twice);
        assert!(worded("a: [").contains(": not valid YAML: "));
        assert!(read("---\n").unwrap().is_none() && read("").unwrap().is_none());
    }
}
