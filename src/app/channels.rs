//! The channels of a configuration, and what connects them with the rest of the house.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::BuildError;
use crate::config::Config;
use crate::notify::{EmailAccounts, Illustrated, MatrixNotifier, Notifiers, WebhookNotifier};
use crate::ports::{Act, Channel, Clock, Draw, Notes, Notifier};

/// What a configuration says, not connected yet.
pub struct Channels {
    email: Option<Arc<dyn Notifier>>,
    matrix: Option<Arc<MatrixNotifier>>,
    webhooks: Option<Arc<dyn Notifier>>,
}

/// What channels need of the house.
#[derive(Clone)]
pub struct Doors {
    pub draw: Arc<dyn Draw>,
    pub notes: Arc<dyn Notes>,
    /// The Matrix account of the configuration that runs now, for [`listen`].
    pub listener: Arc<watch::Sender<Option<Arc<MatrixNotifier>>>>,
}

impl Doors {
    pub fn new(draw: Arc<dyn Draw>, notes: Arc<dyn Notes>) -> Self {
        Self { draw, notes, listener: Arc::new(watch::Sender::new(None)) }
    }
}

/// Hears what people answer in Matrix rooms, with the account of the configuration that runs.
pub async fn listen(doors: Doors, act: Arc<dyn Act>, stop: CancellationToken) {
    let mut accounts = doors.listener.subscribe();
    loop {
        let account = accounts.borrow_and_update().clone();
        let hear = async {
            match account {
                Some(account) => account.listen(act.clone(), stop.clone()).await,
                None => stop.cancelled().await,
            }
        };
        tokio::select! {
            () = hear => return,
            changed = accounts.changed() => if changed.is_err() { return },
        }
    }
}

impl Channels {
    /// Reads trust anchors, so it blocks.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn of(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, BuildError> {
        let broken = |error: &dyn std::fmt::Display| BuildError::Channel(error.to_string());
        let notify = &config.notify;
        let outfit = config.alertmanager.as_ref().map(|foreign| foreign.outfit.clone());
        let outfit = outfit.unwrap_or_default();
        let mail = notify.email.is_some() || !outfit.accounts.is_empty();
        let email =
            mail.then(|| EmailAccounts::new(notify.email.as_ref(), &outfit.accounts, clock));
        let email = email.transpose().map_err(|e| broken(&e))?;
        let matrix =
            notify.matrix.as_ref().map(|settings| MatrixNotifier::new(settings, clock.clone()));
        let matrix = matrix.transpose().map_err(|e| broken(&e))?;
        let hooks: Vec<_> = notify.webhooks.iter().chain(&outfit.webhooks).cloned().collect();
        let webhooks =
            (!hooks.is_empty()).then(|| WebhookNotifier::new(&hooks, clock.clone())).transpose();
        let webhooks = webhooks.map_err(|e| broken(&e))?;
        Ok(Self {
            email: email.map(|email| Arc::new(email) as Arc<dyn Notifier>),
            matrix: matrix.map(Arc::new),
            webhooks: webhooks.map(|webhooks| Arc::new(webhooks) as Arc<dyn Notifier>),
        })
    }

    /// Ready to carry messages.
    pub fn connect(self, doors: &Doors) -> Notifiers {
        let mut all = Notifiers::new();
        let mut add = |channel, notifier| all.insert(channel, notifier);
        let illustrated = |notifier| Arc::new(Illustrated::new(notifier, doors.draw.clone()));
        if let Some(email) = self.email {
            add(Channel::Email, illustrated(email));
        }
        if let Some(matrix) = &self.matrix {
            matrix.remember_in(doors.notes.clone());
        }
        // Nobody listens before the program runs.
        doors.listener.send_replace(self.matrix.clone());
        if let Some(matrix) = self.matrix {
            add(Channel::Matrix, illustrated(matrix));
        }
        if let Some(webhooks) = self.webhooks {
            add(Channel::Webhook, webhooks);
        }
        all
    }
}
