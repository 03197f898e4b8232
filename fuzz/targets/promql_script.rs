//! Any text as a script of query tests: series, histograms and expectations are read, no panic.
#![no_main]

use augenmass::promql::script::{parse_histogram, parse_labels, parse_series, parse_values};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = parse_labels(text);
    let _ = parse_histogram(text);
    if let Ok(values) = parse_values(text) {
        // `1x10000000` is short and means much; there is a limit.
        assert!(values.len() <= 1 << 24);
    }
    let _ = parse_series(text);
});
