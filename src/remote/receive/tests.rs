use super::*;
use crate::model::{Histogram, MetricType, Point, STALE};
use crate::ports::Tick;
use crate::remote::proto::wire::Writer;
use crate::remote::proto::{histogram, metric_number};
use proptest::prelude::*;

const NOW: i64 = 1_700_000_000_000;

struct Stopped;

impl Clock for Stopped {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(NOW)
    }
    fn mono(&self) -> Tick {
        Tick(Duration::ZERO)
    }
    fn sleep_until(&self, _: Tick) -> Doing<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Keeps batches; older ones than an hour are too old.
#[derive(Default)]
struct Kept {
    batches: Mutex<Vec<Batch>>,
    full: std::sync::atomic::AtomicBool,
}

impl Append for Kept {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let rows = batch.rows.len();
        if self.full.load(std::sync::atomic::Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(AppendError::NotDurable("full".into()))));
        }
        if batch.at.millis() < NOW - 3_600_000 {
            return Box::pin(std::future::ready(Ok(Appended { kept: 0, too_old: rows })));
        }
        self.batches.lock().unwrap().push(batch);
        Box::pin(std::future::ready(Ok(Appended { kept: rows, too_old: 0 })))
    }
}

fn receiver() -> (Receiver, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let settings = ReceiverSettings::default();
    let receiver =
        Receiver::new(settings, kept.clone(), Arc::new(Stopped), Telemetry::new()).unwrap();
    (receiver, kept)
}

async fn push(receiver: &Receiver, protocol: Protocol, message: &[u8]) -> PushAnswer {
    let body = snap::raw::Encoder::new().compress_vec(message).unwrap();
    let push = Push {
        content_type: protocol.content_type().to_owned(),
        encoding: "snappy".to_owned(),
        body: body.into(),
    };
    receiver.receive(push).await
}

fn float(at: i64, value: f64) -> Vec<u8> {
    let mut sample = Writer::default();
    sample.double(1, value);
    sample.signed(2, at);
    sample.0
}

/// A series of protocol 1.0.
fn one(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let mut series = Writer::default();
    for (name, value) in labels {
        let mut label = Writer::default();
        label.bytes(1, name.as_bytes());
        label.bytes(2, value.as_bytes());
        series.bytes(1, &label.0);
    }
    for (at, value) in samples {
        series.bytes(2, &float(*at, *value));
    }
    series.0
}

fn request(field: u64, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Writer::default();
    for part in parts {
        request.bytes(field, part);
    }
    request.0
}

fn rows(kept: &Kept) -> Vec<(String, i64, String)> {
    let batches = kept.batches.lock().unwrap();
    let mut rows: Vec<_> = batches
        .iter()
        .flat_map(|batch| {
            batch.rows.iter().map(|row| {
                let value = match &row.point {
                    Point::Float(value) => value.to_string(),
                    Point::Stale => "stale".to_owned(),
                    Point::Histogram(histogram) => format!("{} in histogram", histogram.count),
                };
                (row.labels.to_string(), batch.at.millis() - NOW, value)
            })
        })
        .collect();
    rows.sort();
    rows
}

fn row(series: &str, at: i64, value: &str) -> (String, i64, String) {
    (series.to_owned(), at, value.to_owned())
}

#[tokio::test]
async fn protocol_one() {
    let (receiver, kept) = receiver();
    let message = request(
        1,
        &[
            one(&[("__name__", "up"), ("job", "a")], &[(NOW - 2, 1.0), (NOW - 1, STALE)]),
            one(&[("job", "a"), ("__name__", "temperature"), ("empty", "")], &[(NOW - 2, 21.5)]),
        ],
    );
    let answer = push(&receiver, Protocol::One, &message).await;
    assert_eq!(answer, PushAnswer { status: 204, ..PushAnswer::default() });
    assert_eq!(
        rows(&kept),
        [
            row("temperature{job=\"a\"}", -2, "21.5"),
            row("up{job=\"a\"}", -2, "1"),
            row("up{job=\"a\"}", -1, "stale")
        ]
    );
    assert_eq!(kept.batches.lock().unwrap().len(), 2, "one for each instant");
}

#[tokio::test]
async fn the_same_request_makes_the_same_shape() {
    let (receiver, kept) = receiver();
    for step in 0..3 {
        let series: Vec<_> = (0..200)
            .map(|n| {
                let name = format!("m{}", (n * 37) % 200);
                one(&[("__name__", &name), ("job", "a")], &[(NOW - 100 + step, f64::from(n))])
            })
            .collect();
        push(&receiver, Protocol::One, &request(1, &series)).await;
    }
    let batches = kept.batches.lock().unwrap();
    assert_eq!(batches.len(), 12);
    for (early, late) in batches.iter().zip(&batches[4..]) {
        assert_eq!(early.source, late.source);
        let labels =
            |batch: &Batch| batch.rows.iter().map(|r| r.labels.clone()).collect::<Vec<_>>();
        assert_eq!(labels(early), labels(late));
    }
}

