//! Any text as an `alertmanager.yml`: no panic, bounded, and every problem has a place in the file.
#![no_main]

use std::path::Path;

use augenmass::config::AlertmanagerFile;

mod configuration;
use configuration::{Nothing, has_places};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match AlertmanagerFile::parse(text, Path::new("fuzz.yml"), &Nothing) {
        Ok(file) => {
            let _ = file.outfit(|_| false, &"en".into(), &"UTC".into());
        }
        Err(problems) => has_places(&problems.problems),
    }
});
