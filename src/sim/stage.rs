//! Who and what there is in a world: owners, services, what breaks, what is silenced, and what people
//! would read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::story::Fault;
use super::world::{BASE, TICK, TROUBLE_ENDS};
use super::{Bug, Luck};
use crate::alerting::{
    Damping, Directory, Ends, GroupBy, InhibitRule, Notice, Owner, OwnerHours, Plan, RouteSpec,
    RouteTree, Service, Silence, Timing, Why,
};
use crate::calendar::{DaySpan, ServiceHours, TimeInterval};
use crate::model::{Labels, Matcher, NonEmpty, Timestamp};
use crate::notify::Unreached;
use crate::ports::{Address, Message, Urgency};

/// What kind of world it is. Different for each seed, so that all of them meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast {
    /// Somebody says now and then that they know of an incident.
    pub(super) acknowledges: bool,
    /// The office is told at certain hours only.
    pub(super) hours: bool,
    /// The office is told by the first of its ways that works.
    pub(super) one_way: bool,
    /// An alert comes and goes.
    pub(super) flaky: bool,
    /// Of what is down nobody is told that it is slow as well.
    pub(super) inhibits: bool,
    /// Alerts about mail name no owner and take a plain route that is closed at certain times.
    pub(super) muted: Option<Muted>,
    pub(super) bug: Option<Bug>,
}

/// How a plain route says when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Muted {
    /// `mute_time_intervals`
    Within,
    /// `active_time_intervals`
    Outside,
}

impl Cast {
    pub(super) fn of(seed: u64, bug: Option<Bug>) -> Self {
        Self {
            acknowledges: seed.is_multiple_of(2),
            hours: seed % 4 == 2,
            one_way: seed % 5 == 1,
            flaky: seed % 5 == 3,
            inhibits: seed % 7 == 5,
            muted: (seed % 3 == 1).then_some(if seed.is_multiple_of(2) {
                Muted::Within
            } else {
                Muted::Outside
            }),
            bug,
        }
    }

    /// What does not change is told again after this time: soon where people acknowledge, so that
    /// it is seen when they are bothered again.
    pub(super) fn repeat(&self) -> Duration {
        Duration::from_secs(if self.acknowledges { 300 } else { 1200 })
    }

    pub(super) fn plan(&self, directory: &Directory) -> Plan {
        let timing = Timing { repeat_interval: self.repeat(), ..Timing::default() };
        let mut plan = match self.muted {
            Some(muted) => with_plain_route(muted, directory, timing, self.bug),
            None => Plan::of_owners(directory, timing).unwrap(),
        };
        if self.inhibits {
            plan.inhibit.push(InhibitRule {
                source: vec![Matcher::equal("alertname", "ServiceDown")],
                target: vec![Matcher::equal("alertname", "Slow")],
                equal: vec!["service".into()],
                ..InhibitRule::default()
            });
        }
        match self.bug {
            Some(Bug::IgnoresDependencies) => {
                plan.inhibit.retain(|rule| rule.depends_on.is_none());
            }
            Some(Bug::IgnoresInhibition) => plan.inhibit.retain(|rule| rule.depends_on.is_some()),
            Some(Bug::LosesEndsOfSilenced) => plan.ends = Ends::AsAlertmanager,
            Some(Bug::NeverDamps) => plan.damping = None,
            Some(Bug::DampsForEver) => {
                let quiet = Duration::from_secs(86_400);
                plan.damping = plan.damping.map(|damping| Damping { quiet, ..damping });
            }
            _ => {}
        }
        plan
    }
}

/// Minutes of each half hour in which the plain route is closed.
pub(super) const CLOSED: std::ops::Range<u16> = 10..18;

