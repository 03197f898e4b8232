use hashbrown::{HashMap, HashSet};

use super::family::{Family, Sample, stem};
use crate::model::{Labels, MetricMeta, MetricType, Point, Row};

/// One list of metrics from our own (`own`, as [`super::Page::into_families`] gave them) and the
/// last rows of the board, described by `catalogue`. Stale rows and native histograms (which no text
/// format can carry) are left out, and of equal series the first one counts: what comes out makes
/// a valid page.
pub fn join<'a>(
    own: Vec<Family>,
    rows: impl IntoIterator<Item = &'a Row>,
    catalogue: &[&'static [MetricMeta]],
) -> Vec<Family> {
    let mut joined = Joined::default();
    for mut family in own {
        if family.help.ends_with("..") {
            family.help.pop();
        }
        let samples = std::mem::take(&mut family.samples);
        let at = joined.home(family);
        for sample in samples {
            joined.add(at, sample);
        }
    }
    // Families in the order of the catalogue, whatever target comes first.
    let described: HashMap<&str, &MetricMeta> =
        catalogue.iter().flat_map(|room| room.iter()).map(|meta| (meta.name, meta)).collect();
    for meta in catalogue.iter().flat_map(|room| room.iter()) {
        joined.home(described_by(meta));
    }
    let mut found: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let Point::Float(value) = row.point else { continue };
        let name = row.labels.metric_name();
        let at = match found.get(name) {
            Some(at) => *at,
            None => {
                let at = joined.home(describe(name, &described));
                found.insert(name.to_owned(), at);
                at
            }
        };
        joined.add(at, Sample::new(row.labels.clone(), value));
    }
    joined.families.retain(|family| !family.samples.is_empty());
    joined.families
}

#[derive(Default)]
struct Joined {
    families: Vec<Family>,
    by_name: HashMap<String, usize>,
    seen: HashSet<Labels>,
}

impl Joined {
    /// The place of a family; a new one when the name is new.
    fn home(&mut self, family: Family) -> usize {
        if let Some(at) = self.by_name.get(&family.name) {
            return *at;
        }
        self.by_name.insert(family.name.clone(), self.families.len());
        self.families.push(family);
        self.families.len() - 1
    }

    fn add(&mut self, at: usize, sample: Sample) {
        if self.seen.insert(sample.labels.clone()) {
            self.families[at].samples.push(sample);
        }
    }
}

fn described_by(meta: &MetricMeta) -> Family {
    Family {
        name: meta.name.to_owned(),
        help: meta.help.to_owned(),
        kind: meta.kind,
        unit: meta.unit.to_owned(),
        samples: Vec::new(),
    }
}

fn describe(name: &str, described: &HashMap<&str, &MetricMeta>) -> Family {
    if let Some(meta) = described.get(name) {
        return described_by(meta);
    }
    let kinds = [MetricType::Histogram, MetricType::GaugeHistogram, MetricType::Summary];
    for kind in kinds {
        let meta = stem(name, kind).and_then(|stem| described.get(stem));
        if let Some(meta) = meta.filter(|meta| meta.kind == kind) {
            return described_by(meta);
        }
    }
    Family {
        name: name.to_owned(),
        help: "A metric without a description.".to_owned(),
        kind: MetricType::Unknown,
        unit: String::new(),
        samples: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Limits, Syntax, parse, write};
    use super::*;
    use crate::model::METRIC_NAME;

    const CATALOGUE: &[MetricMeta] = &[
        MetricMeta {
            name: "probe_success",
            kind: MetricType::Gauge,
            unit: "",
            help: "It went well.",
        },
        MetricMeta {
            name: "wait_seconds",
            kind: MetricType::Histogram,
            unit: "seconds",
            help: "Waiting.",
        },
    ];

    fn row(pairs: &[(&str, &str)], point: Point) -> Row {
        Row { labels: Labels::from_pairs(pairs.iter().copied()).unwrap(), point }
    }

    #[test]
    fn own_and_foreign_make_one_page() {
        let own = "# HELP augenmass_x Ours..\n# TYPE augenmass_x counter\naugenmass_x_total 3\n\
            # HELP augenmass_none Nothing yet.\n# TYPE augenmass_none gauge\n# EOF\n";
        let own = parse(own.as_bytes(), Syntax::OpenMetrics, Limits::default()).unwrap();
        let board = [
            row(&[(METRIC_NAME, "wait_seconds_bucket"), ("le", "+Inf")], Point::Float(2.0)),
            row(&[(METRIC_NAME, "wait_seconds_count")], Point::Float(2.0)),
            row(&[(METRIC_NAME, "probe_success"), ("target", "a")], Point::Float(1.0)),
            row(&[(METRIC_NAME, "probe_success"), ("target", "a")], Point::Float(0.0)),
            row(&[(METRIC_NAME, "probe_success"), ("target", "b")], Point::Stale),
            row(&[(METRIC_NAME, "odd")], Point::Float(2.0)),
        ];
        let families = join(own.into_families(), &board, &[CATALOGUE]);
        assert_eq!(
            write(&families, Format::Text0_0_4),
            r#"# HELP augenmass_x_total Ours.
# TYPE augenmass_x_total counter
augenmass_x_total 3
# HELP probe_success It went well.
# TYPE probe_success gauge
probe_success{target="a"} 1
# HELP wait_seconds Waiting.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="+Inf"} 2
wait_seconds_count 2
# HELP odd A metric without a description.
# TYPE odd untyped
odd 2
"#
        );
    }
}
