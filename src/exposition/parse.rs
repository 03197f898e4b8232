use std::borrow::Cow;

use hashbrown::HashMap;

use super::family::{Exemplar, Family, Sample, kind_from_word, stem};
use super::format::Syntax;
use super::number::{label_float, read_float};
use super::scan::{Scan, unescape};
use crate::model::{Labels, METRIC_NAME, MetricType, Timestamp};

/// What a page may hold at most, so that a hostile one costs bounded memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the page.
    pub bytes: usize,
    /// Sample lines.
    pub samples: usize,
    /// Labels of one sample, the metric name included.
    pub labels: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 << 20, samples: 1_000_000, labels: 1_000 }
    }
}

/// What a page said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The sample lines in order, repeated series included.
    pub samples: Vec<Sample>,
    /// What the comment lines said, each metric once.
    pub metadata: Vec<Metadata>,
}

/// What the comment lines said about a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Name as in the comment lines.
    pub name: String,
    /// Its kind.
    pub kind: MetricType,
    /// What it means.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// Why a page was refused, and where. As with Prometheus, nothing of it counts then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
    /// What was found and what was expected; quotes at most 40 characters of the page.
    pub reason: String,
}

/// Reads a page as Prometheus 3 does, its leniences and strictnesses included: text 0.0.4 and
/// 1.0.0 allow blanks nearly everywhere, OpenMetrics nowhere; both take quoted names.
/// The values of `le` (histograms) and `quantile` (summaries) are written in one form.
///
/// # Errors
/// The place of the first violation, or the limit that was passed.
pub fn parse(page: &[u8], syntax: Syntax, limits: Limits) -> Result<Page, ParseError> {
    let mut reader = Reader {
        scan: Scan::new(page),
        strict: syntax == Syntax::OpenMetrics,
        limits,
        page: Page::default(),
        by_name: HashMap::new(),
        kind: None,
    };
    let outcome = if page.len() > limits.bytes {
        Err(format!("the page has {} bytes, at most {} are read", page.len(), limits.bytes))
    } else if reader.strict {
        reader.openmetrics()
    } else {
        reader.text()
    };
    match outcome {
        Ok(()) => Ok(reader.page),
        Err(reason) => Err(place(page, reader.scan.at(), reason)),
    }
}

