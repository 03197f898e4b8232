//! Any text as a rule file and as a file of rule tests: no panic, bounded, and every problem has a
//! place.
#![no_main]

use augenmass::rules::{File, unit};

libfuzzer_sys::fuzz_target!(|text: &str| {
    match File::parse("fuzz.yml", text) {
        Ok(file) => assert!(file.groups.iter().all(|group| !group.name.is_empty())),
        Err(problems) => assert!(!problems.is_empty()),
    }
    // Tests that cover years take as long as they take; what is read of them is what counts here.
    let options = unit::Options { run: regex::Regex::new("^never$").ok(), ..Default::default() };
    let nothing = |_: &str| Ok(Vec::new());
    let _ = unit::run("fuzz_test.yml", text, &nothing, &options);
});
