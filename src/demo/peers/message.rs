//! Reading a mail as a person's program does: headers, encoded words, the text among its parts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Parts inside parts, at most.
const DEPTH: u32 = 6;

/// A mail as its reader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// All headers, unfolded, as they were sent.
    pub headers: Vec<(String, String)>,
    /// The subject, decoded.
    pub subject: String,
    /// The header `To`, decoded.
    pub to: String,
    /// The first text/plain part, decoded, with `\n` as line ends; empty when there is none.
    pub text: String,
}

impl Parsed {
    /// Reads a message (RFC 5322 with MIME). Never fails: what cannot be read is left empty.
    pub fn read(message: &[u8]) -> Self {
        let (headers, body) = split(message);
        let subject = decoded(find(&headers, "subject"));
        let to = decoded(find(&headers, "to"));
        let text = text_of(&headers, body, DEPTH).unwrap_or_default();
        Self { subject, to, text, headers }
    }

    /// A header by its name, in any case; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

/// Unfolded headers, and the body.
fn split(message: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, tail) = rest.split_at(end);
        rest = tail;
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            break;
        }
        if let (true, Some(last)) = (line.starts_with([' ', '\t']), headers.last_mut()) {
            last.1.push_str(line);
        } else if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    (headers, rest)
}

fn text_of(headers: &[(String, String)], body: &[u8], depth: u32) -> Option<String> {
    let kind = find(headers, "content-type");
    let media = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if media.starts_with("multipart/") {
        let boundary = parameter(kind, "boundary")?;
        let inside = depth.checked_sub(1)?;
        return parts(body, &boundary).into_iter().find_map(|part| {
            let (headers, body) = split(part);
            text_of(&headers, body, inside)
        });
    }
    if !media.is_empty() && media != "text/plain" {
        return None;
    }
    let bytes = match find(headers, "content-transfer-encoding").to_ascii_lowercase().as_str() {
        "base64" => unbase64(body),
        "quoted-printable" => unquote(body, false),
        _ => body.to_vec(),
    };
    Some(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let wanted = key.trim().eq_ignore_ascii_case(name);
        wanted.then(|| value.trim().trim_matches('"').to_owned()).filter(|text| !text.is_empty())
    })
}

/// What stands between the boundary lines.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let line = format!("--{boundary}");
    let marks: Vec<usize> = memchr::memmem::find_iter(body, line.as_bytes())
        .filter(|at| *at == 0 || body[at - 1] == b'\n')
        .collect();
    let mut parts = Vec::new();
    for pair in marks.windows(2) {
        let part = &body[pair[0] + line.len()..pair[1]];
        let start = memchr::memchr(b'\n', part).map_or(part.len(), |at| at + 1);
        let part = &part[start..];
        // The line end before a boundary belongs to the boundary.
        let part = part.strip_suffix(b"\n").unwrap_or(part);
        parts.push(part.strip_suffix(b"\r").unwrap_or(part));
    }
    parts
}

fn unbase64(body: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = body.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    STANDARD.decode(text).unwrap_or_default()
}

/// Quoted-printable; in encoded words an underscore is a space.
fn unquote(body: &[u8], word: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'_' if word => bytes.push(b' '),
            b'=' if rest.starts_with(b"\r\n") => rest = &rest[2..],
            b'=' if rest.starts_with(b"\n") => rest = &rest[1..],
            b'=' => {
                let hex = rest.get(..2).and_then(|two| std::str::from_utf8(two).ok());
                match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                    Some(byte) => {
                        bytes.push(byte);
                        rest = &rest[2..];
                    }
                    None => bytes.push(b'='),
                }
            }
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// Encoded words (RFC 2047) in UTF-8 or US-ASCII; other charsets stay as they are.
fn decoded(header: &str) -> String {
    let (mut text, mut rest, mut after_word) = (String::new(), header, false);
    while let Some(at) = rest.find("=?") {
        let (before, tail) = rest.split_at(at);
        let Some((word, length)) = encoded_word(tail) else {
            text.push_str(before);
            text.push_str("=?");
            (rest, after_word) = (&tail[2..], false);
            continue;
        };
        // White space between two encoded words is not text.
        if !(after_word && before.trim().is_empty()) {
            text.push_str(before);
        }
        text.push_str(&word);
        (rest, after_word) = (&tail[length..], true);
    }
    text.push_str(rest);
    text
}

