//! Notification templates come out as the real amtool renders them, byte by byte.

use augenmass::model::Timestamp;
use augenmass::template::alertmanager::{Data, Templates};

use crate::{corpus, json, judge, list, text};

/// None.
const DIFFERENT: &str = "";

#[test]
fn templates_are_rendered_as_by_amtool() {
    let Some(folder) = corpus("templates") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let cases = json(&folder.join("cases.json"));
    let mut differs = Vec::new();
    for case in list(&cases) {
        let payload = read(&format!("payloads/{}.json", text(case, "payload")));
        let data = Data::from_json(&payload).unwrap();
        let mut templates = Templates::default();
        for file in list(&case["globs"]) {
            let file = file.as_str().unwrap();
            templates.add(file.rsplit('/').next().unwrap(), &read(file)).unwrap();
        }
        let now = Timestamp::from_millis(1_750_000_000_000);
        let rendered = match text(case, "type") {
            "html" => templates.html(text(case, "text"), &data, now),
            _ => templates.text(text(case, "text"), &data, now),
        };
        // The corpus has lost one newline at the end of each output that had one.
        let ours = rendered.ok().map(|text| text.strip_suffix('\n').unwrap_or(&text).to_owned());
        let theirs = (case["exit_code"] == 0).then(|| text(case, "output").to_owned());
        if ours != theirs {
            differs.push((text(case, "id").to_owned(), parting(ours, theirs)));
        }
    }
    judge("notification templates", list(&cases).len(), &differs, DIFFERENT);
}

/// Both texts from shortly before they part.
fn parting(ours: Option<String>, theirs: Option<String>) -> String {
    let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
    let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
    let from =
        |text: &str| -> String { text.chars().skip(same.saturating_sub(60)).take(160).collect() };
    format!("{:?} instead of {:?}", from(&ours), from(&theirs))
}
