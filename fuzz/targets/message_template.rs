//! Any text as a template of a notification: no panic, bounded in time and size, as text and as HTML.
#![no_main]

use augenmass::model::Timestamp;
use augenmass::template::alertmanager::{Data, Templates};

const DATA: &str = r#"{"receiver": "r", "status": "firing", "groupLabels": {"alertname": "A"},
"commonLabels": {"alertname": "A", "b": "<2>"}, "alerts": [{"status": "firing", "labels":
{"alertname": "A"}, "annotations": {"summary": "s"}, "startsAt": "2025-06-15T12:00:00Z"}]}"#;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(data) = Data::from_json(DATA) else { return };
    let templates = Templates::default();
    let now = Timestamp::from_millis(1_750_000_000_000);
    for rendered in [templates.text(text, &data, now), templates.html(text, &data, now)] {
        assert!(rendered.map_or(0, |text| text.len()) < 64 << 20);
    }
});
