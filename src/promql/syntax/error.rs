use std::fmt;

/// A stretch of the query's text in bytes, `start <= end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// First byte behind it.
    pub end: u32,
}

impl Span {
    /// Positions beyond 4 GiB do not occur: queries are limited far below.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end) }
    }

    /// From the start of one to the end of the other.
    pub(crate) fn to(self, end: Span) -> Self {
        Self { start: self.start, end: end.end.max(self.start) }
    }
}

/// Line and column of a byte, both from 1; the column counts bytes, as Prometheus does.
pub fn line_and_column(query: &str, at: u32) -> (usize, usize) {
    let before = &query.as_bytes()[..query.len().min(at as usize)];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line + 1, before.len() - start + 1)
}

/// A query that is not PromQL. `Display` is how Prometheus says it: `1:5: parse error: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong, without position.
    pub message: String,
    /// Where.
    pub span: Span,
    /// Line and column of the start of `span`, from 1; `None` for an empty query.
    pub position: Option<(usize, usize)>,
}

impl ParseError {
    pub(super) fn new(message: String, span: Span, query: &str) -> Self {
        Self { message, span, position: Some(line_and_column(query, span.start)) }
    }

    /// The query with the offending place marked beneath, for a terminal. Long lines are cut.
    pub fn marked(&self, query: &str) -> String {
        let Some((line, column)) = self.position else { return String::new() };
        let text = query.lines().nth(line - 1).unwrap_or("");
        let at = text.get(..column - 1).map_or(0, |before| before.chars().count());
        let first = at.saturating_sub(60);
        let shown: String = text.chars().skip(first).take(120).collect();
        let length = query
            .get(self.span.start as usize..self.span.end as usize)
            .map_or(1, |marked| marked.lines().next().unwrap_or("").chars().count());
        let marks = "^".repeat(length.clamp(1, 120 - (at - first).min(119)));
        format!("{shown}\n{}{marks}", " ".repeat(at - first))
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{line}:{column}: parse error: {}", self.message),
            None => write!(f, "unknown position: parse error: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}
