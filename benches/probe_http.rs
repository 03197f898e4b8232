//! What web probes cost against a local nginx: CPU seconds per 1,000 looks, http and https (a full
//! handshake with an RSA-2048 chain of three), and the memory of a schedule with 500 targets.
//!
//! `cargo bench --bench probe_http -- [cpu] [memory]`; needs nginx and openssl. CPU is this process'
//! own (user and system), whatever else the machine does.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod measure;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use augenmass::model::{Batch, Labels};
use augenmass::ports::{Append, AppendError, Appended, Clock, Doing, SystemClock};
use augenmass::probe::snmp::UdpSnmp;
use augenmass::probe::{
    Confirm, Doors, Family, HttpExpect, HttpTarget, Kind, Outcome, Prober, Resolver, Schedule,
    ScheduleDoors, Settings, Target, TlsSettings, TlsStock, prober,
};
use augenmass::telemetry::Telemetry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wants = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    let folder = tempfile::tempdir().unwrap();
    let Some(nginx) = Nginx::start(folder.path()) else {
        println!("SKIPPED: nginx or openssl is not installed");
        return;
    };
    if wants("cpu") {
        for (kind, url) in [("http", nginx.http()), ("https", nginx.https())] {
            for concurrency in [1, 64] {
                cpu(kind, &url, concurrency, &nginx);
            }
        }
    }
    if wants("memory") {
        for (kind, url) in [("http", nginx.http()), ("https", nginx.https())] {
            memory(kind, &url, &nginx);
        }
    }
}

/// As the product runs: two workers.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn cpu(kind: &str, url: &str, concurrency: usize, nginx: &Nginx) {
    const LOOKS: usize = 10_000;
    let doors = doors();
    let target = target(url, "page", nginx);
    runtime().block_on(async {
        let round = |looks: usize| {
            let left = Arc::new(AtomicUsize::new(looks));
            let mut tasks = JoinSet::new();
            for _ in 0..concurrency {
                let (left, doors) = (left.clone(), doors.clone());
                let prober = prober(&target, &doors).unwrap();
                tasks.spawn(async move { look_again_and_again(&*prober, &left, &doors).await });
            }
            tasks.join_all()
        };
        round(500).await;
        let (wall, before) = (Instant::now(), measure::cpu().as_secs_f64());
        round(LOOKS).await;
        let (used, took) = (measure::cpu().as_secs_f64() - before, wall.elapsed().as_secs_f64());
        println!(
            "{kind} c{concurrency}: {:.3} CPU-s per 1,000 looks, {:.0} looks/s",
            used / LOOKS as f64 * 1000.0,
            LOOKS as f64 / took,
        );
    });
}

async fn look_again_and_again(prober: &dyn Prober, left: &AtomicUsize, doors: &Doors) {
    let take = |n: usize| n.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let deadline = doors.clock.mono().after(Duration::from_secs(10));
        let outcome = prober.probe(deadline).await;
        let good = matches!(&outcome, Outcome::Measured(seen) if seen.up);
        assert!(good, "{outcome:?}");
    }
}

struct Nowhere(AtomicUsize);

impl Append for Nowhere {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let kept = batch.rows.len();
        self.0.fetch_add(kept, Ordering::Relaxed);
        Box::pin(async move { Ok(Appended { kept, too_old: 0 }) })
    }
}

fn memory(kind: &str, url: &str, nginx: &Nginx) {
    let runtime = runtime();
    runtime.block_on(async {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let before = measure::resident();
        let targets = (0..500).map(|n| target(&format!("{url}?{n}"), &format!("{url}{n}"), nginx));
        let settings = Settings { targets: targets.collect(), concurrency: 64 };
        let (changes, mut heard) = tokio::sync::mpsc::channel(64);
        let nowhere = Arc::new(Nowhere(AtomicUsize::new(0)));
        let doors = ScheduleDoors {
            resolver: Arc::new(Resolver::from_system(clock.clone())),
            snmp: Arc::new(UdpSnmp::new()),
            clock,
            append: nowhere.clone(),
            changes,
            telemetry: Telemetry::new(),
        };
        let schedule = Schedule::new(&settings, doors);
        drop(settings);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(schedule.run(stop.clone()));
        tasks.spawn(async move { while heard.recv().await.is_some() {} });
        let cpu_before = measure::cpu().as_secs_f64();
        tokio::time::sleep(Duration::from_secs(60)).await;
        println!(
            "500 {kind} targets every 15 s: {:.1} MiB before, {:.1} MiB after 60 s, {} samples, {:.2} % of a core",
            before as f64 / 1048576.0,
            measure::resident() as f64 / 1048576.0,
            nowhere.0.load(Ordering::Relaxed),
            (measure::cpu().as_secs_f64() - cpu_before) / 0.6,
        );
        stop.cancel();
        tasks.shutdown().await;
    });
}

