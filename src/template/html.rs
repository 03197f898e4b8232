//! Contextual escaping, as Go's `html/template` does it: what a value turns into depends on where
//! in the HTML it lands.
//!
//! Go analyses a template before it runs. Here the context is followed while the text is written,
//! which gives the same text for every template whose branches end in the same context.

use std::fmt;

use super::escape::{
    escaped, has_safe_scheme, normalized, query, script_text, script_value, style_text,
    style_value, without_tags,
};
use super::value::{Safe, Value};

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
            UrlPart::Query => query(text),
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
