use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::StartTls;
use super::connect::Watch;
use super::failure::{Failure, of_connection};

/// A line may be so long, in bytes (RFC 5321 allows 512, real servers send more).
const LINE_LIMIT: usize = 4096;

/// A reply may have so many lines.
const LINES_LIMIT: usize = 200;

/// A conversation in lines: SMTP, IMAP, POP3. Generic over the stream, so that the same words are
/// spoken before and after TLS.
pub(super) struct Dialog<'a, S> {
    stream: S,
    /// Bytes that came and were not read as lines yet.
    rest: Vec<u8>,
    watch: Watch<'a>,
}

/// What an SMTP server said.
pub(super) struct Reply {
    pub(super) code: u16,
    /// The texts behind the codes.
    pub(super) lines: Vec<String>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Dialog<'a, S> {
    pub(super) fn new(stream: S, watch: Watch<'a>) -> Self {
        Self { stream, rest: Vec::new(), watch }
    }

    /// Gives the stream back for TLS. Bytes that came behind the go-ahead in clear are an attack
    /// or a broken server (CVE-2011-0411), never part of the conversation.
    pub(super) fn into_stream(self) -> Result<S, Failure> {
        if self.rest.is_empty() {
            Ok(self.stream)
        } else {
            Err(Failure::theirs("the server sent more in clear after it had agreed to TLS"))
        }
    }

    pub(super) async fn say(&mut self, line: &str) -> Result<(), Failure> {
        let text = format!("{line}\r\n");
        let written = self.watch.within("sending", self.stream.write_all(text.as_bytes())).await?;
        written.map_err(|error| of_connection(&error))
    }

    /// One line without its end. Foreign bytes become readable text.
    async fn line(&mut self, doing: &str) -> Result<String, Failure> {
        let mut looked_at = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.rest[looked_at..]) {
                let line: Vec<u8> = self.rest.drain(..=looked_at + end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            looked_at = self.rest.len();
            if looked_at > LINE_LIMIT {
                return Err(Failure::theirs("the server sends lines without end"));
            }
            let mut buffer = [0; 1024];
            let read = self.watch.within(doing, self.stream.read(&mut buffer)).await?;
            match read.map_err(|error| of_connection(&error))? {
                0 => return Err(Failure::theirs("the server closed the connection")),
                length => self.rest.extend_from_slice(&buffer[..length]),
            }
        }
    }

    /// A whole reply of SMTP (RFC 5321 §4.2): `250-…` goes on, `250 …` ends.
    pub(super) async fn reply(&mut self, doing: &str) -> Result<Reply, Failure> {
        let mut lines = Vec::new();
        loop {
            let line = self.line(doing).await?;
            let code = line.get(..3).and_then(|digits| digits.parse::<u16>().ok());
            let Some(code) = code else {
                return Err(Failure::theirs("the server does not speak SMTP on this port"));
            };
            lines.push(line.get(4..).unwrap_or("").to_owned());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
            if lines.len() >= LINES_LIMIT {
                return Err(Failure::theirs("the server's reply does not end"));
            }
        }
    }

    /// Lines up to the one that begins with `tag` (IMAP: `* …` lines come before it).
    async fn tagged(&mut self, tag: &str, doing: &str) -> Result<String, Failure> {
        for _ in 0..LINES_LIMIT {
            let line = self.line(doing).await?;
            if let Some(answer) = line.strip_prefix(tag) {
                return Ok(answer.trim_start().to_owned());
            }
        }
        Err(Failure::theirs("the server's reply does not end"))
    }

    /// Speaks until the server agrees to TLS.
    pub(super) async fn start_tls(&mut self, protocol: StartTls) -> Result<(), Failure> {
        let greeting = "waiting for the greeting";
        let refused = |what: &str| Err(Failure::theirs(format!("the server refuses {what}")));
        match protocol {
            StartTls::Smtp => {
                self.smtp_hello(OUR_HELLO).await?;
                self.smtp_start_tls().await
            }
            StartTls::Imap => {
                self.tagged("* ", greeting).await?;
                self.say("a1 STARTTLS").await?;
                let answer = self.tagged("a1", "asking for STARTTLS").await?;
                if answer.starts_with("OK") { Ok(()) } else { refused("STARTTLS") }
            }
            StartTls::Pop3 => {
                let line = self.line(greeting).await?;
                if !line.starts_with("+OK") {
                    return Err(Failure::theirs("the server does not speak POP3 on this port"));
                }
                self.say("STLS").await?;
                let answer = self.line("asking for STLS").await?;
                if answer.starts_with("+OK") { Ok(()) } else { refused("STLS") }
            }
        }
    }

