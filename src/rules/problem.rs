use std::fmt;

pub use crate::yaml::Place;

/// What kind of thing is wrong, for programs that tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The file is not YAML, or has not the shape of the format.
    Shape,
    /// A field that the format does not have.
    UnknownField,
    /// A name, number or length of time that is not allowed.
    Value,
    /// An expression that PromQL refuses.
    Expression,
    /// A template that cannot be parsed.
    Template,
}

/// Something in a file that cannot be accepted: where, what, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What kind.
    pub kind: ProblemKind,
    /// What is wrong, with the value.
    pub what: String,
}

impl Problem {
    /// A problem of shape.
    pub fn at(place: Place, what: impl Into<String>) -> Self {
        Self { place, kind: ProblemKind::Shape, what: what.into() }
    }

    /// The same problem as another kind.
    #[must_use]
    pub fn of_kind(self, kind: ProblemKind) -> Self {
        Self { kind, ..self }
    }
}

impl fmt::Display for Problem {
    /// `line:column: what`; the file's name goes before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// The name nearest to a misspelt one, when one is near: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word: Vec<char> = word.chars().flat_map(char::to_lowercase).take(64).collect();
    let scored = known.iter().map(|name| (distance(&word, name), *name));
    let (far, name) = scored.min_by_key(|(far, _)| *far)?;
    (far <= (word.len() / 3).max(1)).then_some(name)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &[char], b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = ["annotations", "expr", "for", "keep_firing_for", "labels"];
        assert_eq!(nearest("annotation", &known), Some("annotations"));
        assert_eq!(nearest("lables", &known), Some("labels"));
        assert_eq!(nearest("Expr", &known), Some("expr"));
        assert_eq!(nearest("severity", &known), None);
    }
}
