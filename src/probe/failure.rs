use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{Obstacle, ResolveError};

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// The target's fault, for a person; one line, no secrets.
    #[error("{0}")]
    Theirs(Arc<str>),
    /// Something on our side stood in the way.
    #[error("{0}")]
    Ours(Obstacle),
}

impl Failure {
    pub(super) fn theirs(cause: impl Into<Arc<str>>) -> Self {
        Failure::Theirs(cause.into())
    }

    /// The deadline passed while we were `doing` something.
    pub(super) fn late(doing: &str, limit: Duration) -> Self {
        Failure::theirs(format!("no answer within {} ({doing})", human(limit)))
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Theirs(cause) => Failure::Theirs(cause),
            ResolveError::Ours(obstacle) => Failure::Ours(obstacle),
        }
    }
}

/// A duration for a person: "84 ms", "2.5 s".
pub fn human(length: Duration) -> String {
    let millis = length.as_secs_f64() * 1000.0;
    if millis < 10.0 {
        return format!("{millis:.1} ms");
    }
    if millis < 999.5 {
        return format!("{millis:.0} ms");
    }
    let tenths = format!("{:.1} s", length.as_secs_f64());
    tenths.replace(".0 s", " s")
}

/// Errors of the operating system that say something about this machine and nothing about the
/// target.
pub(super) fn of_this_machine(error: &io::Error) -> Option<Obstacle> {
    // Numbers of Linux' errno(3); the kinds that std has no name for.
    const EPERM: i32 = 1;
    const ENOMEM: i32 = 12;
    const EACCES: i32 = 13;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const EAFNOSUPPORT: i32 = 97;
    const EADDRNOTAVAIL: i32 = 99;
    const ENETDOWN: i32 = 100;
    const ENETUNREACH: i32 = 101;
    const ENOBUFS: i32 = 105;
    let obstacle = match error.raw_os_error()? {
        EMFILE | ENFILE => Obstacle::new("this machine has no file descriptors left for us")
            .with_remedy("raise LimitNOFILE of the service, or lower the concurrency"),
        ENOMEM | ENOBUFS => Obstacle::new("this machine has no memory left for a connection"),
        EPERM | EACCES => Obstacle::new("this machine does not let us connect")
            .with_remedy("check the firewall of this machine and the rights of the service"),
        EADDRNOTAVAIL => Obstacle::new("this machine has no address or port left to connect from"),
        EAFNOSUPPORT => Obstacle::new("this machine does not speak this address family"),
        ENETDOWN | ENETUNREACH => Obstacle::new("this machine has no network route to the target")
            .with_remedy(
                "check the network of this machine; for IPv6-less machines set family: v4",
            ),
        _ => return None,
    };
    Some(obstacle)
}

/// What an error of a connection means, in a person's words.
pub(super) fn of_connection(error: &io::Error) -> Failure {
    if let Some(obstacle) = of_this_machine(error) {
        return Failure::Ours(obstacle);
    }
    Failure::theirs(match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the server".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection".to_owned(),
        io::ErrorKind::BrokenPipe => "the server closed the connection".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => format!("connection failed: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lack_is_not_their_failure() {
        assert!(matches!(of_connection(&io::Error::from_raw_os_error(24)), Failure::Ours(_)));
        assert!(matches!(of_connection(&io::Error::from_raw_os_error(101)), Failure::Ours(_)));
        let refused = of_connection(&io::Error::from_raw_os_error(111));
        assert_eq!(refused, Failure::theirs("connection refused"));
    }

    #[test]
    fn durations_read_well() {
        let told = [84_000, 1_000_000, 2_500_000, 3_000, 29_999_900]
            .map(|micros| human(Duration::from_micros(micros)));
        assert_eq!(told, ["84 ms", "1 s", "2.5 s", "3.0 ms", "30 s"]);
    }
}
