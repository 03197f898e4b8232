//! What keeps samples, as its users meet it: the verbs on the data folder of the running program,
//! kill -9 under load, power loss, a full disk, folders that cannot be used.

#[path = "peers/harness.rs"]
mod harness;
#[path = "storage/lossy_disk.rs"]
mod lossy_disk;
#[path = "storage/power_loss.rs"]
mod power_loss;
#[path = "storage/queue.rs"]
mod queue;
#[path = "storage/trace.rs"]
mod trace;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use augenmass::demo::peers::{Mailbox, Mood, WebServer};
use harness::{augenmass, wait_for};

const LONG: Duration = Duration::from_secs(30);

/// A configuration with many quick looks at a page, and the folder it lives in.
struct World {
    folder: tempfile::TempDir,
    page: WebServer,
    mailbox: Mailbox,
    letters: tokio::sync::mpsc::Receiver<augenmass::demo::peers::Received>,
    port: u16,
}

impl World {
    async fn start(storage: &str, more: &str) -> Self {
        let page = WebServer::start().await.unwrap();
        page.set("/", Mood::Fine);
        let (mailbox, letters) = Mailbox::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!(
            "owners: {{team: {{notify: [{{email: team@example.org}}]}}}}\n\
             notify: {{email: {{smarthost: \"{}\", from: orwell@example.org, tls: \"off\"}}}}\n\
             defaults: {{interval: 1s, timeout: 1s, confirm: {{tries: 1}}}}\n\
             storage: {storage}\n{more}services:\n  page:\n    owner: team\n    probes:\n",
            mailbox.address()
        );
        for n in 0..20 {
            text += &format!("      - http: {{url: \"http://{}/\", name: t{n}}}\n", page.address());
        }
        std::fs::write(folder.path().join("augenmass.yml"), text).unwrap();
        Self { folder, page, mailbox, letters, port: harness::free_port() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn arguments(&self) -> Vec<String> {
        let file = self.folder.path().join("augenmass.yml");
        let listen = format!("127.0.0.1:{}", self.port);
        let (file, data) = (file.display().to_string(), self.data().display().to_string());
        ["run", "--config", &file, "--data", &data, "--listen", &listen].map(str::to_owned).into()
    }

    fn run(&self) -> Process {
        let mut command = augenmass();
        command.args(self.arguments());
        self.spawn(command)
    }

    fn spawn(&self, mut command: Command) -> Process {
        let log = self.folder.path().join("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut process = Process { child: command.spawn().unwrap(), port: self.port };
        wait_for("the program to answer", LONG, || {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", self.log());
            process.get("/-/ready").filter(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        process
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

struct Process {
    child: Child,
    port: u16,
}

impl Process {
    fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn metric(&self, name: &str) -> f64 {
        wait_for(name, LONG, || {
            let page = self.get("/metrics")?;
            page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        })
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and the end.
    fn stop(mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        wait_for("the program to end", LONG, || self.child.try_wait().unwrap());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(arguments: &[&str]) -> Output {
    augenmass().args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Runs a verb that must succeed; what it wrote to standard output.
fn tell(arguments: &[&str]) -> String {
    let output = ask(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of an export: (series, time) and value.
fn samples(data: &Path, selector: &str) -> BTreeMap<(String, String), String> {
    let data = data.to_str().unwrap();
    let text = tell(&["storage", "export", "--data", data, "--match", selector]);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (rest, time) = line.rsplit_once(' ').unwrap();
            let (series, value) = rest.rsplit_once(' ').unwrap();
            ((series.to_owned(), time.to_owned()), value.to_owned())
        })
        .collect()
}

#[tokio::test]
async fn the_verbs_work_on_the_folder_of_the_running_program() {
    let world = World::start("{commit_interval: 50ms}", "").await;
    let process = world.run();
    wait_for("two rounds on disk", LONG, || {
        let kept = process.metric("augenmass_storage_samples_appended_total");
        (kept > 2_000.0 && process.metric("augenmass_storage_commits_total") > 3.0).then_some(())
    });
    let data = world.data();
    let data = data.to_str().unwrap();
    let status = tell(&["storage", "status", "--data", data, "-o", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let metrics = status["metrics"].as_array().unwrap();
    let success = metrics.iter().find(|m| m["name"] == "probe_success").unwrap();
    assert_eq!(success["series"], 20, "{status}");
    assert!(status["tail_samples"].as_u64().unwrap() > 500, "{status}");
    let sources = status["sources"].as_array().unwrap();
    assert!(sources.iter().any(|s| s["name"].as_str().unwrap().contains("t7")), "{status}");
    assert!(tell(&["storage", "status", "--data", data]).contains("METRIC"));
    assert!(tell(&["storage", "verify", "--data", data]).contains("all is well"));

    // The copy is of one moment, and a data folder itself.
    let copy = world.folder.path().join("copy");
    let copy = copy.to_str().unwrap();
    tell(&["storage", "snapshot", copy, "--data", data]);
    let then = samples(Path::new(copy), "{__name__=~\"probe_[a-z_]+\"}");
    wait_for("more samples on disk", LONG, || {
        (samples(Path::new(data), "{__name__=~\"probe_[a-z_]+\"}").len() > then.len()).then_some(())
    });
    let again = ask(&["storage", "snapshot", copy, "--data", data]);
    assert_eq!(again.status.code(), Some(1), "never over something: {}", said(&again));

    // All series of a look are there, or none of them.
    let mut looks: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (series, time) in then.keys() {
        let target = series.split("target=\"").nth(1).unwrap().split('"').next().unwrap();
        looks.entry((target.to_owned(), time.clone())).or_default().push(series.clone());
    }
    let most = looks.values().map(Vec::len).max().unwrap();
    assert!(looks.len() > 20 && looks.values().all(|series| series.len() == most), "{looks:?}");

    let text = world.folder.path().join("page.om");
    let text = text.to_str().unwrap();
    tell(&["storage", "export", "--data", copy, "-o", text]);
    let busy = ask(&["import", "openmetrics", text, "--data", data]);
    assert_eq!(busy.status.code(), Some(1));
    assert!(said(&busy).contains("another augenmass keeps its samples in"), "{}", said(&busy));
    process.stop();
    let now = samples(Path::new(data), "{__name__=~\"probe_[a-z_]+\"}");
    assert!(then.iter().all(|(key, value)| now.get(key) == Some(value)), "the copy was right");

    // There and back: the same text.
    let other = world.folder.path().join("other");
    let other = other.to_str().unwrap();
    let told = tell(&["import", "openmetrics", text, "--data", other]);
    assert!(told.contains("samples imported"), "{told}");
    let once = std::fs::read_to_string(text).unwrap();
    assert_eq!(tell(&["storage", "export", "--data", other]), once);
    tell(&["import", "openmetrics", text, "--data", other]);
    assert_eq!(tell(&["storage", "export", "--data", other]), once, "twice is once");
}

#[test]
fn what_is_asked_wrongly_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let nothing = path("nothing");
    let (bad, absent) = (path("bad.om"), path("absent.om"));
    std::fs::write(&bad, "up 1 1780000000\nup one 1780000001\n# EOF\n").unwrap();
    for (arguments, code, wanted) in [
        (vec!["storage", "status", "--data", &nothing], 1, "there are no samples in"),
        (vec!["storage", "verify", "--data", &nothing], 1, "there are no samples in"),
        (vec!["storage", "export", "--data", &nothing, "--match", "up{"], 2, "--match up{"),
        (vec!["storage", "export", "--data", &nothing, "--from", "soon"], 2, "seconds since 1970"),
        (vec!["storage", "status"], 2, "--data"),
        (vec!["import", "openmetrics", &bad, "--data", &nothing], 1, "bad.om:2:4: "),
        (vec!["import", "openmetrics", &absent, "--data", &nothing], 1, "No such file"),
    ] {
        let output = ask(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(wanted), "{arguments:?}: {}", said(&output));
    }
}

/// Everything that was seen two commits ago is there after kill -9.
#[tokio::test]
async fn killed_under_load_it_has_what_was_committed() {
    let world = World::start("{commit_interval: 10ms}", "").await;
    let mut before = BTreeMap::new();
    for round in 0..20 {
        let process = world.run();
        let there = seen(&process);
        let lost: Vec<_> = before.iter().filter(|(key, v)| there.get(*key) != Some(v)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
        wait_for("new samples", LONG, || {
            before = seen(&process);
            (before.len() >= there.len() + 5).then_some(())
        });
        let commits = process.metric("augenmass_storage_commits_total");
        wait_for("two commits", LONG, || {
            (process.metric("augenmass_storage_commits_total") >= commits + 2.0).then_some(())
        });
        process.kill();
    }
    let process = world.run();
    assert!(before.iter().all(|(key, value)| seen(&process).get(key) == Some(value)));
    process.stop();
    let verified = tell(&["storage", "verify", "--data", world.data().to_str().unwrap()]);
    assert!(verified.contains("all is well"), "{verified}");
}

/// What queries see of one metric: (target, time) and value.
fn seen(process: &Process) -> BTreeMap<(String, String), String> {
    let query = "/api/v1/query?query=probe_duration_seconds%5B1h%5D";
    let answer = wait_for("an answer", LONG, || process.get(query));
    let body = answer.split("\r\n\r\n").nth(1).unwrap();
    let body = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    let value: serde_json::Value = serde_json::from_str(body).unwrap();
    let mut all = BTreeMap::new();
    for series in value["data"]["result"].as_array().unwrap() {
        let target = series["metric"]["target"].as_str().unwrap();
        for point in series["values"].as_array().unwrap() {
            all.insert((target.to_owned(), point[0].to_string()), point[1].to_string());
        }
    }
    all
}

/// The disk takes no more: looking, judging and telling go on, the state is a metric and an alert,
/// and writing resumes by itself.
#[tokio::test]
async fn a_full_disk_is_told_and_survived() {
    if harness::require("prlimit").is_none() {
        return;
    }
    let rules = "groups: [{name: g, rules: [\n\
                 {alert: SamplesNotStored, expr: 'augenmass_storage_disk_failing == 1', \
                 annotations: {summary: 'The disk refuses our samples'}},\n\
                 {alert: PageDown, expr: 'probe_success{target=\"t3\"} == 0', \
                 annotations: {summary: 'The page is down'}}]}]\n";
    let more = "rules: {shipped: false, files: [rules.yml], interval: 1s}\n";
    let mut world = World::start("{commit_interval: 10ms}", more).await;
    std::fs::write(world.folder.path().join("rules.yml"), rules).unwrap();
    // A file may grow to 256 KiB, and whoever writes more gets an error, not a signal.
    let mut shell = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -S -f 512; exec \"$0\" \"$@\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_augenmass")]).args(world.arguments());
    let process = world.spawn(shell);
    wait_for("the disk to be full", LONG, || {
        (process.metric("augenmass_storage_disk_failing") == 1.0).then_some(())
    });
    let looks = process.metric("augenmass_storage_samples_appended_total");
    world.page.set("/", Mood::Failing(http::StatusCode::INTERNAL_SERVER_ERROR));
    let mut wanted = vec!["The disk refuses our samples", "The page is down"];
    while !wanted.is_empty() {
        let letter = tokio::time::timeout(LONG, world.letters.recv()).await;
        let letter = letter.unwrap_or_else(|_| panic!("{wanted:?}: {}", world.log())).unwrap();
        let text = format!("{letter:?}");
        wanted.retain(|words| !text.contains(words));
    }
    assert!(process.metric("augenmass_storage_samples_appended_total") > looks);
    let pid = process.child.id().to_string();
    let raised =
        Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &pid]).status().unwrap();
    assert!(raised.success());
    wait_for("the disk to take samples again", LONG, || {
        (process.metric("augenmass_storage_disk_failing") == 0.0).then_some(())
    });
    // What memory alone had goes to the disk at the latest when the program ends.
    let now = seen(&process);
    process.stop();
    let process = world.run();
    let after = seen(&process);
    let lost: Vec<_> = now.iter().filter(|(key, value)| after.get(*key) != Some(value)).collect();
    assert!(lost.is_empty(), "{lost:?} of {}", now.len());
    drop(world.mailbox);
}

#[test]
fn folders_that_cannot_be_used_are_explained_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("augenmass.yml");
    std::fs::write(
        &file,
        "owners: {team: {notify: [{email: team@example.org}]}}\n\
         notify: {email: {smarthost: \"localhost:25\", from: a@example.org, tls: \"off\"}}\n\
         services: {page: {owner: team, probes: [{tcp: \"localhost:9\"}]}}\n",
    )
    .unwrap();
    let run = |data: &Path, command: &mut Command| {
        let listen = format!("127.0.0.1:{}", harness::free_port());
        command.args(["run", "--config"]).arg(&file).arg("--data").arg(data);
        let output = command.args(["--listen", &listen]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        said(&output)
    };
    let below_a_file = run(&file.join("data"), &mut augenmass());
    assert!(below_a_file.contains("augenmass.yml/data"), "{below_a_file}");
    // Somebody else's folder; root may write everywhere, so be nobody then.
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let mut somebody = somebody_else(folder.path());
    set_mode(&closed, 0o555);
    let refused = run(&closed, &mut somebody);
    set_mode(&closed, 0o755);
    assert!(refused.contains("closed") && refused.contains("ermission"), "{refused}");
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The program as a user for whom permissions count.
fn somebody_else(folder: &Path) -> Command {
    use std::os::unix::process::CommandExt;
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n");
    if !is_root {
        return augenmass();
    }
    // Where it lies nobody may look.
    let binary = folder.join("augenmass");
    std::fs::copy(env!("CARGO_BIN_EXE_augenmass"), &binary).unwrap();
    set_mode(&binary, 0o755);
    set_mode(folder, 0o755);
    let mut command = Command::new(binary);
    command.uid(65_534).gid(65_534);
    command
}
