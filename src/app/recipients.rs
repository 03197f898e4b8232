//! Who is told: owners and services, the routes of an `alertmanager.yml`, or both.

use std::sync::Arc;
use std::time::Duration;

use super::BuildError;
use super::wiring::settle;
use crate::alerting::{Directory, Plan, Timing};
use crate::config::Config;
use crate::notify::{EmailAccounts, MatrixNotifier, Notifiers, WebhookNotifier};
use crate::ports::{Channel, Clock};

/// When owners are told.
pub fn timing(config: &Config) -> Timing {
    let usual = Timing::default();
    Timing {
        group_wait: config.alerting.group_wait.unwrap_or(usual.group_wait),
        group_interval: config.alerting.group_interval.unwrap_or(usual.group_interval),
        repeat_interval: config.alerting.repeat_interval.unwrap_or(usual.repeat_interval),
        // Twice a round: the rules need one to know that an alert does not come back.
        restart_grace: settle(config) * 2 + config.rules.interval * 2,
    }
}

/// A foreign Prometheus may take so long to report again what it reported before our restart.
const FOREIGN_GRACE: Duration = Duration::from_secs(300);

/// The routes, and everybody they lead to.
///
/// # Errors
/// Nobody could be told.
pub fn who_is_told(config: &Config) -> Result<(Plan, Directory), BuildError> {
    let (mut directory, timing) = (config.directory.clone(), timing(config));
    let Some(foreign) = &config.alertmanager else {
        return Ok((Plan::of_owners(&directory, timing)?, directory));
    };
    let others = &foreign.file.plan;
    let mut plan = if directory.owners.is_empty() {
        others.clone()
    } else {
        Plan::beside(others, foreign.file.root.clone(), &directory, timing)?
    };
    plan.restart_grace = timing.restart_grace.max(FOREIGN_GRACE);
    directory.owners.extend(foreign.outfit.owners.iter().cloned());
    Ok((plan, directory))
}

/// All ways that are configured.
///
/// # Errors
/// One of them cannot be set up.
pub fn notifiers(config: &Config, clock: &Arc<dyn Clock>) -> Result<Notifiers, BuildError> {
    let broken = |error: &dyn std::fmt::Display| BuildError::Channel(error.to_string());
    let mut all = Notifiers::new();
    let outfit = config.alertmanager.as_ref().map(|foreign| foreign.outfit.clone());
    let outfit = outfit.unwrap_or_default();
    if config.notify.email.is_some() || !outfit.accounts.is_empty() {
        let email = EmailAccounts::new(config.notify.email.as_ref(), &outfit.accounts, clock);
        all.insert(Channel::Email, Arc::new(email.map_err(|e| broken(&e))?));
    }
    if let Some(settings) = &config.notify.matrix {
        let matrix = MatrixNotifier::new(settings, clock.clone()).map_err(|e| broken(&e))?;
        all.insert(Channel::Matrix, Arc::new(matrix));
    }
    let webhooks: Vec<_> = config.notify.webhooks.iter().chain(&outfit.webhooks).cloned().collect();
    if !webhooks.is_empty() {
        let webhooks = WebhookNotifier::new(&webhooks, clock.clone());
        all.insert(Channel::Webhook, Arc::new(webhooks.map_err(|e| broken(&e))?));
    }
    Ok(all)
}
