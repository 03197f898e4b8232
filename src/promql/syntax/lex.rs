//! Text to tokens with byte positions. The words of Prometheus' errors are kept, because people
//! search for them.

use super::Span;
use super::error::ParseError;
use super::number::{duration_seconds, parse_number};

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A name without colons, or a keyword; which one depends on the place.
    Name(String),
    /// A metric name with colons.
    MetricName(String),
    Number(f64),
    /// In seconds.
    Duration(f64),
    Text(String),
    /// An operator, bracket or sign, as written.
    Sign(&'static str),
    End,
}

/// A token and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Lexeme {
    pub token: Token,
    pub span: Span,
}

/// Longest first, so that `<=` is not read as `<`.
const SIGNS: &[&str] = &[
    "==", "=~", "!=", "!~", "<=", ">=", "</", ">/", "(", ")", "{", "}", "[", "]", ",", "@", "+",
    "-", "*", "/", "%", "^", "<", ">", "=",
];

/// Words that are operators or clauses and never metric names.
pub(super) const RESERVED: &[&str] =
    &["on", "ignoring", "group_left", "group_right", "bool", "atan2"];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Open round brackets.
    round: usize,
    braces: bool,
    square: bool,
    out: Vec<Lexeme>,
}

/// Cuts a query into tokens; the last one is [`Token::End`].
pub(super) fn lex(text: &str) -> Result<Vec<Lexeme>, ParseError> {
    let mut lexer = Lexer { text, at: 0, round: 0, braces: false, square: false, out: Vec::new() };
    while lexer.step()? {}
    Ok(lexer.out)
}

fn name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn name_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error<T>(&self, start: usize, end: usize, message: String) -> Result<T, ParseError> {
        Err(ParseError::new(message, Span::new(start, end), self.text))
    }

    fn push(&mut self, token: Token, start: usize) {
        self.out.push(Lexeme { token, span: Span::new(start, self.at) });
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r']);
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
        }
    }

    /// Reads one token; false at the end.
    fn step(&mut self) -> Result<bool, ParseError> {
        self.skip_space_and_comments();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return self.end().map(|()| false);
        };
        if first == '"' || first == '\'' || first == '`' {
            let text = self.string(first)?;
            self.push(Token::Text(text), start);
        } else if self.square && first == ':' {
            self.at += 1;
            self.push(Token::Sign(":"), start);
        } else if first.is_ascii_digit()
            || (first == '.' && self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            self.number()?;
        } else if name_start(first) || (first == ':' && !self.braces) {
            self.name();
        } else if let Some(sign) = SIGNS.iter().find(|sign| self.rest().starts_with(**sign)) {
            self.sign(sign, first)?;
        } else {
            let shown = shown(first);
            let inside = match (self.braces, self.square) {
                (true, _) => " inside braces",
                (_, true) => " inside brackets",
                _ => "",
            };
            let message = format!("unexpected character{inside}: {shown}");
            return self.error(start, start + first.len_utf8(), message);
        }
        Ok(true)
    }

    fn end(&mut self) -> Result<(), ParseError> {
        let at = self.text.len();
        if self.braces {
            return self.error(at, at, "unexpected end of input inside braces".to_owned());
        }
        if self.square {
            return self.error(at, at, "unclosed left bracket".to_owned());
        }
        if self.round > 0 {
            return self.error(at, at, "unclosed left parenthesis".to_owned());
        }
        self.at = at;
        self.push(Token::End, at);
        Ok(())
    }

    fn sign(&mut self, sign: &'static str, first: char) -> Result<(), ParseError> {
        let start = self.at;
        self.at += sign.len();
        let end = self.at;
        match sign {
            "(" => self.round += 1,
            ")" if self.round == 0 => {
                return self.error(end, end, "unexpected right parenthesis ')'".to_owned());
            }
            ")" => self.round -= 1,
            "{" if self.braces => {
                return self.error(start, end, "unexpected left brace '{'".to_owned());
            }
            "{" => self.braces = true,
            "}" if !self.braces => {
                return self.error(start, end, format!("unexpected character: {}", shown(first)));
            }
            "}" => self.braces = false,
            "[" if self.square => {
                return self.error(start, end, "unexpected left bracket '['".to_owned());
            }
            "[" => self.square = true,
            "]" if !self.square => {
                return self.error(start, end, "unexpected right bracket ']'".to_owned());
            }
            "]" => self.square = false,
            // Inside braces only the four matcher operators exist: `==` is `=` and `=`.
            "==" if self.braces => self.at -= 1,
            _ => {}
        }
        let sign = if sign == "==" && self.braces { "=" } else { sign };
        self.push(Token::Sign(sign), start);
        Ok(())
    }

    fn name(&mut self) {
        let start = self.at;
        let colons = !self.braces && !self.square;
        let rest = self.rest();
        let length =
            rest.find(|c: char| !(name_part(c) || (colons && c == ':'))).unwrap_or(rest.len());
        let word = rest[..length].to_owned();
        self.at += length;
        let lower = word.to_ascii_lowercase();
        let token = if word.contains(':') {
            Token::MetricName(word)
        } else if !self.braces && lower == "inf" {
            Token::Number(f64::INFINITY)
        } else if !self.braces && lower == "nan" {
            Token::Number(f64::NAN)
        } else {
            Token::Name(word)
        };
        self.push(token, start);
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        let bytes = self.rest().as_bytes();
        let hex = bytes.len() > 1 && bytes[0] == b'0' && (bytes[1] | 0x20) == b'x';
        let mut length = 0;
        while length < bytes.len() {
            let c = bytes[length];
            let exponent_sign = !hex
                && (c == b'+' || c == b'-')
                && length > 0
                && (bytes[length - 1] | 0x20) == b'e';
            if c.is_ascii_alphanumeric() || c == b'.' || c == b'_' || exponent_sign {
                length += 1;
            } else {
                break;
            }
        }
        let word = &self.rest()[..length];
        let token = match parse_number(word) {
            Some(value) if value.is_infinite() && !hex => {
                let message = format!(
                    "error parsing number: strconv.ParseFloat: parsing {word:?}: value out of range"
                );
                return self.error(start, start + length, message);
            }
            Some(value) => Token::Number(value),
            None => match duration_seconds(word) {
                Ok(seconds) => Token::Duration(seconds),
                Err(reason) => return self.error(start, start + length, reason),
            },
        };
        self.at += length;
        self.push(token, start);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<String, ParseError> {
        let start = self.at;
        match unquote(self.rest()) {
            Ok((text, length)) => {
                self.at += length;
                Ok(text)
            }
            Err(Unquote::Unterminated) if quote == '`' => {
                self.error(start, self.text.len(), "unterminated raw string".to_owned())
            }
            Err(Unquote::Unterminated) => {
                self.error(start, self.text.len(), "unterminated quoted string".to_owned())
            }
            Err(Unquote::Escape) => {
                self.error(start, self.text.len(), "unknown escape sequence".to_owned())
            }
        }
    }
}

