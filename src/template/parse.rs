//! Tokens into a tree, with the checks that Go's `text/template` makes before anything runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TemplateError;
use super::lex::{Token, TokenKind, lex};
use super::text::unquote;
use super::tree::{Branch, Command, Expr, Kind, Name, Node, Number, Pipe};

/// Nested blocks and parentheses; more is hostile.
const DEPTH: usize = 100;

/// The bodies found in one source: its own under its name, and those it defines.
pub(super) type Bodies = BTreeMap<Name, Vec<Node>>;

/// Reads a source. `knows` says which functions exist: an unknown one is an error at once.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn parse(
    name: &str,
    source: &str,
    knows: &dyn Fn(&str) -> bool,
) -> Result<(Vec<Node>, Bodies), TemplateError> {
    let tokens = lex(name, source)?;
    let mut parser = Parser {
        name,
        source,
        knows,
        tokens,
        next: 0,
        depth: 0,
        loops: 0,
        variables: vec!["$".into()],
        bodies: Bodies::new(),
    };
    let (body, stop) = parser.list(true)?;
    match stop {
        Stop::Source => Ok((body, parser.bodies)),
        Stop::End => parser.fail("unexpected {{end}}"),
        Stop::Else => parser.fail("unexpected {{else}}"),
    }
}

struct Parser<'a> {
    name: &'a str,
    source: &'a str,
    knows: &'a dyn Fn(&str) -> bool,
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    loops: usize,
    variables: Vec<Name>,
    bodies: Bodies,
}

/// What ended a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    Source,
    End,
    Else,
}

