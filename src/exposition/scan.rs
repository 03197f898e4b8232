use std::borrow::Cow;

/// A place in a page. All steps are bounded by the rest of the page.
#[derive(Clone, Copy)]
pub(super) struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn step(&mut self) {
        self.at = (self.at + 1).min(self.bytes.len());
    }

    /// Consumes exactly this, if it is next.
    pub(super) fn eat(&mut self, expected: &[u8]) -> bool {
        let found = self.rest().starts_with(expected);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// Consumes spaces and tabs; whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self.take_while(|b| b == b' ' || b == b'\t').is_empty()
    }

    pub(super) fn take_while(&mut self, mut fits: impl FnMut(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|b| !fits(*b)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// Up to the end of the line, which is not consumed.
    pub(super) fn line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`, the colon for metric names only.
    pub(super) fn name(&mut self, colon: bool) -> Option<&'a str> {
        let first = self.peek()?;
        if !(first.is_ascii_alphabetic() || first == b'_' || (colon && first == b':')) {
            return None;
        }
        let name =
            self.take_while(|b| b.is_ascii_alphanumeric() || b == b'_' || (colon && b == b':'));
        std::str::from_utf8(name).ok()
    }

    /// What stands between double quotes, still escaped; the quotes are consumed. `None` when
    /// there is no closing quote (or, with `one_line`, not in this line).
    pub(super) fn quoted(&mut self, one_line: bool) -> Option<&'a [u8]> {
        let inside = self.rest().strip_prefix(b"\"")?;
        let mut from = 0;
        loop {
            let found = from + memchr::memchr3(b'"', b'\\', b'\n', &inside[from..])?;
            match inside[found] {
                b'"' => {
                    self.at += found + 2;
                    return Some(&inside[..found]);
                }
                b'\n' if one_line => return None,
                b'\n' => from = found + 1,
                // Whatever follows a backslash does not end the text; a line feed is no
                // character that can be escaped.
                _ if inside.get(found + 1).is_some_and(|b| *b != b'\n') => from = found + 2,
                _ => return None,
            }
        }
    }
}

/// `\\` and `\n` become what they mean, with `quotes` also `\"`; other escapes stay as written.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (means, length) = match rest.as_bytes().get(at + 1) {
            Some(b'\\') => ("\\", 2),
            Some(b'n') => ("\n", 2),
            Some(b'"') if quotes => ("\"", 2),
            _ => ("\\", 1),
        };
        out.push_str(means);
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