/// A character as Go's `%#U`-less error shows it.
fn shown(c: char) -> String {
    if c.is_ascii_control() { format!("'\\x{:02x}'", c as u32) } else { format!("'{c}'") }
}

/// Why a string could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unquote {
    /// No closing quote (in this line, unless the quotes are back quotes).
    Unterminated,
    /// A backslash with something unknown behind it.
    Escape,
}

/// Reads a string in Go's notation at the start of `text`: its value and its length with quotes.
///
/// Bytes that are no UTF-8 (`"\xff"`) become the private use characters U+EE80–U+EEFF, which no
/// label name or value check lets pass; see [`has_raw_bytes`].
pub(crate) fn unquote(text: &str) -> Result<(String, usize), Unquote> {
    let quote = text.chars().next().ok_or(Unquote::Unterminated)?;
    let body = &text[1..];
    if quote == '`' {
        let end = body.find('`').ok_or(Unquote::Unterminated)?;
        return Ok((body[..end].replace('\r', ""), end + 2));
    }
    let mut bytes: Vec<u8> = Vec::new();
    let mut rest = body;
    loop {
        let c = rest.chars().next().ok_or(Unquote::Unterminated)?;
        rest = &rest[c.len_utf8()..];
        match c {
            '\n' => return Err(Unquote::Unterminated),
            '\\' => rest = escape(rest, quote, &mut bytes)?,
            c if c == quote => break,
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok((lossless(&bytes), text.len() - rest.len()))
}

fn escape<'a>(rest: &'a str, quote: char, out: &mut Vec<u8>) -> Result<&'a str, Unquote> {
    let c = rest.chars().next().ok_or(Unquote::Unterminated)?;
    let after = &rest[c.len_utf8()..];
    let simple = match c {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' => b'\\',
        c if c == quote => quote as u8,
        _ => 0,
    };
    if simple != 0 {
        out.push(simple);
        return Ok(after);
    }
    let (digits, radix, from) = match c {
        'x' => (2, 16, after),
        'u' => (4, 16, after),
        'U' => (8, 16, after),
        '0'..='7' => (3, 8, rest),
        _ => return Err(Unquote::Escape),
    };
    let (code, tail) = from.split_at_checked(digits).ok_or(Unquote::Escape)?;
    let value = u32::from_str_radix(code, radix).map_err(|_| Unquote::Escape)?;
    if matches!(c, 'u' | 'U') {
        let c = char::from_u32(value).ok_or(Unquote::Escape)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(value).map_err(|_| Unquote::Escape)?);
    }
    Ok(tail)
}

/// First of the characters that stand for bytes which are no UTF-8.
const RAW_BASE: u32 = 0xEE00;

fn lossless(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(
            chunk.invalid().iter().filter_map(|byte| char::from_u32(RAW_BASE + u32::from(*byte))),
        );
    }
    text
}

/// Whether a string was written with bytes that are no UTF-8.
pub(crate) fn has_raw_bytes(text: &str) -> bool {
    text.chars().any(|c| (RAW_BASE + 0x80..=RAW_BASE + 0xFF).contains(&(c as u32)))
}

/// The string as Go's `%q` shows it, raw bytes as `\x..`.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let code = c as u32;
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            _ if (RAW_BASE + 0x80..=RAW_BASE + 0xFF).contains(&code) => {
                out.push_str(&format!("\\x{:02x}", code - RAW_BASE));
            }
            c if c.is_control() && code < 0x80 => out.push_str(&format!("\\x{code:02x}")),
            c if c.is_control() => out.push_str(&format!("\\u{code:04x}")),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
