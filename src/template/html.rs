//! Contextual escaping, as Go's `html/template` does it: what a value turns into depends on where
//! in the HTML it lands.
//!
//! Go analyses a template before it runs. Here the context is followed while the text is written,
//! which gives the same text for every template whose branches end in the same context.

use std::fmt;

use super::builtins::query_escape;
use super::json;
use super::value::{ListKind, MapKind, Safe, Value};

/// Where the next character lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Tag,
    AttributeName,
    AfterName,
    BeforeValue,
    Attribute,
    Comment,
    /// Inside `<title>` or `<textarea>`.
    RawText,
    Script,
    Style,
}

/// An element whose content is no ordinary HTML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    None,
    Script,
    Style,
    Title,
    Textarea,
}

/// What an attribute holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Text,
    Url,
    Script,
    Style,
}

/// Where inside JavaScript or CSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inner {
    Code,
    Double,
    Single,
    Template,
    Line,
    Block,
}

/// How far into a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UrlPart {
    Start,
    Path,
    Query,
}

/// Follows the HTML that is written.
#[derive(Clone, Debug)]
pub(super) struct Context {
    state: State,
    element: Element,
    holds: Holds,
    /// The quote around an attribute; a space when there is none.
    quote: char,
    inner: Inner,
    part: UrlPart,
    name: String,
}

impl Context {
    pub(super) fn new() -> Self {
        Self {
            state: State::Text,
            element: Element::None,
            holds: Holds::Text,
            quote: ' ',
            inner: Inner::Code,
            part: UrlPart::Start,
            name: String::new(),
        }
    }

