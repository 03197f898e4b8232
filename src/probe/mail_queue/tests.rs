use super::*;
use crate::ports::SystemClock;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

fn prober(ways: Vec<Way>) -> MailQueueProber {
    MailQueueProber { ways, clock: Arc::new(SystemClock::start()) }
}

/// A shell stands in for postqueue: it is called as `sh -c SCRIPT -j`.
fn program(script: &str) -> Way {
    Way::Program { program: "/bin/sh".into(), config_dir: Some(script.into()) }
}

async fn ask(prober: &MailQueueProber) -> Outcome {
    prober.probe(prober.clock.mono().after(Duration::from_secs(20))).await
}

fn counted(entries: &[(Queue, i64, u64)]) -> Tally {
    let mut reader = PostqueueReader::default();
    for (queue, at, size) in entries {
        let name = queue.name();
        let line = format!(
            "{{\"queue_name\":\"{name}\",\"arrival_time\":{at},\"message_size\":{size}}}\n"
        );
        reader.push(line.as_bytes());
    }
    reader.finish()
}

#[test]
fn all_five_queues_are_told_always() {
    let readings = readings(&Tally::default(), Timestamp::from_millis(1));
    assert_eq!(readings.len(), 16);
    assert!(readings.iter().all(|reading| reading.value == 0.0));
    let known = |reading: &Reading| METRICS.iter().any(|meta| meta.name == reading.metric);
    assert!(readings.iter().all(known));
    let queues: std::collections::BTreeSet<_> =
        readings.iter().flat_map(|r| r.labels.iter().map(|(_, value)| value.as_str())).collect();
    let all = ["active", "deferred", "hold", "incoming", "maildrop"];
    assert_eq!(queues.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn the_headline_is_for_a_person() {
    let now = Timestamp::from_millis(100_000_000);
    assert_eq!(headline(&Tally::default(), now), "no mail waits");
    let one = counted(&[(Queue::Active, 99_990, 1), (Queue::Hold, 5, 1)]);
    assert_eq!(headline(&one, now), "1 message, for 10 s, 1 on hold");
    let two = counted(&[(Queue::Deferred, 80_000, 1), (Queue::Active, 99_000, 1)]);
    assert_eq!(headline(&two, now), "2 messages, the oldest for 5 h");
}

#[tokio::test]
async fn local_takes_the_program_where_the_socket_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("showq");
    drop(UnixListener::bind(&socket).unwrap());
    let line = r#"echo '{"queue_name": "hold", "arrival_time": 5, "message_size": 7}'"#;
    let ways = vec![Way::Socket(socket.clone()), program(line)];
    let Outcome::Measured(seen) = ask(&prober(ways)).await else { panic!("not measured") };
    assert!(seen.up, "{seen:?}");

    let failing = program("exit 1");
    let Outcome::Measured(seen) = ask(&prober(vec![Way::Socket(socket), failing])).await else {
        panic!("not measured")
    };
    assert!(seen.cause.unwrap().contains("mail system is down"));
}

#[tokio::test]
async fn local_prefers_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("showq");
    let listener = UnixListener::bind(&socket).unwrap();
    let prober = prober(vec![Way::Socket(socket), program("exit 1")]);
    let (seen, _) = tokio::join!(ask(&prober), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"queue_name\0active\0time\x0010\0size\x0020\0\0\0").await.unwrap();
    });
    let Outcome::Measured(seen) = seen else { panic!("not measured") };
    assert!(seen.up && &*seen.headline != "no mail waits", "{seen:?}");
}

#[tokio::test]
async fn without_any_postfix_the_remedy_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = |name: &str| Way::Socket(folder.path().join(name));
    let Outcome::NotMeasured(obstacle) = ask(&prober(vec![nowhere("a"), nowhere("b")])).await
    else {
        panic!("measured")
    };
    assert!(obstacle.to_string().contains("no Postfix"), "{obstacle}");
}

#[test]
fn several_obstacles_keep_their_remedies() {
    let both = all_of(
        [Obstacle::new("a").with_remedy("x"), Obstacle::new("b").with_remedy("y")].into_iter(),
    );
    assert_eq!(both.to_string(), "a; b; remedy: x; or: y");
}

/// A hundred thousand messages through the socket: bounded time, and the only memory is one piece.
#[tokio::test]
async fn a_hundred_thousand_messages() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("showq");
    let listener = UnixListener::bind(&socket).unwrap();
    let prober = prober(vec![Way::Socket(socket)]);
    let (seen, _) = tokio::join!(ask(&prober), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let reason = "x".repeat(150);
        let message = format!(
            "queue_name\0deferred\0queue_id\0AB\0time\x001795336088\0size\x0010\0sender\0a@example.org\0recipient\0b@example.org\0reason\0{reason}\0\0"
        );
        let hundred = message.repeat(100);
        for _ in 0..1_000 {
            stream.write_all(hundred.as_bytes()).await.unwrap();
        }
        stream.write_all(b"\0").await.unwrap();
    });
    let Outcome::Measured(seen) = seen else { panic!("not measured") };
    let deferred = |metric| {
        let of = |r: &&Reading| r.metric == metric && r.labels[0].1.as_str() == "deferred";
        seen.readings.iter().find(of).unwrap().value
    };
    assert_eq!(deferred("mail_queue_messages"), 100_000.0);
    assert_eq!(deferred("mail_queue_size_bytes"), 1_000_000.0);
}
