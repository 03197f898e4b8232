//! The story as HTML: only tags that Matrix clients show too, everything foreign escaped, nothing
//! loaded from anywhere.

use super::story::{Item, Story};
use super::texts::Voice;

/// Where the picture belongs, for the channel that can show it there.
pub const PLOT: &str = "<!-- plot -->";

/// `&`, `<`, `>` and both quotes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 8 + 16);
    // Nearly all of a text stands for itself. 0xc2 begins a control character, or another one.
    let special =
        |byte: u8| matches!(byte, ..b' ' | b'&' | b'<' | b'>' | b'"' | b'\'' | 0x7f | 0xc2);
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(|byte| special(*byte)) {
        let (plain, tail) = rest.split_at(at);
        escaped.push_str(plain);
        let mut tail = tail.chars();
        let Some(c) = tail.next() else { break };
        rest = tail.as_str();
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' => escaped.push_str("<br>"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped.push_str(rest);
    escaped
}

/// A whole document; what stands between `<body …>` and `</body>` is for Matrix.
pub(super) fn document(story: &Story, language: &Voice<'_>) -> String {
    let colour = if story.resolved { "#1a7f37" } else { "#b42318" };
    let mut body = String::new();
    let title = escape(&story.subject);
    body.push_str(&format!("<h3 style=\"color:{colour};margin:0 0 8px\">{title}</h3>"));
    let several = story.head.is_some();
    if let Some(head) = &story.head {
        body.push_str(&format!("<p>{}<br>{}</p>", escape(&story.lead), escape(head)));
    }
    for item in &story.items {
        body.push_str(&block(item, (!several).then_some(&*story.lead), language));
    }
    if story.picture.is_some() {
        body.push_str(PLOT);
    }
    if let Some(deadline) = &story.deadline {
        body.push_str(&format!("<p><strong>{}</strong></p>", escape(deadline)));
    }
    for (words, link) in &story.actions {
        let (words, link) = (escape(words.trim_end()), escape(link));
        body.push_str(&format!("<p>{words} <a href=\"{link}\">{link}</a></p>"));
    }
    let notes: Vec<String> = story.notes.iter().map(|note| escape(note)).collect();
    body.push_str(&format!("<p>{}</p>", notes.join("<br>")));
    body.push_str(&format!("<p><em>{}</em></p>", escape(&story.footer)));
    format!(
        "<!DOCTYPE html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{}</title></head>\n<body style=\"font:16px/1.4 \
         sans-serif;border-left:4px solid {colour};padding:8px 12px;margin:0\">{body}</body></html>\n",
        language.tag(),
        escape(&story.subject),
    )
}

/// `lead` is said about the only alert.
fn block(item: &Item, lead: Option<&str>, language: &Voice<'_>) -> String {
    let mut lines = Vec::new();
    if lead.is_none() {
        let what = if item.firing {
            item.what.clone()
        } else {
            language.say("item-resolved", &[("what", item.what.clone().into())])
        };
        lines.push(format!("<strong>{}</strong>", escape(&what)));
    }
    lines.push(escape(lead.unwrap_or(&item.lead)));
    lines.extend(item.description.iter().map(|text| escape(text)));
    if let Some(place) = &item.place {
        lines.push(escape(&language.say("where", &[("place", place.clone().into())])));
    }
    lines.extend(item.class.iter().map(|text| escape(text)));
    for (words, link) in &item.links {
        let link = escape(link);
        lines.push(format!("{} <a href=\"{link}\">{link}</a>", escape(words.trim_end())));
    }
    format!("<p>{}</p>", lines.join("<br>"))
}
