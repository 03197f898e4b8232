//! How a value is written in HTML text, attributes, URLs, JavaScript and CSS, as Go's
//! `html/template` writes it. Where it lands is [`super::html`]'s knowledge.

use super::builtins::query_escape;
use super::json;
use super::value::{ListKind, MapKind, Value};

/// `ampersands`: also where they begin an entity.
pub(super) fn escaped(text: &str, ampersands: bool) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\0' => out.push('\u{fffd}'),
            '"' => out.push_str("&#34;"),
            '&' if ampersands => out.push_str("&amp;"),
            '\'' => out.push_str("&#39;"),
            '+' => out.push_str("&#43;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c => out.push(c),
        }
    }
    out
}

/// What is left when everything between `<` and `>` is taken out.
pub(super) fn without_tags(text: &str) -> String {
    let (mut out, mut inside) = (String::with_capacity(text.len()), false);
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// Whether a URL runs no script: a relative one, or one of the web or of mail.
pub(super) fn has_safe_scheme(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
        }
        _ => true,
    }
}

/// Percent-encodes what may not stand in a URL, and leaves its structure alone.
pub(super) fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |offset: usize| bytes.get(at + offset).is_some_and(u8::is_ascii_hexdigit);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(*byte)),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?'
            | b'@' | b'[' | b']' => out.push(char::from(*byte)),
            b'%' if hex(1) && hex(2) => out.push('%'),
            byte => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

/// As a part of a URL's query. Go's URL escaper writes its digits in lower case.
pub(super) fn query(text: &str) -> String {
    let encoded = query_escape(text).replace('+', "%20");
    let mut out = String::with_capacity(encoded.len());
    let mut left = 0;
    for c in encoded.chars() {
        if c == '%' {
            left = 3;
        }
        out.push(if left > 0 { c.to_ascii_lowercase() } else { c });
        left = usize::saturating_sub(left, 1);
    }
    out
}

/// A value as JavaScript: strings and label sets as strings, the rest as JSON.
pub(super) fn script_value(value: &Value, printed: &str) -> String {
    match value {
        Value::Nothing => " null ".to_owned(),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            format!(" {} ", json::write(value).unwrap_or_else(|_| "null".to_owned()))
        }
        Value::Safe(_, text) => json::text(text),
        Value::Text(text) => json::text(text),
        Value::Map(map) if map.kind == MapKind::Kv => json::text(printed),
        Value::List(list) if list.kind == ListKind::Pairs => json::text(printed),
        other => json::write(other).unwrap_or_else(|_| " null ".to_owned()),
    }
}

/// Inside quotes of JavaScript.
pub(super) fn script_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => out.push_str("\\u0000"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\u000b"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\\' => out.push_str("\\\\"),
            '/' => out.push_str("\\/"),
            '"' | '&' | '\'' | '+' | '<' | '>' | '`' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out
}

/// A plain word, number or colour; anything that could be code is not let through.
pub(super) fn style_value(text: &str) -> String {
    let dangerous = text.contains([
        '\0', '"', '\'', '(', ')', '/', ';', '@', '[', '\\', ']', '`', '{', '}', '<', '>',
    ]) || text.contains("--");
    let id: String =
        text.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    if dangerous || id.contains("expression") || id.contains("mozbinding") {
        return "ZgotmplZ".to_owned();
    }
    text.to_owned()
}

/// Inside quotes of CSS.
pub(super) fn style_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_escape = false;
    for c in text.chars() {
        let needs = matches!(
            c,
            '\0' | '\t'
                | '\n'
                | '\u{c}'
                | '\r'
                | '"'
                | '&'
                | '\''
                | '('
                | ')'
                | '+'
                | '/'
                | ':'
                | ';'
                | '<'
                | '>'
                | '{'
                | '}'
        );
        if needs {
            out.push_str(&format!("\\{:x}", u32::from(c)));
        } else if c == '\\' {
            out.push_str("\\\\");
        } else {
            if after_escape && (c.is_ascii_hexdigit() || c == ' ') {
                out.push(' ');
            }
            out.push(c);
        }
        after_escape = needs;
    }
    out
}
