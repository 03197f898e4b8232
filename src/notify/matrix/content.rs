//! Messages as Matrix events.

use serde_json::{Value, json};

use crate::ports::{Attachment, Message, Urgency};
use crate::render::PLOT;

/// An event is at most 65,536 bytes with everything the servers add, and escapes count. An edit holds
/// text and HTML twice, and stays below that.
const TEXT: usize = 14_000;
const HTML: usize = 16_000;

/// The content of an `m.room.message`. What fires is `m.text`, which wakes people; an end is
/// `m.notice`, for which phones stay silent.
pub(super) fn message(message: &Message) -> Value {
    let quiet = message.resolved || message.urgency == Urgency::Low;
    let mut content = json!({
        "msgtype": if quiet { "m.notice" } else { "m.text" },
        "body": cut(&message.text, &message.language),
        // Names in the text must not wake their owners by accident.
        "m.mentions": {},
    });
    let html = for_matrix(&message.html);
    // HTML cut in the middle is no HTML; the text says it all.
    if !html.is_empty() && escaped(&html, HTML) == html.len() {
        content["format"] = "org.matrix.custom.html".into();
        content["formatted_body"] = html.into();
    }
    content
}

/// The content of an `m.image`; `address` is where the homeserver keeps it.
pub(super) fn picture(file: &Attachment, address: &str) -> Value {
    json!({
        "msgtype": "m.image",
        "body": &*file.alt,
        "filename": &*file.name,
        "url": address,
        "info": {"mimetype": &*file.mime, "size": file.bytes.len()},
        "m.mentions": {},
    })
}

/// Hangs it into the thread that `root` began.
pub(super) fn threaded(content: &mut Value, root: &str) {
    content["m.relates_to"] = json!({
        "rel_type": "m.thread",
        "event_id": root,
        "is_falling_back": true,
        "m.in_reply_to": {"event_id": root},
    });
}

/// Replaces what `root` says.
pub(super) fn edited(new: &Message, root: &str) -> Value {
    let new = message(new);
    let mut content = new.clone();
    if let Some(body) = new["body"].as_str() {
        content["body"] = format!("* {body}").into();
    }
    if let Some(html) = new["formatted_body"].as_str() {
        content["formatted_body"] = format!("* {html}").into();
    }
    content["m.new_content"] = new;
    content["m.relates_to"] = json!({"rel_type": "m.replace", "event_id": root});
    content
}

/// At most [`TEXT`] bytes, with a notice where something is missing.
fn cut(text: &str, language: &str) -> String {
    let end = escaped(text, TEXT);
    if end == text.len() {
        return text.to_owned();
    }
    let notice = if language.starts_with("de") {
        "… (Diese Nachricht war zu lang für Matrix und ist hier gekürzt.)"
    } else {
        "… (This message was too long for Matrix and is cut here.)"
    };
    format!("{}\n{notice}", &text[..end])
}

/// How much of a text, in bytes, has at most `most` bytes when it is written as JSON.
fn escaped(text: &str, most: usize) -> usize {
    let mut left = most;
    for (at, letter) in text.char_indices() {
        let cost = match letter {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..='\x1f' => 6,
            _ => letter.len_utf8(),
        };
        if left < cost {
            return at;
        }
        left -= cost;
    }
    text.len()
}

/// What stands in the body of a document, without the colours that Matrix clients do not show.
fn for_matrix(html: &str) -> String {
    let body = html.find("<body").and_then(|at| {
        let open = at + html[at..].find('>')? + 1;
        let close = html[open..].find("</body>").map_or(html.len(), |close| open + close);
        Some(&html[open..close])
    });
    let body = body.unwrap_or(html).replacen(PLOT, "", 1);
    let mut rest = body.as_str();
    let mut clean = String::with_capacity(rest.len());
    while let Some(at) = rest.find(" style=\"") {
        clean.push_str(&rest[..at]);
        let behind = &rest[at + 8..];
        rest = behind.find('"').map_or("", |end| &behind[end + 1..]);
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_body_of_the_document_is_sent() {
        let html = "<html><head><title>x</title></head><body style=\"a\"><h3 style=\"color:red\">A</h3></body></html>";
        assert_eq!(for_matrix(html), "<h3>A</h3>");
        assert_eq!(for_matrix("<p>a</p>"), "<p>a</p>");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        let long = Message {
            text: "ü".repeat(100_000),
            html: "x".repeat(100_000),
            language: "de".into(),
            ..Message::default()
        };
        let content = message(&long);
        assert!(content.to_string().len() < 20_000);
        assert!(content["body"].as_str().unwrap().ends_with("gekürzt.)"));
        assert_eq!(content["formatted_body"], Value::Null);
        assert!(edited(&long, "$x").to_string().len() < 40_000);
        for letter in ["\u{1}", "\"", "\n", "\\", "😀"] {
            let (text, html) = (letter.repeat(70_000), letter.repeat(2_600));
            let worst = Message { text, html, ..Message::default() };
            let size = edited(&worst, "$x").to_string().len();
            assert!((20_000..64_000).contains(&size), "{letter:?}: {size}");
        }
    }

    #[test]
    fn an_end_wakes_nobody() {
        let fires = Message::default();
        assert_eq!(message(&fires)["msgtype"], "m.text");
        let over = Message { resolved: true, ..Message::default() };
        assert_eq!(message(&over)["msgtype"], "m.notice");
    }
}
