//! A delivery as a mail (RFC 5322): the same bytes for the same delivery, but for the date.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Body, Mailbox, Message as Mail, MultiPart, SinglePart};

use crate::model::Timestamp;
use crate::ports::{Attachment, Delivery, Urgency};
use crate::render::PLOT;

/// Writes the mail.
///
/// # Errors
/// lettre's complaint about a header.
pub(super) fn compose(
    delivery: &Delivery,
    from: &Mailbox,
    reply_to: Option<Mailbox>,
    to: &Mailbox,
    own: &[(Arc<str>, Arc<str>)],
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
    for (name, value) in own {
        // Names were checked when the configuration was read.
        if let Ok(name) = HeaderName::new_from_ascii(name.to_string()) {
            builder = builder.raw_header(HeaderValue::new(name, one_line(value)));
        }
    }
    if !message.language.is_empty() {
        let name = HeaderName::new_from_ascii_str("Content-Language");
        builder = builder.raw_header(HeaderValue::new(name, token(&message.language)));
    }
    let plain = part(ContentType::TEXT_PLAIN, &message.text);
    if message.html.is_empty() && message.attachments.is_empty() {
        return Ok(builder.singlepart(plain)?.formatted());
    }
    let alternative = MultiPart::alternative().boundary(format!("=_{key}")).singlepart(plain);
    let name = |number: usize| format!("part{number}.{key}@{domain}");
    let html = illustrated(&message.html, &message.attachments, name);
    let html = part(ContentType::TEXT_HTML, &html);
    let whole = if message.attachments.is_empty() {
        alternative.singlepart(html)
    } else {
        let mut related = MultiPart::related().boundary(format!("=_{key}-r")).singlepart(html);
        for (number, attachment) in message.attachments.iter().enumerate() {
            let mime: ContentType = attachment.mime.parse().unwrap_or(ContentType::TEXT_PLAIN);
            let part = Part::new_inline_with_name(name(number), attachment.name.to_string());
            related = related.singlepart(part.body(attachment.bytes.to_vec(), mime));
        }
        alternative.multipart(related)
    };
    Ok(builder.multipart(whole)?.formatted())
}

/// A text as a part of the mail, so that every server on the way leaves it as it is.
fn part(kind: ContentType, text: &str) -> SinglePart {
    let builder = SinglePart::builder().header(kind);
    let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count();
    // RFC 5322 §2.1.1: less than 998 characters. lettre's base64 is shorter for other scripts.
    if 6 * foreign > text.len() || (foreign == 0 && text.lines().all(|line| line.len() < 900)) {
        return builder.body(text.to_owned());
    }
    let encoding = ContentTransferEncoding::QuotedPrintable;
    builder.body(Body::dangerous_pre_encoded(quoted(text), encoding))
}

/// Text as quoted-printable (RFC 2045 §6.7): lines end with CRLF, none has more than 76 characters.
fn quoted(text: &str) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    const LONGEST: usize = 76;
    let mut out = Vec::with_capacity(text.len() + text.len() / 16 + 16);
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n");
        }
        let mut rest = line.strip_suffix('\r').unwrap_or(line).as_bytes();
        let mut width = 0;
        while let Some(&first) = rest.first() {
            let next = &rest[..rest.len().min(LONGEST)];
            let mut run = next.iter().position(|byte| !is_plain(*byte)).unwrap_or(next.len());
            // White space at the end of a line would get lost.
            if run == rest.len() && matches!(rest[run - 1], b' ' | b'\t') {
                run -= 1;
            }
            // The mark of a broken line takes one place.
            let room = (LONGEST - 1_usize).saturating_sub(width);
            let ends = |size: usize| size == rest.len() && width + size <= LONGEST;
            let size = match run {
                0 if 3 <= room || (ends(1) && width + 3 <= LONGEST) => 1,
                0 => 0,
                _ if ends(run) => run,
                _ => run.min(room),
            };
            if size == 0 {
                out.extend_from_slice(b"=\r\n");
                width = 0;
                continue;
            }
            if run == 0 {
                let digits = [HEX[usize::from(first >> 4)], HEX[usize::from(first & 15)]];
                out.extend([b'=', digits[0], digits[1]]);
                width += 3;
            } else {
                out.extend_from_slice(&rest[..size]);
                width += size;
            }
            rest = &rest[size..];
        }
    }
    out
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'!'..=b'<' | b'>'..=b'~')
}

/// The document with its pictures where they belong.
fn illustrated(html: &str, pictures: &[Attachment], name: impl Fn(usize) -> String) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
    };
    let shown: String = pictures
        .iter()
        .enumerate()
        .filter(|(_, picture)| picture.mime.starts_with("image/"))
        .map(|(number, picture)| {
            format!(
                "<p><img src=\"cid:{}\" alt=\"{}\" width=\"720\" style=\"max-width:100%;\
                 height:auto\"></p>",
                name(number),
                escape(&picture.alt)
            )
        })
        .collect();
    html.replacen(PLOT, &shown, 1)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quoted;

    /// Reads it again.
    fn unquoted(bytes: &[u8]) -> String {
        let (mut out, mut rest) = (Vec::new(), bytes);
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            match (byte, tail) {
                (b'=', [b'\r', b'\n', tail @ ..]) => rest = tail,
                (b'=', [high, low, tail @ ..]) => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).unwrap();
                    out.push(u8::from_str_radix(digits, 16).unwrap());
                    rest = tail;
                }
                (byte, _) => out.push(byte),
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_broken_where_they_must_be() {
        let line = "x".repeat(76);
        assert_eq!(quoted(&line), line.as_bytes());
        let longer = format!("{}=\r\nxx", "x".repeat(75));
        assert_eq!(quoted(&"x".repeat(77)), longer.as_bytes());
        assert_eq!(quoted("a=ü \nb"), b"a=3D=C3=BC=20\r\nb");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(text in "[ -~äß•\u{80}\u{1f600}\t\n]{0,400}") {
            let written = quoted(&text);
            prop_assert_eq!(unquoted(&written), text.replace('\n', "\r\n"));
            for line in written.split(|byte| *byte == b'\n') {
                prop_assert!(line.len() <= 77, "{}", line.len());
                prop_assert!(line.is_ascii() && !line.ends_with(b" \r"));
            }
        }
    }
}
