//! Any bytes as the body of a remote write: no panic, bounded, and always an answer. The first byte
//! chooses the protocol, and whether the rest is the body or the message within it.
#![no_main]

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use augenmass::model::{Batch, Timestamp};
use augenmass::ports::{Append, AppendError, Appended, Clock, Doing, Push, Receive, Tick};
use augenmass::remote::{Protocol, Receiver, ReceiverSettings};
use augenmass::telemetry::Telemetry;

struct Stopped;

impl Clock for Stopped {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }
    fn mono(&self) -> Tick {
        Tick(Duration::ZERO)
    }
    fn sleep_until(&self, _: Tick) -> Doing<'_, ()> {
        Box::pin(std::future::pending())
    }
}

struct Nowhere;

impl Append for Nowhere {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let kept = batch.rows.len();
        Box::pin(std::future::ready(Ok(Appended { kept, too_old: 0 })))
    }
}

fn receiver() -> &'static Receiver {
    static RECEIVER: OnceLock<Receiver> = OnceLock::new();
    RECEIVER.get_or_init(|| {
        // What is remembered stays bounded however long this runs.
        let settings = ReceiverSettings { series: 10_000, ..ReceiverSettings::default() };
        Receiver::new(settings, Arc::new(Nowhere), Arc::new(Stopped), Telemetry::new()).unwrap()
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let protocol = if choice & 1 == 0 { Protocol::One } else { Protocol::Two };
    let body = if choice & 2 == 0 {
        snap::raw::Encoder::new().compress_vec(rest).unwrap()
    } else {
        rest.to_vec()
    };
    let push = Push {
        content_type: protocol.content_type().to_owned(),
        encoding: "snappy".to_owned(),
        body: body.into(),
    };
    let answer = pin!(receiver().receive(push));
    // Nothing in here waits.
    match answer.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => assert!((200..600).contains(&answer.status)),
        Poll::Pending => panic!("it waits for something"),
    }
});
