//! A delivery as a mail (RFC 5322): the same bytes for the same delivery, but for the date.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Body, Mailbox, Message as Mail, MultiPart, SinglePart};

use crate::model::Timestamp;
use crate::ports::{Attachment, Delivery, Urgency};
use crate::render::PLOT;

/// What stands on every mail of an account.
pub(super) struct Letterhead<'a> {
    pub(super) from: &'a Mailbox,
    /// Of the ids. It stays the same when senders change, so that threads hold together.
    pub(super) domain: &'a str,
    pub(super) reply_to: Option<Mailbox>,
    pub(super) headers: &'a [(Arc<str>, Arc<str>)],
}

/// Writes the mail.
///
/// # Errors
/// lettre's complaint about a header.
pub(super) fn compose(
    delivery: &Delivery,
    letterhead: &Letterhead<'_>,
    to: &Mailbox,
    now: Timestamp,
) -> Result<Vec<u8>, lettre::error::Error> {
    let message = &delivery.message;
    let Letterhead { from, domain, reply_to, headers: own } = letterhead;
    let key = token(&delivery.key);
    let mut builder = Mail::builder()
        .from((*from).clone())
        .to(to.clone())
        .subject(one_line(&message.subject))
        .date(date(now))
        .message_id(Some(format!("<{key}@{domain}>")));
    if let Some(reply_to) = reply_to {
        builder = builder.reply_to(reply_to.clone());
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
    for (name, value) in *own {
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
    let html = part(ContentType::TEXT_HTML, &plain_html(&html));
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

/// A text as a part of the mail, encoded so that every server on the way leaves it as it is.
fn part(kind: ContentType, text: &str) -> SinglePart {
    let part = SinglePart::builder().header(kind);
    // lettre would move the rest of the text for each line break that is a single byte.
    let text = if text.contains('\r') { text.to_owned() } else { text.replace('\n', "\r\n") };
    if is_seven_bit(&text) {
        let seven = ContentTransferEncoding::SevenBit;
        return part.body(Body::dangerous_pre_encoded(text.into_bytes(), seven));
    }
    part.body(text)
}

/// Longest line on the way, in bytes, without its break (RFC 5322 §2.1.1).
const LINE: usize = 998;

/// Whether it can go as it is (RFC 2045 §2.7).
fn is_seven_bit(text: &str) -> bool {
    text.is_ascii()
        && text.split("\r\n").all(|line| {
            line.len() <= LINE && !line.bytes().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
        })
}

/// Elements whose text is no markup, or in which a line break counts.
const LITERAL: [&str; 6] = ["<style", "<script", "<pre", "<textarea", "<xmp", "<!["];
/// Behind these a line may end.
const BREAKS: [&str; 4] = ["<br>", "</p>", "</h3>", "</tr>"];

/// The same document in lines of ASCII, so that it can go as it is: encoding was a sixth of what a
/// storm of messages costs, most of it for the HTML (docs/measured/alerting.md).
fn plain_html(html: &str) -> String {
    let lower = html.to_ascii_lowercase();
    if LITERAL.iter().any(|element| lower.contains(element)) {
        return html.to_owned();
    }
    let mut lines = String::with_capacity(html.len() + html.len() / 8);
    let mut rest = html;
    let special = |byte: u8| byte >= 0x80 || matches!(byte, b'\n' | b'\r' | b'>');
    while let Some(at) = rest.bytes().position(special) {
        lines.push_str(&rest[..at]);
        let mut tail = rest[at..].chars();
        let Some(c) = tail.next() else { break };
        rest = tail.as_str();
        match c {
            '\n' => lines.push_str("\r\n"),
            // A break is two bytes on the way anyway; alone it is as good as a blank.
            '\r' if rest.starts_with('\n') => {}
            '\r' => lines.push(' '),
            '>' => {
                lines.push('>');
                if BREAKS.iter().any(|end| lines.ends_with(end)) && !rest.starts_with(['\r', '\n'])
                {
                    lines.push_str("\r\n");
                }
            }
            c => lines.push_str(&format!("&#{};", u32::from(c))),
        }
    }
    lines.push_str(rest);
    lines
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

    use super::*;

    /// As a mail program shows it (RFC 2045 §6.7).
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

    /// The encoding of a part, and its lines on the way.
    fn sent(text: &str) -> (String, Vec<u8>) {
        let sent = part(ContentType::TEXT_PLAIN, text).formatted();
        let end = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(sent[..end].to_vec()).unwrap();
        let encoding = head.lines().find_map(|l| l.strip_prefix("Content-Transfer-Encoding: "));
        // The builder ends the part with a line break of its own.
        let body = sent[end + 4..].strip_suffix(b"\r\n").unwrap_or(&sent[end + 4..]);
        (encoding.unwrap_or("7bit").to_owned(), body.to_vec())
    }

    /// A person who looks at the raw mail can read it, and so can a spam filter.
    #[test]
    fn german_text_is_quoted_printable_and_not_base64() {
        let text = "Störung: Die Homepage antwortet seit 10:02 Uhr nicht (Größe 0 Byte).\n\n\
                    Was zu tun ist: Prüfe, ob der Server läuft.\n\
                    https://augenmass.example.org/alerts?group=homepage&since=2026-11-22T10:02:00%2B01:00&view=all\n";
        let (encoding, body) = sent(text);
        assert_eq!(encoding, "quoted-printable");
        let raw = String::from_utf8(body.clone()).unwrap();
        assert!(raw.contains("Was zu tun ist: Pr=C3=BCfe, ob der Server l=C3=A4uft."), "{raw}");
        assert_eq!(unquoted(&body), text.replace('\n', "\r\n"));
        assert_eq!(sent("All is well.\n").0, "7bit");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(text in "[ -~äß•\u{80}\u{1f600}\t\n]{0,400}") {
            use base64::Engine as _;
            let (encoding, written) = sent(&text);
            let read = match &*encoding {
                "quoted-printable" => unquoted(&written),
                "base64" => {
                    let whole: Vec<u8> =
                        written.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
                    let bytes = base64::engine::general_purpose::STANDARD.decode(whole).unwrap();
                    String::from_utf8(bytes).unwrap()
                }
                _ => String::from_utf8(written.clone()).unwrap(),
            };
            prop_assert_eq!(read, text.replace('\n', "\r\n"));
            let longest = if encoding == "7bit" { LINE + 1 } else { 78 };
            for line in written.split(|byte| *byte == b'\n') {
                prop_assert!(line.len() <= longest, "{}", line.len());
                prop_assert!(line.is_ascii());
            }
        }
    }
    #[test]
    fn what_cannot_go_as_it_is_is_encoded() {
        assert_eq!(sent(&"x".repeat(LINE)).0, "7bit");
        assert_eq!(sent(&"x".repeat(LINE + 1)).0, "quoted-printable");
        assert!(!is_seven_bit("a\0b") && !is_seven_bit("a\rb") && !is_seven_bit("ä"));
    }

    #[test]
    fn a_document_goes_in_lines_of_ascii() {
        let html = "<p>Größe – 3 €<br>zweite</p><p title=\"ü\">\u{1f600}</p>\n";
        let plain = plain_html(html);
        assert_eq!(
            plain,
            "<p>Gr&#246;&#223;e &#8211; 3 &#8364;<br>\r\nzweite</p>\r\n<p title=\"&#252;\">&#128512;</p>\r\n"
        );
        assert!(is_seven_bit(&plain));
        let literal = "<STYLE>p::before { content: '→' }</STYLE>";
        assert_eq!(plain_html(literal), literal);
    }
}
