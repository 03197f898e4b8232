//! An SMTP session as a client (RFC 5321), with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::Address;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::notify::wire::{DialError, Dialer, Wire, scrubbed};

/// RFC 5321 allows 512 bytes; servers exceed it.
const LONGEST_LINE: u64 = 4_096;
/// EHLO answers have about twenty lines.
const MOST_LINES: usize = 100;

/// How far a transaction has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Connect,
    Greeting,
    Hello,
    Tls,
    Login,
    Sender,
    Recipient,
    Data,
    Content,
    /// The final dot has been sent, or is being sent.
    Final,
}

impl Stage {
    /// For the beginning of a reason.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Stage::Connect => "connecting to the mail server",
            Stage::Greeting => "greeting of the mail server",
            Stage::Hello => "EHLO",
            Stage::Tls => "securing the connection to the mail server",
            Stage::Login => "login at the mail server",
            Stage::Sender => "MAIL FROM",
            Stage::Recipient => "RCPT TO",
            Stage::Data => "DATA",
            Stage::Content => "sending the message",
            Stage::Final => "end of the message",
        }
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Dial(DialError),
    Io(io::Error),
    /// The server says no.
    Reply(Reply),
    /// What the server says is not SMTP.
    Nonsense(&'static str),
    /// No answer in time.
    Silent,
    NoStartTls,
    PasswordInClear,
    /// The mechanisms that the server offers.
    NoLogin(String),
    /// Why the file with our token cannot be read.
    NoToken(String),
    NoUtf8,
    /// The server's limit in bytes.
    TooBig(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Dial(error) => write!(f, "{error}"),
            Fault::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the server closed the connection")
            }
            Fault::Io(error) => write!(f, "{error}"),
            Fault::Reply(reply) => f.write_str(&scrubbed(&reply.line())),
            Fault::Nonsense(what) => write!(f, "the server does not speak SMTP: {what}"),
            Fault::Silent => f.write_str("no answer in time"),
            Fault::NoStartTls => {
                f.write_str("the server does not offer STARTTLS, which is required")
            }
            Fault::PasswordInClear => {
                f.write_str("the password would go over the network in clear text")
            }
            Fault::NoLogin(offered) if offered.is_empty() => {
                f.write_str("the server offers no login")
            }
            Fault::NoLogin(offered) => {
                write!(f, "the server offers no login that we know, only {offered}")
            }
            Fault::NoToken(why) => write!(f, "the file with the token cannot be read: {why}"),
            Fault::NoUtf8 => f.write_str("the server takes no address with non-ASCII characters"),
            Fault::TooBig(limit) => write!(f, "the server takes at most {limit} bytes"),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Fault::Io(error)
    }
}

