//! Selectors and lengths of time: the leaves of the grammar.

use super::Span;
use super::ast::{Extension, Length, LengthOperation, Selector};
use super::error::ParseError;
use super::lex::{Token, has_raw_bytes, quoted};
use super::parse::Parser;
use crate::model::{METRIC_NAME, Matcher, Pattern, Test};

impl Parser<'_> {
    /// The braces of a selector, if there are any; `name` has been read.
    pub fn selector(
        &mut self,
        name: Option<(String, Span)>,
        start: Span,
    ) -> Result<Selector, ParseError> {
        let mut matchers = Vec::new();
        let mut end = start;
        let mut inner_names = Vec::new();
        if self.eat("{") {
            while !self.is_sign("}") {
                self.matcher(&mut matchers, &mut inner_names)?;
                if !self.eat(",") && !self.is_sign("}") {
                    return self.unexpected("label matching", "\",\" or \"}\"");
                }
            }
            end = self.span();
            self.advance();
        }
        let span = start.to(end);
        let mut written = name.map(|(name, _)| name);
        if let (Some(outer), Some(inner)) = (&written, inner_names.first()) {
            let message = format!("metric name must not be set twice: {outer:?} or {inner:?}");
            return self.error(span, message);
        }
        if inner_names.len() > 1 || matchers.iter().any(|m| m.name() == METRIC_NAME) {
            // Names in braces are matchers like others; several of them just find nothing.
            matchers.extend(inner_names.drain(..).map(|name| Matcher::metric(&name)));
        }
        written = written.or(inner_names.pop());
        if let Some(name) = &written {
            if let Some(Test::Equal(other)) =
                matchers.iter().find(|m| m.name() == METRIC_NAME).map(Matcher::test)
            {
                let message = format!("metric name must not be set twice: {name:?} or {other:?}");
                return self.error(span, message);
            }
            matchers.push(Matcher::metric(name));
        }
        matchers.shrink_to_fit();
        Ok(Selector {
            name: written,
            matchers,
            offset: None,
            at: None,
            extension: Extension::None,
            span,
        })
    }

    /// `label="value"`, `"label"="value"` or `"metric"`.
    fn matcher(
        &mut self,
        matchers: &mut Vec<Matcher>,
        names: &mut Vec<String>,
    ) -> Result<(), ParseError> {
        let span = self.span();
        let (label, is_text) = match self.token().clone() {
            Token::Name(name) => (name, false),
            Token::Text(name) => (name, true),
            _ => return self.unexpected("label matching", "identifier or \"}\""),
        };
        if has_raw_bytes(&label) {
            return self.error(span, format!("invalid label name {}", quoted(&label)));
        }
        self.advance();
        if is_text && (self.is_sign(",") || self.is_sign("}")) {
            names.push(label);
            return Ok(());
        }
        let Token::Sign(operator @ ("=" | "!=" | "=~" | "!~")) = *self.token() else {
            return self.unexpected("label matching", "label matching operator");
        };
        self.advance();
        let value_span = self.span();
        let Token::Text(value) = self.token().clone() else {
            return self.unexpected("label matching", "string");
        };
        if has_raw_bytes(&value) {
            return self
                .error(value_span, format!("label value is not valid UTF-8: {}", quoted(&value)));
        }
        self.advance();
        let pattern = |text: &str| {
            Pattern::new(text).map_err(|bad| {
                let message = format!("error parsing regexp: {}: `{}`", bad.reason, bad.text);
                ParseError::new(message, span.to(value_span), self.query)
            })
        };
        let test = match operator {
            "=" => Test::Equal(value.into()),
            "!=" => Test::NotEqual(value.into()),
            "=~" => Test::Match(pattern(&value)?),
            _ => Test::NotMatch(pattern(&value)?),
        };
        matchers.push(Matcher::new(&label, test));
        Ok(())
    }

    /// A length within `[…]`, where arithmetic needs no brackets.
    pub fn length_in_brackets(&mut self) -> Result<Length, ParseError> {
        self.length(0)
    }

    /// The length behind `offset`: one term with signs; arithmetic only in round brackets.
    pub fn offset_length(&mut self) -> Result<Length, ParseError> {
        if self.eat("-") {
            let inner = self.length_term("offset")?;
            return Ok(negated(inner));
        }
        self.eat("+");
        self.length_term("offset")
    }

    fn length(&mut self, least: u8) -> Result<Length, ParseError> {
        self.deeper(|parser| {
            let mut left = if parser.eat("-") {
                negated(parser.length(3)?)
            } else if parser.eat("+") {
                parser.length(3)?
            } else {
                parser.length_term("duration expression")?
            };
            let mut chained = 0;
            loop {
                let (operation, precedence) = match parser.token() {
                    Token::Sign("+") => (LengthOperation::Add, 1),
                    Token::Sign("-") => (LengthOperation::Subtract, 1),
                    Token::Sign("*") => (LengthOperation::Multiply, 2),
                    Token::Sign("/") => (LengthOperation::Divide, 2),
                    Token::Sign("%") => (LengthOperation::Modulo, 2),
                    Token::Sign("^") => (LengthOperation::Power, 3),
                    _ => return Ok(left),
                };
                if precedence < least {
                    return Ok(left);
                }
                chained += 1;
                if chained > super::parse::MAX_DEPTH {
                    return parser.error(parser.span(), "duration expression is too long");
                }
                parser.advance();
                let right = parser.length(precedence + u8::from(precedence < 3))?;
                left = Length::Operation(operation, Box::new((left, right)));
            }
        })
    }

    fn length_term(&mut self, context: &str) -> Result<Length, ParseError> {
        let expected = "number or duration";
        match self.token().clone() {
            Token::Number(value) | Token::Duration(value) => {
                if !value.is_finite() || value.abs() > 9.2e9 {
                    return self.error(self.span(), "duration out of range");
                }
                self.advance();
                Ok(Length::Seconds(value))
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.length(0)?;
                self.expect(")", context, "\")\"")?;
                Ok(Length::Paren(Box::new(inner)))
            }
            Token::Name(name) => {
                let operation = match name.to_ascii_lowercase().as_str() {
                    "step" | "range" => None,
                    "min_of" => Some(LengthOperation::Least),
                    "max_of" => Some(LengthOperation::Greatest),
                    _ => return self.unexpected(context, expected),
                };
                self.advance();
                self.expect("(", context, "\"(\"")?;
                let Some(operation) = operation else {
                    self.expect(")", context, "\")\"")?;
                    let step = name.eq_ignore_ascii_case("step");
                    return Ok(if step { Length::Step } else { Length::Range });
                };
                let left = self.length(0)?;
                self.expect(",", context, "\",\"")?;
                let right = self.length(0)?;
                self.expect(")", context, "\")\"")?;
                Ok(Length::Operation(operation, Box::new((left, right))))
            }
            _ => self.unexpected(context, expected),
        }
    }
}

fn negated(inner: Length) -> Length {
    match inner {
        Length::Seconds(seconds) => Length::Seconds(-seconds),
        other => Length::Negated(Box::new(other)),
    }
}
