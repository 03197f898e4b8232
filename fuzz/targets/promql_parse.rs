//! Any text: no panic, bounded, and what was understood is understood again when printed.
#![no_main]

use augenmass::promql::parse;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(expr) => {
            let printed = expr.to_string();
            let again = parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
            assert_eq!(again.to_string(), printed);
            let _ = expr.pretty();
        }
        Err(error) => {
            let _ = error.marked(text);
        }
    }
});
