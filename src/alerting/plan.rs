use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::route::{GroupBy, Route, RouteId, RouteSpec, RouteTree};
use super::{Damping, Directory, InhibitRule, OwnerHours, RouteError, Service, WhyNot};
use crate::calendar::TimeInterval;
use crate::model::{Matcher, Timestamp};
use crate::service::reaction::Reactions;

/// Everything the Desk decides by: routes, and how far it follows Alertmanager.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is told of what.
    pub routes: RouteTree,
    /// An alert that nobody reports any more is over after this time.
    pub resolve_timeout: Duration,
    /// After a restart, an alert that was told as firing is over when it is not reported again
    /// within this time.
    pub restart_grace: Duration,
    /// At most so many alerts stand in one message; the rest is counted.
    pub max_alerts: usize,
    /// What comes and goes is told less often; `None`: every time.
    pub damping: Option<Damping>,
    /// Alerts that hold others back while they fire.
    pub inhibit: Vec<InhibitRule>,
    /// Time intervals by name; routes refer to them.
    pub intervals: HashMap<Arc<str>, Vec<TimeInterval>>,
    /// What becomes of an end that Alertmanager would not tell.
    pub ends: Ends,
    /// By when somebody must react to what.
    pub reactions: Arc<Reactions>,
    /// The receivers of an `alertmanager.yml` in its order, also those that no route names.
    pub receivers: Vec<Arc<str>>,
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
    /// After a restart, an alert that was told as firing is over when it is not reported again
    /// within this time: long enough for a round of probes and rules.
    pub restart_grace: Duration,
}

impl Default for Timing {
    /// 100 ms, 30 s, 24 h; 5 min after a restart.
    fn default() -> Self {
        Self {
            group_wait: Duration::from_millis(100),
            group_interval: Duration::from_secs(30),
            repeat_interval: Duration::from_secs(24 * 3600),
            restart_grace: Duration::from_secs(300),
        }
    }
}

impl Plan {
    /// A plan around routes, with Alertmanager's five minutes of patience.
    pub fn new(routes: RouteTree, ends: Ends) -> Self {
        Self {
            routes,
            resolve_timeout: Duration::from_secs(300),
            restart_grace: Duration::from_secs(300),
            max_alerts: usize::MAX,
            damping: None,
            inhibit: Vec::new(),
            intervals: HashMap::new(),
            ends,
            reactions: Arc::default(),
            receivers: Vec::new(),
        }
    }

    /// Who hears of the ends of alerts on this route, or on one that is gone.
    pub fn ends_of(&self, route: Option<RouteId>) -> Ends {
        match route {
            Some(route) => self.routes.get(route).ends.unwrap_or(self.ends),
            None => self.ends,
        }
    }

    /// Whether the route's time intervals forbid to tell now.
    pub fn closed(&self, route: &Route, now: Timestamp) -> Option<WhyNot> {
        let within = |name: &Arc<str>| {
            let interval = self.intervals.get(name).into_iter().flatten();
            interval.into_iter().any(|part| part.contains(now))
        };
        if !route.active.is_empty() && !route.active.iter().any(within) {
            return Some(WhyNot::NotActive);
        }
        let muted = route.mute.iter().find(|name| within(name));
        muted.map(|interval| WhyNot::Muted { interval: interval.clone() })
    }

    /// The names of the intervals that close a route now, as Alertmanager's API tells them: those
    /// that mute it, or those in which it would be active.
    pub fn closed_by(&self, route: &Route, now: Timestamp) -> Vec<Arc<str>> {
        match self.closed(route, now) {
            Some(WhyNot::NotActive) => route.active.clone(),
            Some(_) => {
                let within = |name: &&Arc<str>| {
                    self.intervals.get(*name).into_iter().flatten().any(|part| part.contains(now))
                };
                route.mute.iter().filter(within).cloned().collect()
            }
            None => Vec::new(),
        }
    }

