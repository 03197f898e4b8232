use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hashbrown::HashMap;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::server::Doors;
use super::settings::Limits;
use super::tls::Encryption;
use crate::telemetry::Telemetry;

/// Who is at the other end of the connection; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// The connection showed a certificate that we trust.
    pub(super) certified: bool,
    /// The request proved that it may do what it wants ([`super::access::guard`]).
    pub(super) trusted: bool,
}

impl Peer {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, certified: false, trusted: false }
    }
}

/// The connections of each address.
type Crowd = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A place among the connections of one address.
struct Seat {
    crowd: Crowd,
    ip: IpAddr,
}

impl Seat {
    /// `None` when the address has too many already.
    fn take(crowd: &Crowd, ip: IpAddr, limit: usize) -> Option<Self> {
        let mut all = crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(ip).or_insert(0);
        if *count >= limit && !ip.to_canonical().is_loopback() {
            return None;
        }
        *count += 1;
        Some(Self { crowd: crowd.clone(), ip })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.ip);
            }
        }
    }
}

/// Accepts and answers until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<Arc<Encryption>>,
    doors: &Doors,
    stop: CancellationToken,
) {
    let crowd = Crowd::default();
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    let service = TowerToHyperService::new(router);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No descriptor is left, or the peer is gone already: never spin on it.
                tracing::warn!(%error, "cannot accept a connection");
                let pause = doors.clock.mono().after(Duration::from_millis(100));
                doors.clock.sleep_until(pause).await;
                continue;
            }
        };
        let place = places.clone().try_acquire_owned().ok();
        let seat = Seat::take(&crowd, peer.ip(), limits.connections_per_peer);
        let Some(place) = place.zip(seat) else {
            doors.telemetry.web.connections_refused.inc();
            continue;
        };
        let (service, stop, tls) = (service.clone(), stop.clone(), tls.clone());
        let telemetry = doors.telemetry.clone();
        connections.spawn(async move {
            let _place = place;
            let _open = Open::count(telemetry);
            let peer = Peer::new(peer);
            // Answers are written at once; the small packets of a keep-alive peer should not wait.
            let _ = stream.set_nodelay(true);
            let stream = Moving::new(stream, limits.stall_timeout);
            match tls {
                None => one(stream, peer, service, limits, stop).await,
                Some(tls) => {
                    let shaken = tokio::select! {
                        shaken = tokio::time::timeout(limits.head_timeout, tls.accept(stream)) => shaken,
                        () = stop.cancelled() => return,
                    };
                    match shaken {
                        Ok(Ok((stream, certified))) => {
                            let peer = Peer { certified, ..peer };
                            one(stream, peer, service, limits, stop).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "no secure connection"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                }
            }
        });
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    let over = doors.clock.mono().after(limits.drain);
    let over = doors.clock.sleep_until(over);
    tokio::select! {
        () = drained => {}
        () = over => tracing::warn!("requests were cut off at the end"),
    }
    connections.shutdown().await;
}

/// Counts a connection as open as long as it lives.
struct Open(Arc<Telemetry>);

impl Open {
    fn count(telemetry: Arc<Telemetry>) -> Self {
        telemetry.web.connections.inc();
        Self(telemetry)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.web.connections.dec();
    }
}

async fn one(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    peer: Peer,
    service: TowerToHyperService<Router>,
    limits: Limits,
    stop: CancellationToken,
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        service.call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8 << 10))
        .max_headers(limits.head_lines)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A stream whose peer must take what we write: a write that stands still for too long fails.
pub(super) struct Moving {
    stream: TcpStream,
    patience: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl Moving {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self { stream, patience, stuck: None }
    }

    fn judge<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stuck = None;
            return outcome;
        }
        let patience = self.patience;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match stuck.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Moving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Moving {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
