//! What to do when we may not look: who we are, and which group would let us in.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::fs;
use tokio::io::AsyncReadExt;

use crate::probe::Obstacle;

/// The group that Postfix gives its public sockets to, unless it was built otherwise.
const POSTDROP: &str = "postdrop";

/// The socket's folder does not let us through.
pub(super) async fn of_socket(socket: &Path) -> Obstacle {
    let what = format!("no permission to open {}", socket.display());
    let folder = socket.parent().unwrap_or(socket);
    let named = match fs::metadata(folder).await {
        Ok(folder) => name_of(folder.gid(), "/etc/group").await,
        Err(_) => None,
    };
    let group = named.filter(|group| group != "root").unwrap_or_else(|| POSTDROP.to_owned());
    let user = me().await;
    Obstacle::new(what).with_remedy(format!(
        "usermod -aG {group} {user} and restart augenmass (systemd: SupplementaryGroups={group})"
    ))
}

/// Postfix' `authorized_mailq_users` leaves us out.
pub(super) async fn of_program() -> Obstacle {
    let user = me().await;
    Obstacle::new(format!("Postfix does not allow {user} to view the mail queue")).with_remedy(
        format!(
            "postconf -e \"authorized_mailq_users = {user}, $(postconf -h authorized_mailq_users)\""
        ),
    )
}

/// The user we run as, by name where it has one.
async fn me() -> String {
    let Ok(own) = fs::metadata("/proc/self").await else { return "augenmass".to_owned() };
    name_of(own.uid(), "/etc/passwd").await.unwrap_or_else(|| own.uid().to_string())
}

/// The name in the first field of the line whose third field is `id` (passwd(5), group(5)).
async fn name_of(id: u32, file: &str) -> Option<String> {
    let (mut text, most) = (String::new(), 1 << 20);
    fs::File::open(file).await.ok()?.take(most).read_to_string(&mut text).await.ok()?;
    name_in(&text, id)
}

fn name_in(text: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_system_files() {
        let group = "root:x:0:\npostfix:x:110:\npostdrop:x:111:augenmass\nbroken\n";
        assert_eq!(name_in(group, 111).as_deref(), Some("postdrop"));
        assert_eq!(name_in(group, 112), None);
    }

    #[tokio::test]
    async fn the_remedy_is_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let obstacle = of_socket(&folder.path().join("showq")).await;
        assert!(obstacle.what.contains("showq"), "{obstacle}");
        assert!(obstacle.remedy.unwrap().starts_with("usermod -aG "));
        assert!(of_program().await.remedy.unwrap().starts_with("postconf -e "));
    }
}
