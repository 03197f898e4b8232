use std::collections::BTreeMap;
use std::sync::Arc;

use super::{EmailNotifier, rejected};
use crate::notify::EmailSettings;
use crate::notify::wire::ChannelError;
use crate::ports::{Clock, Delivery, DeliveryError, Doing, Notifier, Receipt};

/// Mail through several submission servers: each message names its account, or none for the usual
/// one.
pub struct EmailAccounts {
    usual: Option<Arc<EmailNotifier>>,
    named: BTreeMap<Arc<str>, Arc<EmailNotifier>>,
}

impl EmailAccounts {
    /// Reads trust anchors from the disk; does not connect. Accounts with equal settings share
    /// one.
    ///
    /// # Errors
    /// As [`EmailNotifier::new`].
    pub fn new(
        usual: Option<&EmailSettings>,
        accounts: &[(Arc<str>, EmailSettings)],
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, ChannelError> {
        let mut open: Vec<(&EmailSettings, Arc<EmailNotifier>)> = Vec::new();
        let mut share = |settings| -> Result<Arc<EmailNotifier>, ChannelError> {
            if let Some((_, notifier)) = open.iter().find(|(other, _)| *other == settings) {
                return Ok(notifier.clone());
            }
            let notifier = Arc::new(EmailNotifier::new(settings, clock.clone())?);
            open.push((settings, notifier.clone()));
            Ok(notifier)
        };
        let usual = usual.map(&mut share).transpose()?;
        let mut named = BTreeMap::new();
        for (name, settings) in accounts {
            named.insert(name.clone(), share(settings)?);
        }
        Ok(Self { usual, named })
    }

    fn of(&self, account: &str) -> Option<&EmailNotifier> {
        // One that has left the configuration: the usual one still reaches people.
        self.named.get(account).or(self.usual.as_ref()).map(|notifier| &**notifier)
    }
}

impl Notifier for EmailAccounts {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        match self.of(&delivery.message.account) {
            Some(notifier) => notifier.deliver(delivery),
            None => Box::pin(async { Err(rejected("mail is not set up for this receiver")) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notify::SmtpTls;
    use crate::ports::SystemClock;

    #[test]
    fn each_message_goes_by_its_account() {
        let settings = |port| EmailSettings {
            oauth_token: None,
            headers: Vec::new(),
            host: "localhost".into(),
            port,
            from: "a@example.org".into(),
            reply_to: None,
            hello: None,
            login: None,
            tls: SmtpTls::Off,
            handshake: crate::notify::Handshake::default(),
            timeout: Duration::from_secs(5),
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let named = [
            ("a/0".into(), settings(25)),
            ("b/0".into(), settings(26)),
            ("c/0".into(), settings(25)),
        ];
        let accounts = EmailAccounts::new(Some(&settings(25)), &named, &clock).unwrap();
        let port = |name: &str| accounts.of(name).unwrap().settings.port;
        assert_eq!([port(""), port("a/0"), port("b/0"), port("gone/0")], [25, 25, 26, 25]);
        assert!(std::ptr::eq(accounts.of("a/0").unwrap(), accounts.of("c/0").unwrap()));
        let none = EmailAccounts::new(None, &[], &clock).unwrap();
        assert!(none.of("").is_none());
    }
}
