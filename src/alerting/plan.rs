use std::sync::Arc;
use std::time::Duration;

use super::route::{GroupBy, RouteSpec, RouteTree};
use super::{Directory, RouteError};
use crate::model::Matcher;

/// Everything the Desk decides by: routes, and how far it follows Alertmanager.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is told of what.
    pub routes: RouteTree,
    /// An alert that nobody reports any more is over after this time.
    pub resolve_timeout: Duration,
    /// At most so many alerts stand in one message; the rest is counted.
    pub max_alerts: usize,
    /// What becomes of an end that Alertmanager would not tell.
    pub ends: Ends,
}

/// Who hears that something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Everybody who heard that it began, whatever was silenced, inhibited or muted in between.
    ReachWhoHeard,
    /// As Alertmanager does: the end of a silenced or inhibited alert is not told, and the end of
    /// one that came and went between two looks at its group is.
    AsAlertmanager,
}

/// Timers of the routes that owners and services compile to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Wait before the first message of an incident. Short, because alerts fire only after the
    /// confirming tries or their rule's `for`; long enough for what one evaluation finds.
    pub group_wait: Duration,
    /// Time between two messages of one incident.
    pub group_interval: Duration,
    /// Time after which an unchanged incident is told again.
    pub repeat_interval: Duration,
}

impl Default for Timing {
    /// 300 ms, 30 s, 24 h.
    fn default() -> Self {
        Self {
            group_wait: Duration::from_millis(300),
            group_interval: Duration::from_secs(30),
            repeat_interval: Duration::from_secs(24 * 3600),
        }
    }
}

impl Plan {
    /// A plan around routes, with Alertmanager's five minutes of patience.
    pub fn new(routes: RouteTree, ends: Ends) -> Self {
        Self { routes, resolve_timeout: Duration::from_secs(300), max_alerts: usize::MAX, ends }
    }

    /// Owners and services as routes, tried in this order:
    /// 1. the label `owner` names an owner: that owner;
    /// 2. the label `service` names a service (its alert has no owner, or one that left): the
    ///    owner of that service;
    /// 3. everything else: the fallback owner, or the first one.
    ///
    /// Alerts are grouped per service; those without the label `service` per `alertname`.
    ///
    /// # Errors
    /// There is no owner at all, so that nobody could be told.
    pub fn of_owners(directory: &Directory, timing: Timing) -> Result<Self, RouteError> {
        let known = |name: &Arc<str>| directory.owner(name).map(|owner| owner.name.clone());
        let fallback = directory.fallback.as_ref().and_then(known);
        let fallback = fallback.or_else(|| directory.owners.first().map(|o| o.name.clone()));
        let to_owner = |owner: &Arc<str>, label: &str, value: &str| RouteSpec {
            receiver: Some(owner.clone()),
            matchers: vec![Matcher::equal(label, value)],
            children: vec![without_service()],
            ..RouteSpec::default()
        };
        let mut children = Vec::new();
        for owner in &directory.owners {
            children.push(to_owner(&owner.name, "owner", &owner.name));
        }
        for service in &directory.services {
            if let Some(owner) = known(&service.owner) {
                children.push(to_owner(&owner, "service", &service.name));
            }
        }
        children.push(without_service());
        let root = RouteSpec {
            receiver: fallback,
            group_by: Some(GroupBy::labels(&["service"])),
            group_wait: Some(timing.group_wait),
            group_interval: Some(timing.group_interval),
            repeat_interval: Some(timing.repeat_interval),
            children,
            ..RouteSpec::default()
        };
        let mut plan = Self::new(RouteTree::new(root)?, Ends::ReachWhoHeard);
        plan.max_alerts = 100;
        Ok(plan)
    }
}

fn without_service() -> RouteSpec {
    RouteSpec {
        matchers: vec![Matcher::equal("service", "")],
        group_by: Some(GroupBy::labels(&["alertname"])),
        ..RouteSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerting::{Owner, Service};
    use crate::model::{Labels, NonEmpty};
    use crate::ports::Address;

    fn directory() -> Directory {
        let owner = |name: &str| Owner {
            name: name.into(),
            addresses: NonEmpty::of(Address::Email(format!("{name}@example.org").into())),
            language: "en".into(),
            timezone: "UTC".into(),
        };
        let service = |name: &str, owner: &str| Service {
            name: name.into(),
            owner: owner.into(),
            title: None,
            depends_on: Vec::new(),
        };
        Directory {
            owners: vec![owner("web"), owner("office"), owner("dispatcher")],
            services: vec![service("homepage", "web"), service("orphan", "gone")],
            fallback: Some("dispatcher".into()),
        }
    }

    fn receiver(pairs: &[(&str, &str)]) -> (String, String) {
        let plan = Plan::of_owners(&directory(), Timing::default()).unwrap();
        let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
        let found = plan.routes.resolve(&labels);
        assert_eq!(found.len(), 1);
        let route = plan.routes.get(found[0]);
        (route.receiver.to_string(), route.group_by.group_of(&labels).to_string())
    }

    #[test]
    fn the_owner_of_a_service_hears_of_it_and_nobody_else() {
        let (who, group) =
            receiver(&[("alertname", "A"), ("owner", "office"), ("service", "printer")]);
        assert_eq!((who.as_str(), group.as_str()), ("office", r#"{service="printer"}"#));
        assert_eq!(receiver(&[("alertname", "A"), ("service", "homepage")]).0, "web");
        assert_eq!(
            receiver(&[("alertname", "A"), ("owner", "left"), ("service", "homepage")]).0,
            "web"
        );
    }

    #[test]
    fn an_empty_seat_reaches_the_fallback() {
        assert_eq!(receiver(&[("alertname", "A"), ("service", "orphan")]).0, "dispatcher");
        let (who, group) = receiver(&[("alertname", "A"), ("x", "1")]);
        assert_eq!((who.as_str(), group.as_str()), ("dispatcher", r#"{alertname="A"}"#));
        let (who, group) = receiver(&[("alertname", "A"), ("owner", "web")]);
        assert_eq!((who.as_str(), group.as_str()), ("web", r#"{alertname="A"}"#));
    }

    #[test]
    fn without_owners_there_is_no_plan() {
        let refused = Plan::of_owners(&Directory::default(), Timing::default());
        assert_eq!(refused.unwrap_err(), RouteError::NoReceiver);
    }
}
