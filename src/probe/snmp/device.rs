//! What all devices have in common: finding them, how long to wait, what a failure means.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::session::Session;
use super::transport::{Peer, SnmpError, SnmpTransport};
use crate::ports::{Clock, Doing, Tick};
use crate::probe::{Family, Observation, Obstacle, Outcome, ResolveError, Resolver, SnmpTarget};

/// Wait at most this long for one answer: printers that sleep need seconds.
const WAIT: Duration = Duration::from_secs(3);

/// Of the time a look may take, this part is kept back for what comes after asking.
const RESERVE: Duration = Duration::from_millis(100);

/// A device and the way to it.
pub(super) struct Device {
    pub target: SnmpTarget,
    pub clock: Arc<dyn Clock>,
    resolver: Arc<Resolver>,
    snmp: Arc<dyn SnmpTransport>,
    /// The address that answered last.
    answered: Mutex<Option<IpAddr>>,
}

/// What is asked of a kind of device.
pub(super) trait Talk: Sync {
    /// What comes of it.
    type Seen: Send;

    /// Asks it all, over a session with one address.
    fn read<'a>(&'a self, session: &'a Session<'a>) -> Doing<'a, Result<Self::Seen, Failed>>;
}

/// When a look failed: another address may help only before the first answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// Nothing was answered yet.
    AtOnce(SnmpError),
    /// Something was.
    Later(SnmpError),
}

impl Device {
    /// Asks nothing yet.
    pub fn new(
        target: &SnmpTarget,
        clock: Arc<dyn Clock>,
        resolver: Arc<Resolver>,
        snmp: Arc<dyn SnmpTransport>,
    ) -> Self {
        Self { target: target.clone(), clock, resolver, snmp, answered: Mutex::default() }
    }

    /// Asks the first address that answers.
    ///
    /// # Errors
    /// The outcome that says why there is nothing to tell.
    pub async fn ask<T: Talk>(&self, talk: &T, deadline: Tick) -> Result<T::Seen, Outcome> {
        let found = self.resolver.addresses(&self.target.host, Family::Any, deadline).await;
        let addresses = match found {
            Ok(addresses) => self.order(&addresses),
            Err(ResolveError::Theirs(cause)) => return Err(Observation::down(cause, vec![]).into()),
            Err(ResolveError::Ours(obstacle)) => return Err(obstacle.into()),
        };
        let left = deadline.since(self.clock.mono()).saturating_sub(RESERVE);
        let deadline = self.clock.mono().after(left);
        // One share of the time is for what follows the first answer.
        #[allow(clippy::cast_possible_truncation)] // two addresses
        let shares = self
            .target
            .retries
            .saturating_add(1)
            .saturating_mul(addresses.len() as u32)
            .saturating_add(1);
        let wait = WAIT.min(left / shares);
        let mut last = SnmpError::Silence;
        for address in addresses {
            let peer = Peer {
                address: SocketAddr::new(address, self.target.port),
                auth: self.target.auth.clone(),
                wait,
                retries: self.target.retries,
            };
            let session = Session::new(&*self.snmp, &*self.clock, &peer, deadline);
            match talk.read(&session).await {
                Ok(seen) => {
                    *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(address);
                    return Ok(seen);
                }
                Err(Failed::Later(error)) => return Err(self.failed(&error, true)),
                Err(Failed::AtOnce(error)) => last = error,
            }
        }
        Err(self.failed(&last, false))
    }

    /// The address that answered last, then the first of each family.
    fn order(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let last = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.filter(|address| addresses.contains(address));
        let v6 = addresses.iter().find(|address| address.is_ipv6()).copied();
        let v4 = addresses.iter().find(|address| address.is_ipv4()).copied();
        let mut order = Vec::with_capacity(2);
        for address in [known, v6, v4].into_iter().flatten() {
            if !order.contains(&address) && order.len() < 2 {
                order.push(address);
            }
        }
        order
    }

    fn failed(&self, error: &SnmpError, answered_before: bool) -> Outcome {
        let tries = self.target.retries.saturating_add(1);
        let cause = match error {
            SnmpError::Ours(what) => return Obstacle::new(format!("SNMP: {what}")).into(),
            SnmpError::Silence if answered_before => "it stopped answering on the way".to_owned(),
            SnmpError::Silence => format!(
                "no answer to SNMP after {tries} tries: switched off, out of reach, or the community is wrong"
            ),
            error => error.to_string(),
        };
        Observation::down(cause, Vec::new()).into()
    }
}
