use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::model::{Histogram, MetricType, Point, Row, STALE, Span, Timestamp};
use crate::ports::Tick;
use crate::remote::{Receiver, ReceiverSettings};

/// Time goes as fast as somebody sleeps.
struct Quick {
    now: AtomicI64,
}

impl Clock for Quick {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + self.now.load(Ordering::SeqCst))
    }
    fn mono(&self) -> Tick {
        Tick(Duration::from_millis(self.now.load(Ordering::SeqCst).cast_unsigned()))
    }
    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()> {
        Box::pin(async move {
            // Others get a turn first: requests must be quicker than their deadlines.
            for _ in 0..200 {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            let then = i64::try_from(tick.0.as_millis()).unwrap();
            self.now.fetch_max(then, Ordering::SeqCst);
        })
    }
}

/// Keeps nothing and is never full.
struct Nowhere;

impl Append for Nowhere {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let kept = batch.rows.len();
        Box::pin(std::future::ready(Ok(Appended { kept, too_old: 0 })))
    }
}

/// What arrived, as series → values.
#[derive(Default)]
struct Arrived(Mutex<Vec<(String, i64, Point)>>);

impl Append for Arrived {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let kept = batch.rows.len();
        let mut all = self.0.lock().unwrap();
        for row in batch.rows {
            all.push((row.labels.to_string(), batch.at.millis(), row.point));
        }
        Box::pin(std::future::ready(Ok(Appended { kept, too_old: 0 })))
    }
}

