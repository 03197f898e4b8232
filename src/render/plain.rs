//! The story as plain text: complete by itself, for watches, pagers and people who like it.

use super::story::{Item, Story};
use super::texts::Voice;

pub(super) fn text(story: &Story, language: &Voice<'_>) -> String {
    let mut blocks: Vec<String> = Vec::new();
    if let Some(head) = &story.head {
        blocks.push(head.clone());
    }
    let several = story.items.len() > 1;
    for item in &story.items {
        blocks.push(block(item, several, language, story));
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

fn block(item: &Item, several: bool, language: &Voice<'_>, story: &Story) -> String {
    let mut lines = Vec::new();
    let what = if item.firing {
        item.what.clone()
    } else {
        language.say("item-resolved", &[("what", item.what.clone().into())])
    };
    if several {
        lines.push(format!("• {what}"));
        lines.push(item.lead.clone());
    } else {
        // The first line says it all: a watch may show nothing else.
        let end = if story.subject.ends_with(['.', '!', '?', '…']) { "" } else { "." };
        lines.push(format!("{}{end} {}", story.subject, item.lead));
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
