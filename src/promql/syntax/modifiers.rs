//! What follows an expression: `[5m]`, `[1h:1m]`, `offset`, `@`, `anchored` and `smoothed`.

use super::ast::{At, Extension, Length, Range, Subquery};
use super::error::ParseError;
use super::lex::Token;
use super::parse::{MAX_DEPTH, Parser};
use super::{Expr, Span};
use crate::model::Timestamp;

type Parsed<T> = Result<T, ParseError>;

impl Parser<'_> {
    /// All modifiers that follow `expr`, which has been read.
    pub fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let mut links = 0;
        loop {
            links += 1;
            if links > MAX_DEPTH {
                return self.error(self.span(), "too many modifiers".to_owned());
            }
            self.height += 1;
            if self.is_sign("[") {
                expr = self.brackets(expr)?;
            } else if self.is_sign("@") {
                expr = self.at_modifier(expr)?;
            } else if self.is_word("offset") {
                expr = self.offset_modifier(expr)?;
            } else if self.is_word("anchored") || self.is_word("smoothed") {
                expr = self.extension(expr)?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn brackets(&mut self, inner: Expr) -> Parsed<Expr> {
        let start = inner.span();
        let bracket = self.span();
        self.advance();
        let length_span = self.span();
        let length = self.length_in_brackets()?;
        if let Length::Seconds(seconds) = length
            && seconds <= 0.0
        {
            return self.error(length_span, "duration must be greater than 0");
        }
        if self.eat(":") {
            let step_span = self.span();
            let step = if self.is_sign("]") { None } else { Some(self.length_in_brackets()?) };
            if let Some(Length::Seconds(seconds)) = step
                && seconds <= 0.0
            {
                return self.error(step_span, "duration must be greater than 0");
            }
            self.expect("]", "subquery selector", "\"]\"")?;
            let span = start.to(self.last_span());
            return Ok(Expr::Subquery(Box::new(Subquery {
                inner,
                length,
                step,
                offset: None,
                at: None,
                span,
            })));
        }
        self.expect("]", "matrix selector", "\"]\"")?;
        let end = self.last_span();
        let Expr::Selector(selector) = inner else {
            return self.error(bracket.to(end), "ranges only allowed for vector selectors");
        };
        if selector.offset.is_some() {
            return self.error(bracket.to(end), "no offset modifiers allowed before range");
        }
        if selector.at.is_some() {
            return self.error(bracket.to(end), "no @ modifiers allowed before range");
        }
        if selector.extension != Extension::None {
            return self
                .error(bracket.to(end), "no anchored or smoothed modifiers allowed before range");
        }
        Ok(Expr::Range(Range { span: start.to(end), selector, length }))
    }

    fn extension(&mut self, mut expr: Expr) -> Parsed<Expr> {
        let anchored = self.is_word("anchored");
        let word_span = self.span();
        self.advance();
        let whole = expr.span().to(word_span);
        let extension = if anchored { Extension::Anchored } else { Extension::Smoothed };
        let slot = match &mut expr {
            Expr::Selector(selector) if !anchored => {
                selector.span = whole;
                &mut selector.extension
            }
            Expr::Range(range) => {
                range.span = whole;
                &mut range.selector.extension
            }
            Expr::Selector(_) => {
                return self
                    .error(expr.span(), "anchored modifier can only be used with range vectors");
            }
            _ => {
                let word = if anchored { "anchored" } else { "smoothed" };
                let message = format!(
                    "{word} modifier must be preceded by an instant vector selector or range vector selector"
                );
                return self.error(expr.span(), message);
            }
        };
        if *slot != Extension::None {
            return self
                .error(whole, "anchored and smoothed modifiers may not be set multiple times");
        }
        *slot = extension;
        Ok(expr)
    }

    fn offset_modifier(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance();
        let length = self.offset_length()?;
        let end = self.last_span();
        let whole = expr.span();
        let slot = match modifiers(&mut expr, end) {
            Some((offset, _)) => offset,
            None => {
                return self.error(whole, "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery");
            }
        };
        if slot.is_some() {
            return self.error(whole, "offset may not be set multiple times");
        }
        *slot = Some(length);
        Ok(expr)
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance();
        let whole = expr.span();
        let at = match self.token() {
            Token::Name(name) => {
                let at = match name.to_ascii_lowercase().as_str() {
                    "start" => At::Start,
                    "end" => At::End,
                    _ => return self.unexpected("@", "timestamp"),
                };
                self.advance();
                self.expect("(", "@", "timestamp")?;
                self.expect(")", "@", "timestamp")?;
                at
            }
            Token::Number(_) | Token::Duration(_) | Token::Sign("-" | "+") => {
                let seconds = self.signed_number("@")?;
                let limit = i64::MAX as f64 / 1000.0;
                let time = Timestamp::from_seconds(seconds).filter(|_| seconds.abs() < limit);
                let Some(time) = time else {
                    let shown = super::number::format_float(seconds);
                    let message = format!("timestamp out of bounds for @ modifier: {shown}");
                    return self.error(whole, message);
                };
                At::Time(time)
            }
            _ => return self.unexpected("@", "timestamp"),
        };
        let end = self.last_span();
        let Some((_, slot)) = modifiers(&mut expr, end) else {
            return self.error(whole, "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery");
        };
        if slot.is_some() {
            return self.error(whole, "@ <timestamp> may not be set multiple times");
        }
        *slot = Some(at);
        Ok(expr)
    }
}

/// Where `offset` and `@` of an expression go; its span grows to `end`.
fn modifiers(expr: &mut Expr, end: Span) -> Option<(&mut Option<Length>, &mut Option<At>)> {
    match expr {
        Expr::Selector(node) => {
            node.span = node.span.to(end);
            Some((&mut node.offset, &mut node.at))
        }
        Expr::Range(node) => {
            node.span = node.span.to(end);
            Some((&mut node.selector.offset, &mut node.selector.at))
        }
        Expr::Subquery(node) => {
            node.span = node.span.to(end);
            Some((&mut node.offset, &mut node.at))
        }
        _ => None,
    }
}