fn place(page: &[u8], at: usize, reason: String) -> ParseError {
    let before = &page[..at.min(page.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    ParseError { line, column: 1 + before.len() - start, reason }
}

/// The first characters of what was found instead.
fn found(rest: &[u8]) -> String {
    let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
    let text = String::from_utf8_lossy(&line[..line.len().min(160)]);
    match (rest.first(), text.is_empty()) {
        (None, _) => "the end of the page".to_owned(),
        (_, true) => "the end of the line".to_owned(),
        _ => format!("{:?}", text.chars().take(40).collect::<String>()),
    }
}

type Step<T> = Result<T, String>;

struct Reader<'a> {
    scan: Scan<'a>,
    strict: bool,
    limits: Limits,
    page: Page,
    by_name: HashMap<Cow<'a, str>, usize>,
    /// What the last TYPE line said; it holds until the next one.
    kind: Option<MetricType>,
}

impl<'a> Reader<'a> {
    fn expected<T>(&self, what: &str) -> Step<T> {
        Err(format!("expected {what}, found {}", found(self.scan.rest())))
    }

    fn text(&mut self) -> Step<()> {
        loop {
            self.scan.blanks();
            match self.scan.peek() {
                None => return Ok(()),
                Some(b'\n') => self.scan.step(),
                Some(b'#') => self.text_comment()?,
                Some(_) => self.sample()?,
            }
        }
    }

    fn text_comment(&mut self) -> Step<()> {
        self.scan.step();
        let apart = self.scan.blanks();
        let follows = |word: &[u8]| {
            let rest = self.scan.rest().strip_prefix(word);
            rest.is_some_and(|rest| rest.starts_with(b" ") || rest.starts_with(b"\t"))
        };
        let word: &[u8] = match apart {
            true if follows(b"HELP") => b"HELP",
            true if follows(b"TYPE") => b"TYPE",
            _ => b"",
        };
        if word.is_empty() {
            self.scan.line();
            return Ok(());
        }
        self.scan.eat(word);
        self.scan.blanks();
        let name = self.comment_name()?;
        let before = self.scan;
        let line = self.scan.line();
        if word == b"HELP" {
            let text = String::from_utf8_lossy(line.get(1..).unwrap_or_default());
            self.metadata(name).help = unescape(&text, false).into_owned();
            return Ok(());
        }
        let Some(kind) = kind_from_word(line.trim_ascii(), false) else {
            self.scan = before;
            return self.expected("counter, gauge, histogram, summary or untyped");
        };
        self.kind = Some(kind);
        self.metadata(name).kind = kind;
        Ok(())
    }

    fn comment_name(&mut self) -> Step<Cow<'a, str>> {
        if self.scan.peek() == Some(b'"') {
            return self.quoted("a metric name");
        }
        match self.scan.name(true) {
            Some(name) => Ok(Cow::Borrowed(name)),
            None => self.expected("a metric name"),
        }
    }

    fn quoted(&mut self, what: &str) -> Step<Cow<'a, str>> {
        let before = self.scan;
        let text = self.scan.quoted(self.strict);
        match text.map(std::str::from_utf8) {
            Some(Ok(text)) => Ok(unescape(text, true)),
            Some(Err(_)) => {
                self.scan = before;
                Err(format!("{what} is not UTF-8: {}", found(self.scan.rest())))
            }
            None => self.expected(&format!("{what} in double quotes")),
        }
    }

    fn metadata(&mut self, name: Cow<'a, str>) -> &mut Metadata {
        let next = self.page.metadata.len();
        let at = *self.by_name.entry(name.clone()).or_insert(next);
        if at == next {
            self.page.metadata.push(Metadata {
                name: name.into_owned(),
                kind: MetricType::Unknown,
                help: String::new(),
                unit: String::new(),
            });
        }
        &mut self.page.metadata[at]
    }

    fn openmetrics(&mut self) -> Step<()> {
        // Prometheus takes an empty answer for a page without samples.
        if self.scan.rest().is_empty() {
            return Ok(());
        }
        loop {
            match self.scan.peek() {
                None => return self.expected("`# EOF` as the last line"),
                Some(b'#') if self.scan.eat(b"# EOF") => {
                    self.scan.eat(b"\n");
                    return match self.scan.peek() {
                        None => Ok(()),
                        Some(_) => self.expected("nothing after `# EOF`"),
                    };
                }
                Some(b'#') => self.openmetrics_comment()?,
                Some(_) => self.sample()?,
            }
        }
    }

    fn openmetrics_comment(&mut self) -> Step<()> {
        let words = [b"# HELP ".as_slice(), b"# TYPE ", b"# UNIT "];
        let Some(word) = words.into_iter().find(|word| self.scan.rest().starts_with(word)) else {
            return self.expected("`# HELP`, `# TYPE`, `# UNIT` or `# EOF`");
        };
        self.scan.eat(word);
        let name = self.comment_name()?;
        if self.scan.peek() != Some(b' ') {
            return self.expected("a space and a text");
        }
        self.scan.step();
        let before = self.scan;
        let line = self.scan.line();
        if !self.scan.eat(b"\n") {
            return self.expected("the end of the line");
        }
        match word[2] {
            b'H' => {
                let text = String::from_utf8_lossy(line);
                self.metadata(name).help = unescape(&text, true).into_owned();
            }
            b'T' => {
                let Some(kind) = kind_from_word(line, true) else {
                    self.scan = before;
                    return self.expected("a metric type of OpenMetrics");
                };
                self.kind = Some(kind);
                self.metadata(name).kind = kind;
            }
            _ => {
                let unit = String::from_utf8_lossy(line).into_owned();
                let fits = name.strip_suffix(unit.as_str()).is_some_and(|rest| rest.ends_with('_'));
                if !unit.is_empty() && !fits {
                    self.scan = before;
                    return Err(format!("the unit {unit:?} is no ending of the metric {name:?}"));
                }
                self.metadata(name).unit = unit;
            }
        }
        Ok(())
    }

    fn sample(&mut self) -> Step<()> {
        if self.page.samples.len() >= self.limits.samples {
            return Err(format!("more than {} samples", self.limits.samples));
        }
        let start = self.scan;
        let name = self.scan.name(true);
        if name.is_none() && self.scan.peek() != Some(b'{') {
            return self.expected("a metric name, `{` or a comment");
        }
        self.skip();
        let labels = if self.scan.peek() == Some(b'{') {
            self.labels(name, true)?
        } else {
            self.pack(vec![(METRIC_NAME, Cow::Borrowed(name.unwrap_or_default()))])?
        };
        if labels.metric_name().is_empty() {
            self.scan = start;
            return Err("a sample without a metric name".to_owned());
        }
        let spaced = self.space();
        if self.strict && !spaced {
            return self.expected("a space and a value");
        }
        let value = self.number("a value")?;
        let (at, exemplar) =
            if self.strict { self.openmetrics_tail()? } else { (self.text_tail()?, None) };
        self.page.samples.push(Sample { labels, value, at, exemplar });
        Ok(())
    }

    /// Blanks where only the text format allows them.
    fn skip(&mut self) {
        if !self.strict {
            self.scan.blanks();
        }
    }

    /// What separates words: one space in OpenMetrics, any blanks in text.
    fn space(&mut self) -> bool {
        if self.strict { self.scan.eat(b" ") } else { self.scan.blanks() }
    }

    fn number(&mut self, what: &str) -> Step<f64> {
        let before = self.scan;
        let strict = self.strict;
        let word = self
            .scan
            .take_while(|b| !(b == b' ' || b == b'\n' || (!strict && (b == b'\t' || b == b'{'))));
        match read_float(word) {
            Some(value) => Ok(value),
            None => {
                self.scan = before;
                self.expected(what)
            }
        }
    }

    fn text_tail(&mut self) -> Step<Option<Timestamp>> {
        self.scan.blanks();
        let before = self.scan;
        let digits = self.scan.take_while(|b| b.is_ascii_digit());
        let at = match std::str::from_utf8(digits).map(str::parse) {
            _ if digits.is_empty() => None,
            Ok(Ok(millis)) => Some(Timestamp::from_millis(millis)),
            _ => {
                self.scan = before;
                return self.expected("a timestamp in milliseconds");
            }
        };
        self.scan.blanks();
        match self.scan.peek() {
            None | Some(b'\n') => Ok(at),
            Some(_) if at.is_none() => self.expected("a timestamp in milliseconds or a new line"),
            Some(_) => self.expected("a new line"),
        }
    }

    fn openmetrics_tail(&mut self) -> Step<(Option<Timestamp>, Option<Exemplar>)> {
        let at = self.optional_timestamp()?;
        let mut exemplar = None;
        if self.scan.eat(b" # ") {
            if self.scan.peek() != Some(b'{') {
                return self.expected("the labels of an exemplar");
            }
            let labels = self.labels(None, false)?;
            if !self.scan.eat(b" ") {
                return self.expected("a space and the exemplar's value");
            }
            let value = self.number("the exemplar's value")?;
            exemplar = Some(Exemplar { labels, value, at: self.optional_timestamp()? });
        }
        if self.scan.eat(b"\n") { Ok((at, exemplar)) } else { self.expected("a new line") }
    }

    fn optional_timestamp(&mut self) -> Step<Option<Timestamp>> {
        if !self.scan.rest().starts_with(b" ") || self.scan.rest().starts_with(b" #") {
            return Ok(None);
        }
        let before = self.scan;
        self.scan.step();
        let seconds = self.number("a timestamp in seconds")?;
        match Timestamp::from_seconds(seconds) {
            Some(at) => Ok(Some(at)),
            None => {
                self.scan = before;
                self.expected("a timestamp in seconds")
            }
        }
    }

    /// From `{` to `}`. With `metric`, one quoted word without a value may name the metric.
    fn labels(&mut self, name: Option<&'a str>, metric: bool) -> Step<Labels> {
        self.scan.step();
        let mut pairs: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(8);
        if let Some(name) = name {
            pairs.push((Cow::Borrowed(METRIC_NAME), Cow::Borrowed(name)));
        }
        let mut named = name.is_some();
        loop {
            self.skip();
            match self.scan.peek() {
                Some(b'}') => {
                    self.scan.step();
                    return self.pack(pairs);
                }
                Some(b'"') => {
                    let word = self.quoted("a name")?;
                    self.skip();
                    if self.scan.peek() == Some(b'=') {
                        let value = self.label_value()?;
                        pairs.push((word, value));
                    } else if metric && !named {
                        named = true;
                        pairs.push((Cow::Borrowed(METRIC_NAME), word));
                    } else {
                        return self.expected("`=`, because the metric has its name already");
                    }
                }
                Some(_) => {
                    let Some(label) = self.scan.name(false) else {
                        return self.expected("a label name or `}`");
                    };
                    self.skip();
                    if self.scan.peek() != Some(b'=') {
                        return self.expected("`=` after the label name");
                    }
                    let value = self.label_value()?;
                    pairs.push((Cow::Borrowed(label), value));
                }
                None => return self.expected("a label name or `}`"),
            }
            if pairs.len() > self.limits.labels {
                return Err(format!("more than {} labels", self.limits.labels));
            }
            self.skip();
            if !self.scan.eat(b",") && self.strict && self.scan.peek() != Some(b'}') {
                return self.expected("`,` or `}`");
            }
        }
    }

    /// From `=` to the closing quote.
    fn label_value(&mut self) -> Step<Cow<'a, str>> {
        self.scan.step();
        self.skip();
        self.quoted("a label value")
    }

    fn pack<N: AsRef<str>>(&self, mut pairs: Vec<(N, Cow<'a, str>)>) -> Step<Labels> {
        let bound = match self.kind {
            Some(MetricType::Histogram) => "le",
            Some(MetricType::Summary) => "quantile",
            _ => "",
        };
        if !bound.is_empty() {
            for (name, value) in &mut pairs {
                if name.as_ref() == bound
                    && let Some(number) = read_float(value.as_bytes())
                {
                    *value = Cow::Owned(label_float(number));
                }
            }
        }
        Labels::from_pairs(pairs.iter().map(|(name, value)| (name.as_ref(), &**value)))
            .map_err(|error| error.to_string())
    }
}

