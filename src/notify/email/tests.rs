//! The session against servers in this process, most of them hostile.

use std::sync::Mutex;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::model::Secret;
use crate::notify::{Handshake, MailLogin};
use crate::ports::{Message, SystemClock, Urgency};

fn settings(port: u16) -> EmailSettings {
    EmailSettings {
        host: "127.0.0.1".into(),
        port,
        from: "Orwell <orwell@example.org>".into(),
        reply_to: None,
        hello: None,
        login: None,
        oauth_token: None,
        headers: Vec::new(),
        tls: SmtpTls::Off,
        handshake: Handshake::default(),
        timeout: Duration::from_millis(500),
    }
}

fn delivery() -> Delivery {
    Delivery {
        key: "k-1".into(),
        to: Address::Email("web@example.org".into()),
        message: Message {
            subject: "Größe\r\nBcc: everybody@example.org".into(),
            text: ".dot\nline".into(),
            html: "<p>ü</p>".into(),
            language: "de".into(),
            urgency: Urgency::High,
            incident: "i-1".into(),
            ..Message::default()
        },
    }
}

/// Answers each line with what `say` gives; an empty answer closes the connection.
async fn serve(
    tasks: &mut JoinSet<()>,
    say: impl Fn(&str) -> String + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    tasks.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let mut asked = "greeting".to_owned();
        let mut content = false;
        loop {
            let answer = if content && asked != "." { None } else { Some(say(&asked)) };
            if asked == "." {
                content = false;
            }
            if let Some(answer) = answer {
                if answer.is_empty() {
                    return;
                }
                content = answer.starts_with("354");
                write.write_all(answer.as_bytes()).await.unwrap();
            }
            let Ok(Some(line)) = lines.next_line().await else { return };
            log.lock().unwrap().push(line.clone());
            asked = line;
        }
    });
    (port, heard)
}

fn friendly(line: &str) -> String {
    match line {
        "greeting" => "220 hello\r\n",
        "DATA" => "354 go on\r\n",
        line if line.starts_with("EHLO") => "250-hello\r\n250-8BITMIME\r\n250 SIZE 100000\r\n",
        _ => "250 2.0.0 fine\r\n",
    }
    .to_owned()
}

async fn deliver(
    port: u16,
    change: impl FnOnce(&mut EmailSettings),
) -> Result<Receipt, DeliveryError> {
    let mut settings = settings(port);
    change(&mut settings);
    let clock = Arc::new(SystemClock::start());
    EmailNotifier::new(&settings, clock).unwrap().deliver(&delivery()).await
}

/// The server says `answer` to lines that begin with `to`.
async fn answering(to: &'static str, answer: &'static str) -> Result<Receipt, DeliveryError> {
    let mut tasks = JoinSet::new();
    let say = move |line: &str| {
        if line.starts_with(to) { answer.to_owned() } else { friendly(line) }
    };
    let (port, _) = serve(&mut tasks, say).await;
    deliver(port, |_| {}).await
}

#[tokio::test]
async fn a_mail_is_delivered() {
    let mut tasks = JoinSet::new();
    let (port, heard) = serve(&mut tasks, friendly).await;
    assert_eq!(deliver(port, |_| {}).await, Ok(Receipt("250 2.0.0 fine".into())));
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.starts_with("EHLO example.org\nMAIL FROM:<orwell@example.org> SIZE="), "{heard}");
    assert!(heard.contains("\nRCPT TO:<web@example.org>\nDATA\n"), "{heard}");
    for header in [
        "Message-ID: <k-1@example.org>",
        "In-Reply-To: <incident.i-1@example.org>",
        "References: <incident.i-1@example.org>",
        "Auto-Submitted: auto-generated",
        "List-Id: augenmass alerts <alerts.augenmass.example.org>",
        "Importance: high",
        "Content-Language: de",
        "\n..dot",
    ] {
        assert!(heard.contains(header), "{header} is missing in {heard}");
    }
    assert!(!heard.to_lowercase().contains("\nbcc:"), "{heard}");
}

