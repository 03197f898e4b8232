//! The program with an `alertmanager.yml`: its routes, receivers and templates work for real.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use augenmass::demo::peers::Mailbox;
use serde_json::Value;

const LONG: Duration = Duration::from_secs(60);

/// A webhook: says what it is asked, and by whom.
fn webhook() -> (u16, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, heard) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            // A connection may be used again.
            loop {
                let (mut head, mut length) = (String::new(), 0);
                let mut line = String::new();
                while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    head.push_str(&std::mem::take(&mut line));
                }
                if head.is_empty() {
                    break;
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                if said.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                    return;
                }
            }
        }
    });
    (port, heard)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Running {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_augenmass"));
    command.arg("run").args(arguments).args(["--listen", "127.0.0.1:0"]).arg("--data");
    command.arg(folder.join("data")).current_dir(folder);
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

/// What the program answers, at the address that its log names.
fn ask(folder: &Path, path: &str) -> Value {
    let log = log(folder);
    let address = log.split("metrics at http://").nth(1).and_then(|rest| rest.split('/').next());
    let mut stream = std::net::TcpStream::connect(address.unwrap()).unwrap();
    let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap_or_default()
}

fn rules(firing: &str) -> String {
    format!(
        "groups:\n- name: g\n  rules:\n  \
         - {{alert: DiskFull, expr: {firing}, labels: {{severity: page}}, annotations: {{summary: full}}}}\n  \
         - {{alert: Chatter, expr: vector(1), labels: {{severity: info}}}}\n"
    )
}

fn alertmanager(mail: &str, hook: u16) -> String {
    format!(
        r#"
global: {{smtp_smarthost: '{mail}', smtp_from: am@example.org, smtp_require_tls: false}}
templates: ['*.tmpl']
route:
  receiver: mail
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 1s
  repeat_interval: 1h
  routes:
  - {{matchers: ['severity="page"'], receiver: hook, continue: true}}
  - {{matchers: ['severity="info"'], receiver: nobody}}
  - {{matchers: ['severity="page"'], receiver: mail}}
receivers:
- name: hook
  webhook_configs:
  - url: http://127.0.0.1:{hook}/hook?a=1
    http_config:
      basic_auth: {{username: me, password_file: password}}
      http_headers: {{X-Tenant: {{values: [seven], files: [password]}}}}
- name: mail
  email_configs:
  - to: one@example.org, two@example.org
    headers: {{Subject: '{{{{ template "subject" . }}}}', X-Team: '{{{{ .GroupLabels.alertname }}}}'}}
    text: 'It is {{{{ .CommonAnnotations.summary }}}}.'
- name: nobody
- name: archive
"#
    )
}

#[tokio::test]
async fn routes_receivers_and_templates_work_for_real() {
    let (mailbox, mut letters) = Mailbox::start().await.unwrap();
    let (hook, calls) = webhook();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("password", "geheim\n");
    write("own.tmpl", "{{ define \"subject\" }}own: {{ .GroupLabels.alertname }}{{ end }}");
    write("alertmanager.yml", &alertmanager(&mailbox.address().to_string(), hook));
    write("rules.yml", &rules("vector(1)"));
    write(
        "augenmass.yml",
        "alertmanager: alertmanager.yml\n\
         rules: {files: [rules.yml], shipped: false, interval: 1s}\n",
    );
    let process = run(folder, &["--config", "augenmass.yml"]);

    let (head, body) = calls.recv_timeout(LONG).unwrap_or_else(|_| panic!("{}", log(folder)));
    assert!(head.starts_with("POST /hook?a=1 "), "{head}");
    assert!(head.to_lowercase().contains("authorization: basic bwu6z2vozwlt"), "{head}");
    let lower = head.to_lowercase();
    assert!(lower.contains("x-tenant: seven\r\nx-tenant: geheim\r\n"), "{head}");
    assert_eq!(body["receiver"], "hook");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["groupKey"], r#"{}/{severity="page"}:{alertname="DiskFull"}"#);
    let mut to = Vec::new();
    for _ in 0..2 {
        let letter = tokio::time::timeout(LONG, letters.recv()).await;
        let letter = letter.unwrap_or_else(|_| panic!("no mail: {}", log(folder))).unwrap();
        let raw = String::from_utf8_lossy(&letter.raw).into_owned();
        assert!(raw.contains("Subject: own: DiskFull\r\n"), "{raw}");
        assert!(raw.contains("X-Team: DiskFull\r\n"), "{raw}");
        assert!(raw.contains("It is full."), "{raw}");
        assert_eq!(letter.from, "am@example.org");
        to.extend(letter.recipients);
    }
    to.sort();
    assert_eq!(to, ["one@example.org", "two@example.org"]);
    // As Alertmanager: in the file's order, also those that no route names.
    let names: Vec<_> = ask(folder, "/api/v2/receivers")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["hook", "mail", "nobody", "archive"]);

    // A broken file is refused, what runs goes on; then the alert is over.
    let good = std::fs::read_to_string(folder.join("alertmanager.yml")).unwrap();
    write("alertmanager.yml", &good.replace("receiver: nobody", "receiver: nobdy"));
    let hang_up = || {
        let pid = process.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    };
    hang_up();
    let refused = "there is no receiver `nobdy`, did you mean `nobody`?";
    for _ in 0..600 {
        if log(folder).contains(refused) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(log(folder).contains(refused), "{}", log(folder));
    write("alertmanager.yml", &good);
    write("rules.yml", &rules("vector(1) == 0"));
    hang_up();
    let (_, body) = calls.recv_timeout(LONG).unwrap_or_else(|_| panic!("{}", log(folder)));
    assert_eq!((&body["status"], &body["receiver"]), (&"resolved".into(), &"hook".into()));
    // Mail hears no ends unless told to, and nobody ever hears of `Chatter`.
    assert!(letters.try_recv().is_err() && calls.try_recv().is_err());
}

#[test]
fn what_cannot_run_is_refused_by_name_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alertmanager.yml");
    let text = "route: {receiver: a}\nreceivers:\n- name: a\n  webhook_configs:\n  \
                - url: http://127.0.0.1:9/\n    http_config: {proxy_url: 'ftp://127.0.0.1:1'}\n  \
                - url_file: gone\n  email_configs:\n  \
                - {to: a@example.org, from: b@example.org, smarthost: 'localhost:25', text: '{{ nonsense }}'}\n";
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_augenmass"));
    command.args(["run", "--listen", "127.0.0.1:0", "--alertmanager"]).arg(&file);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("alertmanager.yml:6:30: `proxy_url` should be a http, https or socks5 URL"),
        "{said}"
    );
    assert!(said.contains("alertmanager.yml:7:15: `url_file`: cannot read"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_augenmass"));
    let output = command.args(["check", "alertmanager"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("cannot run here: "), "{said}");
    assert!(said.contains("the template `text` of the receiver `a` is broken"), "{said}");
}

#[tokio::test]
async fn addresses_and_urls_are_written_by_templates_for_real() {
    let (mailbox, mut letters) = Mailbox::start().await.unwrap();
    let (hook, calls) = webhook();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mail = mailbox.address();
    let text = format!(
        r#"
global: {{smtp_smarthost: '{mail}', smtp_from: am@example.org, smtp_require_tls: false}}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 100ms
  routes:
  - {{matchers: ['alertname="DiskFull"'], receiver: written}}
  - {{matchers: ['alertname="Chatter"'], receiver: broken}}
receivers:
- name: default
  email_configs: [{{to: ops@example.org}}]
- name: written
  email_configs:
  - to: '{{{{ .CommonLabels.severity }}}}@example.org, {{{{ .CommonLabels.severity }}}}-two@example.org'
    from: '{{{{ .GroupLabels.alertname }}}} <{{{{ .Status }}}}@example.org>'
    text: mine
  webhook_configs:
  - url: http://hook.example.org/{{{{ .CommonLabels.severity }}}}
    http_config: {{proxy_url: 'http://127.0.0.1:{hook}'}}
- name: broken
  email_configs: [{{to: '{{{{ .CommonLabels.gone }}}}@example.org', text: mine}}]
"#
    );
    std::fs::write(folder.join("alertmanager.yml"), text).unwrap();
    std::fs::write(folder.join("rules.yml"), rules("vector(1)")).unwrap();
    let main = "alertmanager: alertmanager.yml\n\
                rules: {files: [rules.yml], shipped: false, interval: 1s}\n";
    std::fs::write(folder.join("augenmass.yml"), main).unwrap();
    let _process = run(folder, &["--config", "augenmass.yml"]);

    let (head, body) = calls.recv_timeout(LONG).unwrap_or_else(|_| panic!("{}", log(folder)));
    assert!(head.starts_with("POST http://hook.example.org/page HTTP/1.1\r\n"), "{head}");
    assert_eq!(body["receiver"], "written");
    let mut told = Vec::new();
    for _ in 0..3 {
        let letter = tokio::time::timeout(LONG, letters.recv()).await;
        let letter = letter.unwrap_or_else(|_| panic!("no mail: {}", log(folder))).unwrap();
        let raw = String::from_utf8_lossy(&letter.raw).replace("=\r\n", "");
        assert!(raw.contains("mine"), "{raw}");
        let broken = raw.contains("The template of `to` of the receiver broken is broken");
        assert_eq!(raw.contains("From: DiskFull <firing@example.org>\r\n"), !broken, "{raw}");
        told.push((letter.recipients.concat(), letter.from, broken));
    }
    told.sort();
    let expected = [
        ("ops@example.org", "am@example.org", true),
        ("page-two@example.org", "firing@example.org", false),
        ("page@example.org", "firing@example.org", false),
    ];
    assert_eq!(told, expected.map(|(to, from, broken)| (to.to_owned(), from.to_owned(), broken)));
}