    /// Owners and services as routes, tried in this order:
    /// 1. the label `owner` names an owner: that owner;
    /// 2. the label `service` names a service (its alert has no owner, or one that left): the
    ///    owner of that service;
    /// 3. everything else: the fallback owner, or the first one.
    ///
    /// A service that depends on others waits 20 s before its first message, because what it
    /// depends on may be confirmed down a little later; while that is down it is not told.
    ///
    /// Alerts are grouped per service; those without the label `service` per `alertname`.
    ///
    /// An owner with hours is told of what is theirs (1 and 2) within them; what has no owner of
    /// its own (3) reaches somebody at any time.
    ///
    /// # Errors
    /// There is no owner at all, so that nobody could be told.
    pub fn of_owners(directory: &Directory, timing: Timing) -> Result<Self, RouteError> {
        let known = |name: &Arc<str>| directory.owner(name).map(|owner| owner.name.clone());
        let fallback = directory.fallback.as_ref().and_then(known);
        let fallback = fallback.or_else(|| directory.owners.first().map(|o| o.name.clone()));
        let mut children = owner_routes(directory, timing);
        children.push(RouteSpec { mute: vec![TOLD_TO_NOBODY.into()], ..heartbeat() });
        children.push(without_service());
        let root = RouteSpec { receiver: fallback, children, ..timed(timing) };
        let mut plan = Self::new(RouteTree::new(root)?, Ends::ReachWhoHeard);
        plan.max_alerts = MAX_ALERTS;
        plan.restart_grace = timing.restart_grace;
        plan.damping = Some(Damping::default());
        plan.inhibit = dependencies(directory);
        // An interval without limits is always.
        plan.intervals.insert(TOLD_TO_NOBODY.into(), vec![TimeInterval::always()]);
        plan.intervals.extend(hours(directory));
        Ok(plan)
    }

    /// Owners and services as [`Plan::of_owners`] takes them, and for everything else the routes
    /// of an `alertmanager.yml`, whose own plan is `others` and whose root is `root`.
    ///
    /// # Errors
    /// The routes do not fit together.
    pub fn beside(
        others: &Plan,
        root: RouteSpec,
        directory: &Directory,
        timing: Timing,
    ) -> Result<Self, RouteError> {
        let ours = owner_routes(directory, timing).into_iter().map(|route| {
            let frame = timed(timing);
            RouteSpec {
                group_by: frame.group_by,
                group_wait: frame.group_wait,
                group_interval: frame.group_interval,
                repeat_interval: frame.repeat_interval,
                ends: Some(Ends::ReachWhoHeard),
                ..route
            }
        });
        let mut root = root;
        root.children = ours.chain(root.children).collect();
        let mut plan = Self { routes: RouteTree::new(root)?, ..others.clone() };
        plan.max_alerts = MAX_ALERTS;
        plan.restart_grace = timing.restart_grace.max(others.restart_grace);
        plan.damping = Some(Damping::default());
        plan.inhibit.extend(dependencies(directory));
        plan.intervals.extend(hours(directory));
        Ok(plan)
    }
}

/// So many alerts stand in one message to an owner.
const MAX_ALERTS: usize = 100;

/// What all routes to owners have in common.
fn timed(timing: Timing) -> RouteSpec {
    RouteSpec {
        group_by: Some(GroupBy::labels(&["service"])),
        group_wait: Some(timing.group_wait),
        group_interval: Some(timing.group_interval),
        repeat_interval: Some(timing.repeat_interval),
        ..RouteSpec::default()
    }
}

/// The first two kinds of [`Plan::of_owners`].
fn owner_routes(directory: &Directory, timing: Timing) -> Vec<RouteSpec> {
    let known = |name: &Arc<str>| directory.owner(name).map(|owner| owner.name.clone());
    let to_owner = |owner: &Arc<str>, label: &str, value: &str| RouteSpec {
        receiver: Some(owner.clone()),
        matchers: vec![Matcher::equal(label, value)],
        active: active(directory, owner),
        children: at_hours(directory, owner),
        ..RouteSpec::default()
    };
    let mut routes = Vec::new();
    for owner in &directory.owners {
        routes.push(to_owner(&owner.name, "owner", &owner.name));
    }
    for service in &directory.services {
        if let Some(owner) = known(&service.owner) {
            routes.push(to_owner(&owner, "service", &service.name));
        }
    }
    for service in directory.services.iter().filter(|s| !s.depends_on.is_empty()) {
        for route in routes.iter_mut().filter(|route| leads_to(route, service)) {
            let waiting = |above: &RouteSpec| RouteSpec {
                matchers: vec![Matcher::equal("service", &service.name)],
                group_wait: Some(timing.group_wait.max(DEPENDENCY_WAIT)),
                active: above.active.clone(),
                ..RouteSpec::default()
            };
            let own = waiting(route);
            for child in route.children.iter_mut().filter(|child| is_of_a_class(child)) {
                child.children.push(waiting(child));
            }
            route.children.push(own);
        }
    }
    routes
}

