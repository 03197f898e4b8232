use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Phases, add};
use crate::ports::Tick;
use crate::probe::connect::Watch;
use crate::probe::failure::Failure;

/// An answer's head may be so long, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;

/// An answer's head may have so many lines.
const HEADERS_LIMIT: usize = 256;

/// How much of the body is wanted.
#[derive(Clone, Copy)]
pub(super) struct Wants {
    /// More bytes than this are a failure.
    pub(super) limit: u64,
    /// Whether to keep them.
    pub(super) keep: bool,
}

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    /// As the server announced it.
    pub(super) announced: Option<u64>,
    /// Bytes that were read.
    pub(super) length: u64,
    /// The bytes themselves, if wanted.
    pub(super) body: BytesMut,
    /// Why the body did not end as it should: the status is told before this.
    pub(super) failure: Option<Failure>,
}

/// Sends a request over a fresh connection and reads the answer. `begin` is when the connection
/// was ready.
pub(super) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    wants: Wants,
    begin: Tick,
    watch: Watch<'_>,
    phases: &mut Phases,
) -> Result<Answer, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.max_headers(HEADERS_LIMIT).max_buf_size(HEAD_LIMIT);
    let shaken = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| of_http(&error))?;
    let mut connection = Driven { connection: pin!(connection), ended: false };
    let waiting = "waiting for the answer";
    let answered = watch.within(waiting, connection.drive(sender.send_request(request))).await;
    let first_byte = watch.now();
    add(&mut phases.processing, Some(first_byte.since(begin)));
    let response = answered?.map_err(|error| of_http(&error))?;
    let (head, body) = response.into_parts();
    let mut answer = Answer {
        status: head.status,
        version: head.version,
        headers: head.headers,
        announced: body.size_hint().exact(),
        length: 0,
        body: BytesMut::new(),
        failure: None,
    };
    let reading = connection.drive(read(body, wants, &mut answer));
    let ended = match watch.within("reading the page", reading).await {
        Ok(ended) => ended,
        Err(late) => Err(late),
    };
    answer.failure = ended.err();
    add(&mut phases.transfer, Some(watch.now().since(first_byte)));
    Ok(answer)
}

async fn read(mut body: Incoming, wants: Wants, into: &mut Answer) -> Result<(), Failure> {
    let too_long = || Failure::theirs(format!("the page is longer than {} bytes", wants.limit));
    if into.announced.is_some_and(|length| length > wants.limit) {
        return Err(too_long());
    }
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| of_http(&error))?;
        let Some(data) = frame.data_ref() else { continue };
        into.length += data.len() as u64;
        if into.length > wants.limit {
            return Err(too_long());
        }
        if wants.keep {
            into.body.extend_from_slice(data);
        }
    }
    Ok(())
}

/// A connection that moves only while somebody waits for something on it: no task of its own.
struct Driven<'a, C> {
    connection: Pin<&'a mut C>,
    ended: bool,
}

impl<C, E> Driven<'_, C>
where
    C: Future<Output = Result<(), E>>,
{
    async fn drive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            if !self.ended && self.connection.as_mut().poll(context).is_ready() {
                self.ended = true;
            }
            // The connection may just have handed over what the work waits for.
            work.as_mut().poll(context)
        })
        .await
    }
}

fn of_http(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error);
    let io = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
    let early = io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
    if let Some(io) = io.filter(|_| !early) {
        return crate::probe::failure::of_connection(io);
    }
    if error.is_parse_too_large() {
        Failure::theirs("the answer's header is too long")
    } else if error.is_parse() {
        Failure::theirs("the answer is not HTTP")
    } else if early || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Failure::theirs("the server closed the connection before its answer was complete")
    } else {
        Failure::theirs(format!("the answer could not be read: {error}"))
    }
}
