//! A Pratt parser: expressions by precedence, everything else by recursive descent.

use super::ast::{
    Aggregate, Aggregation, Binary, Call, Cardinality, Matching, Number, Operator, Paren, Selector,
    Text, Unary,
};
use super::error::ParseError;
use super::lex::{Lexeme, RESERVED, Token, lex, quoted};
use super::{Expr, Span, function};

/// How deep expressions may be nested in each other by parentheses and calls.
pub(super) const MAX_DEPTH: usize = 200;
/// How high the tree of an expression may be. A row of operators is as high as it is long, and
/// generated rules have rows of hundreds. Threads that evaluate have a stack for this.
pub(super) const MAX_HEIGHT: usize = 1_000;
/// Longest query in bytes.
pub(super) const MAX_LENGTH: usize = 1 << 20;

pub(super) struct Parser<'a> {
    pub query: &'a str,
    lexemes: Vec<Lexeme>,
    at: usize,
    depth: usize,
    /// Of the tree of what was parsed last.
    pub height: usize,
}

type Parsed<T> = Result<T, ParseError>;

/// Parses and checks an expression.
pub(super) fn expression(query: &str) -> Parsed<Expr> {
    let mut parser = Parser::new(query)?;
    if parser.lexemes.len() == 1 {
        let message = "no expression found in input".to_owned();
        let position = (!query.is_empty()).then_some((1, 1));
        return Err(ParseError { message, span: Span::default(), position });
    }
    let expr = parser.binary(0)?;
    parser.finish()?;
    super::check::check(&expr, query)?;
    Ok(expr)
}

/// Parses `name{a="b"}` as `match[]` and series lists have it.
pub(super) fn selector(query: &str) -> Parsed<Selector> {
    let mut parser = Parser::new(query)?;
    let start = parser.span();
    let name = match parser.token().clone() {
        Token::Name(name) | Token::MetricName(name) => {
            parser.advance();
            Some((name, start))
        }
        Token::Sign("{") => None,
        _ => return parser.unexpected("", ""),
    };
    let selector = parser.selector(name, start)?;
    parser.finish()?;
    super::check::check(&Expr::Selector(selector.clone()), query)?;
    Ok(selector)
}

impl<'a> Parser<'a> {
    fn new(query: &'a str) -> Parsed<Self> {
        if query.len() > MAX_LENGTH {
            let message = format!("query is longer than {MAX_LENGTH} bytes");
            return Err(ParseError { message, span: Span::default(), position: Some((1, 1)) });
        }
        Ok(Self { query, lexemes: lex(query)?, at: 0, depth: 0, height: 0 })
    }

    pub fn token(&self) -> &Token {
        &self.lexemes[self.at].token
    }

    fn next_token(&self) -> &Token {
        &self.lexemes[(self.at + 1).min(self.lexemes.len() - 1)].token
    }

    pub fn span(&self) -> Span {
        self.lexemes[self.at].span
    }

    pub fn last_span(&self) -> Span {
        self.lexemes[self.at.saturating_sub(1)].span
    }

