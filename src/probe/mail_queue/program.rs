use std::io::ErrorKind;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::postqueue::PostqueueReader;
use super::socket::unfinished;
use super::tally::Tally;
use super::{Look, PIECE, permission};
use crate::probe::Obstacle;

/// Of what the program says on standard error, this much is kept.
const SAID: usize = 4096;

/// Runs `postqueue -j` and reads what it prints. The program is ended when time is over.
pub(super) async fn look(program: &Path, config_dir: Option<&Path>, limit: Duration) -> Look {
    match timeout(limit, run(program, config_dir)).await {
        Ok(Ok((tally, status, said))) => judge(program, tally, status, &said).await,
        Ok(Err(error)) => cannot_run(program, &error),
        Err(_) => unfinished(limit),
    }
}

async fn run(
    program: &Path,
    config_dir: Option<&Path>,
) -> std::io::Result<(Tally, ExitStatus, String)> {
    let mut command = Command::new(program);
    if let Some(folder) = config_dir {
        command.arg("-c").arg(folder);
    }
    command.arg("-j").env("LC_ALL", "C").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (tally, said) = tokio::try_join!(count(out), listen(err))?;
    Ok((tally, child.wait().await?, said))
}

async fn count(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<Tally> {
    let mut reader = PostqueueReader::default();
    let Some(mut output) = output else { return Ok(reader.finish()) };
    let mut piece = vec![0; PIECE];
    loop {
        match output.read(&mut piece).await? {
            0 => return Ok(reader.finish()),
            length => reader.push(&piece[..length]),
        }
    }
}

/// Keeps the beginning and reads the rest away, so that the program never waits for us.
async fn listen(output: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let Some(mut output) = output else { return Ok(String::new()) };
    let (mut said, mut piece) = (Vec::new(), vec![0; SAID]);
    loop {
        let length = output.read(&mut piece).await?;
        if length == 0 {
            return Ok(String::from_utf8_lossy(&said).into_owned());
        }
        said.extend_from_slice(&piece[..length.min(SAID - said.len())]);
    }
}

async fn judge(program: &Path, tally: Tally, status: ExitStatus, said: &str) -> Look {
    // "Mail system is down -- accessing queue directly" (root, exit 0) and "Queue report
    // unavailable - mail system is down" (others, exit 69).
    let mail_system_down = said.to_ascii_lowercase().contains("mail system is down");
    match status.code() {
        Some(0) => Look::Counted { tally, mail_system_down },
        Some(_) if said.contains("is not allowed to view the mail queue") => {
            Look::Obstacle(permission::of_program().await)
        }
        Some(_) if mail_system_down => Look::Down("the mail system is down".to_owned()),
        _ => {
            let (shown, reason) = (program.display(), first_reason(said));
            Look::Obstacle(Obstacle::new(format!("{shown} failed ({status}){reason}")))
        }
    }
}

/// The first complaint, without anything that could be an address.
fn first_reason(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("fatal:") || line.contains("error:"));
    let Some(line) = line.or_else(|| said.lines().next()) else { return String::new() };
    let words = line.split_whitespace().take(40).map(|word| {
        let plain = word.bytes().all(|b| b.is_ascii_graphic()) && !word.contains(['@', '<', '>']);
        if plain && word.len() <= 100 { word } else { "…" }
    });
    format!(": {}", words.collect::<Vec<_>>().join(" "))
}

fn cannot_run(program: &Path, error: &std::io::Error) -> Look {
    let shown = program.display();
    Look::Obstacle(match error.kind() {
        ErrorKind::NotFound => Obstacle::new(format!("there is no program {shown}"))
            .with_remedy("install Postfix, or tell where its postqueue is"),
        ErrorKind::PermissionDenied => Obstacle::new(format!("no permission to run {shown}"))
            .with_remedy(format!(
                "`ls -l {shown}` shows who may run it; Postfix installs it for everybody (2755)"
            )),
        _ => Obstacle::new(format!("cannot run {shown}: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::mail_queue::tally::Queue;
    use std::os::unix::process::ExitStatusExt;

    const LONG: Duration = Duration::from_secs(20);

    /// A shell stands in for postqueue: it is called as `sh -c SCRIPT -j`.
    async fn look_at(script: &str, limit: Duration) -> Look {
        look(Path::new("/bin/sh"), Some(Path::new(script)), limit).await
    }

    #[tokio::test]
    async fn a_listing_is_counted() {
        let line = r#"{"queue_name": "hold", "arrival_time": 5, "message_size": 7}"#;
        let seen = look_at(&format!("[ \"$0\" = -j ] && echo '{line}'"), LONG).await;
        let Look::Counted { tally, mail_system_down: false } = seen else { panic!("{seen:?}") };
        assert_eq!(tally.waiting(Queue::Hold).bytes, 7);
    }

    #[tokio::test]
    async fn not_allowed_is_ours_and_down_is_theirs() {
        let refused = "echo 'postqueue: fatal: User nobody(65534) is not allowed to view the mail queue' >&2; exit 69";
        let seen = look_at(refused, LONG).await;
        assert!(matches!(&seen, Look::Obstacle(o) if o.remedy.is_some()), "{seen:?}");
        let down =
            "echo 'postqueue: fatal: Queue report unavailable - mail system is down' >&2; exit 69";
        assert!(matches!(look_at(down, LONG).await, Look::Down(_)));
        let root = "echo 'postqueue: warning: Mail system is down -- accessing queue directly' >&2";
        let seen = look_at(root, LONG).await;
        assert!(matches!(seen, Look::Counted { mail_system_down: true, .. }), "{seen:?}");
    }

    #[tokio::test]
    async fn an_unknown_complaint_loses_its_addresses() {
        let seen = look_at("echo 'postqueue: fatal: bad <a@example.org> b@c x' >&2; exit 75", LONG);
        let Look::Obstacle(obstacle) = seen.await else { panic!("it failed") };
        assert!(obstacle.what.ends_with("postqueue: fatal: bad … … x"), "{obstacle}");
        let killed = ExitStatus::from_raw(9);
        assert!(matches!(
            judge(Path::new("p"), Tally::default(), killed, "").await,
            Look::Obstacle(_)
        ));
    }

    #[tokio::test]
    async fn a_missing_program_is_ours() {
        let seen = look(Path::new("/nowhere/postqueue"), None, LONG).await;
        assert!(matches!(&seen, Look::Obstacle(o) if o.remedy.is_some()), "{seen:?}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let seen = look_at("exec sleep 1000", Duration::from_millis(50)).await;
        assert!(matches!(seen, Look::Obstacle(_)), "{seen:?}");
    }

    #[tokio::test]
    async fn endless_complaints_are_bounded() {
        let seen = look_at("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1", LONG).await;
        let Look::Obstacle(obstacle) = seen else { panic!("it failed") };
        assert!(obstacle.what.len() < 300, "{obstacle}");
    }
}
