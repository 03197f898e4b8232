//! Any text as an `alertmanager.yml`: no panic, bounded, and every problem has a place in the file.
#![no_main]

use std::io;
use std::path::Path;

use augenmass::config::{AlertmanagerFile, Sources};

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
    match AlertmanagerFile::parse(text, Path::new("fuzz.yml"), &Nothing) {
        Ok(file) => {
            let _ = file.outfit(|_| false, &"en".into(), &"UTC".into());
        }
        Err(problems) => {
            assert!(!problems.problems.is_empty());
            assert!(problems.problems.iter().all(|p| p.at.line > 0 && p.at.column > 0));
        }
    }
});
