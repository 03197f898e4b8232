use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::message::Parsed;

/// The longest line that is taken, in bytes (RFC 5321 asks for 1,000).
const LINE: u64 = 8 * 1024;
/// The biggest message, in bytes.
const MESSAGE: usize = 16 * 1024 * 1024;
/// Recipients of one message (RFC 5321 §4.5.3.1.8).
const RECIPIENTS: usize = 100;
/// Connections at once.
const CONNECTIONS: usize = 64;
/// Messages that wait to be taken out of the mailbox.
const WAITING: usize = 256;
/// How long a silent client is kept.
const IDLE: Duration = Duration::from_secs(60);

/// A mail server that keeps what it gets: EHLO, MAIL, RCPT, DATA; no TLS, no passwords.
pub struct Mailbox {
    address: SocketAddr,
    closed: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The envelope's sender; empty for a bounce.
    pub from: String,
    /// The envelope's recipients.
    pub recipients: Vec<String>,
    /// What its reader sees.
    pub mail: Parsed,
    /// Every byte, dots unstuffed.
    pub raw: Vec<u8>,
}

struct Desk {
    letters: mpsc::Sender<Received>,
    closed: Arc<AtomicBool>,
}

impl Mailbox {
    /// SMTP on a free port of 127.0.0.1; what arrives comes out of the channel. While nobody
    /// empties it and it is full, further mail is put off with 452.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start() -> io::Result<(Self, mpsc::Receiver<Received>)> {
        Self::with_room(WAITING).await
    }

    async fn with_room(waiting: usize) -> io::Result<(Self, mpsc::Receiver<Received>)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (letters, inbox) = mpsc::channel(waiting);
        let closed = Arc::new(AtomicBool::new(false));
        let desk = Arc::new(Desk { letters, closed: closed.clone() });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, desk));
        Ok((Self { address, closed, _task: task }, inbox))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether recipients are put off with 451 (a mail server in trouble), or taken again.
    pub fn set_closed(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let desk = desk.clone();
        connections.spawn(async move {
            let _permit = permit;
            let _ = stream.set_nodelay(true);
            // A client that hangs up or says nothing has lost its turn, and nothing else.
            let _ = Talk::new(stream, desk).run().await;
        });
    }
}

struct Talk {
    stream: BufReader<TcpStream>,
    desk: Arc<Desk>,
    from: Option<String>,
    recipients: Vec<String>,
}

impl Talk {
    fn new(stream: TcpStream, desk: Arc<Desk>) -> Self {
        Self { stream: BufReader::new(stream), desk, from: None, recipients: Vec::new() }
    }

    async fn run(mut self) -> io::Result<()> {
        self.say("220 localhost ESMTP augenmass demo mailbox").await?;
        loop {
            let line = self.line().await?;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end();
            let verb = text.split([' ', ':']).next().unwrap_or("").to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    self.forget();
                    let size = format!("250-SIZE {MESSAGE}");
                    let skills =
                        ["250-localhost", "250-8BITMIME", "250-SMTPUTF8", "250-PIPELINING"];
                    let all = [&skills[..], &[&size, "250 ENHANCEDSTATUSCODES"]].concat();
                    self.say(&all.join("\r\n")).await?;
                }
                "HELO" => {
                    self.forget();
                    self.say("250 localhost").await?;
                }
                "MAIL" => self.mail(text).await?,
                "RCPT" => self.rcpt(text).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.forget();
                    self.say("250 2.0.0 Ok").await?;
                }
                "NOOP" | "VRFY" => self.say("252 2.0.0 Ok").await?,
                "QUIT" => return self.say("221 2.0.0 Bye").await,
                _ => self.say("502 5.5.2 Unknown command").await?,
            }
        }
    }

    async fn mail(&mut self, text: &str) -> io::Result<()> {
        match path(text) {
            Some(from) if self.from.is_none() => {
                self.from = Some(from);
                self.say("250 2.1.0 Ok").await
            }
            Some(_) => self.say("503 5.5.1 One sender is enough").await,
            None => self.say("501 5.5.4 MAIL FROM:<address>").await,
        }
    }

    async fn rcpt(&mut self, text: &str) -> io::Result<()> {
        if self.desk.closed.load(Ordering::Relaxed) {
            return self.say("451 4.3.0 The mail server is in trouble, try again later").await;
        }
        match path(text) {
            _ if self.from.is_none() => self.say("503 5.5.1 MAIL first").await,
            _ if self.recipients.len() >= RECIPIENTS => {
                self.say("452 4.5.3 Too many recipients").await
            }
            Some(to) if to.contains('@') => {
                self.recipients.push(to);
                self.say("250 2.1.5 Ok").await
            }
            _ => self.say("501 5.5.4 RCPT TO:<address>").await,
        }
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.recipients.is_empty() {
            return self.say("503 5.5.1 RCPT first").await;
        }
        self.say("354 End data with <CR><LF>.<CR><LF>").await?;
        let mut raw = Vec::new();
        let mut whole = true;
        loop {
            let line = self.line().await?;
            if line == b".\r\n" || line == b".\n" {
                break;
            }
            let text = line.strip_prefix(b".").unwrap_or(&line);
            whole &= raw.len() + text.len() <= MESSAGE;
            if whole {
                raw.extend_from_slice(text);
            }
        }
        let (from, recipients) =
            (self.from.take().unwrap_or_default(), std::mem::take(&mut self.recipients));
        if !whole {
            return self.say("552 5.3.4 The message is too big").await;
        }
        let mail = Parsed::read(&raw);
        match self.desk.letters.try_send(Received { from, recipients, mail, raw }) {
            Ok(()) => self.say("250 2.0.0 Ok: kept").await,
            Err(_) => self.say("452 4.3.1 The mailbox is full").await,
        }
    }

    fn forget(&mut self) {
        self.from = None;
        self.recipients.clear();
    }

    /// The next line with its end. A longer one than [`LINE`] ends the talk.
    async fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stream).take(LINE);
        timeout(IDLE, bounded.read_until(b'\n', &mut line)).await??;
        if line.last() == Some(&b'\n') {
            Ok(line)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    async fn say(&mut self, line: &str) -> io::Result<()> {
        timeout(IDLE, self.stream.write_all(format!("{line}\r\n").as_bytes())).await?
    }
}