/// An answer: code and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// Code and text on one line.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.code, self.lines.join(" "))
    }

    /// The text as what base64 hides in it.
    pub(super) fn decoded(&self) -> Option<String> {
        let text = self.lines.last()?;
        // A final answer carries it behind an enhanced status code.
        let word = text.split_whitespace().next_back()?;
        String::from_utf8(STANDARD.decode(word).ok()?).ok()
    }

    fn is_ok(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

/// An open session.
pub(super) struct Session {
    wire: BufReader<Wire>,
    /// Lines of the EHLO answer, upper case.
    extensions: Vec<String>,
}

impl Session {
    pub(super) fn over(wire: Wire) -> Self {
        Self { wire: BufReader::new(wire), extensions: Vec::new() }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.wire.get_ref(), Wire::Tls(_))
    }

    /// Whether an extension is offered.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.extension(keyword).is_some()
    }

    /// What stands behind an extension's keyword.
    fn extension(&self, keyword: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let rest = line.strip_prefix(keyword)?;
            // Old servers write `AUTH=LOGIN`.
            (rest.is_empty() || rest.starts_with([' ', '=']))
                .then(|| rest[rest.len().min(1)..].trim())
        })
    }

    async fn line(&mut self) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        (&mut self.wire).take(LONGEST_LINE).read_until(b'\n', &mut bytes).await?;
        if bytes.last() != Some(&b'\n') {
            return Err(if bytes.len() as u64 >= LONGEST_LINE {
                Fault::Nonsense("an endless line")
            } else {
                Fault::Io(io::ErrorKind::UnexpectedEof.into())
            });
        }
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    async fn reply(&mut self) -> Result<Reply, Fault> {
        let mut lines = Vec::new();
        for _ in 0..MOST_LINES {
            let line = self.line().await?;
            let code = line.get(..3).and_then(|digits| digits.parse::<u16>().ok());
            let code = code
                .filter(|code| (200..600).contains(code))
                .ok_or(Fault::Nonsense("an answer without a code"))?;
            let (goes_on, text) = match line.as_bytes().get(3) {
                None => (false, ""),
                Some(b' ') => (false, &line[4..]),
                Some(b'-') => (true, &line[4..]),
                Some(_) => return Err(Fault::Nonsense("an answer without a code")),
            };
            lines.push(text.to_owned());
            if !goes_on {
                return Ok(Reply { code, lines });
            }
        }
        Err(Fault::Nonsense("an endless answer"))
    }

    async fn ok(&mut self) -> Result<Reply, Fault> {
        let reply = self.reply().await?;
        if reply.is_ok() { Ok(reply) } else { Err(Fault::Reply(reply)) }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.wire.write_all(bytes).await?;
        self.wire.flush().await?;
        Ok(())
    }

    /// A command without line breaks.
    pub(super) async fn command(&mut self, command: &str) -> Result<Reply, Fault> {
        debug_assert!(!command.contains(['\r', '\n']));
        self.write(format!("{command}\r\n").as_bytes()).await?;
        self.ok().await
    }

    pub(super) async fn greeting(&mut self) -> Result<(), Fault> {
        self.ok().await.map(|_| ())
    }

    pub(super) async fn hello(&mut self, name: &str) -> Result<(), Fault> {
        let reply = self.command(&format!("EHLO {name}")).await?;
        self.extensions = reply.lines.iter().skip(1).map(|l| l.to_ascii_uppercase()).collect();
        Ok(())
    }

    /// Continues under TLS. What the server sent behind its answer in clear is thrown away: somebody
    /// on the way could have put it there (CVE-2011-0411).
    pub(super) async fn start_tls(mut self, dialer: &Dialer, host: &str) -> Result<Self, Fault> {
        self.command("STARTTLS").await?;
        if self.is_encrypted() {
            return Err(Fault::Nonsense("STARTTLS inside TLS"));
        }
        let wire = dialer.encrypt(self.wire.into_inner(), host).await.map_err(Fault::Dial)?;
        Ok(Self::over(wire))
    }

    /// The mechanisms for logging in, in upper case.
    pub(super) fn mechanisms(&self) -> String {
        self.extension("AUTH").unwrap_or_default().to_owned()
    }

    pub(super) async fn sender(
        &mut self,
        from: &Address,
        to: &Address,
        size: usize,
    ) -> Result<(), Fault> {
        let mut command = format!("MAIL FROM:<{from}>");
        if let Some(limit) = self.extension("SIZE") {
            let limit = limit.parse::<u64>().unwrap_or(0);
            if limit > 0 && size as u64 > limit {
                return Err(Fault::TooBig(limit));
            }
            command.push_str(&format!(" SIZE={size}"));
        }
        if !from.to_string().is_ascii() || !to.to_string().is_ascii() {
            if !self.offers("SMTPUTF8") {
                return Err(Fault::NoUtf8);
            }
            command.push_str(" SMTPUTF8");
        }
        self.command(&command).await.map(|_| ())
    }

    pub(super) async fn recipient(&mut self, to: &Address) -> Result<(), Fault> {
        self.command(&format!("RCPT TO:<{to}>")).await.map(|_| ())
    }

    pub(super) async fn data(&mut self) -> Result<(), Fault> {
        let reply = self.command("DATA").await?;
        if reply.code == 354 { Ok(()) } else { Err(Fault::Reply(reply)) }
    }

    /// The message without its end: a server must not deliver what it has seen only in part.
    pub(super) async fn content(&mut self, mail: &[u8]) -> Result<(), Fault> {
        self.write(&stuffed(mail)).await
    }

    /// The end of the message, and the server's word for it.
    pub(super) async fn finish(&mut self) -> Result<Reply, Fault> {
        self.write(b".\r\n").await?;
        self.ok().await
    }
}

/// Every line ends with CRLF, and a dot at its beginning is doubled (RFC 5321 §4.5.2).
fn stuffed(mail: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(mail.len() + 64);
    let mut rest = mail;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dots_are_doubled() {
        assert_eq!(stuffed(b"a\r\n.\r\n..b\nc"), b"a\r\n..\r\n...b\r\nc\r\n");
    }

    proptest! {
        #[test]
        fn no_content_ends_the_message_early(mail in proptest::collection::vec(
            proptest::sample::select(vec![b'.', b'\r', b'\n', b'a']), 0..60)) {
            let sent = stuffed(&mail);
            let whole = [b"\r\n".as_slice(), &sent].concat();
            prop_assert!(!whole.windows(5).any(|w| w == b"\r\n.\r\n"), "{:?}", sent);
            prop_assert!(!whole.windows(3).any(|w| w == b"\n.\n"), "{:?}", sent);
        }
    }
}