    /// Whether a document may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Text
    }

    /// Follows a text of the template; comments are left out.
    pub(super) fn literal(&mut self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let taken = match self.state {
                State::Text => self.in_text(rest, c, &mut out),
                State::Tag => self.in_tag(rest, c, &mut out),
                State::AttributeName => self.in_name(rest, c, &mut out),
                State::AfterName => self.after_name(c, &mut out),
                State::BeforeValue => self.before_value(c, &mut out),
                State::Attribute => self.in_attribute(rest, c, &mut out),
                State::Comment => match rest.find("-->") {
                    Some(end) => {
                        self.state = State::Text;
                        end + 3
                    }
                    None => rest.len(),
                },
                State::RawText | State::Script | State::Style => self.in_special(rest, c, &mut out),
            };
            rest = &rest[taken..];
        }
        out
    }

    fn in_text(&mut self, rest: &str, c: char, out: &mut String) -> usize {
        if c != '<' {
            let length = rest.find('<').unwrap_or(rest.len());
            out.push_str(&rest[..length]);
            return length;
        }
        if rest.starts_with("<!--") {
            self.state = State::Comment;
            return 4;
        }
        let closes = rest[1..].starts_with('/');
        let from = 1 + usize::from(closes);
        let name = rest[from..]
            .find(|c: char| !c.is_ascii_alphanumeric())
            .map_or(&rest[from..], |end| &rest[from..from + end]);
        if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let doctype = rest[1..].to_ascii_lowercase().starts_with("!doctype");
            out.push_str(if doctype { "<" } else { "&lt;" });
            return 1;
        }
        self.element = match name.to_ascii_lowercase().as_str() {
            _ if closes => Element::None,
            "script" => Element::Script,
            "style" => Element::Style,
            "title" => Element::Title,
            "textarea" => Element::Textarea,
            _ => Element::None,
        };
        self.state = State::Tag;
        let length = from + name.len();
        out.push_str(&rest[..length]);
        length
    }

    fn in_tag(&mut self, rest: &str, c: char, out: &mut String) -> usize {
        if c == '>' {
            self.inner = Inner::Code;
            self.state = match self.element {
                Element::None => State::Text,
                Element::Script => State::Script,
                Element::Style => State::Style,
                Element::Title | Element::Textarea => State::RawText,
            };
        } else if !c.is_whitespace() && c != '/' {
            self.name.clear();
            self.state = State::AttributeName;
            return self.in_name(rest, c, out);
        }
        out.push(c);
        c.len_utf8()
    }

    fn in_name(&mut self, rest: &str, c: char, out: &mut String) -> usize {
        let ends = |c: char| c.is_whitespace() || c == '=' || c == '>' || c == '/';
        if ends(c) {
            self.holds = holds(&self.name);
            self.state = State::AfterName;
            return 0;
        }
        let length = rest.find(ends).unwrap_or(rest.len());
        self.name.push_str(&rest[..length]);
        out.push_str(&rest[..length]);
        length
    }

    fn after_name(&mut self, c: char, out: &mut String) -> usize {
        match c {
            '=' => self.state = State::BeforeValue,
            c if c.is_whitespace() => {}
            _ => {
                self.state = State::Tag;
                return 0;
            }
        }
        out.push(c);
        c.len_utf8()
    }

    fn before_value(&mut self, c: char, out: &mut String) -> usize {
        if c.is_whitespace() {
            out.push(c);
            return c.len_utf8();
        }
        self.begin_value();
        if c != '"' && c != '\'' {
            return 0;
        }
        self.quote = c;
        out.push(c);
        1
    }

    fn begin_value(&mut self) {
        self.state = State::Attribute;
        self.quote = ' ';
        self.inner = Inner::Code;
        self.part = UrlPart::Start;
    }

    fn in_attribute(&mut self, rest: &str, c: char, out: &mut String) -> usize {
        let ends = if self.quote == ' ' { c.is_whitespace() || c == '>' } else { c == self.quote };
        if ends {
            self.state = State::Tag;
            if self.quote == ' ' {
                return 0;
            }
            out.push(c);
            return 1;
        }
        match self.holds {
            Holds::Text => {}
            Holds::Url => self.follow_url(c),
            Holds::Script | Holds::Style => return self.follow_code(rest, c, out, true),
        }
        out.push(c);
        c.len_utf8()
    }

    fn follow_url(&mut self, c: char) {
        self.part = match (self.part, c) {
            (_, '?' | '#') | (UrlPart::Query, _) => UrlPart::Query,
            _ => UrlPart::Path,
        };
    }

    fn in_special(&mut self, rest: &str, c: char, out: &mut String) -> usize {
        let name = match self.element {
            Element::Script => "</script",
            Element::Style => "</style",
            Element::Title => "</title",
            Element::Textarea | Element::None => "</textarea",
        };
        if rest.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)) {
            self.state = State::Tag;
            self.element = Element::None;
            out.push_str(&rest[..name.len()]);
            return name.len();
        }
        if self.state == State::RawText {
            out.push(c);
            return c.len_utf8();
        }
        self.follow_code(rest, c, out, false)
    }

    /// Strings and comments of JavaScript and CSS.
    fn follow_code(&mut self, rest: &str, c: char, out: &mut String, attribute: bool) -> usize {
        let script = self.state == State::Script || (attribute && self.holds == Holds::Script);
        match self.inner {
            Inner::Code => {
                self.inner = match c {
                    '"' => Inner::Double,
                    '\'' => Inner::Single,
                    '`' if script => Inner::Template,
                    '/' if rest.starts_with("/*") => Inner::Block,
                    '/' if script && rest.starts_with("//") => Inner::Line,
                    _ => Inner::Code,
                };
                if matches!(self.inner, Inner::Block | Inner::Line) && !attribute {
                    return 2;
                }
            }
            Inner::Block => {
                let end = rest.find("*/");
                let length = end.map_or(rest.len(), |end| end + 2);
                if end.is_some() {
                    self.inner = Inner::Code;
                }
                if attribute {
                    out.push_str(&rest[..length]);
                } else if end.is_some() {
                    let lines = script && rest[..length].contains(['\n', '\r']);
                    out.push(if lines { '\n' } else { ' ' });
                }
                return length;
            }
            Inner::Line => {
                let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
                if length < rest.len() {
                    self.inner = Inner::Code;
                }
                if attribute {
                    out.push_str(&rest[..length]);
                }
                return length;
            }
            Inner::Double | Inner::Single | Inner::Template => {
                let quote = match self.inner {
                    Inner::Double => '"',
                    Inner::Single => '\'',
                    _ => '`',
                };
                if c == quote {
                    self.inner = Inner::Code;
                } else if c == '\\' {
                    let escaped = rest[1..].chars().next().map_or(0, char::len_utf8);
                    out.push_str(&rest[..1 + escaped]);
                    return 1 + escaped;
                }
            }
        }
        out.push(c);
        c.len_utf8()
    }

    /// A value as it has to be written here.
    ///
    /// # Errors
    /// It is longer than `limit` bytes.
    pub(super) fn value(&mut self, value: &Value, limit: usize) -> Result<String, fmt::Error> {
        if self.state == State::BeforeValue {
            self.begin_value();
        }
        let (safe, text) = match value {
            Value::Safe(safe, text) => (Some(*safe), text.to_string()),
            Value::Nothing => (None, String::new()),
            value => (None, value.printed(limit)?),
        };
        Ok(self.written(value, safe, &text))
    }

    fn written(&mut self, value: &Value, safe: Option<Safe>, text: &str) -> String {
        match self.state {
            State::Text if safe == Some(Safe::Html) => text.to_owned(),
            State::Text => escaped(text, true),
            State::RawText => escaped(text, safe != Some(Safe::Html)),
            State::Comment => String::new(),
            State::Script => self.script(value, text),
            State::Style => self.style(text),
            State::Tag | State::AttributeName | State::AfterName | State::BeforeValue => {
                let plain = text.chars().all(|c| c.is_ascii_alphanumeric());
                let name = text.to_ascii_lowercase();
                if plain && !text.is_empty() && holds(&name) == Holds::Text {
                    name
                } else {
                    "ZgotmplZ".to_owned()
                }
            }
            State::Attribute => {
                let written = match self.holds {
                    Holds::Text if safe == Some(Safe::Html) => without_tags(text),
                    Holds::Text => return self.quoted(text),
                    Holds::Url => self.url(text, safe == Some(Safe::Url)),
                    Holds::Script => self.script(value, text),
                    Holds::Style => self.style(text),
                };
                self.quoted(&written)
            }
        }
    }

    /// Inside an attribute; without quotes around it more characters end it.
    fn quoted(&self, text: &str) -> String {
        if self.quote != ' ' {
            return escaped(text, true);
        }
        if text.is_empty() {
            return "ZgotmplZ".to_owned();
        }
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '=' | '`' => {
                    out.push_str(&format!("&#{};", u32::from(c)));
                }
                c => out.push_str(&escaped(c.encode_utf8(&mut [0; 4]), true)),
            }
        }
        out
    }

    fn url(&mut self, text: &str, trusted: bool) -> String {
        let part = self.part;
        if !text.is_empty() && part == UrlPart::Start {
            self.part = UrlPart::Path;
        }
        match part {
            UrlPart::Query if trusted => normalized(text),
            UrlPart::Query => query_escape(text).replace('+', "%20").to_lowercase_hex(),
            UrlPart::Start if !trusted && !has_safe_scheme(text) => "#ZgotmplZ".to_owned(),
            UrlPart::Start | UrlPart::Path => normalized(text),
        }
    }

    fn script(&self, value: &Value, text: &str) -> String {
        match self.inner {
            Inner::Code => script_value(value, text),
            Inner::Line | Inner::Block => String::new(),
            Inner::Double | Inner::Single | Inner::Template => script_text(text),
        }
    }

    fn style(&self, text: &str) -> String {
        match self.inner {
            Inner::Code => style_value(text),
            Inner::Line | Inner::Block => String::new(),
            Inner::Double | Inner::Single | Inner::Template => style_text(text),
        }
    }
}

