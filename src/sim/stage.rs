//! Who and what there is in a world: owners, services, what breaks, what is silenced, and what people
//! would read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::story::Fault;
use super::world::{BASE, TROUBLE_ENDS};
use super::{Bug, Luck};
use crate::alerting::{Directory, Notice, Owner, OwnerHours, Service, Silence};
use crate::calendar::{DaySpan, ServiceHours};
use crate::model::{Labels, Matcher, NonEmpty, Timestamp};
use crate::notify::Unreached;
use crate::ports::{Address, Message, Urgency};

/// What does not change is told again after this time: soon where people acknowledge, so that it
/// is seen when they are bothered again.
pub(super) fn repeat(seed: u64) -> Duration {
    Duration::from_secs(if acknowledges(seed) { 300 } else { 1200 })
}

pub(super) fn acknowledges(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

pub(super) fn has_hours(seed: u64) -> bool {
    seed % 4 == 2
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

pub(super) fn directory(guest: bool, with_hours: bool, bug: Option<Bug>) -> Directory {
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
    Directory {
        owners: vec![
            owner("web", web),
            owner("office", vec![mail("office@example.org")]),
            owner("dispatcher", vec![Address::Matrix("#all:x".into())]),
        ],
        services: vec![service("uplink", "office", &[]), service("home", "web", &["uplink"])],
        fallback: (bug != Some(Bug::NoFallback)).then(|| "dispatcher".into()),
        hours: (with_hours && bug != Some(Bug::IgnoresHours))
            .then(|| ("office".into(), hours(bug)))
            .into_iter()
            .collect(),
        ..Directory::default()
    }
}

pub(super) fn addresses(directory: &Directory, owner: &str) -> Vec<Address> {
    directory.owner(owner).unwrap().addresses.iter().cloned().collect()
}

pub(super) fn faults(luck: &mut Luck) -> Vec<Fault> {
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
            let pairs = [("alertname", name), ("owner", owner), ("service", service)];
            faults.push(Fault {
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
            });
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
        silences.push((starts - early, silence));
    }
    silences.sort_by_key(|(known, _)| *known);
    silences
}

/// What a person would read, for the judge: the reason, the instant, and each alert's state.
pub(super) fn render(notice: &Notice, owner: &Owner) -> Message {
    let alerts = notice.alerts.iter().map(|alert| {
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
        ..Message::default()
    }
}

/// Marks what went to the fallback owner.
pub(super) struct Scribe;

impl crate::notify::Render for Scribe {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        render(notice, owner)
    }
    fn escalated(&self, mut message: Message, unreached: &Unreached, _: &Owner) -> Message {
        message.html = format!("escalated from {}", message.html);
        message.payload = unreached.owner.to_string();
        message
    }
}
