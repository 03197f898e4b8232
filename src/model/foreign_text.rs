//! Texts that others wrote, before people read them: nothing in them moves the cursor, turns the line
//! around or begins a line of its own, and they give away no mail address and no secret.

/// What a parameter of a URL is called, or what stands before `=` or `:`, when its value is a secret.
const SECRETS: [&str; 12] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passwort",
    "pwd",
    "apikey",
    "jwt",
    "signature",
    "credential",
    "credentials",
    "bearer",
];
/// The same, within the query of a URL.
const SECRET_PARAMETERS: [&str; 8] =
    ["key", "code", "auth", "sig", "session", "sessionid", "sid", "pass"];
/// Stands for what is not shown.
const HIDDEN: char = '…';

/// Without control characters but line breaks, and without characters that turn the direction of
/// what follows or cannot be seen. Emoji stay whole.
pub fn visible(text: &str) -> String {
    if text.bytes().all(|byte| is_plain(byte) || byte == b'\n') {
        return text.to_owned();
    }
    let harmless = |c: &char| {
        !matches!(c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e001f}')
    };
    let shown = |c: char| match c {
        '\n' => '\n',
        '\u{2028}' | '\u{2029}' => '\n',
        c if c.is_control() => ' ',
        c => c,
    };
    text.replace("\r\n", "\n").chars().filter(harmless).map(shown).collect()
}

/// Most texts hold nothing else, and most messages many of them.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte)
}

/// As [`visible`], on one line, blanks in a row as one.
pub fn visible_line(text: &str) -> String {
    if text.bytes().all(is_plain) && text.trim().len() == text.len() && !text.contains("  ") {
        return text.to_owned();
    }
    let text = visible(text);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// Without `user:password@` in URLs, without the values of parameters that are called like a
/// secret, and without the names in mail addresses.
pub fn redacted(text: &str) -> String {
    if !text.contains(['@', '=', ':']) {
        return text.to_owned();
    }
    without_names(&without_parameters(&without_userinfo(text)))
}

/// Removes `user:password@` from every URL in a text.
pub fn without_userinfo(text: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        clean.push_str(before);
        let authority = behind
            .find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c))
            .unwrap_or(behind.len());
        let host = behind[..authority].rfind('@').map_or(0, |at| at + 1);
        rest = &behind[host..];
    }
    clean.push_str(rest);
    clean
}

/// Hides what stands behind `token=`, `password:` and the like.
fn without_parameters(text: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(['=', ':']) {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        let sign = &rest[at..=at];
        clean.push_str(before);
        clean.push_str(sign);
        rest = behind;
        let name_at = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let name = before[name_at..].to_ascii_lowercase();
        let parameter = sign == "=" && before[..name_at].ends_with(['?', '&', ';']);
        let secret =
            |word: &str| SECRETS.contains(&word) || parameter && SECRET_PARAMETERS.contains(&word);
        if !name.split(['_', '-', '.']).any(secret) {
            continue;
        }
        let blanks = behind.len() - behind.trim_start_matches([' ', '"', '\'']).len();
        // A sentence such as "the token: it expired" hides a word too many; that costs little.
        let value = &behind[blanks..];
        let ends = |c: char| c.is_whitespace() || "&;#\"'<>,)".contains(c);
        let end = value.find(ends).unwrap_or(value.len());
        if end > 0 {
            clean.push_str(&behind[..blanks]);
            clean.push(HIDDEN);
            rest = &value[end..];
        }
    }
    clean.push_str(rest);
    clean
}

/// `joe@example.org` becomes `…@example.org`. A Matrix user (`@joe:example.org`) is no mail address.
fn without_names(text: &str) -> String {
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('@') {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        let domain = behind
            .find(|c: char| !c.is_alphanumeric() && !"-.[".contains(c))
            .unwrap_or(behind.len());
        let domain = behind[..domain].trim_end_matches('.');
        let local = |c: char| c.is_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
        let name = before.trim_end_matches(local).len();
        if name < before.len() && domain.contains(['.', '[']) {
            clean.push_str(&before[..name]);
            // `sender=joe@…`: what is called so may be said.
            if let Some((called, _)) = before[name..].rsplit_once('=') {
                clean.push_str(called);
                clean.push('=');
            }
            clean.push(HIDDEN);
        } else {
            clean.push_str(before);
        }
        clean.push('@');
        rest = behind;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_line() {
        assert_eq!(visible("a\r\nb\u{1b}[2J\u{7}c\u{202e}gpj\u{2066}\0"), "a\nb [2J cgpj ");
        assert_eq!(visible("👩\u{200d}👩 ü\u{200f}א"), "👩\u{200d}👩 ü\u{200f}א");
        assert_eq!(visible_line(" a\r\n\t b\u{2028}c \u{85}"), "a b c");
        assert_eq!(["a  b", " a", "a ", "a b"].map(visible_line), ["a b", "a", "a", "a b"]);
    }

    #[test]
    fn secrets_are_hidden() {
        for (text, shown) in [
            (
                "https://u:pw@h.example/a?access_token=abc&x=1#t",
                "https://h.example/a?access_token=…&x=1#t",
            ),
            ("http://h/?key=abc;sid=9 key=value", "http://h/?key=…;sid=… key=value"),
            ("see token=CANARY2, and", "see token=…, and"),
            ("password: \"hunter2\" ok", "password: \"… ok"),
            ("Passwort: geheim", "Passwort: …"),
            ("up{job=\"x\"} > 3: bad", "up{job=\"x\"} > 3: bad"),
            ("joe.doe+x@mail.example.org wrote", "…@mail.example.org wrote"),
            ("<joe@example.org>: refused", "<…@example.org>: refused"),
            ("from=joe@example.org", "from=…@example.org"),
            ("jörg@bücher.example", "…@bücher.example"),
            (
                "@joe:example.org and root@host and a @ b",
                "@joe:example.org and root@host and a @ b",
            ),
            ("joe@[192.0.2.1]", "…@[192.0.2.1]"),
            ("a@b.example,c@d.example", "…@b.example,…@d.example"),
            ("", ""),
        ] {
            let shown = shown.replace("\"… ok", "\"…\" ok");
            assert_eq!(redacted(text), shown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "\\PC{0,60}|[a-z=:@./? \u{202e}\n-]{0,60}") {
            let shown = redacted(&visible(&text));
            prop_assert!(shown.len() <= 4 * text.len() + 16);
            prop_assert_eq!(&redacted(&shown), &shown);
            let line = visible_line(&text);
            let words: Vec<&str> = line.split_whitespace().collect();
            prop_assert_eq!(&line, &words.join(" "));
        }
    }
}
