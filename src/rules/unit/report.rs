use std::fmt::Write as _;
use std::time::Duration;

/// What kind of failure it is; the names are those of the recorded verdicts of promtool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Other alerts fire, or with other texts.
    Alerts,
    /// A query gives other values.
    Samples,
    /// A query or an expected sample cannot be read, or the query fails.
    Query,
    /// A rule fails.
    RuleEvaluation,
    /// A rule file is refused.
    RuleFile,
    /// The test file itself is refused.
    TestFile,
}

impl Class {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alerts => "alerts_differ",
            Self::Samples => "samples_differ",
            Self::Query => "query_error",
            Self::RuleEvaluation => "rule_evaluation_error",
            Self::RuleFile => "rule_file_error",
            Self::TestFile => "test_file_error",
        }
    }
}

/// One expectation.
#[derive(Clone, Debug)]
pub struct Case {
    /// The test's name, or `#` and its number.
    pub test: String,
    /// The line of the test in its file.
    pub line: usize,
    /// `alert`, `expr`, or `rule` for a rule that failed on the way.
    pub kind: &'static str,
    /// The alert's name or the query.
    pub name: String,
    /// The time in the test.
    pub time: String,
    /// The same as a length.
    pub at: Duration,
    /// How many alerts or samples are expected.
    pub expected: usize,
    /// What differs; `None` when nothing does.
    pub failure: Option<Failure>,
}

/// What differs.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What kind.
    pub class: Class,
    /// For a person, several lines.
    pub difference: String,
}

/// What became of one test file.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Its name.
    pub file: String,
    /// Why it could not be run: its own mistakes or those of its rule files.
    pub problems: Vec<(Class, String)>,
    /// Every expectation.
    pub cases: Vec<Case>,
    /// How many rules its rule files have.
    pub rules: usize,
    /// Names of rules that no test looks at.
    pub untested: Vec<String>,
}

/// What became of many.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// File by file.
    pub files: Vec<FileReport>,
}

impl FileReport {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            problems: Vec::new(),
            cases: Vec::new(),
            rules: 0,
            untested: Vec::new(),
        }
    }

    pub(super) fn broken(&mut self, class: Class, problem: String) {
        self.problems.push((class, problem));
    }

    pub(super) fn is_broken(&self) -> bool {
        !self.problems.is_empty()
    }

    /// Whether everything is as expected.
    pub fn is_good(&self) -> bool {
        self.problems.is_empty() && self.failed().next().is_none()
    }

    /// The expectations that were not met.
    pub fn failed(&self) -> impl Iterator<Item = (&Case, &Failure)> {
        self.cases.iter().filter_map(|case| Some((case, case.failure.as_ref()?)))
    }

    /// All kinds of failures, each once.
    pub fn classes(&self) -> Vec<Class> {
        let mut classes: Vec<Class> = self.problems.iter().map(|(class, _)| *class).collect();
        classes.extend(self.failed().map(|(_, failure)| failure.class));
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    fn write(&self, text: &mut String) {
        let word = if self.is_good() { "ok" } else { "FAILED" };
        let _ = writeln!(text, "{word} {} ({} expectations)", self.file, self.cases.len());
        for (_, problem) in &self.problems {
            let _ = writeln!(text, "  {problem}");
        }
        for (case, failure) in self.failed() {
            let _ = writeln!(
                text,
                "  {}:{} test {:?}: {} {} at {}",
                self.file, case.line, case.test, case.kind, case.name, case.time
            );
            for line in failure.difference.lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
        if !self.untested.is_empty() {
            let tested = self.rules - self.untested.len();
            let names = self.untested.join(", ");
            let _ = writeln!(text, "  {tested} of {} rules tested; not: {names}", self.rules);
        }
    }
}

impl Report {
    /// Whether everything is as expected.
    pub fn is_good(&self) -> bool {
        self.files.iter().all(FileReport::is_good)
    }

    /// Expectations met and not met; a file that cannot be run is one that is not met.
    pub fn counts(&self) -> (usize, usize) {
        let cases = || self.files.iter().flat_map(|file| &file.cases);
        let failed = cases().filter(|case| case.failure.is_some()).count();
        let broken = self.files.iter().filter(|file| file.is_broken()).count();
        (cases().count() - failed, failed + broken)
    }

    /// For a terminal. The last line is `N passed, M failed`.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.files.iter().for_each(|file| file.write(&mut text));
        let rules: usize = self.files.iter().map(|file| file.rules).sum();
        let untested: usize = self.files.iter().map(|file| file.untested.len()).sum();
        let _ = writeln!(text, "{} of {rules} rules tested", rules - untested);
        let (passed, failed) = self.counts();
        let _ = writeln!(text, "{passed} passed, {failed} failed");
        text
    }

    /// As JUnit XML, one suite for each file.
    pub fn junit(&self) -> String {
        let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
        for file in &self.files {
            let failures = file.failed().count() + file.problems.len();
            let total = file.cases.len() + file.problems.len();
            let name = escaped(&file.file);
            let _ = writeln!(
                xml,
                "  <testsuite name=\"{name}\" tests=\"{total}\" failures=\"{failures}\">"
            );
            for (class, problem) in &file.problems {
                let (class, problem) = (class.name(), escaped(problem));
                let _ = writeln!(
                    xml,
                    "    <testcase name=\"{name}\"><failure type=\"{class}\">{problem}</failure></testcase>"
                );
            }
            for case in &file.cases {
                let title = escaped(&format!("{} {} at {}", case.kind, case.name, case.time));
                let _ = write!(
                    xml,
                    "    <testcase classname=\"{}\" name=\"{title}\"",
                    escaped(&case.test)
                );
                let _ = match &case.failure {
                    None => writeln!(xml, "/>"),
                    Some(failure) => writeln!(
                        xml,
                        "><failure type=\"{}\">{}</failure></testcase>",
                        failure.class.name(),
                        escaped(&failure.difference)
                    ),
                };
            }
            xml.push_str("  </testsuite>\n");
        }
        xml.push_str("</testsuites>\n");
        xml
    }
}

/// Text inside XML; characters that XML does not have are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}