/// What an attribute of that name holds.
fn holds(name: &str) -> Holds {
    let lower = name.to_ascii_lowercase();
    let name = lower.strip_prefix("data-").unwrap_or(&lower);
    let name = match name.split_once(':') {
        Some(("xmlns", _)) => return Holds::Url,
        Some((_, name)) => name,
        None => name,
    };
    const URLS: [&str; 18] = [
        "action",
        "background",
        "cite",
        "classid",
        "codebase",
        "data",
        "formaction",
        "href",
        "icon",
        "longdesc",
        "manifest",
        "poster",
        "profile",
        "src",
        "usemap",
        "xmlns",
        "archive",
        "srcset",
    ];
    if name == "style" {
        Holds::Style
    } else if name.starts_with("on") {
        Holds::Script
    } else if URLS.contains(&name) || ["src", "uri", "url"].iter().any(|part| name.contains(part)) {
        Holds::Url
    } else {
        Holds::Text
    }
}

/// `ampersands`: also where they begin an entity.
fn escaped(text: &str, ampersands: bool) -> String {
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

fn without_tags(text: &str) -> String {
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

fn has_safe_scheme(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
        }
        _ => true,
    }
}

/// Percent-encodes what may not stand in a URL, and leaves its structure alone.
fn normalized(text: &str) -> String {
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

/// Go's URL escaper writes its digits in lower case.
trait LowerHex {
    fn to_lowercase_hex(&self) -> String;
}

impl LowerHex for String {
    fn to_lowercase_hex(&self) -> String {
        let mut out = String::with_capacity(self.len());
        let mut left = 0;
        for c in self.chars() {
            if c == '%' {
                left = 3;
            }
            out.push(if left > 0 { c.to_ascii_lowercase() } else { c });
            left = usize::saturating_sub(left, 1);
        }
        out
    }
}

/// A value as JavaScript: strings and label sets as strings, the rest as JSON.
fn script_value(value: &Value, printed: &str) -> String {
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
fn script_text(text: &str) -> String {
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
fn style_value(text: &str) -> String {
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
fn style_text(text: &str) -> String {
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
