use std::fmt;
use std::path::{Path, PathBuf};

pub use crate::yaml::Place as Position;

/// One thing that is wrong with the configuration, for the person who wrote it. Never shows a
/// neighbouring line: a password may stand there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What is wrong, what was expected, and the nearest valid name where there is one.
    pub message: String,
}

/// All problems of a file at once, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file.
    pub file: PathBuf,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// A file that cannot be read at all.
    pub fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot read the configuration: {error}");
        Self {
            file: file.to_owned(),
            problems: vec![Problem { at: Position { line: 1, column: 1 }, message }],
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            let Position { line, column } = problem.at;
            write!(f, "{}:{line}:{column}: {}", self.file.display(), problem.message)?;
        }
        Ok(())
    }
}

/// "`, did you mean …?`" for the nearest of `known`, or nothing when none is near.
pub fn suggestion<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|name| (distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4);
    near.map_or_else(String::new, |(_, name)| format!(", did you mean `{name}`?"))
}

/// Edit distance with neighbours swapped counting as one edit (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_and_nothing_far() {
        let known = ["interval", "timeout", "owner"];
        assert_eq!(suggestion("intervall", known), ", did you mean `interval`?");
        assert_eq!(suggestion("onwer", known), ", did you mean `owner`?");
        assert_eq!(suggestion("colour", known), "");
    }
}
