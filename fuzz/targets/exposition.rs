//! Any bytes as a metrics page: no panic, bounded, and an error names a place in the page.
#![no_main]

use augenmass::exposition::{Limits, Syntax, parse};

libfuzzer_sys::fuzz_target!(|page: &[u8]| {
    for syntax in [Syntax::Text, Syntax::OpenMetrics] {
        match parse(page, syntax, Limits::default()) {
            Ok(read) => {
                assert!(read.samples.len() <= page.len());
                let samples = read.samples.len();
                let kept: usize = read.into_families().iter().map(|f| f.samples.len()).sum();
                assert_eq!(kept, samples);
            }
            Err(error) => assert!(error.line > 0 && error.column > 0),
        }
    }
});
