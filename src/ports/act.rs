use std::sync::Arc;
use std::time::Duration;

use super::{Address, Doing, StateError};
use crate::model::{Matcher, Timestamp, Way};

/// What people may do about alerts. The command line, the pages, the signed links, Matrix rooms and
/// Alertmanager's API all come through this door; who may do so is decided before it.
///
/// `Ok` means: in effect, and on disk.
pub trait Act: Send + Sync {
    /// "I know": the incident is not repeated until it gets worse. The others who were told of
    /// it hear so once.
    fn acknowledge<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>>;
    /// "I have it": as acknowledging it; whoever acknowledged before stays in the log.
    fn claim<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>>;
    /// Silences alerts, or changes a silence; gives its id.
    fn silence(&self, order: SilenceOrder, by: Actor) -> Doing<'_, Result<Arc<str>, ActError>>;
    /// Ends a silence now.
    fn expire<'a>(&'a self, silence: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>>;
}

/// Who does it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// An owner's name or a word that a person is known by; never a mail address.
    pub name: Arc<str>,
    /// How.
    pub way: Way,
    /// Where everybody has seen it already, so that nobody needs to be told there.
    pub seen_at: Option<Address>,
}

/// The wish to silence alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct SilenceOrder {
    /// The silence to change; a new one when absent.
    pub id: Option<Arc<str>>,
    /// Which alerts.
    pub scope: Scope,
    /// From then on; at once when absent.
    pub starts: Option<Timestamp>,
    /// How long.
    pub until: Until,
    /// Why.
    pub comment: Arc<str>,
}

/// Which alerts a silence is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// Those that all of them match. One must not match an empty value, or everything would be
    /// silenced.
    Matching(Vec<Matcher>),
    /// Those of one incident, until it ends at the latest.
    Incident(Arc<str>),
}

/// How long something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Until an instant.
    Instant(Timestamp),
    /// For so long from its start.
    For(Duration),
    /// Until none of its alerts fires any more, at most for so long.
    Resolved {
        /// From its start.
        at_most: Duration,
    },
}

/// Why something was not done. For the person who asked; no secret in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is no such incident, or it is over.
    #[error("there is no open incident {0}")]
    NoIncident(String),
    /// There is no such silence.
    #[error("there is no silence {0}")]
    NoSilence(String),
    /// It makes no sense.
    #[error("{0}")]
    Refused(String),
    /// It is in effect, but a crash now would undo it.
    #[error("it is in effect, but not on disk yet: {0}")]
    NotKept(#[from] StateError),
    /// The program is stopping.
    #[error("the program is stopping")]
    Stopping,
}
