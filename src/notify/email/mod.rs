//! Mail: one transaction for each delivery, so that one refused recipient costs nobody else the
//! message; sessions stay open for a while and carry the next ones.
//!
//! The message is built with lettre's builder. The SMTP session is our own ([`smtp`]): it tells "surely
//! not delivered" from "perhaps delivered", bounds what a hostile server can make us read, and throws
//! away what a server sends in clear before TLS begins.

mod accounts;
mod auth;
mod compose;
mod smtp;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lettre::message::Mailbox;

pub use self::accounts::EmailAccounts;
use self::auth::Proof;
use self::compose::{Letterhead, compose};
use self::smtp::{Fault, Reply, Session, Stage};
use super::wire::{ChannelError, Dialer, Wire, scrubbed, within};
use super::{EmailSettings, SmtpTls};
use crate::model::Secret;
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt, Tick};

/// The wait after a fault of the settings, which only a person can repair. A reload tries at once.
const REPAIR: Duration = Duration::from_secs(60);
/// First wait after a server asks to come back later (greylisting): coming back at once does not
/// help.
const GREYLISTED: Duration = Duration::from_secs(60);

/// Delivers mail through one submission server.
pub struct EmailNotifier {
    idle: Mutex<Vec<Idle>>,
    settings: EmailSettings,
    from: Mailbox,
    hello: String,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
}

/// A mail in its envelope.
struct Letter {
    from: lettre::Address,
    to: lettre::Address,
    mail: Vec<u8>,
}

/// A session that waits for the next message.
struct Idle {
    session: Session,
    since: Tick,
    used: u32,
}

/// How long a session waits for the next message: Postfix waits five minutes, others one.
const KEPT_OPEN: Duration = Duration::from_secs(20);
/// Sessions that wait.
const MOST_IDLE: usize = 4;
/// Messages over one session; servers end it after a hundred or so.
const MOST_MESSAGES: u32 = 50;

impl EmailNotifier {
    /// Reads the trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// The sender is no address, or the trust anchors cannot be used.
    pub fn new(settings: &EmailSettings, clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let from: Mailbox =
            settings.from.parse().map_err(|_| ChannelError::Sender(scrubbed(&settings.from)))?;
        if let Some(reply_to) = &settings.reply_to {
            let parsed: Result<Mailbox, _> = reply_to.parse();
            parsed.map_err(|_| ChannelError::Sender(scrubbed(reply_to)))?;
        }
        let hello = settings.hello.as_deref().unwrap_or(from.email.domain());
        let fine = !hello.is_empty()
            && hello.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]_".contains(&b));
        let hello = if fine { hello.to_owned() } else { "localhost".to_owned() };
        let dialer = Dialer::new(&settings.handshake)?;
        let idle = Mutex::default();
        Ok(Self { idle, settings: settings.clone(), from, hello, dialer, clock })
    }

    async fn send(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let Address::Email(to) = &delivery.to else {
            return Err(rejected("this is no mail address"));
        };
        let to: Mailbox = to.parse().map_err(|_| match to.contains("{{") {
            true => rejected("the template of `to` gives no mail address"),
            false => rejected("the mail address is not well-formed"),
        })?;
        // One that was written by a template was looked at there.
        let from = delivery.message.from.parse().unwrap_or_else(|_| self.from.clone());
        let letterhead = Letterhead {
            from: &from,
            domain: self.from.email.domain(),
            reply_to: self.settings.reply_to.as_deref().and_then(|text| text.parse().ok()),
            headers: &self.settings.headers,
        };
        let mail = compose(delivery, &letterhead, &to, self.clock.wall())
            .map_err(|why| rejected(&format!("the mail cannot be written: {why}")))?;
        let mail = Letter { from: from.email, to: to.email, mail };
        if let Some(answer) = self.on_open_session(&mail).await {
            return answer;
        }
        // Shared with the deadline: what was reached when time ran out decides what that means.
        let mut stage = Stage::Connect;
        let work = self.transaction(&mail, &mut stage);
        self.judged(within(&*self.clock, self.settings.timeout, work).await, stage)
    }

    fn judged(
        &self,
        done: Option<Result<(Reply, Session), Fault>>,
        stage: Stage,
    ) -> Result<Receipt, DeliveryError> {
        match done {
            Some(Ok((reply, session))) => {
                self.keep(session);
                Ok(Receipt(scrubbed(&reply.line())))
            }
            Some(Err(fault)) => Err(verdict(stage, &fault)),
            None => Err(verdict(stage, &Fault::Silent)),
        }
    }

    /// Over a session that the last delivery left open. `None` when there is none, or when it
    /// turned out to be dead before the message was sent.
    async fn on_open_session(&self, mail: &Letter) -> Option<Result<Receipt, DeliveryError>> {
        let session = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let now = self.clock.mono();
            idle.retain(|open| now.since(open.since) < KEPT_OPEN);
            idle.pop()?
        };
        let mut stage = Stage::Sender;
        let used = session.used;
        let work = async {
            let mut session = session.session;
            // A session is kept after a message that was taken, which leaves nothing to reset
            // (RFC 5321 §4.1.1.4).
            let reply = self.message(&mut session, mail, &mut stage).await?;
            Ok((reply, session))
        };
        match within(&*self.clock, self.settings.timeout, work).await {
            Some(Ok((reply, session))) => {
                self.keep_used(session, used + 1);
                Some(Ok(Receipt(scrubbed(&reply.line()))))
            }
            // Servers close idle sessions. Surely nothing was sent yet, and what a fresh session
            // says is what counts.
            Some(Err(_)) | None if stage == Stage::Sender => None,
            other => Some(self.judged(other, stage)),
        }
    }

    fn keep(&self, session: Session) {
        self.keep_used(session, 1);
    }

    /// Leaves a session open for the next message, a few of them, each for a few messages.
    fn keep_used(&self, session: Session, used: u32) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE && used < MOST_MESSAGES {
            idle.push(Idle { session, since: self.clock.mono(), used });
        }
    }

    /// What proves who we are; a token is read anew, since something else keeps it fresh.
    async fn proof(&self) -> Result<Option<Proof>, Fault> {
        if let Some((user, file)) = &self.settings.oauth_token {
            let token = tokio::fs::read_to_string(file).await;
            let token = token.map_err(|error| Fault::NoToken(error.kind().to_string()))?;
            return Ok(Some(Proof::Token(user.clone(), Secret::new(token.trim()))));
        }
        Ok(self.settings.login.clone().map(Proof::Login))
    }

    async fn transaction(
        &self,
        mail: &Letter,
        stage: &mut Stage,
    ) -> Result<(Reply, Session), Fault> {
        let (host, port) = (&*self.settings.host, self.settings.port);
        let stream = self.dialer.connect(host, port).await.map_err(Fault::Dial)?;
        let local = stream.peer_addr().is_ok_and(|address| address.ip().is_loopback());
        let mut wire = Wire::Plain(stream);
        if self.settings.tls == SmtpTls::Implicit {
            *stage = Stage::Tls;
            wire = self.dialer.encrypt(wire, host).await.map_err(Fault::Dial)?;
        }
        let mut session = Session::over(wire);
        *stage = Stage::Greeting;
        session.greeting().await?;
        *stage = Stage::Hello;
        session.hello(&self.hello).await?;
        *stage = Stage::Tls;
        let offered = session.offers("STARTTLS");
        match self.settings.tls {
            SmtpTls::Required if !offered => return Err(Fault::NoStartTls),
            SmtpTls::Required | SmtpTls::Opportunistic if offered => {
                session = session.start_tls(&self.dialer, host).await?;
                *stage = Stage::Hello;
                session.hello(&self.hello).await?;
            }
            _ => {}
        }
        *stage = Stage::Login;
        if let Some(proof) = self.proof().await? {
            if !session.is_encrypted() && !local {
                return Err(Fault::PasswordInClear);
            }
            session.login(&proof).await?;
        }
        let reply = self.message(&mut session, mail, stage).await?;
        Ok((reply, session))
    }

    /// One message over a session that is ready.
    async fn message(
        &self,
        session: &mut Session,
        mail: &Letter,
        stage: &mut Stage,
    ) -> Result<Reply, Fault> {
        *stage = Stage::Sender;
        session.sender(&mail.from, &mail.to, mail.mail.len()).await?;
        *stage = Stage::Recipient;
        session.recipient(&mail.to).await?;
        *stage = Stage::Data;
        session.data().await?;
        *stage = Stage::Content;
        session.content(&mail.mail).await?;
        // From here on the server may have taken the message even if we never hear so.
        *stage = Stage::Final;
        session.finish().await
    }
}