fn doors() -> Doors {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let resolver = Arc::new(Resolver::from_system(clock.clone()));
    Doors { clock, resolver, tls: Arc::new(TlsStock::new()), snmp: Arc::new(UdpSnmp::new()) }
}

fn target(url: &str, name: &str, nginx: &Nginx) -> Target {
    let ca_file = Some(nginx.folder.join("ca.crt"));
    let page = HttpTarget {
        url: url.parse().unwrap(),
        method: http::Method::GET,
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: Vec::new(),
        expect: HttpExpect::default(),
        redirects: 10,
        body_limit: 1 << 20,
        family: Family::Any,
        tls: TlsSettings { ca_file, ..TlsSettings::default() },
        address: None,
    };
    Target {
        service: "bench".into(),
        owner: "bench".into(),
        name: name.into(),
        labels: Labels::empty(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        confirm: Confirm::default(),
        kind: Kind::Http(Box::new(page)),
    }
}

/// One worker, no TLS session cache, an RSA-2048 chain of three, a body of 5 KB.
struct Nginx {
    child: Child,
    folder: std::path::PathBuf,
    ports: [u16; 2],
}

impl Nginx {
    fn start(folder: &Path) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
        let program = program.into_iter().find(|path| Path::new(path).is_file())?;
        certificates(folder)?;
        let ports = [(); 2]
            .map(|()| TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "lorem ipsum ".repeat(420)).unwrap();
        let at = folder.display();
        let configuration = format!(
            "worker_processes 1; daemon off; pid {at}/pid; error_log {at}/errors;
events {{ worker_connections 4096; }}
http {{ access_log off; ssl_session_cache off; ssl_session_tickets off;
client_body_temp_path {at}/t; proxy_temp_path {at}/t; fastcgi_temp_path {at}/t;
uwsgi_temp_path {at}/t; scgi_temp_path {at}/t; root {at}/www;
server {{ listen 127.0.0.1:{} backlog=4096; }}
server {{ listen 127.0.0.1:{} ssl backlog=4096;
ssl_certificate {at}/chain.crt; ssl_certificate_key {at}/leaf.key; }} }}",
            ports[0], ports[1],
        );
        fs::write(folder.join("nginx.conf"), configuration).unwrap();
        // Readable for the worker, which has another user.
        Command::new("chmod").args(["-R", "a+rX"]).arg(folder).status().ok()?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
        command.arg("-e").arg(folder.join("errors"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", ports[1])).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { child, folder: folder.to_owned(), ports })
    }

    fn http(&self) -> String {
        format!("http://127.0.0.1:{}/", self.ports[0])
    }

    fn https(&self) -> String {
        format!("https://127.0.0.1:{}/", self.ports[1])
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn certificates(folder: &Path) -> Option<()> {
    let extensions = "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n\
[leaf]\nbasicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n";
    fs::write(folder.join("v3"), extensions).unwrap();
    let script = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=bench-root
openssl req -newkey rsa:2048 -nodes -keyout im.key -out im.csr -subj /CN=bench-intermediate
openssl x509 -req -in im.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile v3 -extensions ca -out im.crt
openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=127.0.0.1
openssl x509 -req -in leaf.csr -CA im.crt -CAkey im.key -CAcreateserial -days 3650 -extfile v3 -extensions leaf -out leaf.crt
cat leaf.crt im.crt > chain.crt";
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).current_dir(folder);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then_some(())
}