    pub fn advance(&mut self) {
        self.at = (self.at + 1).min(self.lexemes.len() - 1);
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self.token(), Token::Sign(s) if *s == sign)
    }

    pub fn eat(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        if found {
            self.advance();
        }
        found
    }

    pub fn expect(&mut self, sign: &str, context: &str, expected: &str) -> Parsed<()> {
        if self.eat(sign) { Ok(()) } else { self.unexpected(context, expected) }
    }

    pub fn is_word(&self, word: &str) -> bool {
        matches!(self.token(), Token::Name(name) if name.eq_ignore_ascii_case(word))
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub fn error<T>(&self, span: Span, message: impl Into<String>) -> Parsed<T> {
        Err(ParseError::new(message.into(), span, self.query))
    }

    pub fn unexpected<T>(&self, context: &str, expected: &str) -> Parsed<T> {
        let what = match self.token() {
            Token::End => "end of input".to_owned(),
            Token::Name(name) => {
                keyword(name).unwrap_or_else(|| format!("identifier {}", quoted(name)))
            }
            Token::MetricName(name) => format!("metric identifier {}", quoted(name)),
            Token::Number(_) => format!("number {}", quoted(self.source())),
            Token::Duration(_) => format!("duration {}", quoted(self.source())),
            Token::Text(_) => format!("string {}", quoted(self.source())),
            Token::Sign(sign) if Operator::ALL.iter().any(|(symbol, _)| symbol == sign) => {
                format!("<op:{sign}>")
            }
            Token::Sign(sign) => format!("\"{sign}\""),
        };
        let context = if context.is_empty() { String::new() } else { format!(" in {context}") };
        let expected =
            if expected.is_empty() { String::new() } else { format!(", expected {expected}") };
        self.error(self.span(), format!("unexpected {what}{context}{expected}"))
    }

    fn source(&self) -> &str {
        self.query.get(self.span().start as usize..self.span().end as usize).unwrap_or("")
    }

    fn finish(&self) -> Parsed<()> {
        if *self.token() == Token::End { Ok(()) } else { self.unexpected("", "") }
    }

    pub fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self
                .error(self.span(), format!("expression is nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let beside = std::mem::take(&mut self.height);
        let parsed = parse(self);
        self.height = beside.max(self.height + 1);
        self.depth -= 1;
        parsed
    }

    /// An expression whose operators bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let beside = std::mem::take(&mut self.height);
        let mut left = self.deeper(Self::unary)?;
        let mut height = std::mem::take(&mut self.height);
        while let Some(operator) = self.operator() {
            let precedence = operator.precedence();
            if precedence < least {
                break;
            }
            if height > MAX_HEIGHT {
                let message = format!("more than {MAX_HEIGHT} operators on top of each other");
                return self.error(self.span(), message);
            }
            let operator_span = self.span();
            self.advance();
            let (bool_modifier, matching) = self.binary_modifiers(operator)?;
            let tighter = if operator == Operator::Power { precedence } else { precedence + 1 };
            let right = self.deeper(|parser| parser.binary(tighter))?;
            height = height.max(std::mem::take(&mut self.height)) + 1;
            let span = left.span().to(right.span());
            left = Expr::Binary(Box::new(Binary {
                operator,
                operator_span,
                left,
                right,
                bool_modifier,
                matching,
                span,
            }));
        }
        self.height = beside.max(height);
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        let word = match self.token() {
            Token::Sign(sign) => (*sign).to_owned(),
            Token::Name(name) => name.to_ascii_lowercase(),
            _ => return None,
        };
        Operator::ALL.iter().find(|(symbol, _)| *symbol == word).map(|(_, operator)| *operator)
    }

    fn binary_modifiers(&mut self, operator: Operator) -> Parsed<(bool, Matching)> {
        let bool_modifier = self.eat_word("bool");
        let mut matching = Matching::default();
        if operator.is_set() {
            matching.cardinality = Cardinality::ManyToMany;
        }
        if self.is_word("on") || self.is_word("ignoring") {
            matching.on = self.is_word("on");
            matching.written = true;
            self.advance();
            matching.labels = self.label_list("grouping opts")?;
            if self.is_word("group_left") || self.is_word("group_right") {
                let left = self.is_word("group_left");
                if operator.is_set() {
                    let name = operator.symbol();
                    return self
                        .error(self.span(), format!("no grouping allowed for {name:?} operation"));
                }
                matching.cardinality =
                    if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                self.advance();
                if self.is_sign("(") {
                    matching.include = self.label_list("grouping opts")?;
                }
            }
        }
        // A metric may be called `fill`, so the bracket decides.
        while let Some((left, right)) = self.fill_word() {
            if *self.next_token() != Token::Sign("(") {
                break;
            }
            let span = self.span();
            if operator.is_set() {
                return self.error(span, "filling in missing series not allowed for set operators");
            }
            self.advance();
            self.advance();
            let value = self.signed_number("fill modifier")?;
            self.expect(")", "fill modifier", "\")\"")?;
            if (left && matching.fill_left.is_some()) || (right && matching.fill_right.is_some()) {
                return self.error(span, "fill value may not be set multiple times");
            }
            if left {
                matching.fill_left = Some(value);
            }
            if right {
                matching.fill_right = Some(value);
            }
        }
        Ok((bool_modifier, matching))
    }

    fn fill_word(&self) -> Option<(bool, bool)> {
        match self.token() {
            Token::Name(name) => match name.to_ascii_lowercase().as_str() {
                "fill" => Some((true, true)),
                "fill_left" => Some((true, false)),
                "fill_right" => Some((false, true)),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn signed_number(&mut self, context: &str) -> Parsed<f64> {
        let sign = if self.eat("-") {
            -1.0
        } else {
            self.eat("+");
            1.0
        };
        match *self.token() {
            Token::Number(value) | Token::Duration(value) => {
                self.advance();
                Ok(sign * value)
            }
            _ => self.unexpected(context, "number"),
        }
    }

    /// `(a, b, "c d")`
    fn label_list(&mut self, context: &str) -> Parsed<Vec<String>> {
        self.expect("(", context, "\"(\"")?;
        let mut labels = Vec::new();
        while !self.is_sign(")") {
            match self.token().clone() {
                Token::Name(name) => labels.push(name),
                Token::Text(name) if !name.is_empty() => labels.push(name),
                _ => return self.unexpected(context, "label"),
            }
            self.advance();
            if !self.eat(",") && !self.is_sign(")") {
                return self.unexpected(context, "\",\" or \")\"");
            }
        }
        self.advance();
        Ok(labels)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let span = self.span();
        let minus = self.is_sign("-");
        if minus || self.is_sign("+") {
            self.advance();
            let inner = self.deeper(|parser| parser.binary(Operator::Power.precedence()))?;
            let whole = span.to(inner.span());
            if let Expr::Number(number) = inner {
                let value = if minus { -number.value } else { number.value };
                return Ok(Expr::Number(Number { value, span: whole, ..number }));
            }
            return Ok(Expr::Unary(Box::new(Unary { minus, inner, span: whole })));
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let span = self.span();
        match self.token().clone() {
            Token::Number(value) => {
                self.advance();
                Ok(Expr::Number(Number { value, duration: false, span }))
            }
            Token::Duration(value) => {
                self.advance();
                Ok(Expr::Number(Number { value, duration: true, span }))
            }
            Token::Text(value) => {
                self.advance();
                Ok(Expr::Text(Text { value, span }))
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.deeper(|parser| parser.binary(0))?;
                self.expect(")", "", "")?;
                let span = span.to(self.last_span());
                Ok(Expr::Paren(Box::new(Paren { inner, span })))
            }
            Token::Sign("{") => self.selector(None, span).map(Expr::Selector),
            Token::MetricName(name) => {
                self.advance();
                self.selector(Some((name, span)), span).map(Expr::Selector)
            }
            Token::Name(name) => self.named(name, span),
            _ => self.unexpected("", ""),
        }
    }

    /// An aggregation, a function call or a selector.
    fn named(&mut self, name: String, span: Span) -> Parsed<Expr> {
        let lower = name.to_ascii_lowercase();
        if RESERVED.contains(&lower.as_str())
            || self.operator().is_some_and(|o| o == Operator::Atan2)
        {
            return self.unexpected("", "");
        }
        let operator = Aggregation::ALL.iter().find(|(word, _)| *word == lower).map(|(_, o)| *o);
        let called = *self.next_token() == Token::Sign("(");
        if let Some(operator) = operator {
            let grouped = matches!(self.next_token(), Token::Name(word)
                if word.eq_ignore_ascii_case("by") || word.eq_ignore_ascii_case("without"));
            if called || grouped {
                self.advance();
                return self.aggregate(operator, span);
            }
        }
        if called {
            self.advance();
            let case_insensitive = ["start", "end", "step", "range", "min_of", "max_of"];
            let wanted = if case_insensitive.contains(&lower.as_str()) {
                lower.as_str()
            } else {
                name.as_str()
            };
            let Some(function) = function(wanted) else {
                return self.error(span, format!("unknown function with name {}", quoted(&name)));
            };
            let arguments = self.arguments("function call")?;
            let span = span.to(self.last_span());
            return Ok(Expr::Call(Call { function, arguments, span }));
        }
        self.advance();
        self.selector(Some((name, span)), span).map(Expr::Selector)
    }

    fn arguments(&mut self, context: &str) -> Parsed<Vec<Expr>> {
        self.expect("(", context, "\"(\"")?;
        let mut arguments = Vec::new();
        if self.eat(")") {
            return Ok(arguments);
        }
        loop {
            if context == "aggregation"
                && matches!(self.token(), Token::Name(name) if RESERVED.contains(&name.to_ascii_lowercase().as_str()))
            {
                return self.unexpected(context, "");
            }
            arguments.push(self.deeper(|parser| parser.binary(0))?);
            if self.eat(")") {
                // Rules keep what they were parsed to for as long as they run.
                arguments.shrink_to_fit();
                return Ok(arguments);
            }
            self.expect(",", context, "")?;
            if self.is_sign(")") {
                return self.error(
                    self.last_span(),
                    format!("trailing commas not allowed in {context} args"),
                );
            }
        }
    }

    fn aggregate(&mut self, operator: Aggregation, span: Span) -> Parsed<Expr> {
        let mut grouping = self.grouping()?;
        if !self.is_sign("(") {
            return self.unexpected("aggregation", "");
        }
        let mut arguments = self.arguments("aggregation")?;
        if grouping.is_none() {
            grouping = self.grouping()?;
        }
        let span = span.to(self.last_span());
        if arguments.is_empty() {
            return self.error(span, "no arguments for aggregate expression provided");
        }
        let expected = if operator.has_parameter() { 2 } else { 1 };
        if arguments.len() != expected {
            let message = format!(
                "wrong number of arguments for aggregate expression provided, expected {expected}, got {}",
                arguments.len()
            );
            return self.error(span, message);
        }
        let grouped = grouping.is_some();
        let (without, labels) = grouping.unwrap_or_default();
        let inner = arguments.remove(expected - 1);
        let parameter = arguments.pop();
        Ok(Expr::Aggregate(Box::new(Aggregate {
            operator,
            parameter,
            inner,
            labels,
            without,
            grouped,
            span,
        })))
    }

    fn grouping(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.advance();
        Ok(Some((without, self.label_list("grouping opts")?)))
    }
}

/// How Prometheus' errors name a keyword.
fn keyword(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if Operator::ALL.iter().any(|(symbol, _)| *symbol == lower) {
        return Some(format!("<op:{lower}>"));
    }
    if Aggregation::ALL.iter().any(|(word, _)| *word == lower) {
        return Some(format!("<aggr:{lower}>"));
    }
    let words = ["by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset"];
    words.contains(&lower.as_str()).then(|| format!("<{lower}>"))
}
