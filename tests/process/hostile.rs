//! A bad world: every one of these costs a clear word or a bounded price, never the others' looks
//! and never an alert.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use augenmass::demo::peers::{Mood, QueuedMail, Showq};
use augenmass::model::Timestamp;

use crate::harness::{free_port, wait_for};
use crate::world::{FAILING, LONG, Process, World, is_over};

/// Serves each connection in a thread of its own, until the test ends.
struct Peer {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Peer {
    fn start(serve: impl Fn(TcpStream, &AtomicBool) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), serve, ended) = (stream, serve.clone(), ended.clone()) else {
                    continue;
                };
                let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                thread::spawn(move || serve(stream, &ended));
            }
        });
        Self { address, over }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a request's head.
fn head(stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
}

/// Sends `begin`, and then `again` until nobody listens any more.
fn endless(begin: &'static str, again: Vec<u8>, pause: Duration) -> Peer {
    Peer::start(move |mut stream, over| {
        head(&stream);
        let mut open = stream.write_all(begin.as_bytes()).is_ok();
        while open && !over.load(Ordering::SeqCst) {
            open = stream.write_all(&again).is_ok();
            thread::sleep(pause);
        }
    })
}

/// Answers every datagram with nonsense that begins like an answer.
fn nonsense_agent(over: Arc<AtomicBool>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    thread::spawn(move || {
        let mut buffer = [0u8; 2048];
        let mut turn = 0usize;
        while !over.load(Ordering::SeqCst) {
            let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
            turn += 1;
            let mut answer = buffer[..length].to_vec();
            match turn % 4 {
                // A length of four gigabytes; a cut; a flipped byte in each place in turn; noise.
                0 => answer.splice(1..2, [0x84, 0xff, 0xff, 0xff, 0xff]).for_each(drop),
                1 => answer.truncate(length / 2),
                2 => answer[turn % length] ^= 0x5a,
                _ => answer = vec![0x30; 1400],
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    address
}

fn memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id()));
    let status = status.unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn of(process: &Process, metric: &str, target: &str) -> Option<f64> {
    let page = process.get("/metrics")?;
    let wanted = format!("target=\"{target}\"");
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{metric}{{")) && line.contains(&wanted))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_peers_cost_a_bounded_price_and_no_alert() {
    let mut world = World::start().await;
    let over = Arc::new(AtomicBool::new(false));
    let trickle = endless(
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"x".to_vec(),
        Duration::from_millis(500),
    );
    let flood = endless(
        "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n",
        vec![b'x'; 65_536],
        Duration::ZERO,
    );
    let headers = endless(
        "HTTP/1.1 200 OK\r\n",
        b"X-More: and more of the same\r\n".repeat(512),
        Duration::ZERO,
    );
    let silent = Peer::start(|mut stream, _| drop(stream.read(&mut [0; 1])));
    let agent = nonsense_agent(over.clone());
    let queue = Showq::start(world.folder.path()).await.unwrap();
    let arrival = Timestamp::from_millis(1_700_000_000_000);
    queue.add((0..100_000).map(|_| QueuedMail { queue: "deferred", arrival, size: 4096 }));
    let socket = queue.socket().display().to_string();
    let mut more = "  hostile:\n    owner: team\n    probes:\n".to_owned();
    for (name, peer) in [("trickle", &trickle), ("flood", &flood), ("headers", &headers)] {
        more += &format!("      - http: {{url: \"http://{}/\", name: {name}}}\n", peer.address);
    }
    let port = silent.address.port();
    more += &format!(
        "      - smtp: {{host: 127.0.0.1, port: {port}, name: silent}}\n      \
         - printer: {{host: \"{agent}\", community: public, name: nonsense}}\n      \
         - mail_queue: {{showq: \"{socket}\", name: queue, timeout: 10s, interval: 10s}}\n      \
         - http: {{url: \"http://no-such-host.invalid/\", name: unresolvable}}\n"
    );
    // The owner's first channel leads nowhere.
    let config = world.config(&more);
    let config = config.replace("notify: [{email", "notify: [{matrix: \"!r:example.org\"}, {email");
    let nowhere = free_port();
    std::fs::write(world.folder.path().join("matrix-token"), "secret").unwrap();
    let matrix = format!(
        "tls: \"off\"}}, matrix: {{homeserver: \"http://127.0.0.1:{nowhere}\", token: {{file: matrix-token}}}}}}"
    );
    world.write(&config.replace("tls: \"off\"}}", &matrix));
    let process = world.run();

    wait_for("the whole queue", LONG, || {
        of(&process, "mail_queue_messages", "queue")
            .map(|_| ())
            .filter(|()| process.sum("mail_queue_messages") >= 100_000.0)
    });
    for name in ["trickle", "flood", "headers", "silent", "nonsense", "unresolvable"] {
        wait_for(name, LONG, || {
            let looked = of(&process, "probe_measured", name)?;
            let up = of(&process, "probe_success", name);
            (looked == 0.0 || up == Some(0.0)).then_some(())
        });
        let page = process.get("/api/v1/targets").unwrap();
        assert!(page.contains(name), "{page}");
    }
    // Meanwhile a page that is well is looked at every second, and its failure is told at once.
    world.page.set("/", FAILING);
    let begun = world.letter_of("page").await;
    assert!(!is_over(&begun));
    world.page.set("/", Mood::Fine);
    while !is_over(&world.letter_of("page").await) {}
    assert_eq!(process.metric("augenmass_probe_panicked_looks_total").unwrap_or(0.0), 0.0);
    let peak = memory(&process);
    assert!(peak < 160 * 1024, "{peak} KiB at the peak");
    over.store(true, Ordering::SeqCst);
    assert_eq!(process.stop(), 0);
}

/// A mail server that knows one password.
struct Strict {
    peer: Peer,
    letters: Arc<Mutex<Vec<String>>>,
}

impl Strict {
    fn start(password: &'static str) -> Self {
        let letters = Arc::new(Mutex::new(Vec::new()));
        let kept = letters.clone();
        let peer = Peer::start(move |stream, _| {
            let _ = Self::talk(&stream, password, &kept);
        });
        Self { peer, letters }
    }

    fn talk(stream: &TcpStream, password: &str, kept: &Mutex<Vec<String>>) -> std::io::Result<()> {
        let (mut say, mut lines) = (stream, BufReader::new(stream).lines());
        say.write_all(b"220 strict ESMTP\r\n")?;
        let mut known = false;
        while let Some(line) = lines.next().transpose()? {
            let verb = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let answer = match &*verb {
                "EHLO" => "250-strict\r\n250 AUTH PLAIN\r\n",
                "AUTH" => {
                    let token = line.rsplit(' ').next().unwrap_or_default();
                    let token = base64_decoded(token);
                    known = token.split(|byte| *byte == 0).any(|part| part == password.as_bytes());
                    if known {
                        "235 welcome\r\n"
                    } else {
                        "535 5.7.8 Error: authentication failed\r\n"
                    }
                }
                "MAIL" if !known => "530 5.7.0 log in first\r\n",
                "DATA" => {
                    say.write_all(b"354 go\r\n")?;
                    let mut letter = String::new();
                    for line in lines.by_ref() {
                        let line = line?;
                        if line == "." {
                            break;
                        }
                        letter += &format!("{line}\n");
                    }
                    kept.lock().unwrap().push(letter);
                    "250 taken\r\n"
                }
                "QUIT" => return say.write_all(b"221 bye\r\n"),
                _ => "250 ok\r\n",
            };
            say.write_all(answer.as_bytes())?;
        }
        Ok(())
    }
}

fn base64_decoded(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text.bytes().filter_map(|byte| ALPHABET.iter().position(|digit| *digit == byte));
    let (mut bits, mut count, mut out) = (0usize, 0, Vec::new());
    for digit in digits {
        (bits, count) = (bits << 6 | digit, count + 6);
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_smtp_password_is_named_and_costs_no_alert() {
    let world = World::start().await;
    let server = Strict::start("right-horse");
    let address = server.peer.address.to_string();
    let secret = world.folder.path().join("smtp-password");
    std::fs::write(&secret, "wrong-horse\n").unwrap();
    let credentials = "tls: \"off\", username: orwell, password: {file: smtp-password}}}";
    let config = world.config("").replace(&world.mailbox.address().to_string(), &address);
    world.write(&config.replace("tls: \"off\"}}", credentials));
    let process = world.run();
    wait_for("the first probe", LONG, || process.metric("probe_success").filter(|up| *up == 1.0));
    world.page.set("/", FAILING);
    wait_for("the refusal in the log", LONG, || {
        let log = world.log();
        log.contains("does not accept our user name and password").then_some(())
    });
    assert!(server.letters.lock().unwrap().is_empty());
    // The right password comes by a reload; the message that waited goes out.
    std::fs::write(&secret, "right-horse\n").unwrap();
    assert!(process.ask("POST", "/-/reload").unwrap().starts_with("HTTP/1.1 200"));
    wait_for("the message", Duration::from_secs(90), || {
        server.letters.lock().unwrap().iter().any(|letter| letter.contains("page")).then_some(())
    });
    let log = world.log();
    assert!(
        !log.contains("wrong-horse") && !log.contains("right-horse"),
        "a password is in the log"
    );
    assert_eq!(process.stop(), 0);
}