impl Notifier for EmailNotifier {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(self.send(delivery))
    }
}

fn rejected(reason: &str) -> DeliveryError {
    DeliveryError::Rejected { reason: reason.to_owned() }
}

/// What a fault at a stage means for the message.
fn verdict(stage: Stage, fault: &Fault) -> DeliveryError {
    let reason = format!("{}: {fault}", stage.doing());
    let retry = |after: Option<Duration>| DeliveryError::Retry { reason: reason.clone(), after };
    let down = |after: Option<Duration>| DeliveryError::Down { reason: reason.clone(), after };
    match fault {
        Fault::Reply(reply) => match (stage, reply.code) {
            // The server goes down; nothing was accepted.
            (_, 421) => down(None),
            (Stage::Greeting | Stage::Hello | Stage::Tls | Stage::Login, 400..500) => down(None),
            (Stage::Recipient | Stage::Sender, 450 | 451) => retry(Some(GREYLISTED)),
            // Nobody's message is at fault, and somebody can repair it: it waits.
            (Stage::Login, code) if code >= 500 => DeliveryError::Down {
                reason: format!(
                    "the mail server does not accept our user name and password: {fault}"
                ),
                after: Some(REPAIR),
            },
            // It wants a login that our settings do not have (RFC 4954 §6).
            (_, 530) => down(Some(REPAIR)),
            // Too many recipients, in the words of old servers (RFC 5321 §4.5.3.1.10).
            (Stage::Recipient, 552) => retry(None),
            (_, 400..500) => retry(None),
            _ => DeliveryError::Rejected { reason },
        },
        Fault::NoStartTls | Fault::PasswordInClear | Fault::NoLogin(_) => down(Some(REPAIR)),
        Fault::NoUtf8 | Fault::TooBig(_) => DeliveryError::Rejected { reason },
        Fault::Dial(_) | Fault::NoToken(_) => down(None),
        Fault::Io(_) | Fault::Silent | Fault::Nonsense(_) => match stage {
            Stage::Final => DeliveryError::Unsure { reason },
            Stage::Connect | Stage::Greeting | Stage::Hello | Stage::Tls => down(None),
            _ => retry(None),
        },
    }
}