/// A request of protocol 2.0 with one series for each (labels, samples, metadata).
fn two(symbols: &[&str], series: &[Vec<u8>]) -> Vec<u8> {
    let mut request = Writer::default();
    for symbol in symbols {
        request.bytes(4, symbol.as_bytes());
    }
    for series in series {
        request.bytes(5, series);
    }
    request.0
}

#[tokio::test]
async fn exemplars_are_kept_in_both_protocols() {
    let (receiver, kept) = receiver();
    let exemplar = |labels: Writer, value, at| {
        let mut one = labels;
        one.double(2, value);
        one.signed(3, at);
        one.0
    };
    let mut pair = Writer::default();
    pair.bytes(1, b"trace_id");
    pair.bytes(2, b"abc");
    let mut labels = Writer::default();
    labels.bytes(1, &pair.0);
    // As Prometheus sends them: the series without a sample.
    let mut series = one(&[("__name__", "m_total"), ("job", "a")], &[]);
    let mut end = Writer::default();
    end.bytes(3, &exemplar(labels, 6.5, NOW - 2));
    series.extend(end.0);
    let answer = push(&receiver, Protocol::One, &request(1, &[series])).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let symbols = ["", "__name__", "m_total", "job", "a", "trace_id", "def"];
    let mut labels = Writer::default();
    labels.bytes(1, &[5, 6]);
    let mut series = Writer::default();
    series.bytes(1, &[1, 2, 3, 4]);
    series.bytes(2, &float(NOW, 7.0));
    series.bytes(4, &exemplar(labels, 7.5, NOW - 1));
    let mut wrong = Writer::default();
    wrong.bytes(1, &[5, 60]);
    series.bytes(4, &exemplar(wrong, 1.0, NOW));
    let answer = push(&receiver, Protocol::Two, &two(&symbols, &[series.0])).await;
    assert_eq!((answer.status, answer.written), (204, Some([1, 0, 1])), "{answer:?}");
    assert_eq!(rows(&kept).len(), 1);
    let (from, through) = (Timestamp::from_millis(NOW - 2), Timestamp::from_millis(NOW));
    let found = receiver.exemplars(&[&[Matcher::metric("m_total")]], from, through);
    let told: Vec<_> = found
        .iter()
        .flat_map(|(labels, list)| list.iter().map(move |e| (labels, e)))
        .map(|(labels, e)| (labels.to_string(), e.labels.to_string(), e.value, e.at.millis() - NOW))
        .collect();
    let row = |trace: &str, value, at| {
        let own = format!("{{trace_id=\"{trace}\"}}");
        ("m_total{job=\"a\"}".to_owned(), own, value, at)
    };
    assert_eq!(told, [row("abc", 6.5, -2), row("def", 7.5, -1)]);
}

#[tokio::test]
async fn protocol_two_with_metadata_and_histograms() {
    let (receiver, kept) = receiver();
    let symbols = ["", "__name__", "requests_total", "job", "a", "Requests.", "latency", "seconds"];
    let mut meta = Writer::default();
    meta.number(1, metric_number(MetricType::Counter));
    meta.number(3, 5);
    let mut counter = Writer::default();
    counter.bytes(1, &[1, 2, 3, 4]);
    counter.bytes(2, &float(NOW, 7.0));
    counter.bytes(5, &meta.0);
    counter.signed(6, NOW - 1000);
    let mut meta = Writer::default();
    meta.number(1, metric_number(MetricType::Histogram));
    meta.number(4, 7);
    let custom = Histogram {
        schema: Histogram::CUSTOM_BUCKETS,
        count: 3.0,
        positive_spans: vec![crate::model::Span { offset: 0, length: 2 }],
        positive: vec![1.0, 2.0],
        custom_values: vec![0.5],
        ..Histogram::default()
    };
    let mut late = Writer::default();
    late.bytes(1, &[1, 6]);
    late.bytes(3, &histogram::encode(Timestamp::from_millis(NOW - 5), &custom));
    let gone = Histogram { sum: STALE, ..Histogram::default() };
    late.bytes(3, &histogram::encode(Timestamp::from_millis(NOW), &gone));
    late.bytes(5, &meta.0);
    let answer = push(&receiver, Protocol::Two, &two(&symbols, &[counter.0, late.0])).await;
    assert_eq!((answer.status, answer.written), (204, Some([1, 2, 0])), "{answer:?}");
    assert_eq!(
        rows(&kept),
        [
            row("latency", -5, "3 in histogram"),
            row("latency", 0, "stale"),
            row("requests_total{job=\"a\"}", 0, "7"),
        ]
    );
    let mut metadata = receiver.metadata();
    metadata.sort_by(|a, b| a.name.cmp(&b.name));
    let told: Vec<_> = metadata.iter().map(|m| (&*m.name, m.kind, &*m.help, &*m.unit)).collect();
    assert_eq!(
        told,
        [
            ("latency", MetricType::Histogram, "", "seconds"),
            ("requests_total", MetricType::Counter, "Requests.", ""),
        ]
    );
}

