//! A Postfix of our own: folders, the settings that every test wants, start and stop.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{require, skip};

/// What every main.cf begins with: nothing outside the folder, nothing off this machine.
const MAIN: &str = "compatibility_level = 3.6
queue_directory = HERE/spool
data_directory = HERE/data
mail_owner = postfix
setgid_group = postdrop
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
myhostname = mail.example.org
mydestination =
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_peername_lookup = no
maillog_file = HERE/data/mail.log
maillog_file_prefixes = HERE
";

/// Services that every master.cf has; nothing is chrooted.
const MASTER: &str = "pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// Stopped when it is dropped.
pub struct Postfix {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Postfix {
    /// Its folders, without starting it; `None` where it cannot run.
    pub fn prepare() -> Option<Self> {
        let program = require("postfix")?;
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            skip("Postfix is started by root only");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["etc", "spool", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        run(Command::new("chown").arg("postfix").arg(folder.path().join("data")));
        Some(Self { folder, program })
    }

    /// With further lines for main.cf (`HERE` is its folder) and master.cf.
    pub fn start(&self, main: &str, master: &str) {
        let here = self.path().display().to_string();
        let main = format!("{MAIN}{main}").replace("HERE", &here);
        fs::write(self.path().join("etc/main.cf"), each_once(&main)).unwrap();
        fs::write(self.path().join("etc/master.cf"), format!("{master}{MASTER}")).unwrap();
        let log = || fs::read_to_string(self.path().join("data/mail.log")).unwrap_or_default();
        assert!(self.run(&self.program, &["start"]), "postfix does not start: {}", log());
    }

    /// Where everything of it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// One of Postfix' programs on this installation; whether it succeeded.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.path().join("etc")).args(arguments);
        command.stdin(Stdio::null()).output().unwrap().status.success()
    }

    /// Stops it; its queue stays.
    pub fn stop(&self) {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(self.path().join("etc")).arg("stop").stdin(Stdio::null());
        let mut stopping = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        for _ in 0..200 {
            if stopping.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        // A server that begins just now can wait for ever to log that, and Postfix waits for it.
        let master = fs::read_to_string(self.path().join("spool/pid/master.pid"));
        if let Ok(master) = master {
            let _ = Command::new("pkill").args(["-9", "-P", master.trim()]).status();
        }
        stopping.wait().unwrap();
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Settings of which the last counts. Postfix warns of each that stands twice, and a server once waited
/// for ever to log such a warning.
fn each_once(settings: &str) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or("").trim().to_owned();
    let lines: Vec<&str> = settings.lines().collect();
    let last = |(n, line): &(usize, &&str)| !lines[n + 1..].iter().any(|l| key(l) == key(line));
    lines.iter().enumerate().filter(last).map(|(_, line)| format!("{line}\n")).collect()
}

/// Runs a program that must succeed.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
