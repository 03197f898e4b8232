//! From samples of the queue to the body of a request.

use hashbrown::HashMap;

use super::spool::{Held, Sample};
use crate::model::Labels;
use crate::ports::PushedMeta;
use crate::remote::proto::wire::Writer;
use crate::remote::proto::{Protocol, histogram, metric_number};

/// A request, ready to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// A snappy block.
    pub(super) bytes: Vec<u8>,
    /// Floats and histograms in it.
    pub(super) samples: u64,
}

/// Makes a request of the samples whose series the destination wants. `None` when there are none.
/// `meaning` tells what a metric means, by the name of its series; for protocol 1.0 what `told`
/// does not hold yet is told.
pub(super) fn encode(
    protocol: Protocol,
    samples: &[Sample],
    series: &[Option<Labels>],
    meaning: &dyn Fn(&str) -> Option<PushedMeta>,
    told: &mut hashbrown::HashSet<String>,
) -> Option<Body> {
    // Samples of a series together and in time order, series in the order they came.
    let mut places: HashMap<u32, usize> = HashMap::new();
    let mut all: Vec<(&Labels, Vec<&Sample>)> = Vec::new();
    let mut count = 0;
    for sample in samples {
        let Some(Some(labels)) = series.get(sample.series as usize) else { continue };
        let place = *places.entry(sample.series).or_insert_with(|| {
            all.push((labels, Vec::new()));
            all.len() - 1
        });
        all[place].1.push(sample);
        count += 1;
    }
    if all.is_empty() {
        return None;
    }
    for (_, samples) in &mut all {
        if !samples.is_sorted_by_key(|sample| sample.at) {
            samples.sort_by_key(|sample| sample.at);
        }
    }
    let message = match protocol {
        Protocol::One => one(&all, meaning, told),
        Protocol::Two => two(&all, meaning),
    };
    // A message of a few megabytes is never too long for snappy.
    let bytes = snap::raw::Encoder::new().compress_vec(&message.0).unwrap_or_default();
    Some(Body { bytes, samples: count })
}

fn one(
    all: &[(&Labels, Vec<&Sample>)],
    meaning: &dyn Fn(&str) -> Option<PushedMeta>,
    told: &mut hashbrown::HashSet<String>,
) -> Writer {
    let mut message = Writer::default();
    let mut metadata = Vec::new();
    for (labels, samples) in all {
        let mut series = Writer::default();
        for (name, value) in *labels {
            let mut label = Writer::default();
            label.bytes(1, name.as_bytes());
            label.bytes(2, value.as_bytes());
            series.bytes(1, &label.0);
        }
        for sample in samples {
            match &sample.held {
                Held::Bits(bits) => series.bytes(2, &float(sample, *bits)),
                Held::Histogram(held) => series.bytes(4, &histogram::encode(sample.at, held)),
            }
        }
        message.bytes(1, &series.0);
        let name = labels.metric_name();
        if !told.contains(name) {
            told.insert(name.to_owned());
            metadata.extend(meaning(name));
        }
    }
    metadata.sort_by(|a, b| a.name.cmp(&b.name));
    metadata.dedup_by(|a, b| a.name == b.name);
    for meta in metadata {
        let mut inner = Writer::default();
        inner.number(1, metric_number(meta.kind));
        inner.bytes(2, meta.name.as_bytes());
        inner.bytes(4, meta.help.as_bytes());
        inner.bytes(5, meta.unit.as_bytes());
        message.bytes(3, &inner.0);
    }
    message
}

fn float(sample: &Sample, bits: u64) -> Vec<u8> {
    let mut inner = Writer::default();
    inner.double(1, f64::from_bits(bits));
    inner.signed(2, sample.at.millis());
    inner.0
}

fn two(all: &[(&Labels, Vec<&Sample>)], meaning: &dyn Fn(&str) -> Option<PushedMeta>) -> Writer {
    let mut symbols = Symbols::default();
    symbols.number("");
    let mut list = Writer::default();
    let mut meanings: HashMap<&str, Option<(u64, u64, u64)>> = HashMap::new();
    for (labels, samples) in all {
        let mut series = Writer::default();
        let mut refs = Writer::default();
        for (name, value) in *labels {
            refs.varint(symbols.number(name));
            refs.varint(symbols.number(value));
        }
        series.bytes(1, &refs.0);
        // A series holds floats or histograms; where it changed, it is told twice.
        let mut late = Vec::new();
        for sample in samples {
            match &sample.held {
                Held::Bits(bits) => series.bytes(2, &float(sample, *bits)),
                Held::Histogram(held) => late.push(histogram::encode(sample.at, held)),
            }
        }
        let name = labels.metric_name();
        let told = *meanings.entry(name).or_insert_with(|| {
            let meta = meaning(name)?;
            let (help, unit) = (symbols.number(&meta.help), symbols.number(&meta.unit));
            Some((metric_number(meta.kind), help, unit))
        });
        let metadata = told.map(|(kind, help, unit)| {
            let mut inner = Writer::default();
            inner.number(1, kind);
            inner.number(3, help);
            inner.number(4, unit);
            inner
        });
        if late.len() < samples.len() {
            if let Some(metadata) = &metadata {
                series.bytes(5, &metadata.0);
            }
            list.bytes(5, &series.0);
        }
        if !late.is_empty() {
            let mut series = Writer::default();
            series.bytes(1, &refs.0);
            for held in &late {
                series.bytes(3, held);
            }
            if let Some(metadata) = &metadata {
                series.bytes(5, &metadata.0);
            }
            list.bytes(5, &series.0);
        }
    }
    let mut message = Writer::default();
    for symbol in &symbols.texts {
        message.bytes(4, symbol.as_bytes());
    }
    message.0.extend_from_slice(&list.0);
    message
}

#[derive(Default)]
struct Symbols {
    numbers: HashMap<String, u64>,
    texts: Vec<String>,
}

impl Symbols {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }
}