/// What stands between the first angle brackets.
fn path(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('<')?;
    rest.split_once('>').map(|(path, _)| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

    fn sender(mailbox: &Mailbox) -> AsyncSmtpTransport<Tokio1Executor> {
        AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1")
            .port(mailbox.address().port())
            .build()
    }

    fn letter() -> Message {
        Message::builder()
            .from("orwell@example.org".parse().unwrap())
            .to("office@example.org".parse().unwrap())
            .subject("Toner fast leer: 4 %")
            .body("Schwarz\n.\n..zwei\nfür Sie".to_owned())
            .unwrap()
    }

    #[tokio::test]
    async fn a_letter_arrives_as_it_was_sent() {
        let (mailbox, mut inbox) = Mailbox::start().await.unwrap();
        sender(&mailbox).send(letter()).await.unwrap();
        let received = inbox.recv().await.unwrap();
        assert_eq!(received.from, "orwell@example.org");
        assert_eq!(received.recipients, ["office@example.org"]);
        assert_eq!(received.mail.subject, "Toner fast leer: 4 %");
        assert_eq!(received.mail.text.trim_end(), "Schwarz\n.\n..zwei\nfür Sie");
        assert!(!received.raw.is_empty());
    }

    #[tokio::test]
    async fn a_closed_mailbox_puts_off_and_opens_again() {
        let (mailbox, mut inbox) = Mailbox::start().await.unwrap();
        mailbox.set_closed(true);
        let error = sender(&mailbox).send(letter()).await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        mailbox.set_closed(false);
        sender(&mailbox).send(letter()).await.unwrap();
        assert!(inbox.recv().await.is_some());
    }

    async fn talk(lines: &[u8]) -> String {
        let (mailbox, _inbox) = Mailbox::start().await.unwrap();
        let mut stream = TcpStream::connect(mailbox.address()).await.unwrap();
        stream.write_all(lines).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        String::from_utf8(said).unwrap()
    }

    #[tokio::test]
    async fn odd_clients_are_answered_and_bounded() {
        let said = talk(
            b"RCPT TO:<a@b>\r\nDATA\r\nMAIL\r\nMAIL FROM:<>\r\nRCPT TO:<nobody>\r\nBLA\r\nQUIT\r\n",
        )
        .await;
        let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["220", "503", "503", "501", "250", "501", "502", "221"]);
        let endless = vec![b'x'; 100_000];
        assert!(talk(&endless).await.len() < 100);
    }

    #[tokio::test]
    async fn a_full_mailbox_says_so() {
        let (mailbox, inbox) = Mailbox::with_room(2).await.unwrap();
        let sender = sender(&mailbox);
        for _ in 0..2 {
            sender.send(letter()).await.unwrap();
        }
        assert!(sender.send(letter()).await.unwrap_err().is_transient());
        drop(inbox);
    }
}
