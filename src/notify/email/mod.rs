//! Mail: one transaction for each delivery, so that one refused recipient costs nobody else the
//! message.
//!
//! The message is built with lettre's builder. The SMTP session is our own ([`smtp`]): it tells "surely
//! not delivered" from "perhaps delivered", bounds what a hostile server can make us read, and throws
//! away what a server sends in clear before TLS begins.

mod accounts;
mod compose;
mod smtp;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;

pub use self::accounts::EmailAccounts;
use self::compose::compose;
use self::smtp::{Fault, Reply, Session, Stage};
use super::wire::{ChannelError, Dialer, scrubbed, within};
use super::{EmailSettings, SmtpTls};
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt};

/// First wait after a server asks to come back later (greylisting): coming back at once does not
/// The wait after a fault of the settings, which only a person can repair. A reload tries at once.
const REPAIR: Duration = Duration::from_secs(60);
/// help.
const GREYLISTED: Duration = Duration::from_secs(60);

/// Delivers mail through one submission server.
pub struct EmailNotifier {
    settings: EmailSettings,
    from: Mailbox,
    hello: String,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
}

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
        let dialer = Dialer::new(settings.ca_file.as_deref())?;
        Ok(Self { settings: settings.clone(), from, hello, dialer, clock })
    }

    async fn send(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let Address::Email(to) = &delivery.to else {
            return Err(rejected("this is no mail address"));
        };
        let to: Mailbox =
            to.parse().map_err(|_| rejected("the mail address is not well-formed"))?;
        let reply_to = self.settings.reply_to.as_deref().and_then(|text| text.parse().ok());
        let mail = compose(delivery, &self.from, reply_to, &to, self.clock.wall())
            .map_err(|why| rejected(&format!("the mail cannot be written: {why}")))?;
        // Shared with the deadline: what was reached when time ran out decides what that means.
        let mut stage = Stage::Connect;
        let work = self.transaction(&mail, &to, &mut stage);
        match within(&*self.clock, self.settings.timeout, work).await {
            Some(Ok(reply)) => Ok(Receipt(scrubbed(&reply.line()))),
            Some(Err(fault)) => Err(verdict(stage, &fault)),
            None => Err(verdict(stage, &Fault::Silent)),
        }
    }

    async fn transaction(
        &self,
        mail: &[u8],
        to: &Mailbox,
        stage: &mut Stage,
    ) -> Result<Reply, Fault> {
        let (host, port) = (&*self.settings.host, self.settings.port);
        let stream = self.dialer.connect(host, port).await.map_err(Fault::Dial)?;
        let local = stream.peer_addr().is_ok_and(|address| address.ip().is_loopback());
        let mut session = if self.settings.tls == SmtpTls::Implicit {
            *stage = Stage::Tls;
            Session::encrypted(self.dialer.encrypt(stream, host).await.map_err(Fault::Dial)?)
        } else {
            Session::plain(stream)
        };
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
        if let Some((user, password)) = &self.settings.credentials {
            *stage = Stage::Login;
            if !session.is_encrypted() && !local {
                return Err(Fault::PasswordInClear);
            }
            session.login(user, password).await?;
        }
        *stage = Stage::Sender;
        session.sender(&self.from.email, &to.email, mail.len()).await?;
        *stage = Stage::Recipient;
        session.recipient(&to.email).await?;
        *stage = Stage::Data;
        session.data().await?;
        *stage = Stage::Content;
        session.content(mail).await?;
        // From here on the server may have taken the message even if we never hear so.
        *stage = Stage::Final;
        let reply = session.finish().await?;
        session.quit().await;
        Ok(reply)
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
    match fault {
        Fault::Reply(reply) => match (stage, reply.code) {
            // The server goes down; nothing was accepted.
            (_, 421) => retry(None),
            (Stage::Recipient | Stage::Sender, 450 | 451) => retry(Some(GREYLISTED)),
            // Nobody's message is at fault, and somebody can repair it: it waits.
            (Stage::Login, code) if code >= 500 => DeliveryError::Retry {
                reason: format!(
                    "the mail server does not accept our user name and password: {fault}"
                ),
                after: Some(REPAIR),
            },
            // It wants a login that our settings do not have (RFC 4954 §6).
            (_, 530) => retry(Some(REPAIR)),
            // Too many recipients, in the words of old servers (RFC 5321 §4.5.3.1.10).
            (Stage::Recipient, 552) => retry(None),
            (_, 400..500) => retry(None),
            _ => DeliveryError::Rejected { reason },
        },
        Fault::NoStartTls | Fault::PasswordInClear | Fault::NoLogin(_) => retry(Some(REPAIR)),
        Fault::NoUtf8 | Fault::TooBig(_) => DeliveryError::Rejected { reason },
        Fault::Dial(_) => retry(None),
        Fault::Io(_) | Fault::Silent | Fault::Nonsense(_) => match stage {
            Stage::Final => DeliveryError::Unsure { reason },
            _ => retry(None),
        },
    }
}
