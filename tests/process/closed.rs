//! Closed by default: who may do what, and that no secret of it comes out anywhere.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;

use crate::harness::wait_for;
use crate::world::{LONG, World};

/// What must never come out.
const SECRETS: [&str; 6] = [
    "canary-pusher-0123456789",
    "canary-sender-0123456789",
    "canary-tenant",
    "canary-password",
    "canary-wrong",
    "$2b$04$",
];

struct Asker {
    port: u16,
}

impl Asker {
    /// Status line, head and body.
    fn ask(&self, request: &str, headers: &[String]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let extra: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let body = if request.starts_with("POST /api/v1/write") { "\0" } else { "" };
        let head = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{extra}\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn check(&self, request: &str, headers: &[String], status: u16) -> String {
        let answer = self.ask(request, headers);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request} {headers:?}: {answer}"
        );
        answer
    }
}

fn basic(name: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    format!("Authorization: Basic {pair}")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what_and_no_secret_comes_out() {
    let world = World::start().await;
    let secret = |name: &str, text: &str| {
        std::fs::write(world.folder.path().join(name), text).unwrap();
    };
    secret("pusher", SECRETS[0]);
    secret("sender", SECRETS[1]);
    secret("tenant", SECRETS[2]);
    let hash = bcrypt::hash("canary-password", 4).unwrap();
    let config = format!(
        "{}web:\n  users:\n    alice: {{password_hash: \"{hash}\", may: [read, change]}}\n    \
         carol: {{password_hash: \"{hash}\"}}\n  \
         tokens: {{office: {{token: {{file: pusher}}, may: write}}}}\n\
         remote_write:\n  - url: http://127.0.0.1:1/api/v1/write\n    name: central\n    \
         bearer: {{file: sender}}\n    headers: {{X-Scope-OrgID: {{file: tenant}}}}\n",
        world.config("")
    );
    world.write(&config);
    let process = world.run();
    let asker = Asker { port: world.port };
    let (alice, carol) = (basic("alice", "canary-password"), basic("carol", "canary-password"));
    let office = bearer(SECRETS[0]);
    let pushed = |who: &str| {
        let kind = "Content-Type: application/x-protobuf".to_owned();
        vec![who.to_owned(), kind, "Content-Encoding: snappy".to_owned()]
    };
    // Nobody.
    let refused = asker.check("GET /metrics", &[], 401);
    assert!(refused.to_lowercase().contains("www-authenticate: basic"), "{refused}");
    asker.check("GET /", &[], 401);
    asker.check("POST /-/reload", &[], 401);
    asker.check("POST /api/v1/write", &pushed("X-Nothing: 1"), 401);
    asker.check("GET /-/healthy", &[], 200);
    // The wrong one.
    asker.check("GET /metrics", &[basic("alice", "canary-wrong")], 401);
    asker.check("GET /metrics", &[bearer("canary-wrong-token-of-length")], 401);
    // The right one, for what it may do.
    asker.check("GET /metrics", std::slice::from_ref(&alice), 200);
    asker.check("GET /metrics", std::slice::from_ref(&carol), 200);
    asker.check("POST /api/v1/query?query=1", std::slice::from_ref(&carol), 200);
    asker.check("POST /-/reload", std::slice::from_ref(&carol), 403);
    asker.check("GET /metrics", std::slice::from_ref(&office), 403);
    asker.check("POST /-/reload", std::slice::from_ref(&office), 403);
    asker.check("POST /api/v1/write", &pushed(&alice), 403);
    asker.check("POST /api/v1/write", &pushed(&office), 204);
    // A foreign page that knows of alice's browser.
    let foreign = "Origin: https://evil.example.org".to_owned();
    asker.check("POST /-/reload", &[alice.clone(), foreign], 403);
    asker.check("POST /-/reload", &[alice.clone(), "Sec-Fetch-Site: cross-site".to_owned()], 403);
    asker.check("POST /-/reload", std::slice::from_ref(&alice), 200);
    // Who is taken out of the file is out after a reload.
    world.write(&config.replace("    carol", "    carola"));
    asker.check("POST /-/reload", std::slice::from_ref(&alice), 200);
    asker.check("GET /metrics", &[carol], 401);
    wait_for("an attempt to push", LONG, || {
        let page = asker.ask("GET /metrics", std::slice::from_ref(&alice));
        page.contains("augenmass_remote_write_up{destination=\"central\"} 0").then_some(())
    });
    let mut outputs = BTreeMap::new();
    for path in
        ["/", "/metrics", "/api/v1/status/config", "/api/v1/status/flags", "/api/v1/targets"]
    {
        let answer = asker.ask(&format!("GET {path}"), std::slice::from_ref(&alice));
        outputs.insert(path.to_owned(), answer);
    }
    assert_eq!(process.stop(), 0);
    outputs.insert("log".to_owned(), world.log());
    let mut folders = vec![world.folder.path().join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                outputs.insert(path.display().to_string(), text);
            }
        }
    }
    assert!(outputs.keys().any(|name| name.ends_with(".queue")), "{:?}", outputs.keys());
    for (name, text) in &outputs {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {name}");
        }
    }
}
