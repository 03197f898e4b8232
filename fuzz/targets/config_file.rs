//! Any text as our own configuration: no panic, bounded, and every problem has a place in the file.
#![no_main]

use std::io;
use std::path::Path;

use augenmass::config::{Config, Sources};

/// No file can be read.
struct Nothing;

impl Sources for Nothing {
    fn read(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(text, Path::new(""), &Nothing) {
        assert!(!problems.is_empty());
        assert!(problems.iter().all(|problem| problem.at.line > 0 && problem.at.column > 0));
    }
});
