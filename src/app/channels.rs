//! The channels of a configuration, and what connects them with the rest of the house.

use std::sync::Arc;

use super::BuildError;
use crate::config::Config;
use crate::notify::{EmailNotifier, Illustrated, MatrixNotifier, Notifiers, WebhookNotifier};
use crate::ports::{Channel, Clock, Draw, Notes, Notifier};

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
}

impl Channels {
    /// Reads trust anchors, so it blocks.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn of(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, BuildError> {
        let broken = |error: &dyn std::fmt::Display| BuildError::Channel(error.to_string());
        let notify = &config.notify;
        let email =
            notify.email.as_ref().map(|settings| EmailNotifier::new(settings, clock.clone()));
        let email = email.transpose().map_err(|e| broken(&e))?;
        let matrix =
            notify.matrix.as_ref().map(|settings| MatrixNotifier::new(settings, clock.clone()));
        let matrix = matrix.transpose().map_err(|e| broken(&e))?;
        let hooks = Some(&notify.webhooks).filter(|hooks| !hooks.is_empty());
        let webhooks = hooks.map(|hooks| WebhookNotifier::new(hooks, clock.clone())).transpose();
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
        if let Some(matrix) = self.matrix {
            add(Channel::Matrix, illustrated(matrix));
        }
        if let Some(webhooks) = self.webhooks {
            add(Channel::Webhook, webhooks);
        }
        all
    }
}