/// The time interval in which an owner is told; empty: at any time.
fn active(directory: &Directory, owner: &str) -> Vec<Arc<str>> {
    directory.hours.get(owner).map(OwnerHours::interval).into_iter().collect()
}

/// The routes below one to an owner. Time intervals are not inherited.
fn at_hours(directory: &Directory, owner: &str) -> Vec<RouteSpec> {
    let mut children = vec![heartbeat()];
    let classes = directory.hours.get(owner).map(|hours| &hours.any_time);
    children.extend(classes.into_iter().flatten().map(|class| RouteSpec {
        matchers: vec![Matcher::equal(CLASS, class)],
        children: vec![without_service()],
        ..RouteSpec::default()
    }));
    children.push(RouteSpec { active: active(directory, owner), ..without_service() });
    children
}

/// The label that says how bad it is.
const CLASS: &str = "class";

fn is_of_a_class(route: &RouteSpec) -> bool {
    route.matchers.iter().any(|matcher| matcher.name() == CLASS)
}

/// The time intervals of owners with hours.
fn hours(directory: &Directory) -> impl Iterator<Item = (Arc<str>, Vec<TimeInterval>)> + '_ {
    directory.hours.values().map(|hours| (hours.interval(), hours.calendar.intervals()))
}

/// An outage of what a service depends on may be confirmed a little later than its own.
const DEPENDENCY_WAIT: Duration = Duration::from_secs(20);

/// Whether alerts of the service can come by this route.
fn leads_to(route: &RouteSpec, service: &Service) -> bool {
    let labels = [("owner", &*service.owner), ("service", &*service.name)];
    let fits = |matcher: &Matcher| {
        labels.iter().any(|(name, value)| matcher.name() == *name && matcher.accepts(value))
    };
    !route.matchers.is_empty() && route.matchers.iter().all(fits)
}

/// While a service is down, alerts of the services that depend on it, directly or through
/// others, are held back.
fn dependencies(directory: &Directory) -> Vec<InhibitRule> {
    let mut rules = Vec::new();
    for service in &directory.services {
        let mut below: Vec<&Arc<str>> = service.depends_on.iter().collect();
        let mut at = 0;
        while let Some(name) = below.get(at).copied() {
            at += 1;
            let deeper = directory.service(name).into_iter().flat_map(|s| &s.depends_on);
            for name in deeper {
                if *name != service.name && !below.contains(&name) {
                    below.push(name);
                }
            }
        }
        rules.extend(below.into_iter().map(|name| InhibitRule {
            name: format!("{} depends on {name}", service.name).into(),
            source: vec![
                Matcher::equal("alertname", "ServiceDown"),
                Matcher::equal("service", name),
            ],
            target: vec![Matcher::equal("service", &service.name)],
            equal: Vec::new(),
            depends_on: Some(name.clone()),
        }));
    }
    rules
}

/// The name of the time interval that mutes alerts which only prove that alerts come through.
const TOLD_TO_NOBODY: &str = "told to nobody";

