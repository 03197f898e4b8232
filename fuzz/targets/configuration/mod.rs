//! What the targets of configurations have in common.

use std::io;
use std::path::Path;

use augenmass::config::{Problem, Sources};

/// No file can be read.
pub struct Nothing;

impl Sources for Nothing {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

/// What is refused has reasons, each with a place.
pub fn has_places(problems: &[Problem]) {
    assert!(!problems.is_empty());
    assert!(problems.iter().all(|problem| problem.at.line > 0 && problem.at.column > 0));
}
