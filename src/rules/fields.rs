use std::rc::Rc;

use super::problem::{Place, Problem, ProblemKind, nearest};
use super::yaml::{Key, Kind, Node};

/// The fields of a mapping whose names are known beforehand.
pub(super) struct Fields<'a> {
    pairs: &'a [(Key, Rc<Node>)],
    /// What the mapping is, for messages.
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Unknown names are problems. What is no mapping is a problem too, and reads as an empty one.
    pub(super) fn of(
        node: &'a Node,
        what: &'static str,
        known: &[&str],
        problems: &mut Vec<Problem>,
    ) -> Self {
        let pairs = match &node.kind {
            Kind::Map(pairs) => pairs.as_slice(),
            Kind::Null => &[],
            Kind::Scalar { .. } | Kind::List(_) => {
                let found = node.shape();
                problems.push(Problem::at(
                    node.at,
                    format!("{what} must be a mapping with {}; here is {found}", known.join(", ")),
                ));
                &[]
            }
        };
        for (key, _) in pairs {
            let name = key.text.as_str();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, known) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("it knows {}", known.join(", ")),
            };
            let problem = Problem::at(key.at, format!("{what} has no field {name:?}; {hint}"));
            problems.push(problem.of_kind(ProblemKind::UnknownField));
        }
        Self { pairs, what }
    }

    fn value(&self, name: &str) -> Option<&'a Node> {
        let found = self.pairs.iter().find(|(key, _)| key.text == name);
        found.map(|(_, value)| &**value).filter(|value| !matches!(value.kind, Kind::Null))
    }

    /// Where a field that is not empty (and no length of zero) has its name.
    pub(super) fn place_of_set(&self, name: &str) -> Option<Place> {
        let (key, value) = self.pairs.iter().find(|(key, _)| key.text == name)?;
        let set = match &value.kind {
            Kind::Null => false,
            Kind::Scalar { text, .. } => !matches!(text.as_str(), "0" | "0s" | "0ms" | "0m"),
            Kind::List(items) => !items.is_empty(),
            Kind::Map(pairs) => !pairs.is_empty(),
        };
        set.then_some(key.at)
    }

    /// A scalar; `None` when it is absent or empty of value.
    pub(super) fn text(
        &self,
        name: &str,
        problems: &mut Vec<Problem>,
    ) -> Option<(&'a str, &'a Node)> {
        let node = self.value(name)?;
        if let Some(text) = node.text() {
            return Some((text, node));
        }
        problems.push(self.shape(name, "a text", node));
        None
    }

    /// A list; absent reads as empty.
    pub(super) fn list(&self, name: &str, problems: &mut Vec<Problem>) -> &'a [Rc<Node>] {
        match self.value(name) {
            None => &[],
            Some(Node { kind: Kind::List(items), .. }) => items,
            Some(node) => {
                problems.push(self.shape(name, "a list", node));
                &[]
            }
        }
    }

    /// A mapping; absent reads as empty.
    pub(super) fn map(&self, name: &str, problems: &mut Vec<Problem>) -> &'a [(Key, Rc<Node>)] {
        match self.value(name) {
            None => &[],
            Some(Node { kind: Kind::Map(pairs), .. }) => pairs,
            Some(node) => {
                problems.push(self.shape(name, "a mapping", node));
                &[]
            }
        }
    }

    fn shape(&self, name: &str, wanted: &str, node: &Node) -> Problem {
        let (what, found) = (self.what, node.shape());
        Problem::at(node.at, format!("{name:?} of {what} must be {wanted}; here is {found}"))
    }
}