/// A server that answers with these statuses one after the other, then takes everything.
struct Central {
    url: url::Url,
    arrived: Arc<Arrived>,
    receiver: Arc<Receiver>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Central {
    async fn start(answers: Vec<&'static str>, tasks: &mut JoinSet<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let arrived = Arc::new(Arrived::default());
        let clock = Arc::new(Quick { now: AtomicI64::new(86_400_000) });
        let settings = ReceiverSettings::default();
        let receiver = Receiver::new(settings, arrived.clone(), clock, Telemetry::new()).unwrap();
        let (receiver, heads) = (Arc::new(receiver), Arc::new(Mutex::new(Vec::new())));
        let this = Self {
            url: url.parse().unwrap(),
            arrived,
            receiver: receiver.clone(),
            heads: heads.clone(),
        };
        tasks.spawn(async move {
            let mut answers = answers.into_iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                while let Some((head, body)) = request(&mut stream).await {
                    heads.lock().unwrap().push(head.clone());
                    let answer = match answers.next() {
                        Some(answer) => answer.to_owned(),
                        None => take(&receiver, &head, body).await,
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        this
    }

    fn values(&self) -> Vec<(String, i64, Point)> {
        self.arrived.0.lock().unwrap().clone()
    }
}

async fn take(receiver: &Receiver, head: &str, body: Vec<u8>) -> String {
    use crate::ports::{Push, Receive};
    let line = |name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or("").trim().to_owned()
    };
    let push = Push {
        content_type: line("content-type:"),
        encoding: line("content-encoding:"),
        body: body.into(),
    };
    let answer = receiver.receive(push).await;
    let written = answer.written.map_or(String::new(), |written| {
        format!("X-Prometheus-Remote-Write-Samples-Written: {}\r\n", written[0])
    });
    format!("HTTP/1.1 {} X\r\n{written}Content-Length: 0\r\n\r\n", answer.status)
}

async fn request(stream: &mut tokio::net::TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    Some((head, body))
}

fn destination(name: &str, url: &url::Url) -> Destination {
    Destination {
        name: name.into(),
        url: url.clone(),
        protocol: Protocol::One,
        login: None,
        headers: Vec::new(),
        ca_file: None,
        queue_bytes: 10 << 20,
        relabel: Vec::new(),
        timeout: Duration::from_secs(30),
    }
}

fn batch(at: i64) -> Batch {
    let mut batch = Batch::new("s".into(), Timestamp::from_millis(1_700_000_000_000 + at));
    for n in 0..3 {
        let labels = Labels::empty().with("__name__", &format!("m{n}")).with("job", "a");
        batch.push(labels, if at == 5 && n == 2 { STALE } else { at as f64 });
    }
    batch
}

fn histogram() -> Batch {
    let mut batch = Batch::new("h".into(), Timestamp::from_millis(1_700_000_000_000));
    let held = Histogram {
        count: 2.0,
        sum: 3.0,
        positive_spans: vec![Span { offset: 1, length: 1 }],
        positive: vec![2.0],
        ..Histogram::default()
    };
    let labels = Labels::empty().with("__name__", "late");
    batch.rows.push(Row { labels, point: Point::Histogram(Arc::new(held)) });
    batch
}

struct Office {
    telemetry: Arc<Telemetry>,
    store: Arc<dyn Append>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Office {
    fn start(folder: &Path, destinations: Vec<Destination>) -> Self {
        let clock = Arc::new(Quick { now: AtomicI64::new(0) });
        let telemetry = Telemetry::new();
        let meaning: Meaning = Arc::new(|name| {
            (name == "m1").then(|| PushedMeta {
                name: name.into(),
                kind: MetricType::Gauge,
                help: "Help.".into(),
                unit: "seconds".into(),
            })
        });
        let sender = Sender::open(folder, destinations, clock, telemetry.clone(), meaning).unwrap();
        let store = sender.tee(Arc::new(Nowhere));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(sender.run(stop.clone()));
        Self { telemetry, store, stop, tasks }
    }

    async fn end(mut self) -> String {
        self.stop.cancel();
        self.tasks.join_next().await;
        self.telemetry.encode()
    }
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("waited for {what}");
}

#[tokio::test]
async fn everything_arrives_in_order_and_once() {
    for protocol in [Protocol::One, Protocol::Two] {
        let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
        let central = Central::start(Vec::new(), &mut tasks).await;
        let to = Destination { protocol, ..destination("central", &central.url) };
        let office = Office::start(folder.path(), vec![to]);
        for at in 0..10 {
            office.store.append(batch(at)).await.unwrap();
        }
        office.store.append_all(vec![histogram()]).await.unwrap();
        until("all", || central.values().len() == 31).await;
        let text = office.end().await;
        let mut values = central.values();
        let of = |name: &str, all: &[(String, i64, Point)]| {
            all.iter().filter(|v| v.0.starts_with(name)).cloned().collect::<Vec<_>>()
        };
        let m0 = of("m0", &values);
        assert!(m0.is_sorted_by(|a, b| a.1 < b.1) && m0.len() == 10, "{protocol:?} {m0:?}");
        assert_eq!(of("m2", &values)[5].2, Point::Stale);
        let Some(Point::Histogram(held)) = values.pop().map(|v| v.2) else { panic!("{values:?}") };
        assert_eq!(held.positive, [2.0]);
        assert!(text.contains("sent_samples_total{destination=\"central\"} 31"), "{text}");
        assert!(text.contains("pending_bytes{destination=\"central\"} 0"), "{text}");
        use crate::ports::Receive;
        let told = central.receiver.metadata();
        assert_eq!((&*told[0].name, &*told[0].help, &*told[0].unit), ("m1", "Help.", "seconds"));
    }
}

#[tokio::test]
async fn an_outage_is_made_up_for() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let again = "HTTP/1.1 503 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let denied = "HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n";
    let central = Central::start(vec![again, denied, again], &mut tasks).await;
    let office = Office::start(folder.path(), vec![destination("central", &central.url)]);
    for at in 0..4 {
        office.store.append(batch(at)).await.unwrap();
    }
    until("all", || central.values().len() == 12).await;
    let text = office.end().await;
    assert!(text.contains("retries_total{destination=\"central\"} 3"), "{text}");
    assert!(
        text.contains("failed_samples_total{destination=\"central\"} 0")
            || !text.contains("failed_samples_total{"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted_and_left() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let bad = "HTTP/1.1 400 X\r\nContent-Length: 4\r\n\r\nbad\n";
    let central = Central::start(vec![bad], &mut tasks).await;
    let office = Office::start(folder.path(), vec![destination("central", &central.url)]);
    office.store.append(batch(0)).await.unwrap();
    until("the refusal", || !central.heads.lock().unwrap().is_empty()).await;
    office.store.append(batch(1)).await.unwrap();
    until("the rest", || central.values().len() == 3).await;
    let text = office.end().await;
    assert!(text.contains("failed_samples_total{destination=\"central\"} 3"), "{text}");
}

#[tokio::test]
async fn who_does_not_speak_two_is_spoken_to_in_one() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let unsupported = "HTTP/1.1 415 X\r\nContent-Length: 0\r\n\r\n";
    let central = Central::start(vec![unsupported], &mut tasks).await;
    let to = Destination { protocol: Protocol::Two, ..destination("central", &central.url) };
    let office = Office::start(folder.path(), vec![to]);
    office.store.append(batch(0)).await.unwrap();
    until("all", || central.values().len() == 3).await;
    office.end().await;
    let heads = central.heads.lock().unwrap();
    assert!(heads[0].contains("write.v2") && !heads[1].contains("write.v2"), "{heads:?}");
    assert!(heads[1].contains("x-prometheus-remote-write-version: 0.1.0"));
}

#[tokio::test]
async fn a_dead_destination_neither_stops_the_others_nor_loses_anything() {
    let (folder, mut tasks) = (tempfile::tempdir().unwrap(), JoinSet::new());
    let central = Central::start(Vec::new(), &mut tasks).await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead: url::Url = format!("http://{}/", nobody.local_addr().unwrap()).parse().unwrap();
    drop(nobody);
    let rules = vec![Relabel {
        source: vec!["__name__".into()],
        separator: ";".into(),
        regex: Relabel::pattern("m1").unwrap(),
        target: "".into(),
        replacement: "$1".into(),
        action: Action::Drop,
    }];
    let to = Destination { relabel: rules, ..destination("central", &central.url) };
    let office = Office::start(folder.path(), vec![destination("dead", &dead), to]);
    office.store.append(batch(0)).await.unwrap();
    until("the living", || central.values().len() == 2).await;
    let text = office.end().await;
    assert!(text.contains("up{destination=\"dead\"} 0"), "{text}");
    // The dead one is back, at another address.
    let back = Central::start(Vec::new(), &mut tasks).await;
    let to = vec![destination("dead", &back.url), destination("central", &central.url)];
    let office = Office::start(folder.path(), to);
    until("the dead", || back.values().len() == 3).await;
    office.end().await;
    assert_eq!(central.values().len(), 2, "what was taken is not sent again");
}

#[test]
fn answers_are_judged() {
    let reply =
        |status, counted| Ok(Reply { status, retry_after: None, counted, text: String::new() });
    let check = |protocol, sent, want| assert_eq!(judge(protocol, &sent, 5), want, "{sent:?}");
    check(Protocol::One, reply(204, false), Verdict::Taken);
    check(Protocol::Two, reply(204, true), Verdict::Taken);
    check(Protocol::Two, reply(204, false), Verdict::Older);
    check(Protocol::Two, reply(415, false), Verdict::Older);
    check(Protocol::One, reply(415, false), Verdict::Refused);
    check(Protocol::One, reply(400, false), Verdict::Refused);
    check(Protocol::One, reply(413, false), Verdict::Smaller);
    for again in [401, 403, 404, 429, 500, 502, 503, 504] {
        check(Protocol::One, reply(again, false), Verdict::Again(None));
    }
    check(Protocol::One, Err("broken".to_owned()), Verdict::Again(None));
    assert_eq!(judge(Protocol::One, &reply(413, false), 1), Verdict::Refused);
}