fn encoded_word(tail: &str) -> Option<(String, usize)> {
    let mut fields = tail[2..].splitn(3, '?');
    let (charset, encoding, more) = (fields.next()?, fields.next()?, fields.next()?);
    let end = more.find("?=")?;
    let known = ["utf-8", "us-ascii"].contains(&charset.to_ascii_lowercase().as_str());
    let bytes = match encoding {
        "B" | "b" => unbase64(&more.as_bytes()[..end]),
        "Q" | "q" => unquote(&more.as_bytes()[..end], true),
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + end + 2;
    known.then(|| (String::from_utf8_lossy(&bytes).into_owned(), length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_mail_with_two_texts() {
        let mail = "Subject: =?utf-8?q?Schwarzer_Toner_fast_leer?=\r\n =?UTF-8?B?OiA0wqAl?=\r\nTo: =?utf-8?q?B=C3=BCro?= <office@example.org>\r\nContent-Type: multipart/mixed; boundary=\"a\"\r\n\r\nnot this\r\n--a\r\nContent-Type: multipart/alternative;\r\n boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nF=C3=BCr Sie:\r\nweich=\r\n umbrochen\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>no\r\n--b--\r\n--a--\r\n";
        let parsed = Parsed::read(mail.as_bytes());
        assert_eq!(parsed.subject, "Schwarzer Toner fast leer: 4\u{a0}%");
        assert_eq!(parsed.to, "Büro <office@example.org>");
        assert_eq!(parsed.text, "Für Sie:\nweich umbrochen");
        assert!(parsed.header("CONTENT-TYPE").contains("multipart/mixed"));
    }

    #[test]
    fn a_plain_mail() {
        let parsed = Parsed::read(b"Subject: a =?x?y\nTo: b@example.org\n\nline\r\nline\r\n");
        assert_eq!((parsed.subject.as_str(), parsed.text.as_str()), ("a =?x?y", "line\nline\n"));
        let encoded = b"Content-Transfer-Encoding: base64\r\n\r\naGFs\r\nbG8=\r\n";
        assert_eq!(Parsed::read(encoded).text, "hallo");
        assert_eq!(Parsed::read(b""), Parsed::default());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn our_own_mails_come_back(subject in "[ -~äöü€]{1,80}", body in "[ -~äöü€\n]{0,300}") {
            // lettre loses the second of two spaces between words it encodes.
            let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let subject = squeezed(&subject);
            prop_assume!(!subject.is_empty() && !subject.contains("=?"));
            let mail = lettre::Message::builder()
                .from("a@example.org".parse().unwrap())
                .to("b@example.org".parse().unwrap())
                .subject(subject.clone())
                .multipart(lettre::message::MultiPart::alternative_plain_html(body.clone(), "<p>".to_owned()))
                .unwrap();
            let parsed = Parsed::read(&mail.formatted());
            prop_assert_eq!(parsed.text.trim_end(), body.trim_end());
            prop_assert_eq!(squeezed(&parsed.subject), squeezed(&subject));
        }

        #[test]
        fn nothing_makes_it_panic(mail in "(Subject: |Content-Type: multipart/mixed; boundary=a|Content-Transfer-Encoding: (base64|quoted-printable)|=\\?utf-8\\?[qb]\\?|--a|=|\\?|\r?\n|\\PC){0,60}") {
            Parsed::read(mail.as_bytes());
        }
    }
}