impl Page {
    /// The samples under the metrics they belong to, in the order of the page; the names as text
    /// format 0.0.4 knows them. `_created` samples become families of their own.
    pub fn into_families(self) -> Vec<Family> {
        let mut families: Vec<Family> = Vec::with_capacity(self.metadata.len());
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for meta in self.metadata {
            by_name.insert(meta.name.clone(), families.len());
            families.push(Family {
                name: meta.name,
                help: meta.help,
                kind: meta.kind,
                unit: meta.unit,
                samples: Vec::new(),
            });
        }
        for sample in self.samples {
            let name = sample.labels.metric_name();
            let home = by_name.get(name).copied().or_else(|| home(name, &families, &by_name));
            let at = home.unwrap_or_else(|| {
                by_name.insert(name.to_owned(), families.len());
                families.push(Family {
                    name: name.to_owned(),
                    help: String::new(),
                    kind: MetricType::Unknown,
                    unit: String::new(),
                    samples: Vec::new(),
                });
                families.len() - 1
            });
            families[at].samples.push(sample);
        }
        for family in &mut families {
            let first = family.samples.first().map(|sample| sample.labels.metric_name());
            if matches!(family.kind, MetricType::Counter | MetricType::Info)
                && let Some(name) = first
            {
                family.name = name.to_owned();
            }
        }
        families
    }
}