#[tokio::test]
async fn what_can_be_kept_is_kept() {
    let (receiver, kept) = receiver();
    let message = request(
        1,
        &[
            one(&[("__name__", "good")], &[(NOW, 1.0)]),
            one(&[("__name__", "old")], &[(NOW - 4_000_000, 1.0)]),
            one(&[("__name__", "twice"), ("a", "1"), ("a", "2")], &[(NOW, 1.0)]),
            one(&[("job", "nameless")], &[(NOW, 1.0)]),
            one(&[("__name__", "future")], &[(NOW + 700_000, 1.0)]),
        ],
    );
    let answer = push(&receiver, Protocol::One, &message).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("1 samples are too old"), "{}", answer.text);
    assert!(answer.text.contains("3 samples were refused"), "{}", answer.text);
    assert!(answer.text.contains("the other 1 were kept"), "{}", answer.text);
    assert_eq!(rows(&kept), [row("good", 0, "1")]);
    let text = receiver.telemetry.encode();
    assert!(text.contains("remote_write_refused_samples_total{reason=\"too_old\"} 1"), "{text}");
    assert!(text.contains("remote_write_received_samples_total 1"), "{text}");
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let (receiver, kept) = receiver();
    let good = request(1, &[one(&[("__name__", "good")], &[(NOW, 1.0)])]);
    let block = |bytes: &[u8]| snap::raw::Encoder::new().compress_vec(bytes).unwrap();
    let cases = [
        ("application/json", "snappy", block(&good), 415),
        ("application/x-protobuf", "zstd", block(&good), 415),
        ("application/x-protobuf", "snappy", b"nonsense".to_vec(), 400),
        ("application/x-protobuf", "snappy", block(&good[..good.len() - 3]), 400),
        (
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "snappy",
            block(&good),
            400,
        ),
        // A length of four gigabytes in five bytes.
        ("application/x-protobuf", "snappy", vec![0xff, 0xff, 0xff, 0xff, 0x0f], 413),
    ];
    for (kind, encoding, body, status) in cases {
        let (content_type, encoding) = (kind.to_owned(), encoding.to_owned());
        let answer = receiver.receive(Push { content_type, encoding, body: body.into() }).await;
        assert_eq!(answer.status, status, "{kind} {answer:?}");
        assert!(!answer.text.is_empty());
    }
    assert!(kept.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_means_again_later() {
    let (receiver, kept) = receiver();
    kept.full.store(true, std::sync::atomic::Ordering::SeqCst);
    let good = request(1, &[one(&[("__name__", "good")], &[(NOW, 1.0)])]);
    let answer = push(&receiver, Protocol::One, &good).await;
    assert_eq!(answer.status, 503);
    assert!(answer.retry_after.is_some());
}

#[tokio::test]
async fn labels_may_stand_behind_samples() {
    let (receiver, kept) = receiver();
    let mut label = Writer::default();
    label.bytes(1, b"__name__");
    label.bytes(2, b"odd");
    let mut series = Writer::default();
    series.bytes(2, &float(NOW, 1.0));
    series.bytes(1, &label.0);
    series.bytes(2, &float(NOW + 1, 2.0));
    push(&receiver, Protocol::One, &request(1, &[series.0])).await;
    assert_eq!(rows(&kept), [row("odd", 0, "1"), row("odd", 1, "2")]);
}

#[tokio::test]
async fn of_two_values_for_one_instant_the_last_wins() {
    let (receiver, kept) = receiver();
    let series = one(&[("__name__", "x")], &[(NOW, 1.0), (NOW, 2.0)]);
    push(&receiver, Protocol::One, &request(1, &[series])).await;
    assert_eq!(rows(&kept), [row("x", 0, "2")]);
}

proptest! {
    #[test]
    fn any_bytes_are_taken_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        two in any::<bool>(),
        cut in 0usize..400,
        flip in 0usize..400,
    ) {
        let (receiver, _) = receiver();
        let protocol = if two { Protocol::Two } else { Protocol::One };
        let _ = receiver.take_apart(protocol, &bytes);
        let mut good = request(1, &[one(&[("__name__", "x"), ("job", "j")], &[(NOW, 1.0), (NOW, 2.0)])]);
        if two {
            let mut series = Writer::default();
            series.bytes(1, &[1, 2]);
            series.bytes(3, &histogram::encode(Timestamp::from_millis(NOW), &Histogram::default()));
            good = super::tests::two(&["", "__name__", "x"], &[series.0]);
        }
        let at = flip % good.len();
        good[at] ^= bytes.first().copied().unwrap_or(1);
        good.truncate(cut.max(1));
        let read = receiver.take_apart(protocol, &good);
        let rows: usize = read.map_or(0, |read| read.batches.iter().map(|b| b.rows.len()).sum());
        prop_assert!(rows <= good.len());
    }
}
