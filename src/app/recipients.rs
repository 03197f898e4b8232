//! Who is told: owners and services, the routes of an `alertmanager.yml`, or both.

use std::time::Duration;

use super::BuildError;
use super::wiring::settle;
use crate::alerting::{Directory, Plan, Timing};
use crate::config::Config;

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
        let mut plan = Plan::of_owners(&directory, timing)?;
        plan.reactions = config.reactions.clone();
        return Ok((plan, directory));
    };
    let others = &foreign.file.plan;
    let mut plan = if directory.owners.is_empty() {
        others.clone()
    } else {
        Plan::beside(others, foreign.file.root.clone(), &directory, timing)?
    };
    plan.restart_grace = timing.restart_grace.max(FOREIGN_GRACE);
    plan.reactions = config.reactions.clone();
    directory.owners.extend(foreign.outfit.owners.iter().cloned());
    Ok((plan, directory))
}
