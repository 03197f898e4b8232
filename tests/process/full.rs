//! A disk of our own that gets full, or that nobody may write to: a small file system in memory
//! for `--data`. To mount one needs root; without it these tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use augenmass::demo::peers::Mood;

use crate::harness::{free_port, wait_for};
use crate::world::{FAILING, LONG, World, is_over};

/// A file system in memory, at `DATA` of a world; gone with the value.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let arguments = ["-t", "tmpfs", "-o", "size=3m,mode=0700", "augenmass-test"];
        let output = Command::new("mount").args(arguments).arg(at).output();
        match output {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            Ok(output) => {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("SKIPPED: no file system can be mounted here: {}", why.trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: no file system can be mounted here: {error}");
                None
            }
        }
    }

    fn become_read_only(&self) {
        let done = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status();
        assert!(done.unwrap().success());
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        let mut ballast = options.create(true).append(true).open(self.0.join("ballast")).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the program may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}

/// No room for samples nor for what was told: the outage is told all the same, and so is that there
/// is no room; when there is room again, writing goes on by itself and the end is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_alert() {
    let mut world = World::start().await;
    let data = world.folder.path().join("data");
    let Some(small) = Small::mount(&data) else { return };
    let rules = "groups: [{name: g, rules: [\n\
                 {alert: NoRoomForState, expr: 'augenmass_notify_state_durable == 0', \
                 annotations: {summary: 'no-room-for-state'}},\n\
                 {alert: NoRoomForSamples, expr: 'augenmass_storage_disk_failing == 1', \
                 annotations: {summary: 'no-room-for-samples'}}]}]\n";
    std::fs::write(world.folder.path().join("own.yml"), rules).unwrap();
    let config = world
        .config("")
        .replace("rules: {interval: 1s}", "rules: {interval: 1s, files: [own.yml]}");
    world.write(&config);
    let process = world.run();
    let durable = || process.metric("augenmass_notify_state_durable");
    let refused = || process.metric("augenmass_storage_disk_failing");
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    // SQLite writes into room it has already; what it frees meanwhile is taken, too.
    wait_for("the disk to be full", LONG, || {
        small.fill();
        refused().filter(|failing| *failing == 1.0)
    });
    world.page.set("/", FAILING);
    let (mut page, mut samples, mut state) = (false, false, false);
    while !(page && samples && state) {
        small.fill();
        let letter = world.letter().await;
        let text = format!("{letter:?}");
        page |= letter.mail.subject.contains("page") && !is_over(&letter);
        samples |= text.contains("no-room-for-samples");
        state |= text.contains("no-room-for-state");
    }
    assert_eq!(durable(), Some(0.0));
    assert!(process.metric("augenmass_notify_state_failures_total") > Some(0.0));
    // Nothing was told twice meanwhile, and there is room again.
    small.empty();
    wait_for("the state to be written", LONG, || durable().filter(|durable| *durable == 1.0));
    wait_for("samples to be written", LONG, || refused().filter(|failing| *failing == 0.0));
    // What memory alone knew is on the disk now: after a crash the outage goes on, untold.
    process.kill();
    let process = world.run();
    wait_for("evaluations", LONG, || {
        (process.sum("augenmass_evaluate_evaluations_total") > 20.0).then_some(())
    });
    while let Ok(letter) = world.letters.try_recv() {
        let again = letter.mail.subject.contains("page") && !is_over(&letter);
        assert!(!again, "told twice: {}", letter.mail.subject);
    }
    world.page.set("/", Mood::Fine);
    loop {
        let letter = world.letter_of("page").await;
        if is_over(&letter) {
            break;
        }
    }
    assert_eq!(process.stop(), 0);
}

/// Nobody may write: said at the start, with the folder and the reason, whether or not there is
/// something already.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_disk_is_explained_at_the_start() {
    let world = World::start().await;
    let data = world.folder.path().join("data");
    let Some(small) = Small::mount(&data) else { return };
    let start = || {
        let mut command = crate::harness::augenmass();
        command.args(["run", "--config"]).arg(world.file()).arg("--data").arg(&data);
        command.arg("--listen").arg(format!("127.0.0.1:{}", free_port()));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let process = world.run();
    assert_eq!(process.stop(), 0);
    small.become_read_only();
    let (code, said) = start();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&*data.to_string_lossy()) && said.to_lowercase().contains("read-only"),
        "{said}"
    );
    drop(small);
    let Some(fresh) = Small::mount(&data) else { return };
    fresh.become_read_only();
    let (code, said) = start();
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&*data.to_string_lossy()) && said.to_lowercase().contains("read-only"),
        "{said}"
    );
}