/// Owners and services, and beside them a route as an `alertmanager.yml` has it.
fn with_plain_route(muted: Muted, directory: &Directory, timing: Timing, bug: Option<Bug>) -> Plan {
    let until = CLOSED.end + if bug == Some(Bug::MuteEndsLate) { 3 } else { 0 };
    let spans = |from: u16, until: u16| TimeInterval {
        times: Some((0..48).map(|half| (half * 30 + from, half * 30 + until)).collect()),
        ..TimeInterval::always()
    };
    let (closed, open) = ("closed", "open");
    let names = |of: Muted, name: &str| {
        let heeded = muted == of && bug != Some(Bug::IgnoresMute);
        heeded.then(|| name.into()).into_iter().collect()
    };
    let mail = RouteSpec {
        receiver: Some("web".into()),
        matchers: vec![Matcher::equal("service", "mail")],
        group_by: Some(GroupBy::labels(&["alertname"])),
        mute: names(Muted::Within, closed),
        active: names(Muted::Outside, open),
        ends: (bug == Some(Bug::MutedWaits)).then_some(Ends::AsAlertmanager),
        ..RouteSpec::default()
    };
    let root = RouteSpec {
        receiver: Some("dispatcher".into()),
        group_wait: Some(timing.group_wait),
        group_interval: Some(timing.group_interval),
        repeat_interval: Some(timing.repeat_interval),
        children: vec![mail],
        ..RouteSpec::default()
    };
    let others = Plan {
        intervals: [
            (closed.into(), vec![spans(CLOSED.start, until)]),
            (open.into(), vec![spans(0, CLOSED.start), spans(until, 30)]),
        ]
        .into(),
        ..Plan::new(RouteTree::new(root.clone()).unwrap(), Ends::ReachWhoHeard)
    };
    Plan::beside(&others, root, directory, timing).unwrap()
}

/// From each full and each half hour on, for twenty minutes.
pub(super) fn hours(bug: Option<Bug>) -> OwnerHours {
    let late = if bug == Some(Bug::OpensLate) { 3 } else { 0 };
    let spans = (0..24).flat_map(|hour| {
        [0, 30].map(|from| {
            let text = format!("{hour:02}:{:02}-{hour:02}:{:02}", from + late, from + 20);
            DaySpan::parse(&text).unwrap()
        })
    });
    let day: Vec<DaySpan> = spans.collect();
    let week = std::array::from_fn(|_| day.clone());
    let zone = jiff::tz::TimeZone::UTC;
    let calendar = ServiceHours { name: "office".into(), zone, week, holidays: Vec::new() };
    OwnerHours { calendar, any_time: Vec::new() }
}

