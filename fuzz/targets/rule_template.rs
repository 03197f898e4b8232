//! Any text as the template of an alert's text: no panic, bounded in time and size.
#![no_main]

use augenmass::model::{Labels, Timestamp};
use augenmass::template::prometheus::{AlertContext, QuerySample, check, expand};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let pairs = [("instance", "h:9100"), ("job", "<j>")];
    let Ok(labels) = Labels::from_pairs(pairs) else { return };
    let context = AlertContext {
        labels: &labels,
        value: 1_234.5,
        external_labels: &labels,
        external_url: "http://p/x",
        functions_url: Some("http://p/x"),
    };
    let query = |asked: &str, _: Timestamp| {
        if asked.contains('!') {
            return Err("no".to_owned());
        }
        Ok(vec![QuerySample { labels: labels.clone(), value: asked.len() as f64 }])
    };
    let now = Timestamp::from_millis(1_750_000_000_000);
    let expanded = expand("A", text, &context, now, &query);
    assert!(expanded.as_ref().map_or(0, String::len) <= (1 << 18) + text.len());
    if check(text).is_err() {
        assert!(expanded.is_err());
    }
});
