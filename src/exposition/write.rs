use std::fmt::Write;

use hashbrown::HashSet;

use super::family::{Exemplar, Family, Sample, kind_word};
use super::format::{Format, Syntax};
use super::number::push_float;
use crate::model::{
    EscapedValue, Labels, METRIC_NAME, MetricType, Timestamp, is_legacy_label_name,
    is_legacy_metric_name,
};

/// The page of these metrics. Families without samples are left out, and of two families that get
/// the same name in this format the first one counts.
///
/// OpenMetrics wants some things otherwise than people name them: a counter without `_total`, an
/// info metric without `_info` and a state set without a label of its own name are written with
/// the type that fits.
pub fn write(families: &[Family], format: Format) -> String {
    write_hiding(families, format, &[])
}

/// The page of these metrics without the labels named in `hidden`, which must be the same on all
/// series (as a scraper's own `job` and `instance` are).
pub fn write_hiding(families: &[Family], format: Format, hidden: &[&str]) -> String {
    let lines: usize = families.iter().map(|family| family.samples.len() + 2).sum();
    let mut page = Writer {
        out: String::with_capacity(lines * 100),
        format,
        hidden,
        openmetrics: format.syntax() == Syntax::OpenMetrics,
    };
    let mut names = HashSet::new();
    for family in families.iter().filter(|family| !family.samples.is_empty()) {
        let (name, kind) = page.title(family);
        let name = format.escaping().metric(name).into_owned();
        if names.insert(name.clone()) {
            page.family(family, &name, kind);
        }
    }
    if page.openmetrics {
        page.out.push_str("# EOF\n");
    }
    page.out
}

struct Writer<'h> {
    out: String,
    format: Format,
    hidden: &'h [&'h str],
    openmetrics: bool,
}

