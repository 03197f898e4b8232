//! Any text as our own configuration: no panic, bounded, and every problem has a place in the file.
#![no_main]

use std::path::Path;

use augenmass::config::Config;

mod configuration;
use configuration::{Nothing, has_places};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(problems) = Config::parse(text, Path::new(""), &Nothing) {
        has_places(&problems);
    }
});