pub(super) fn directory(cast: &Cast, guest: bool) -> Directory {
    let bug = cast.bug;
    let mail = |to: &str| Address::Email(to.into());
    let owner = |name: &str, addresses: Vec<Address>| Owner {
        name: name.into(),
        addresses: NonEmpty::from_vec(addresses).unwrap(),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let service = |name: &str, owner: &str, depends_on: &[&str]| Service {
        name: name.into(),
        owner: owner.into(),
        title: None,
        depends_on: depends_on.iter().map(|name| (*name).into()).collect(),
    };
    let mut web = vec![mail("web@example.org"), Address::Matrix("#web:x".into())];
    if guest {
        web.push(mail("guest@example.org"));
    }
    let mut office = vec![mail("office@example.org")];
    if cast.one_way && bug != Some(Bug::NoNextWay) {
        office.push(Address::Matrix("#office:x".into()));
    }
    let one_way = cast.one_way && bug != Some(Bug::TellsByAllWays);
    Directory {
        owners: vec![
            owner("web", web),
            owner("office", office),
            owner("dispatcher", vec![Address::Matrix("#all:x".into())]),
        ],
        services: vec![service("uplink", "office", &[]), service("home", "web", &["uplink"])],
        fallback: (bug != Some(Bug::NoFallback)).then(|| "dispatcher".into()),
        first_that_works: one_way.then(|| "office".into()).into_iter().collect(),
        hours: (cast.hours && bug != Some(Bug::IgnoresHours))
            .then(|| ("office".into(), hours(bug)))
            .into_iter()
            .collect(),
    }
}

pub(super) fn addresses(directory: &Directory, owner: &str) -> Vec<Address> {
    directory.owner(owner).unwrap().addresses.iter().cloned().collect()
}

/// One that comes and goes.
pub(super) const FLAKY: &str = "mail/Flaky";

/// What comes and goes all the time.
pub(super) fn flaky(mut luck: Luck, cast: &Cast) -> Fault {
    let mut outages = Vec::new();
    let mut at = i64::try_from(luck.below(600_000)).unwrap();
    while at < TROUBLE_ENDS - 120_000 {
        let length = i64::try_from(30_000 + luck.below(90_000)).unwrap();
        outages.push((at, at + length));
        at += length + i64::try_from(20_000 + luck.below(120_000)).unwrap();
    }
    fault("mail", "web", "Flaky", outages, cast)
}

fn fault(
    service: &str,
    owner: &'static str,
    name: &str,
    outages: Vec<(i64, i64)>,
    cast: &Cast,
) -> Fault {
    let plain = cast.muted.is_some() && service == "mail";
    let named = if plain { "" } else { owner };
    let pairs = [("alertname", name), ("owner", named), ("service", service)];
    Fault {
        alert: format!("{service}/{name}"),
        owner,
        labels: Labels::from_pairs(pairs).unwrap(),
        reported: vec![None; outages.len()],
        free: vec![0; outages.len()],
        free_since: None,
        due: BTreeMap::new(),
        healthy_since: BTreeMap::new(),
        outages,
        fired: None,
        resolved: None,
    }
}

pub(super) fn faults(luck: &mut Luck, cast: &Cast) -> Vec<Fault> {
    let mut faults = Vec::new();
    let services = [("home", "web"), ("mail", "web"), ("printer", "office"), ("uplink", "office")];
    for (service, owner) in services {
        for name in ["ServiceDown", "Slow"] {
            if luck.once_in(4) {
                continue;
            }
            let mut outages = Vec::new();
            let mut at = i64::try_from(luck.below(900_000)).unwrap();
            while at < TROUBLE_ENDS - 120_000 {
                let length = i64::try_from(20_000 + luck.below(900_000)).unwrap();
                outages.push((at, (at + length).min(TROUBLE_ENDS)));
                let short = luck.once_in(4);
                let gap = luck.below(if short { 60_000 } else { 1_200_000 });
                at += length + i64::try_from(gap).unwrap() + 16_000;
            }
            faults.push(fault(service, owner, name, outages, cast));
        }
    }
    faults
}

pub(super) fn silences(luck: &mut Luck) -> Vec<(i64, Silence)> {
    let mut silences = Vec::new();
    for nth in 0..luck.below(4) {
        let services = ["home", "mail", "printer", "uplink"];
        let service = services[usize::try_from(luck.below(4)).unwrap()];
        let mut matchers = vec![Matcher::equal("service", service)];
        if luck.once_in(2) {
            matchers.push(Matcher::equal("alertname", "ServiceDown"));
        }
        let starts = i64::try_from(luck.below(TROUBLE_ENDS.unsigned_abs())).unwrap();
        let length = i64::try_from(60_000 + luck.below(900_000)).unwrap();
        let early = i64::try_from(luck.below(600_000)).unwrap();
        let silence = Silence {
            id: format!("s{nth}").into(),
            matchers,
            starts: Timestamp::from_millis(BASE + starts),
            ends: Timestamp::from_millis(BASE + starts + length),
            ..Silence::default()
        };
        // The process is told when the rules look, and not a moment later than the judge.
        let known = (starts - early).div_euclid(TICK) * TICK + TICK;
        silences.push((known, silence));
    }
    silences.sort_by_key(|(known, _)| *known);
    silences
}

/// What a person would read, for the judge: the reason, the instant, and each alert's state; in
/// the payload since when each of them fires.
fn render(notice: &Notice, owner: &Owner, bug: Option<Bug>) -> Message {
    let digest = |of: Bug| notice.why == Why::Digest && bug == Some(of);
    let told = notice.alerts.len() - usize::from(digest(Bug::DigestForgetsOne));
    let since = notice.alerts.iter().map(|alert| match digest(Bug::DigestForgetsSince) {
        true => notice.at.millis().to_string(),
        false => alert.phase.since().millis().to_string(),
    });
    let since: Vec<String> = since.take(told).collect();
    let alerts = notice.alerts.iter().take(told).map(|alert| {
        let state = if alert.is_firing() { "firing" } else { "over" };
        format!("{}/{}={state}", alert.labels.get("service").unwrap(), alert.name())
    });
    let alerts: Vec<String> = alerts.collect();
    Message {
        subject: format!("{:?}", notice.why),
        text: alerts.join(","),
        html: format!("{} {}", owner.name, notice.at.millis()),
        language: "en".to_owned(),
        urgency: Urgency::Normal,
        resolved: notice.is_resolved(),
        incident: notice.incident.clone(),
        payload: since.join(","),
        ..Message::default()
    }
}

/// How a message begins that is told in somebody's place, or by the next way.
pub(super) const IN_PLACE: &str = "escalated";

/// Marks what went to the fallback owner, or by the next way.
pub(super) struct Scribe(pub(super) Option<Bug>);

impl crate::notify::Render for Scribe {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        render(notice, owner, self.0)
    }
    fn escalated(&self, mut message: Message, _: &Unreached, _: &Owner) -> Message {
        message.html = format!("{IN_PLACE} from {}", message.html);
        if self.0 == Some(Bug::FalseEndsInPlace) && message.subject != "First" {
            message.text = message.text.replace("=firing", "=over");
        }
        message
    }
}