    /// Waits for the greeting (never speaks first: that gets blocked), then says EHLO. The
    /// server's extensions.
    pub(super) async fn smtp_hello(&mut self, name: &str) -> Result<Reply, Failure> {
        let greeting = self.reply("waiting for the greeting").await?;
        if greeting.code != 220 {
            let code = greeting.code;
            return Err(Failure::theirs(format!("the mail server greets with {code}")));
        }
        self.ehlo(name).await
    }

    pub(super) async fn ehlo(&mut self, name: &str) -> Result<Reply, Failure> {
        self.say(&format!("EHLO {name}")).await?;
        let reply = self.reply("waiting for the reply to EHLO").await?;
        if reply.code != 250 {
            let code = reply.code;
            return Err(Failure::theirs(format!("the mail server answers EHLO with {code}")));
        }
        Ok(reply)
    }

    pub(super) async fn smtp_start_tls(&mut self) -> Result<(), Failure> {
        self.say("STARTTLS").await?;
        let reply = self.reply("asking for STARTTLS").await?;
        match reply.code {
            220 => Ok(()),
            454 => Err(Failure::theirs("STARTTLS is temporarily not available (454)")),
            500..=599 => Err(Failure::theirs("the server does not offer STARTTLS")),
            code => Err(Failure::theirs(format!("the server answers STARTTLS with {code}"))),
        }
    }

    /// Says good-bye; whether it is heard does not matter.
    pub(super) async fn quit(&mut self, word: &str) {
        let _ = self.say(word).await;
    }
}

impl Reply {
    /// Whether an extension is offered.
    pub(super) fn offers(&self, extension: &str) -> bool {
        let words = self.lines.iter().filter_map(|line| line.split_ascii_whitespace().next());
        words.into_iter().any(|word| word.eq_ignore_ascii_case(extension))
    }
}

/// The name we greet with where none is configured: the one that RFC 2606 keeps free.
pub(super) const OUR_HELLO: &str = "augenmass.invalid";

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::ports::{Clock, SystemClock};
    use crate::probe::connect::Bell;

    fn run<T>(work: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(work)
    }

    async fn reply_to(bytes: &[u8]) -> Result<Reply, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let bell = Bell::default();
        let watch = Watch::start(&*clock, clock.mono().after(Duration::from_secs(5)), &bell);
        let (mut theirs, ours) = duplex(1 << 20);
        theirs.write_all(bytes).await.unwrap();
        drop(theirs);
        Dialog::new(ours, watch).reply("testing").await
    }

    #[test]
    fn starttls_on_the_last_line_is_an_offer() {
        let reply = run(reply_to(b"250-mx.example.org\r\n250-SIZE 1\r\n250 STARTTLS\r\n"));
        let reply = reply.ok().unwrap();
        assert!(reply.offers("STARTTLS") && reply.offers("size") && !reply.offers("AUTH"));
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let failure = run(reply_to(&vec![b'x'; 100_000])).err().unwrap();
        assert_eq!(failure, Failure::theirs("the server sends lines without end"));
        let endless = b"250-x\r\n".repeat(10_000);
        let failure = run(reply_to(&endless)).err().unwrap();
        assert_eq!(failure, Failure::theirs("the server's reply does not end"));
    }

    #[test]
    fn words_behind_the_go_ahead_are_an_attack() {
        run(async {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
            let bell = Bell::default();
            let watch = Watch::start(&*clock, clock.mono().after(Duration::from_secs(5)), &bell);
            let (mut theirs, ours) = duplex(4096);
            theirs
                .write_all(b"220 hi\r\n250 STARTTLS\r\n220 go\r\n250 injected\r\n")
                .await
                .unwrap();
            let mut dialog = Dialog::new(ours, watch);
            dialog.start_tls(StartTls::Smtp).await.unwrap();
            assert!(dialog.into_stream().is_err());
        });
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = run(reply_to(&bytes));
        }
    }
}