type Parsed<T> = Result<T, TemplateError>;

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        // The last token is `End` and is never passed.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) -> Token<'a> {
        if self.peek().kind == TokenKind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        let at = self.tokens[self.next.saturating_sub(1).min(self.tokens.len() - 1)].at;
        Err(TemplateError::syntax(self.name, self.source, at, message))
    }

    fn unexpected<T>(&mut self, token: Token<'a>, context: &str) -> Parsed<T> {
        if token.kind == TokenKind::End {
            return self.fail("unexpected EOF");
        }
        let text: String = token.text.chars().take(40).collect();
        let what = if token.kind == TokenKind::Keyword {
            format!("<{text}>")
        } else {
            super::text::quote(&text)
        };
        self.fail(format!("unexpected {what} in {context}"))
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH {
            return self.fail(format!("nested more than {DEPTH} deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self, top: bool) -> Parsed<(Vec<Node>, Stop)> {
        let mut nodes = Vec::new();
        loop {
            let token = self.take();
            match token.kind {
                TokenKind::End => return Ok((nodes, Stop::Source)),
                TokenKind::Text => nodes.push(Node::Text(token.text.into())),
                TokenKind::Left => {
                    let first = self.skip_space();
                    if first.kind != TokenKind::Keyword {
                        nodes.push(Node::Action(self.pipeline("command", TokenKind::Right)?));
                        continue;
                    }
                    self.next += 1;
                    match first.text {
                        "end" => {
                            self.close("end")?;
                            return Ok((nodes, Stop::End));
                        }
                        "else" => return Ok((nodes, Stop::Else)),
                        "define" if top => self.define()?,
                        "block" => nodes.push(self.block(first.at)?),
                        keyword => nodes.push(self.control(keyword, first)?),
                    }
                }
                _ => return self.unexpected(token, "input"),
            }
        }
    }

    fn control(&mut self, keyword: &str, token: Token<'a>) -> Parsed<Node> {
        match keyword {
            "if" => Ok(Node::If(self.deeper(|p| p.branch("if"))?)),
            "with" => Ok(Node::With(self.deeper(|p| p.branch("with"))?)),
            "range" => Ok(Node::Range(self.deeper(|p| p.branch("range"))?)),
            "template" => self.call(token.at),
            "break" | "continue" => {
                self.close(keyword)?;
                if self.loops == 0 {
                    return self.fail(format!("{{{{{keyword}}}}} outside {{{{range}}}}"));
                }
                Ok(if keyword == "break" { Node::Break } else { Node::Continue })
            }
            _ => self.unexpected(token, "command"),
        }
    }

    fn close(&mut self, context: &str) -> Parsed<()> {
        let token = self.skip_space();
        self.next += 1;
        match token.kind {
            TokenKind::Right => Ok(()),
            _ => self.unexpected(token, context),
        }
    }

    fn branch(&mut self, keyword: &str) -> Parsed<Branch> {
        let outer = self.variables.len();
        let pipe = self.pipeline(keyword, TokenKind::Right)?;
        if keyword == "range" {
            self.loops += 1;
        }
        let (body, stop) = self.list(false)?;
        if keyword == "range" {
            self.loops -= 1;
        }
        let otherwise = match stop {
            Stop::Source => return self.fail("unexpected EOF"),
            Stop::End => Vec::new(),
            Stop::Else => self.otherwise(keyword)?,
        };
        self.variables.truncate(outer);
        Ok(Branch { pipe, body, otherwise })
    }

    /// What follows `{{ else`.
    fn otherwise(&mut self, keyword: &str) -> Parsed<Vec<Node>> {
        let token = self.skip_space();
        // `{{ else if }}` and `{{ else with }}` share the end of the block around them.
        if token.kind == TokenKind::Keyword && token.text == keyword {
            self.next += 1;
            match keyword {
                "if" => return Ok(vec![Node::If(self.deeper(|p| p.branch("if"))?)]),
                "with" => return Ok(vec![Node::With(self.deeper(|p| p.branch("with"))?)]),
                _ => return self.unexpected(token, "else"),
            }
        }
        self.close("else")?;
        match self.list(false)? {
            (body, Stop::End) => Ok(body),
            (_, Stop::Else) => self.fail("expected end; found {{else}}"),
            (_, Stop::Source) => self.fail("unexpected EOF"),
        }
    }

    fn name(&mut self, context: &str) -> Parsed<Name> {
        let token = self.skip_space();
        self.next += 1;
        match token.kind {
            TokenKind::Quoted | TokenKind::Raw => match unquote(token.text) {
                Some(name) => Ok(name.into()),
                None => self.fail("invalid syntax"),
            },
            _ => self.unexpected(token, context),
        }
    }

    fn define(&mut self) -> Parsed<()> {
        let name = self.name("define clause")?;
        self.close("define clause")?;
        self.definition(name)
    }

    fn definition(&mut self, name: Name) -> Parsed<()> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, stop) = self.deeper(|p| p.list(false))?;
        self.variables = outer;
        self.loops = loops;
        match stop {
            Stop::End => {
                define(&mut self.bodies, name, body);
                Ok(())
            }
            Stop::Else => self.fail("unexpected {{else}} in define clause"),
            Stop::Source => self.fail("unexpected EOF"),
        }
    }

    fn argument(&mut self, context: &str) -> Parsed<Option<Pipe>> {
        if self.skip_space().kind == TokenKind::Right {
            self.next += 1;
            return Ok(None);
        }
        self.pipeline(context, TokenKind::Right).map(Some)
    }

    fn block(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("block clause")?;
        let Some(pipe) = self.argument("block clause")? else {
            return self.fail("missing value for block clause");
        };
        self.definition(name.clone())?;
        Ok(Node::Call { at, name, pipe: Some(pipe) })
    }

    fn call(&mut self, at: usize) -> Parsed<Node> {
        let name = self.name("template clause")?;
        let pipe = self.argument("template clause")?;
        Ok(Node::Call { at, name, pipe })
    }

    fn pipeline(&mut self, context: &str, end: TokenKind) -> Parsed<Pipe> {
        let at = self.skip_space().at;
        let (mut variables, mut assigns) = (Vec::new(), false);
        if end == TokenKind::Right {
            (variables, assigns) = self.declarations(context)?;
        }
        let mut commands = Vec::new();
        loop {
            let token = self.skip_space();
            if token.kind == end {
                self.next += 1;
                if commands.is_empty() {
                    return self.fail(format!("missing value for {context}"));
                }
                break;
            }
            if !commands.is_empty() {
                if token.kind != TokenKind::Pipe {
                    self.next += 1;
                    return self.unexpected(token, context);
                }
                self.next += 1;
                // Go lets a `|` before the end pass.
                if self.skip_space().kind == end {
                    continue;
                }
            }
            commands.push(self.command(context)?);
        }
        // Behind a `|` only what can take an argument may stand.
        for (index, command) in commands.iter().enumerate().skip(1) {
            if let [Expr { kind, .. }, ..] = command.words.as_slice()
                && matches!(
                    kind,
                    Kind::Bool(_) | Kind::Dot | Kind::Nil | Kind::Number(..) | Kind::Text(..)
                )
            {
                let message = format!("non executable command in pipeline stage {}", index + 1);
                return self.fail(message);
            }
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { at, assigns, variables, commands })
    }

    /// `$x :=`, `$x =`, `$i, $x :=` and nothing at all.
    fn declarations(&mut self, context: &str) -> Parsed<(Vec<Name>, bool)> {
        let start = self.next;
        let mut names: Vec<Name> = Vec::new();
        while self.skip_space().kind == TokenKind::Variable {
            names.push(self.take().text.into());
            let token = self.skip_space();
            match token.kind {
                TokenKind::Declare | TokenKind::Assign => {
                    self.next += 1;
                    let assigns = token.kind == TokenKind::Assign;
                    if assigns && let Some(missing) = names.iter().find(|n| !self.declared(n)) {
                        let message = format!("undefined variable {missing:?}");
                        return self.fail(message);
                    }
                    return Ok((names, assigns));
                }
                TokenKind::Comma if context == "range" && names.len() < 2 => self.next += 1,
                TokenKind::Comma => {
                    self.next += 1;
                    return self.fail(format!("too many declarations in {context}"));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn declared(&self, name: &str) -> bool {
        self.variables.iter().any(|known| **known == *name)
    }

    fn command(&mut self, context: &str) -> Parsed<Command> {
        let mut words = Vec::new();
        loop {
            self.skip_space();
            if let Some(word) = self.operand()? {
                words.push(word);
            }
            let token = self.peek();
            match token.kind {
                TokenKind::Space => {}
                TokenKind::Right | TokenKind::Close | TokenKind::Pipe => break,
                _ => {
                    self.next += 1;
                    return self
                        .unexpected(token, if words.is_empty() { context } else { "operand" });
                }
            }
            if matches!(
                self.skip_space().kind,
                TokenKind::Right | TokenKind::Close | TokenKind::Pipe
            ) {
                break;
            }
        }
        if words.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command { words })
    }

    /// A term and the fields that hang on it.
    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let token = self.peek();
        let Some(kind) = self.term()? else {
            return Ok(None);
        };
        let term = Expr { at: token.at, kind };
        let mut names: Vec<Name> = Vec::new();
        while self.peek().kind == TokenKind::Field {
            names.push(self.take().text[1..].into());
        }
        if names.is_empty() {
            return Ok(Some(term));
        }
        let kind = match term.kind {
            Kind::Field(mut all) => {
                all.extend(names);
                Kind::Field(all)
            }
            Kind::Variable(mut all) => {
                all.extend(names);
                Kind::Variable(all)
            }
            Kind::Bool(_) | Kind::Text(..) | Kind::Number(..) | Kind::Nil | Kind::Dot => {
                let message = format!("unexpected . after term {:?}", term.to_string());
                return self.fail(message);
            }
            _ => Kind::Chain(Box::new(term.clone()), names),
        };
        Ok(Some(Expr { at: token.at, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Kind>> {
        let token = self.take();
        let text = token.text;
        Ok(Some(match token.kind {
            TokenKind::Word => {
                if !(self.knows)(text) {
                    return self.fail(format!("function {text:?} not defined"));
                }
                Kind::Function(text.into())
            }
            TokenKind::Dot => Kind::Dot,
            TokenKind::Nil => Kind::Nil,
            TokenKind::Bool => Kind::Bool(text == "true"),
            TokenKind::Field => Kind::Field(vec![text[1..].into()]),
            TokenKind::Variable => {
                if !self.declared(text) {
                    return self.fail(format!("undefined variable {text:?}"));
                }
                Kind::Variable(vec![text.into()])
            }
            TokenKind::Number | TokenKind::Char => match number(token) {
                Some(number) => Kind::Number(number, text.into()),
                None => return self.fail(format!("bad number syntax: {text:?}")),
            },
            TokenKind::Quoted | TokenKind::Raw => match unquote(text) {
                Some(value) => Kind::Text(value.into(), text.into()),
                None => return self.fail("invalid syntax"),
            },
            TokenKind::Open => {
                let pipe =
                    self.deeper(|p| p.pipeline("parenthesized pipeline", TokenKind::Close))?;
                Kind::Pipe(Box::new(pipe))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        }))
    }
}

/// Go lets a later definition win, unless it is empty.
pub(super) fn define(bodies: &mut Bodies, name: Name, body: Vec<Node>) {
    let empty = body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
    if !empty || !bodies.contains_key(&name) {
        bodies.insert(name, body);
    }
}

fn number(token: Token<'_>) -> Option<Number> {
    if token.kind == TokenKind::Char {
        let text: Arc<str> = unquote(token.text)?.into();
        let mut chars = text.chars();
        let code = i64::from(u32::from(chars.next()?));
        #[allow(clippy::cast_precision_loss)]
        let float = code as f64;
        return chars.next().is_none().then_some(Number {
            int: Some(code),
            float,
            is_float: false,
        });
    }
    let plain = without_underscores(token.text)?;
    if let Some(int) = integer(&plain) {
        #[allow(clippy::cast_precision_loss)]
        let float = int as f64;
        return Some(Number { int: Some(int), float, is_float: false });
    }
    let float = float(&plain)?;
    #[allow(clippy::cast_possible_truncation)]
    let int = (float.fract() == 0.0 && float.abs() < 9e18).then_some(float as i64);
    Some(Number { int, float, is_float: true })
}

/// Underscores may stand between digits and behind a prefix only.
fn without_underscores(text: &str) -> Option<String> {
    let prefixed = text.trim_start_matches(['+', '-']).starts_with('0');
    if text.ends_with('_') || text.starts_with('_') || text.contains("__") {
        return None;
    }
    let (mut plain, mut before) = (String::new(), ' ');
    for c in text.chars() {
        let behind_digit = before.is_ascii_hexdigit() || (prefixed && "xXoObB".contains(before));
        if c == '_' && !behind_digit {
            return None;
        }
        if c != '_' {
            plain.push(c);
        }
        before = c;
    }
    Some(plain)
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

fn float(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    let fine = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    fine.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(source: &str) -> String {
        parse("t", source, &|name| name == "f").unwrap_err().to_string()
    }

    #[test]
    fn it_says_what_is_wrong_as_go_does() {
        assert_eq!(error("{{ if }}"), "template: t:1: missing value for if");
        assert_eq!(error("a\n{{ nofunc . }}"), "template: t:2: function \"nofunc\" not defined");
        assert_eq!(error("{{ \"open }}"), "template: t:1: unterminated quoted string");
        assert_eq!(error("{{ if f }}x"), "template: t:1: unexpected EOF");
        assert_eq!(error("x{{ end }}"), "template: t:1: unexpected {{end}}");
        assert_eq!(error("{{ $x }}"), "template: t:1: undefined variable \"$x\"");
        assert_eq!(error("{{ break }}"), "template: t:1: {{break}} outside {{range}}");
        assert_eq!(error("{{ f"), "template: t:1: unclosed action");
        assert_eq!(error("{{/* x }}"), "template: t:1: unclosed comment");
        assert_eq!(error("{{ (f }}"), "template: t:1: unclosed left paren");
        assert_eq!(error("{{ a%b }}"), "template: t:1: bad character U+0025 '%'");
    }

    #[test]
    fn an_error_knows_its_offset() {
        let found = parse("t", "a\n{{ nofunc . }}", &|_| false).unwrap_err();
        assert_eq!((found.offset, found.line), (5, 2));
    }

    #[test]
    fn words_print_as_they_were_written() {
        let source = "{{ $x := f  \"a\\n\" 0x10 | f (f .a.b).c }}";
        let (nodes, _) = parse("t", source, &|_| true).unwrap();
        let Node::Action(pipe) = &nodes[0] else { panic!("{nodes:?}") };
        assert_eq!(pipe.to_string(), "$x := f \"a\\n\" 0x10 | f (f .a.b).c");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(source in "\\PC{0,200}") {
            let _ = parse("t", &source, &|_| true);
        }

        #[test]
        fn no_mixture_of_words_makes_it_panic(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "{{", "}}", "{{-", "-}}", " ", "if", "end", "else", "range", "with", "define", "\"x\"",
                "$", "$x", ":=", "=", ",", "|", "(", ")", ".", ".a", "f", "1", "-", "'a'", "`", "/*", "*/",
                "template", "block", "break", "nil", "true", "ü", "\n",
            ]), 0..40),
        ) {
            let _ = parse("t", &words.concat(), &|_| true);
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(error(&deep).contains("deep"), "{}", error(&deep));
        let deep = "{{ if f }}".repeat(5_000);
        assert!(error(&deep).contains("deep"));
    }
}