/// An alert that always fires is told again and again to whom it was given: whoever expects it
/// misses it soon. Who has no owner for it is not told.
fn heartbeat() -> RouteSpec {
    RouteSpec {
        matchers: vec![Matcher::equal("severity", "none")],
        group_by: Some(GroupBy::labels(&["alertname"])),
        repeat_interval: Some(Duration::from_secs(300)),
        ..RouteSpec::default()
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
            ..Directory::default()
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
    fn a_watchdog_is_told_to_its_owner_alone_and_often() {
        let plan = Plan::of_owners(&directory(), Timing::default()).unwrap();
        let closed = |pairs: &[(&str, &str)]| {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            let found = plan.routes.resolve(&labels);
            assert_eq!(found.len(), 1);
            let route = plan.routes.get(found[0]);
            let why = plan.closed(route, Timestamp::from_millis(1_700_000_000_000));
            (route.receiver.to_string(), route.repeat_interval, why.is_some())
        };
        let nobody = closed(&[("alertname", "Watchdog"), ("severity", "none")]);
        assert!(nobody.2, "{nobody:?}");
        let owner = [("alertname", "Watchdog"), ("severity", "none"), ("owner", "office")];
        assert_eq!(closed(&owner), ("office".to_owned(), Duration::from_secs(300), false));
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
    fn what_hangs_on_a_dead_uplink_is_not_told() {
        use crate::alerting::Desk;
        use crate::model::{Alert, Phase, Timestamp};
        let mut directory = directory();
        let service = |name: &str, depends_on: &[&str]| Service {
            name: name.into(),
            owner: "web".into(),
            title: None,
            depends_on: depends_on.iter().map(|name| (*name).into()).collect(),
        };
        // A circle harms nobody.
        directory.services = vec![
            service("uplink", &["page"]),
            service("proxy", &["uplink"]),
            service("page", &["proxy"]),
        ];
        let plan = Plan::of_owners(&directory, Timing::default()).unwrap();
        let mut desk = Desk::new(Arc::new(plan));
        let at = Timestamp::from_millis(1_000);
        let down = |service: &str, name: &str| Alert {
            labels: Labels::from_pairs([
                ("alertname", name),
                ("owner", "web"),
                ("service", service),
            ])
            .unwrap(),
            annotations: Labels::empty(),
            phase: Phase::Firing { since: at, fired: at },
            value: None,
            ends: None,
            generator: "".into(),
        };
        desk.offer(at, vec![down("page", "PageSlow")]);
        assert_eq!(desk.next_due(), Some(at + DEPENDENCY_WAIT));
        desk.offer(at + Duration::from_secs(9), vec![down("uplink", "ServiceDown")]);
        let later = at + Duration::from_secs(40);
        let told = desk.flush(later).decisions;
        let told: Vec<_> = told.iter().map(|d| d.notice.group.to_string()).collect();
        assert_eq!(told, [r#"{service="uplink"}"#]);
        let groups = desk.status(later);
        let page = groups.iter().find(|group| group.group.get("service") == Some("page")).unwrap();
        let why_not = page.alerts[0].why_not.as_ref().unwrap();
        assert_eq!(why_not.name(), "dependency");
        assert!(why_not.detail().starts_with("uplink"), "{}", why_not.detail());
    }

    #[test]
    fn owners_stand_beside_the_routes_of_somebody_else() {
        let root = RouteSpec {
            receiver: Some("am".into()),
            children: vec![RouteSpec {
                receiver: Some("pager".into()),
                matchers: vec![Matcher::equal("severity", "page")],
                ..RouteSpec::default()
            }],
            ..RouteSpec::default()
        };
        let others = Plan::new(RouteTree::new(root.clone()).unwrap(), Ends::AsAlertmanager);
        let plan = Plan::beside(&others, root, &directory(), Timing::default()).unwrap();
        let taken = |pairs: &[(&str, &str)]| {
            let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
            let id = plan.routes.resolve(&labels)[0];
            let route = plan.routes.get(id);
            (route.receiver.to_string(), route.group_wait, plan.ends_of(Some(id)))
        };
        let ours = Duration::from_millis(100);
        let theirs = Duration::from_secs(30);
        let (reach, faithful) = (Ends::ReachWhoHeard, Ends::AsAlertmanager);
        assert_eq!(taken(&[("owner", "web"), ("severity", "page")]), ("web".into(), ours, reach));
        assert_eq!(taken(&[("service", "homepage")]), ("web".into(), ours, reach));
        assert_eq!(taken(&[("severity", "page")]), ("pager".into(), theirs, faithful));
        assert_eq!(taken(&[("owner", "left")]), ("am".into(), theirs, faithful));
        let page = Labels::from_pairs([("severity", "page")]).unwrap();
        let key = plan.routes.get(plan.routes.resolve(&page)[0]).key.to_string();
        assert_eq!(key, r#"{}/{severity="page"}"#, "as in Alertmanager's group keys");
    }

    #[test]
    fn without_owners_there_is_no_plan() {
        let refused = Plan::of_owners(&Directory::default(), Timing::default());
        assert_eq!(refused.unwrap_err(), RouteError::NoReceiver);
    }
}
