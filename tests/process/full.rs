//! A disk of our own that gets full, or that nobody may write to: a small file system in memory
//! for `--data`. Root mounts it; others do so in a namespace of their own, in which the program runs
//! then. Where neither works, these tests say so and pass, or fail when peers are required.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use augenmass::demo::peers::Mood;

use crate::harness::{free_port, skip, wait_for};
use crate::world::{FAILING, LONG, World, is_over};

/// As big as it is.
const OPTIONS: &str = "size=3m,mode=0700";

/// A file system in memory, at the data folder of a world; gone with the value.
struct Small {
    /// Where the program sees it.
    at: PathBuf,
    /// Who keeps the namespace in which it is mounted.
    keeper: Option<Child>,
}

impl Small {
    /// At the data folder of a world, which starts the program where it is seen.
    fn mount(world: &mut World) -> Option<Self> {
        let at = world.folder.path().join("data");
        std::fs::create_dir_all(&at).unwrap();
        let small = mounted(&at).or_else(|why| {
            let other = in_a_namespace(&at);
            other.map_err(|other| format!("no file system can be mounted here: {why}; {other}"))
        });
        match small {
            Ok(small) => {
                world.within = small.within();
                Some(small)
            }
            Err(why) => {
                skip(&why);
                None
            }
        }
    }

    /// What enters the namespace, and becomes the command behind it.
    fn within(&self) -> Vec<String> {
        let Some(keeper) = &self.keeper else { return Vec::new() };
        let target = keeper.id().to_string();
        let words = ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials"];
        words.map(str::to_owned).to_vec()
    }

    /// Where this test sees it.
    fn inside(&self) -> PathBuf {
        match &self.keeper {
            Some(keeper) => {
                let root = PathBuf::from(format!("/proc/{}/root", keeper.id()));
                root.join(self.at.strip_prefix("/").unwrap())
            }
            None => self.at.clone(),
        }
    }

    fn become_read_only(&self) {
        let words = ["mount", "-o", "remount,bind,ro"].map(str::to_owned);
        let words: Vec<String> = self.within().into_iter().chain(words).collect();
        let done = Command::new(&words[0]).args(&words[1..]).arg(&self.at).status();
        assert!(done.unwrap().success());
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut options = std::fs::OpenOptions::new();
        let ballast = self.inside().join("ballast");
        let mut ballast = options.create(true).append(true).open(ballast).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while ballast.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.inside().join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            let _ = keeper.kill();
            let _ = keeper.wait();
            return;
        }
        // Lazily: the program may still be on its way out.
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

/// As root.
fn mounted(at: &Path) -> Result<Small, String> {
    let arguments = ["-t", "tmpfs", "-o", OPTIONS, "augenmass-test"];
    let output = Command::new("mount").args(arguments).arg(at).output();
    let output = output.map_err(|error| format!("mount: {error}"))?;
    match output.status.success() {
        true => Ok(Small { at: at.to_owned(), keeper: None }),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// As anybody who may have a namespace: it lasts as long as its keeper reads its input.
fn in_a_namespace(at: &Path) -> Result<Small, String> {
    let script =
        format!("mount -t tmpfs -o {OPTIONS} augenmass-test \"$0\" && echo there && exec cat");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).arg(at);
    let keeper =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut keeper = keeper.map_err(|error| format!("unshare: {error}"))?;
    let mut said = String::new();
    let _ = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut said);
    if said.trim() == "there" {
        return Ok(Small { at: at.to_owned(), keeper: Some(keeper) });
    }
    let output = keeper.wait_with_output().map_err(|error| format!("unshare: {error}"))?;
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// No room for samples nor for what was told: the outage is told all the same, and so is that there
/// is no room; when there is room again, writing goes on by itself and the end is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_costs_no_alert() {
    let mut world = World::start().await;
    let Some(small) = Small::mount(&mut world) else { return };
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
    let mut world = World::start().await;
    let data = world.folder.path().join("data");
    let Some(small) = Small::mount(&mut world) else { return };
    let start = |world: &World| {
        let mut command = world.command();
        command.args(["run", "--config"]).arg(world.file()).arg("--data").arg(&data);
        command.arg("--listen").arg(format!("127.0.0.1:{}", free_port()));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let process = world.run();
    assert_eq!(process.stop(), 0);
    small.become_read_only();
    let (code, said) = start(&world);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&*data.to_string_lossy()) && said.to_lowercase().contains("read-only"),
        "{said}"
    );
    drop(small);
    let Some(fresh) = Small::mount(&mut world) else { return };
    fresh.become_read_only();
    let (code, said) = start(&world);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains(&*data.to_string_lossy()) && said.to_lowercase().contains("read-only"),
        "{said}"
    );
}
