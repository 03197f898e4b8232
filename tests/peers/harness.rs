//! Starts real programs on free ports with their data in a temporary directory, and ends them.
#![allow(dead_code, clippy::disallowed_methods)]

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The path of a program, from `$AUGENMASS_PEERS` (a folder with links), the PATH or the places
/// where Debian keeps daemons. Without it: prints `SKIPPED`, or fails when peers are required.
pub fn require(program: &str) -> Option<PathBuf> {
    let own = std::env::var_os("AUGENMASS_PEERS").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(std::env::split_paths(&path)).chain(
        ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/lib/postfix/sbin"].map(PathBuf::from),
    );
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Says that a test cannot run here; fails instead when peers are required.
pub fn skip(why: &str) {
    assert!(std::env::var_os("AUGENMASS_REQUIRE_PEERS").is_none(), "required peer: {why}");
    eprintln!("SKIPPED: {why}");
}

/// The `augenmass` binary under test.
pub fn augenmass() -> Command {
    Command::new(env!("CARGO_BIN_EXE_augenmass"))
}

/// A TCP port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A UDP port that was free a moment ago.
pub fn free_udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again and again until there is an answer; fails after `limit`.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Waits until somebody listens.
pub fn wait_for_port(port: u16) {
    wait_for(&format!("port {port}"), Duration::from_secs(60), || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}

/// A program that is ended when the test is over.
pub struct Running(pub Child);

impl Running {
    /// Starts it with its output kept silent unless AUGENMASS_PEER_OUTPUT is set.
    pub fn start(command: &mut Command) -> Self {
        if std::env::var_os("AUGENMASS_PEER_OUTPUT").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// SIGTERM by pid.
    pub fn terminate(&self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.terminate();
        for _ in 0..250 {
            if matches!(self.0.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
