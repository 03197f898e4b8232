//! A delivery as a mail (RFC 5322): the same bytes for the same delivery, but for the date.

use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Mailbox, Message as Mail, MultiPart, SinglePart};

use crate::model::Timestamp;
use crate::ports::{Delivery, Urgency};

/// Writes the mail.
///
/// # Errors
/// lettre's complaint about a header.
pub(super) fn compose(
    delivery: &Delivery,
    from: &Mailbox,
    reply_to: Option<Mailbox>,
    to: &Mailbox,
    now: Timestamp,
) -> Result<Vec<u8>, lettre::error::Error> {
    let message = &delivery.message;
    let domain = from.email.domain();
    let key = token(&delivery.key);
    let mut builder = Mail::builder()
        .from(from.clone())
        .to(to.clone())
        .subject(one_line(&message.subject))
        .date(date(now))
        .message_id(Some(format!("<{key}@{domain}>")));
    if let Some(reply_to) = reply_to {
        builder = builder.reply_to(reply_to);
    }
    if !message.incident.is_empty() {
        // A root that was never sent itself: every message of the incident hangs on it, whichever
        // of them arrive.
        let root = format!("<incident.{}@{domain}>", token(&message.incident));
        builder = builder.in_reply_to(root.clone()).references(root);
    }
    for (name, value) in &message.headers {
        let Ok(name) = HeaderName::new_from_ascii(name.clone()) else { continue };
        builder = builder.raw_header(HeaderValue::new(name, one_line(value)));
    }
    for (name, value) in headers(message.urgency, message.resolved, domain) {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    if !message.language.is_empty() {
        let name = HeaderName::new_from_ascii_str("Content-Language");
        builder = builder.raw_header(HeaderValue::new(name, token(&message.language)));
    }
    let plain = SinglePart::plain(message.text.clone());
    if message.html.is_empty() && message.attachments.is_empty() {
        return Ok(builder.singlepart(plain)?.formatted());
    }
    let alternative = MultiPart::alternative().boundary(format!("=_{key}")).singlepart(plain);
    let html = SinglePart::html(message.html.clone());
    let whole = if message.attachments.is_empty() {
        alternative.singlepart(html)
    } else {
        let mut related = MultiPart::related().boundary(format!("=_{key}-r")).singlepart(html);
        for (number, attachment) in message.attachments.iter().enumerate() {
            let mime: ContentType = attachment.mime.parse().unwrap_or(ContentType::TEXT_PLAIN);
            let part = Part::new_inline(format!("part{number}.{key}@{domain}"));
            related = related.singlepart(part.body(attachment.bytes.to_vec(), mime));
        }
        alternative.multipart(related)
    };
    Ok(builder.multipart(whole)?.formatted())
}

fn date(now: Timestamp) -> SystemTime {
    // The format has whole seconds and four digits for the year.
    let seconds = u64::try_from(now.millis() / 1_000).unwrap_or(0).min(253_402_300_799);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// What programs on the way should know.
fn headers(urgency: Urgency, resolved: bool, domain: &str) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        // Holiday notices and other robots must not answer (RFC 3834, and Exchange's own).
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "All".to_owned()),
        ("List-Id", format!("augenmass alerts <alerts.augenmass.{domain}>")),
        ("X-Augenmass-State", if resolved { "resolved" } else { "firing" }.to_owned()),
    ];
    match urgency {
        Urgency::High => headers
            .extend([("Importance", "high".to_owned()), ("X-Priority", "1 (Highest)".to_owned())]),
        Urgency::Low => headers.push(("Importance", "low".to_owned())),
        Urgency::Normal => {}
    }
    headers
}

/// Only what may stand in an id.
fn token(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-._".contains(*c)).take(200).collect()
}

/// No line break ends a header early.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