impl Writer<'_> {
    /// Name and kind of a family in this format.
    fn title<'a>(&self, family: &'a Family) -> (&'a str, MetricType) {
        let name = family.name.as_str();
        if !self.openmetrics {
            return (name, family.kind);
        }
        let with_ending = |ending: &str| match name.strip_suffix(ending) {
            Some(stem) if !stem.is_empty() => (stem, family.kind),
            _ => (name, MetricType::Unknown),
        };
        match family.kind {
            MetricType::Counter => with_ending("_total"),
            MetricType::Info => with_ending("_info"),
            MetricType::StateSet
                if !family.samples.iter().all(|s| s.labels.get(name).is_some()) =>
            {
                (name, MetricType::Gauge)
            }
            kind => (name, kind),
        }
    }

    fn family(&mut self, family: &Family, name: &str, kind: MetricType) {
        if !family.help.is_empty() {
            self.comment("HELP", name);
            self.help(&family.help);
        }
        self.comment("TYPE", name);
        let word = match kind {
            kind if self.openmetrics => kind_word(kind),
            MetricType::Info | MetricType::StateSet => "gauge",
            MetricType::GaugeHistogram | MetricType::Unknown => "untyped",
            kind => kind_word(kind),
        };
        self.out.push_str(word);
        self.out.push('\n');
        let unit = name.strip_suffix(family.unit.as_str()).is_some_and(|rest| rest.ends_with('_'));
        let unitless = matches!(kind, MetricType::Info | MetricType::StateSet);
        if self.openmetrics && !family.unit.is_empty() && unit && !unitless {
            self.comment("UNIT", name);
            self.out.push_str(&family.unit);
            self.out.push('\n');
        }
        for sample in &family.samples {
            self.sample(sample, kind);
        }
    }

    fn comment(&mut self, word: &str, name: &str) {
        let quote = if is_legacy_metric_name(name) { "" } else { "\"" };
        self.put(format_args!("# {word} {quote}{}{quote} ", EscapedValue(name)));
    }

    fn help(&mut self, help: &str) {
        for c in help.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '"' if self.openmetrics => self.out.push_str("\\\""),
                c => self.out.push(c),
            }
        }
        self.out.push('\n');
    }

    fn sample(&mut self, sample: &Sample, kind: MetricType) {
        self.series(&sample.labels);
        self.out.push(' ');
        push_float(&mut self.out, sample.value);
        self.time(sample.at);
        let name = sample.labels.metric_name();
        let may_have_one = match kind {
            MetricType::Counter => name.ends_with("_total"),
            MetricType::Histogram | MetricType::GaugeHistogram => name.ends_with("_bucket"),
            _ => false,
        };
        if let Some(exemplar) = &sample.exemplar
            && self.openmetrics
            && may_have_one
        {
            self.exemplar(exemplar);
        }
        self.out.push('\n');
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.push_str(" # {");
        self.pairs(&exemplar.labels, true);
        self.out.push_str("} ");
        push_float(&mut self.out, exemplar.value);
        self.time(exemplar.at);
    }

    fn time(&mut self, at: Option<Timestamp>) {
        match at {
            Some(at) if self.openmetrics => self.put(format_args!(" {}", at.seconds())),
            Some(at) => self.put(format_args!(" {}", at.millis())),
            None => {}
        }
    }

    fn series(&mut self, labels: &Labels) {
        let name = self.format.escaping().metric(labels.metric_name());
        let plain = is_legacy_metric_name(&name);
        if plain {
            self.out.push_str(&name);
            if !labels.iter().any(|(name, _)| self.shows(name)) {
                return;
            }
        }
        self.out.push('{');
        if !plain {
            self.put(format_args!("\"{}\"", EscapedValue(&name)));
        }
        self.pairs(labels, plain);
        self.out.push('}');
    }

    fn shows(&self, name: &str) -> bool {
        name != METRIC_NAME && !self.hidden.contains(&name)
    }

    fn pairs(&mut self, labels: &Labels, mut first: bool) {
        for (name, value) in labels {
            if !self.shows(name) {
                continue;
            }
            if !std::mem::take(&mut first) {
                self.out.push(',');
            }
            let name = self.format.escaping().label(name);
            let quote = if is_legacy_label_name(&name) { "" } else { "\"" };
            self.put(format_args!(
                "{quote}{}{quote}=\"{}\"",
                EscapedValue(&name),
                EscapedValue(value)
            ));
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = self.out.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Escaping, Limits, parse};
    use super::*;
    use proptest::prelude::*;

    fn family(name: &str, kind: MetricType, unit: &str, series: &[&[(&str, &str)]]) -> Family {
        let samples = series.iter().map(|pairs| {
            let pairs = pairs.iter().copied().chain([(METRIC_NAME, name)]);
            Sample::new(Labels::from_pairs(pairs).unwrap(), 1.5)
        });
        Family {
            name: name.to_owned(),
            help: "A \"help\"\\".to_owned(),
            kind,
            unit: unit.to_owned(),
            samples: samples.collect(),
        }
    }

    #[test]
    fn text_0_0_4() {
        let families = [
            family("pages_total", MetricType::Counter, "", &[&[("a.b", "x\"y\n")]]),
            family("my.info", MetricType::Info, "", &[&[]]),
        ];
        assert_eq!(
            write(&families, Format::Text0_0_4),
            "# HELP pages_total A \"help\"\\\\\n# TYPE pages_total counter\npages_total{a_b=\"x\\\"y\\n\"} 1.5\n\
             # HELP my_info A \"help\"\\\\\n# TYPE my_info gauge\nmy_info 1.5\n"
        );
    }

    #[test]
    fn openmetrics() {
        let families = [
            family("pages_total", MetricType::Counter, "", &[&[("a.b", "x")]]),
            family("odd", MetricType::Counter, "", &[&[]]),
            family("tls_info", MetricType::Info, "", &[&[("version", "3")]]),
            family("state", MetricType::StateSet, "", &[&[("state", "ok")], &[("state", "bad")]]),
            family("wrong", MetricType::StateSet, "", &[&[("state", "ok")]]),
            family("age_seconds", MetricType::Gauge, "seconds", &[&[]]),
            family("nothing", MetricType::Gauge, "", &[]),
        ];
        assert_eq!(
            write(&families, Format::OpenMetrics1_0_0(Escaping::AllowUtf8)),
            r#"# HELP pages A \"help\"\\
# TYPE pages counter
pages_total{"a.b"="x"} 1.5
# HELP odd A \"help\"\\
# TYPE odd unknown
odd 1.5
# HELP tls A \"help\"\\
# TYPE tls info
tls_info{version="3"} 1.5
# HELP state A \"help\"\\
# TYPE state stateset
state{state="ok"} 1.5
state{state="bad"} 1.5
# HELP wrong A \"help\"\\
# TYPE wrong gauge
wrong{state="ok"} 1.5
# HELP age_seconds A \"help\"\\
# TYPE age_seconds gauge
# UNIT age_seconds seconds
age_seconds 1.5
# EOF
"#
        );
    }

    #[test]
    fn hidden_labels_are_left_out() {
        let families =
            [family("a", MetricType::Gauge, "", &[&[("job", "x")], &[("b", "1"), ("job", "x")]])];
        let page = write_hiding(&families, Format::Text0_0_4, &["job", "instance"]);
        assert!(page.ends_with("gauge\na 1.5\na{b=\"1\"} 1.5\n"), "{page}");
    }

    #[test]
    fn names_that_meet_are_written_once() {
        let families = [
            family("a.b", MetricType::Gauge, "", &[&[]]),
            family("a_b", MetricType::Gauge, "", &[&[]]),
        ];
        assert_eq!(write(&families, Format::Text0_0_4).matches("# TYPE").count(), 1);
        let kept = write(&families, Format::Text1_0_0(Escaping::AllowUtf8));
        assert_eq!(kept.matches("# TYPE").count(), 2);
        assert!(kept.contains("{\"a.b\"} 1.5"), "{kept}");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            name in "[a-z.\"\\\\é]{1,8}", label in "[a-z.\"\\\\é]{1,8}", value in "\\PC{0,20}",
            number in any::<f64>(), help in "\\PC{0,20}",
        ) {
            let labels = Labels::from_pairs([(METRIC_NAME, name.as_str()), (&label, &value)]).unwrap();
            let family = Family {
                name: name.clone(), help, kind: MetricType::Gauge, unit: String::new(),
                samples: vec![Sample::new(labels, number)],
            };
            for format in [
                Format::Text1_0_0(Escaping::AllowUtf8),
                Format::OpenMetrics1_0_0(Escaping::AllowUtf8),
                Format::Text0_0_4,
                Format::OpenMetrics1_0_0(Escaping::Values),
            ] {
                let page = write(std::slice::from_ref(&family), format);
                let read = parse(page.as_bytes(), format.syntax(), Limits::default());
                prop_assert!(read.is_ok(), "{page} {read:?}");
                let back = read.unwrap().into_families();
                prop_assert_eq!(back.len(), 1);
                prop_assert_eq!(&back[0].help, &family.help);
                if format.escaping() == Escaping::AllowUtf8 {
                    prop_assert_eq!(&back[0].samples[0].labels, &family.samples[0].labels);
                }
            }
        }
    }
}