#[tokio::test]
async fn a_sender_of_its_own_stands_in_envelope_and_mail() {
    let mut tasks = JoinSet::new();
    let (port, heard) = serve(&mut tasks, friendly).await;
    let notifier = EmailNotifier::new(&settings(port), Arc::new(SystemClock::start())).unwrap();
    let mut delivery = delivery();
    delivery.message.from = "Web <web-alerts@other.example>".into();
    notifier.deliver(&delivery).await.unwrap();
    let heard = heard.lock().unwrap().join("\n");
    assert!(heard.contains("\nMAIL FROM:<web-alerts@other.example> SIZE="), "{heard}");
    assert!(heard.contains("\nFrom: Web <web-alerts@other.example>"), "{heard}");
    // Threads hold together by ids, whoever sends.
    assert!(heard.contains("Message-ID: <k-1@example.org>"), "{heard}");
}

#[tokio::test]
async fn an_address_that_no_template_gave_is_refused_at_once() {
    let notifier = EmailNotifier::new(&settings(1), Arc::new(SystemClock::start())).unwrap();
    let to = Address::Email("{{ .CommonLabels.mail }}".into());
    let refused = notifier.deliver(&Delivery { to, ..delivery() }).await.unwrap_err();
    assert!(matches!(&refused, DeliveryError::Rejected { .. }), "{refused:?}");
    assert!(refused.to_string().contains("the template of `to` gives no mail address"));
}

#[tokio::test]
async fn answers_have_their_classes() {
    use DeliveryError::{Down, Rejected, Retry, Unsure};
    assert!(
        matches!(answering("RCPT", "550 5.1.1 <web@example.org> unknown\r\n").await, Err(Rejected { reason }) if !reason.contains('@') && reason.contains("5.1.1"))
    );
    assert!(matches!(
        answering("RCPT", "450 4.2.0 greylisted\r\n").await,
        Err(Retry { after: Some(_), .. })
    ));
    assert!(matches!(answering("MAIL", "421 closing\r\n").await, Err(Down { .. })));
    assert!(matches!(answering("greeting", "554 no\r\n").await, Err(Rejected { .. })));
    assert!(matches!(answering("greeting", "").await, Err(Down { .. })));
    assert!(matches!(answering("DATA", "").await, Err(Retry { .. })));
    assert!(matches!(answering(".", "451 4.3.0 later\r\n").await, Err(Retry { .. })));
    assert!(matches!(answering(".", "554 5.7.1 spam\r\n").await, Err(Rejected { .. })));
    assert!(matches!(answering(".", "").await, Err(Unsure { .. })));
    assert!(matches!(answering("EHLO", "hello there\r\n").await, Err(Down { .. })));
    assert!(matches!(answering("EHLO", "250-x\r\n").await, Err(Down { .. })));
}