/// The family whose kind explains the ending of a sample's name.
fn home(name: &str, families: &[Family], by_name: &HashMap<String, usize>) -> Option<usize> {
    let cut = name.rfind('_')?;
    let at = *by_name.get(&name[..cut])?;
    let explains = !name.ends_with("_created") && stem(name, families[at].kind).is_some();
    explains.then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(page: &str, syntax: Syntax) -> String {
        parse(page.as_bytes(), syntax, Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_its_place() {
        assert_eq!(
            error("# HELP a x\na{b=\"c\"} one\n", Syntax::Text),
            "line 2, column 10: expected a value, found \"one\""
        );
        assert_eq!(
            error("a 1\n", Syntax::OpenMetrics),
            "line 2, column 1: expected `# EOF` as the last line, found the end of the page"
        );
        assert_eq!(
            error("a{b=\"1\",b=\"2\"} 1\n", Syntax::Text),
            "line 1, column 15: the label \"b\" is given twice"
        );
    }

    #[test]
    fn limits_hold() {
        let limits = Limits { bytes: 100, samples: 2, labels: 3 };
        let refuse = |page: &str| parse(page.as_bytes(), Syntax::Text, limits).unwrap_err().reason;
        assert_eq!(refuse("a 1\na 1\na 1\n"), "more than 2 samples");
        assert_eq!(refuse("a{b=\"\",c=\"\",d=\"\"} 1\n"), "more than 3 labels");
        assert!(refuse(&"#".repeat(101)).starts_with("the page has 101 bytes"));
    }

    #[test]
    fn samples_find_their_family() {
        let page = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_sum 1\nh_count 1\n\
            # TYPE c counter\nc_total 1\n# TYPE i info\ni_info{v=\"1\"} 1\nh_other 1\n# EOF\n";
        let page = parse(page.as_bytes(), Syntax::OpenMetrics, Limits::default()).unwrap();
        let families = page.into_families();
        let names: Vec<_> = families.iter().map(|f| (f.name.as_str(), f.samples.len())).collect();
        assert_eq!(names, [("h", 3), ("c_total", 1), ("i_info", 1), ("h_other", 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for syntax in [Syntax::Text, Syntax::OpenMetrics] {
                let _ = parse(&bytes, syntax, Limits::default());
            }
        }

        #[test]
        fn nearly_right_pages_are_read_or_refused(page in "[a#{}\"=,\\\\ \n1.eE+TYPHLunitgaue_x-]{0,120}") {
            for syntax in [Syntax::Text, Syntax::OpenMetrics] {
                if let Ok(read) = parse(page.as_bytes(), syntax, Limits::default()) {
                    prop_assert!(read.samples.len() <= page.len());
                    let families = read.clone().into_families();
                    let kept: usize = families.iter().map(|f| f.samples.len()).sum();
                    prop_assert_eq!(kept, read.samples.len());
                }
            }
        }
    }
}
