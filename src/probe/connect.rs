use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Sleep, sleep, timeout};

use super::failure::{Failure, of_connection};
use super::{Family, Resolver};
use crate::ports::{Clock, Tick};

/// The part of a deadline that one of several addresses may use up at most.
const SHARE: u32 = 2;

/// Rings at a look's deadline. All steps of the look wait for the same bell: a timer of its own
/// for each step cost a tenth of a look's processor time.
#[derive(Default)]
pub(super) struct Bell(Mutex<Option<Pin<Box<Unconstrained<Sleep>>>>>);

impl Bell {
    fn poll(&self, watch: &Watch<'_>, context: &mut Context<'_>) -> Poll<()> {
        let mut bell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Unconstrained: a peer that floods us uses up the task's share of polls, and the bell
        // has to ring all the same.
        let rings = || Box::pin(unconstrained(sleep(watch.left())));
        bell.get_or_insert_with(rings).as_mut().poll(context)
    }
}

/// One look's time: reads the clock, knows the deadline.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    clock: &'a dyn Clock,
    start: Tick,
    deadline: Tick,
    bell: &'a Bell,
}

impl<'a> Watch<'a> {
    pub(super) fn start(clock: &'a dyn Clock, deadline: Tick, bell: &'a Bell) -> Self {
        Self { clock, start: clock.mono(), deadline, bell }
    }

    pub(super) fn now(&self) -> Tick {
        self.clock.mono()
    }

    pub(super) fn wall(&self) -> crate::model::Timestamp {
        self.clock.wall()
    }

    pub(super) fn deadline(&self) -> Tick {
        self.deadline
    }

    /// Time until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.deadline.since(self.now())
    }

    /// The whole time of the look.
    pub(super) fn limit(&self) -> Duration {
        self.deadline.since(self.start)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now().since(self.start)
    }

    pub(super) fn late(&self, doing: &str) -> Failure {
        Failure::late(doing, self.limit())
    }

    /// Waits for a piece of work, but not beyond the deadline.
    pub(super) async fn within<T>(
        &self,
        doing: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        std::future::poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.bell.poll(self, context).map(|()| Err(self.late(doing))),
        })
        .await
    }
}

/// A connection, and how long each step took.
pub(super) struct Connected {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
}

/// How long the steps before a connection took; what was not reached is absent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub(super) resolve: Option<Duration>,
    pub(super) connect: Option<Duration>,
}

/// Where to connect.
#[derive(Clone, Copy)]
pub(super) struct Destination<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) family: Family,
    /// Instead of resolving `host`.
    pub(super) address: Option<IpAddr>,
}

/// Resolves and connects: the addresses one after the other, IPv6 first, each with a share of the
/// time that is left, until one answers. `steps` tells how far it came and how long it took, in
/// the case of failure as well.
pub(super) async fn connect(
    to: Destination<'_>,
    resolver: &Resolver,
    watch: Watch<'_>,
    steps: &mut Steps,
) -> Result<Connected, Failure> {
    let begin = watch.now();
    let addresses: Result<Arc<[IpAddr]>, _> = match to.address {
        Some(address) => Ok([address].into()),
        None => resolver.addresses(to.host, to.family, watch.deadline()).await,
    };
    let resolved = watch.now();
    steps.resolve = Some(resolved.since(begin));
    let addresses = addresses?;
    let outcome = first_of(&addresses, to.port, watch).await;
    steps.connect = Some(watch.now().since(resolved));
    outcome
}

async fn first_of(addresses: &[IpAddr], port: u16, watch: Watch<'_>) -> Result<Connected, Failure> {
    let mut failure = None;
    for (at, &address) in addresses.iter().enumerate() {
        let last = at + 1 == addresses.len();
        let peer = SocketAddr::new(address, port);
        let connecting = watch.within("connecting", TcpStream::connect(peer));
        let connected = if last {
            connecting.await
        } else {
            let share = timeout(watch.left() / SHARE, connecting).await;
            share.unwrap_or_else(|_| Err(watch.late("connecting")))
        };
        let error = match connected {
            Ok(Ok(stream)) => return Ok(Connected { stream, peer }),
            Ok(Err(error)) => of_connection(&error),
            Err(late) => late,
        };
        // An answer of theirs says more than a lack of ours (a machine without IPv6).
        if !matches!((&failure, &error), (Some(Failure::Theirs(_)), Failure::Ours(_))) {
            failure = Some(error);
        }
    }
    Err(failure.unwrap_or_else(|| Failure::theirs("the host has no address")))
}
