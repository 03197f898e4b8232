//! The story as plain text: complete by itself, for watches, pagers and people who like it.

use super::story::{Item, Story};
use super::texts::Voice;

pub(super) fn text(story: &Story, language: &Voice<'_>) -> String {
    let mut blocks: Vec<String> = Vec::new();
    // The first line says it all: a phone may show nothing else.
    let end = if story.subject.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    let mut first = format!("{}{end} {}", story.subject, story.lead);
    let several = story.head.is_some();
    if let Some(head) = &story.head {
        first = format!("{first}\n{head}");
        blocks.push(first.clone());
    }
    for item in &story.items {
        blocks.push(block(item, (!several).then_some(&*first), language));
    }
    let link = |(words, link): &(String, String)| format!("{} {link}", words.trim_end());
    // What is to be done, and until when.
    let wanted = story.deadline.iter().cloned().chain(story.actions.iter().map(link));
    let wanted: Vec<String> = wanted.collect();
    if !wanted.is_empty() {
        blocks.push(wanted.join("\n"));
    }
    blocks.push(story.notes.join("\n"));
    blocks.push(format!("-- \n{}", story.footer));
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

/// `first` is the line above what is said about the only alert.
fn block(item: &Item, first: Option<&str>, language: &Voice<'_>) -> String {
    let mut lines = Vec::new();
    let what = if item.firing {
        item.what.clone()
    } else {
        language.say("item-resolved", &[("what", item.what.clone().into())])
    };
    match first {
        Some(first) => lines.push(first.to_owned()),
        None => {
            lines.push(format!("• {what}"));
            lines.push(item.lead.clone());
        }
    }
    if let Some(description) = &item.description {
        lines.push(description.clone());
    }
    if let Some(place) = &item.place {
        lines.push(language.say("where", &[("place", place.clone().into())]));
    }
    lines.extend(item.class.clone());
    for (words, link) in &item.links {
        lines.push(format!("{} {link}", words.trim_end()));
    }
    lines.join("\n")
}
