//! Text into tokens, as Go's `text/template` splits it.

use super::TemplateError;

/// A token with its byte offset in the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) at: usize,
    pub(super) kind: TokenKind,
    /// As written; for text after trimming.
    pub(super) text: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Text,
    Left,
    Right,
    Space,
    Pipe,
    Declare,
    Assign,
    Comma,
    Open,
    Close,
    Quoted,
    Raw,
    Char,
    Number,
    Word,
    Keyword,
    Field,
    Variable,
    Dot,
    Bool,
    Nil,
    End,
}

const KEYWORDS: &[&str] =
    &["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

struct Lexer<'a> {
    name: &'a str,
    source: &'a str,
    at: usize,
    parens: usize,
    tokens: Vec<Token<'a>>,
}

/// All tokens, the last one an `End`.
pub(super) fn lex<'a>(name: &'a str, source: &'a str) -> Result<Vec<Token<'a>>, TemplateError> {
    let mut lexer = Lexer { name, source, at: 0, parens: 0, tokens: Vec::new() };
    lexer.text()?;
    lexer.push(TokenKind::End, source.len(), source.len());
    Ok(lexer.tokens)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, kind: TokenKind, from: usize, to: usize) {
        self.tokens.push(Token { at: from, kind, text: &self.source[from..to] });
    }

    fn fail<T>(&self, at: usize, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(TemplateError::syntax(self.name, self.source, at, message))
    }

    /// Everything outside of `{{ }}`, and the actions in between.
    fn text(&mut self) -> Result<(), TemplateError> {
        let mut trim_left = false;
        loop {
            let start = self.at;
            let found = self.rest().find("{{");
            let end = found.map_or(self.source.len(), |offset| start + offset);
            let trim_right = found.is_some() && self.opens_with_trim(end);
            let mut text = &self.source[start..end];
            let mut from = start;
            if trim_left {
                let trimmed = text.trim_start_matches(is_space);
                from += text.len() - trimmed.len();
                text = trimmed;
            }
            if trim_right {
                text = text.trim_end_matches(is_space);
            }
            if !text.is_empty() {
                self.push(TokenKind::Text, from, from + text.len());
            }
            if found.is_none() {
                return Ok(());
            }
            self.at = end + 2;
            let opened = end;
            if trim_right {
                self.at += 1;
            }
            let body = self.at + if trim_right { 1 } else { 0 };
            trim_left = if self.source[body..].starts_with("/*") {
                self.at = body;
                self.comment(opened)?
            } else {
                self.push(TokenKind::Left, opened, opened + 2);
                self.action(opened)?
            };
        }
    }

    /// `{{- ` with white space behind the minus.
    fn opens_with_trim(&self, at: usize) -> bool {
        let mut after = self.source[at + 2..].chars();
        after.next() == Some('-') && after.next().is_some_and(is_space)
    }

    /// ` -}}` with white space before the minus.
    fn closes_with_trim(&self) -> bool {
        let mut rest = self.rest().chars();
        rest.next().is_some_and(is_space) && rest.as_str().starts_with("-}}")
    }

    fn comment(&mut self, opened: usize) -> Result<bool, TemplateError> {
        let Some(end) = self.rest().find("*/") else {
            return self.fail(opened, "unclosed comment");
        };
        self.at += end + 2;
        if self.closes_with_trim() {
            self.at += 4;
            return Ok(true);
        }
        if self.rest().starts_with("}}") {
            self.at += 2;
            return Ok(false);
        }
        self.fail(opened, "comment ends before closing delimiter")
    }

    /// One action up to and with its closing delimiter; whether the text behind it is trimmed.
    fn action(&mut self, opened: usize) -> Result<bool, TemplateError> {
        self.parens = 0;
        loop {
            let trims = self.closes_with_trim();
            if trims || self.rest().starts_with("}}") {
                if self.parens > 0 {
                    return self.fail(self.at, "unclosed left paren");
                }
                let from = self.at;
                self.at += if trims { 4 } else { 2 };
                self.push(TokenKind::Right, from, self.at);
                return Ok(trims);
            }
            let Some(c) = self.peek() else {
                return self.fail(opened, "unclosed action");
            };
            self.token(c)?;
        }
    }

    fn token(&mut self, c: char) -> Result<(), TemplateError> {
        let from = self.at;
        let simple = |lexer: &mut Self, kind, length: usize| {
            lexer.at += length;
            lexer.push(kind, from, from + length);
            Ok(())
        };
        match c {
            c if is_space(c) => self.space(),
            '=' => simple(self, TokenKind::Assign, 1),
            ':' if self.rest().starts_with(":=") => simple(self, TokenKind::Declare, 2),
            ':' => self.fail(from, "expected :="),
            '|' => simple(self, TokenKind::Pipe, 1),
            ',' => simple(self, TokenKind::Comma, 1),
            '(' => {
                self.parens += 1;
                simple(self, TokenKind::Open, 1)
            }
            ')' if self.parens == 0 => self.fail(from, "unexpected right paren"),
            ')' => {
                self.parens -= 1;
                simple(self, TokenKind::Close, 1)
            }
            '"' => self.quoted('"', TokenKind::Quoted, "unterminated quoted string"),
            '\'' => self.quoted('\'', TokenKind::Char, "unterminated character constant"),
            '`' => self.raw(),
            '$' => {
                self.at += 1;
                self.words(TokenKind::Variable, from)
            }
            '.' if !self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                self.at += 1;
                match self.peek() {
                    Some(next) if is_word(next) => self.words(TokenKind::Field, from),
                    _ => {
                        self.push(TokenKind::Dot, from, from + 1);
                        Ok(())
                    }
                }
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            c if is_word(c) => self.words(TokenKind::Word, from),
            // Go knows it as a token that no command may have.
            c => self.fail(from, format!("unexpected {:?} in command", c.to_string())),
        }
    }

    fn space(&mut self) -> Result<(), TemplateError> {
        let from = self.at;
        // The white space of a trimming delimiter belongs to the delimiter.
        while self.peek().is_some_and(is_space) && !self.closes_with_trim() {
            self.at += 1;
        }
        self.push(TokenKind::Space, from, self.at);
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: TokenKind, why: &str) -> Result<(), TemplateError> {
        let from = self.at;
        let mut escaped = false;
        for (offset, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.at = from + offset + 1;
                    self.push(kind, from, self.at);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(from, why)
    }

    fn raw(&mut self) -> Result<(), TemplateError> {
        let from = self.at;
        let Some(length) = self.rest()[1..].find('`') else {
            return self.fail(from, "unterminated raw quoted string");
        };
        self.at += length + 2;
        self.push(TokenKind::Raw, from, self.at);
        Ok(())
    }

    /// Identifiers, keywords, fields and variables.
    fn words(&mut self, kind: TokenKind, from: usize) -> Result<(), TemplateError> {
        let length = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        self.at += length;
        let fine = self.rest().starts_with("}}")
            || self.peek().is_none_or(|c| is_space(c) || ".,|:()".contains(c));
        if !fine {
            let c = self.peek().unwrap_or(' ');
            let message = format!("bad character U+{:04X} '{c}'", u32::from(c));
            return self.fail(self.at, message);
        }
        let kind = match (kind, &self.source[from..self.at]) {
            (TokenKind::Word, "true" | "false") => TokenKind::Bool,
            (TokenKind::Word, "nil") => TokenKind::Nil,
            (TokenKind::Word, word) if KEYWORDS.contains(&word) => TokenKind::Keyword,
            (kind, _) => kind,
        };
        self.push(kind, from, self.at);
        Ok(())
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let from = self.at;
        let mut rest = self.rest().trim_start_matches(['+', '-']);
        if self.rest().len() - rest.len() > 1 {
            return self.fail(from, format!("bad number syntax: {:?}", self.rest().get(..2)));
        }
        let hex = rest.starts_with("0x") || rest.starts_with("0X");
        let mut before = ' ';
        while let Some(c) = rest.chars().next() {
            let exponent = if hex { "pP" } else { "eE" };
            let sign = "+-".contains(c) && exponent.contains(before);
            if !(sign || c == '.' || is_word(c)) {
                break;
            }
            before = c;
            rest = &rest[c.len_utf8()..];
        }
        self.at = self.source.len() - rest.len();
        self.push(TokenKind::Number, from, self.at);
        Ok(())
    }
}