#[tokio::test]
async fn a_server_that_talks_without_end_costs_little() {
    let mut tasks = JoinSet::new();
    let say = |_: &str| "2".repeat(1 << 20);
    let (port, _) = serve(&mut tasks, say).await;
    let error = deliver(port, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("endless line"), "{error}");
    let say = |_: &str| "250-x\r\n".repeat(100_000);
    let (port, _) = serve(&mut tasks, say).await;
    let error = deliver(port, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("endless answer"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = deliver(port, |_| {}).await.unwrap_err();
    assert!(matches!(error, DeliveryError::Retry { .. } | DeliveryError::Down { .. }), "{error}");
    assert!(error.to_string().contains("cannot connect"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_left_in_time() {
    let mut tasks = JoinSet::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tasks.spawn(async move {
        let held = listener.accept().await;
        std::future::pending::<()>().await;
        drop(held);
    });
    let error = deliver(port, |s| s.timeout = Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "not delivered yet: greeting of the mail server: no answer in time"
    );
}

#[tokio::test]
async fn encryption_is_not_given_up() {
    let mut tasks = JoinSet::new();
    let (port, _) = serve(&mut tasks, friendly).await;
    let error = deliver(port, |s| s.tls = SmtpTls::Required).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Retry { .. } | DeliveryError::Down { .. }), "{error}");
    assert!(error.to_string().contains("STARTTLS"), "{error}");
    // Offered, but the handshake fails: no mail in clear text.
    let say = |line: &str| match line {
        line if line.starts_with("EHLO") => "250-hello\r\n250 STARTTLS\r\n".to_owned(),
        "STARTTLS" => "220 go\r\nno tls here at all, only words\r\n".to_owned(),
        line => friendly(line),
    };
    let (port, heard) = serve(&mut tasks, say).await;
    let error = deliver(port, |s| s.tls = SmtpTls::Opportunistic).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Retry { .. } | DeliveryError::Down { .. }), "{error}");
    assert!(!heard.lock().unwrap().join("\n").contains("MAIL"));
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let mut tasks = JoinSet::new();
    let say = |line: &str| match line {
        line if line.starts_with("EHLO") => "250-hello\r\n250 AUTH LOGIN\r\n".to_owned(),
        line if line == STANDARD_PASSWORD => "535 5.7.8 authentication failed\r\n".to_owned(),
        line if line.starts_with("AUTH") || line.ends_with('=') => "334 VXNlcg==\r\n".to_owned(),
        line => friendly(line),
    };
    let (port, _) = serve(&mut tasks, say).await;
    let login =
        |s: &mut EmailSettings| s.login = Some(MailLogin::new("joe", &Secret::new("hunter2")));
    let error = deliver(port, login).await.unwrap_err();
    assert!(matches!(&error, DeliveryError::Down { after: Some(_), .. }), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains("user name and password") && !text.contains("hunter2"), "{text}");
    let (port, _) = serve(&mut tasks, friendly).await;
    let error = deliver(port, login).await.unwrap_err();
    assert!(error.to_string().contains("offers no login"), "{error}");
}

/// `hunter2` in base64.
const STANDARD_PASSWORD: &str = "aHVudGVyMg==";

#[tokio::test]
async fn the_same_delivery_is_the_same_mail() {
    let from: Mailbox = "Größe <orwell@example.org>".parse().unwrap();
    let to: Mailbox = "web@example.org".parse().unwrap();
    let at = crate::model::Timestamp::from_millis(1_763_805_600_000);
    let letterhead =
        Letterhead { from: &from, domain: "example.org", reply_to: None, headers: &[] };
    let first = compose(&delivery(), &letterhead, &to, at).unwrap();
    assert_eq!(first, compose(&delivery(), &letterhead, &to, at).unwrap());
    assert!(first.is_ascii());
    assert!(first.split(|b| *b == b'\n').all(|line| line.len() <= 998));
}

#[test]
fn a_sender_must_be_an_address() {
    let mut settings = settings(25);
    settings.from = "nobody".into();
    let made = EmailNotifier::new(&settings, Arc::new(SystemClock::start()));
    assert!(matches!(made.err(), Some(ChannelError::Sender(_))));
}

#[tokio::test]
async fn a_token_from_a_file_logs_in_by_xoauth2() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "ya29.geheim\n").unwrap();
    let path = file.path().to_owned();
    let with_token =
        move |s: &mut EmailSettings| s.oauth_token = Some(("joe@example.org".into(), path));
    let mut tasks = JoinSet::new();
    let say = |line: &str| match line {
        line if line.starts_with("EHLO") => "250-hello\r\n250 AUTH XOAUTH2 PLAIN\r\n".to_owned(),
        // "user=joe@example.org^Aauth=Bearer ya29.geheim^A^A"
        "AUTH XOAUTH2 dXNlcj1qb2VAZXhhbXBsZS5vcmcBYXV0aD1CZWFyZXIgeWEyOS5nZWhlaW0BAQ==" => {
            "235 2.7.0 accepted\r\n".to_owned()
        }
        line if line.starts_with("AUTH") => "500 no\r\n".to_owned(),
        line => friendly(line),
    };
    let (port, _) = serve(&mut tasks, say).await;
    assert!(deliver(port, with_token.clone()).await.is_ok());
    // The refusal comes after an empty answer to the challenge with the reason.
    let say = |line: &str| match line {
        line if line.starts_with("EHLO") => "250-hello\r\n250 AUTH XOAUTH2\r\n".to_owned(),
        line if line.starts_with("AUTH") => "334 eyJzdGF0dXMiOiI0MDEifQ==\r\n".to_owned(),
        "" => "535 5.7.8 token expired\r\n".to_owned(),
        line => friendly(line),
    };
    let (port, _) = serve(&mut tasks, say).await;
    let error = deliver(port, with_token).await.unwrap_err();
    assert!(error.to_string().contains("user name and password"), "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
}
