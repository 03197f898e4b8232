use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::calendar::ServiceHours;
use crate::model::NonEmpty;
use crate::ports::Address;

/// Somebody who is responsible: a person, or a few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The label `owner`.
    pub name: Arc<str>,
    /// Ways to reach them, best first. Nobody is unreachable.
    pub addresses: NonEmpty<Address>,
    /// BCP 47 language of their messages (`de`, `en`).
    pub language: Arc<str>,
    /// IANA zone of the times in their messages.
    pub timezone: Arc<str>,
}

/// Who is responsible for what; the part of the configuration that routing needs.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// All owners, by name.
    pub owners: Vec<Owner>,
    /// Service and the name of its owner.
    pub services: Vec<Service>,
    /// Who hears of what has no owner, and of ourselves; an owner's name.
    pub fallback: Option<Arc<str>>,
    /// Names of owners who are told by the first of their addresses that works, and not by all.
    pub first_that_works: BTreeSet<Arc<str>>,
    /// Owners who are told only at certain hours, by name.
    pub hours: BTreeMap<Arc<str>, OwnerHours>,
}

/// When an owner is told.
#[derive(Clone, Debug)]
pub struct OwnerHours {
    /// Open hours; what comes outside them is told when they begin, if it still fires.
    pub calendar: ServiceHours,
    /// Values of the label `class` that are told at any time.
    pub any_time: Vec<Arc<str>>,
}

impl OwnerHours {
    /// How the time interval is named in the routes.
    pub fn interval(&self) -> Arc<str> {
        format!("calendar {}", self.calendar.name).into()
    }
}

/// A thing people depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The label `service`.
    pub name: Arc<str>,
    /// Who is responsible.
    pub owner: Arc<str>,
    /// What the person reads instead of the name; the name when absent.
    pub title: Option<Arc<str>>,
    /// Services without which this one cannot work.
    pub depends_on: Vec<Arc<str>>,
}

impl Directory {
    /// The owner of that name.
    pub fn owner(&self, name: &str) -> Option<&Owner> {
        self.owners.iter().find(|owner| *owner.name == *name)
    }

    /// Whether an owner is told by one address only, the next one when it does not work.
    pub fn tells_first(&self, owner: &str) -> bool {
        self.first_that_works.contains(owner)
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| *service.name == *name)
    }
}
