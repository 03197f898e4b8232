use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::showq::{ShowqError, ShowqReader};
use super::{Look, PIECE, permission};
use crate::probe::Obstacle;

/// Connects to showq and reads its listing; sends nothing.
pub(super) async fn look(socket: &Path, limit: Duration) -> Look {
    let mut reader = ShowqReader::default();
    let mut received = false;
    match timeout(limit, read(socket, &mut reader, &mut received)).await {
        Ok(Ok(())) => match reader.finish() {
            Ok(tally) => Look::Counted { tally, mail_system_down: false },
            Err(error) => Look::Down(error.to_string()),
        },
        Ok(Err(stopped)) => stopped,
        Err(_) if received => unfinished(limit),
        Err(_) => Look::Down(format!("Postfix' showq does not answer within {limit:.1?}")),
    }
}

async fn read(socket: &Path, reader: &mut ShowqReader, received: &mut bool) -> Result<(), Look> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(error) => return Err(refused(socket, &error).await),
    };
    let mut piece = vec![0; PIECE];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return Ok(()),
            Ok(length) => {
                *received = true;
                reader.push(&piece[..length]).map_err(|error| not_showq(socket, error))?;
            }
            Err(error) => return Err(Look::Down(format!("Postfix' showq broke off: {error}"))),
        }
    }
}

async fn refused(socket: &Path, error: &std::io::Error) -> Look {
    let shown = socket.display();
    match error.kind() {
        ErrorKind::PermissionDenied => Look::Obstacle(permission::of_socket(socket).await),
        ErrorKind::ConnectionRefused => {
            Look::Down(format!("the mail system is down: nobody listens at {shown}"))
        }
        ErrorKind::NotFound => {
            Look::Obstacle(Obstacle::new(format!("there is no socket {shown}")).with_remedy(
                "the socket is public/showq below what `postconf -h queue_directory` prints",
            ))
        }
        _ => Look::Obstacle(Obstacle::new(format!("cannot connect to {shown}: {error}"))),
    }
}

fn not_showq(socket: &Path, error: ShowqError) -> Look {
    Look::Obstacle(Obstacle::new(format!("{}: {error}", socket.display())))
}

/// It answers, so it is not down; but its sums are not known.
pub(super) fn unfinished(limit: Duration) -> Look {
    Look::Obstacle(
        Obstacle::new(format!("the listing of the mail queue had not ended after {limit:.1?}"))
            .with_remedy("give this probe a longer timeout"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mail_queue::tally::Queue;
    use std::path::PathBuf;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixListener;

    const LONG: Duration = Duration::from_secs(20);

    struct Peer {
        folder: tempfile::TempDir,
        listener: UnixListener,
    }

    impl Peer {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("showq")).unwrap();
            Self { folder, listener }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("showq")
        }

        async fn send(&self, bytes: &[u8]) -> UnixStream {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let _ = stream.write_all(bytes).await;
            stream
        }
    }

    #[tokio::test]
    async fn a_listing_is_counted() {
        let peer = Peer::new();
        let listing = b"queue_name\0active\0time\x0010\0size\x0020\0\0\0";
        let path = peer.path();
        let (seen, _) = tokio::join!(look(&path, LONG), async { drop(peer.send(listing).await) });
        let Look::Counted { tally, mail_system_down: false } = seen else { panic!("{seen:?}") };
        assert_eq!(tally.waiting(Queue::Active).bytes, 20);
    }

    #[tokio::test]
    async fn a_stopped_mail_system_is_down_and_a_wrong_path_is_ours() {
        let peer = Peer::new();
        let path = peer.path();
        drop(peer.listener);
        assert!(matches!(look(&path, LONG).await, Look::Down(_)));
        let absent = peer.folder.path().join("absent");
        let seen = look(&absent, LONG).await;
        assert!(matches!(&seen, Look::Obstacle(o) if o.remedy.is_some()), "{seen:?}");
    }

    #[tokio::test]
    async fn what_breaks_off_is_down_and_what_is_no_listing_is_ours() {
        let peer = Peer::new();
        let path = peer.path();
        let (seen, _) =
            tokio::join!(look(&path, LONG), async { drop(peer.send(b"queue_name\0act").await) });
        assert!(matches!(seen, Look::Down(_)), "{seen:?}");
        let (seen, _) = tokio::join!(look(&path, LONG), peer.send(b"220 mail.example.org ESMTP\0"));
        assert!(matches!(seen, Look::Obstacle(_)), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_down_and_slowness_is_not() {
        let peer = Peer::new();
        let path = peer.path();
        let (seen, _held) = tokio::join!(look(&path, LONG), peer.send(b""));
        assert!(matches!(seen, Look::Down(_)), "{seen:?}");
        let (seen, _held) = tokio::join!(look(&path, LONG), peer.send(b"queue_name\0"));
        assert!(matches!(seen, Look::Obstacle(_)), "{seen:?}");
    }
}
