use std::collections::{BTreeMap, BTreeSet};

use super::Bug;
use crate::ports::{Change, Heard, Incident, Remembered, Settled, Settlement, Ticket};

/// What a correct state file would hold: the meaning of [`crate::ports::State`] in memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    incidents: BTreeMap<String, Incident>,
    ended: BTreeSet<String>,
    tickets: BTreeMap<String, (Ticket, Option<Settled>)>,
    silences: BTreeMap<std::sync::Arc<str>, crate::model::Silence>,
}

impl Store {
    pub(super) fn apply(&mut self, change: &Change) {
        for incident in &change.incidents {
            if !self.ended.contains(&incident.id) {
                self.incidents.insert(incident.id.clone(), incident.clone());
            }
        }
        for (incident, _) in &change.ended {
            if self.incidents.remove(incident).is_some() {
                self.ended.insert(incident.clone());
            }
        }
        for silence in &change.silences {
            self.silences.insert(silence.id.clone(), silence.clone());
        }
        for ticket in &change.tickets {
            self.tickets.entry(ticket.key.clone()).or_insert_with(|| (ticket.clone(), None));
        }
        for settled in &change.settled {
            if let Some((_, end)) = self.tickets.get_mut(&settled.key) {
                *end = Some(settled.clone());
            }
        }
    }

    pub(super) fn load(&self) -> Remembered {
        let mut incidents: Vec<Incident> = self.incidents.values().cloned().collect();
        incidents.sort_by(|a, b| (a.opened, &a.id).cmp(&(b.opened, &b.id)));
        let open = self.tickets.values().filter(|(_, end)| end.is_none());
        let mut tickets: Vec<Ticket> = open.map(|(ticket, _)| ticket.clone()).collect();
        tickets.sort_by_key(|ticket| ticket.serial);
        let delivered = self
            .tickets
            .values()
            .filter(|(_, end)| end.as_ref().is_some_and(|end| end.how == Settlement::Delivered));
        let delivered = delivered.map(|(ticket, _)| (ticket.incident.clone(), ticket.number));
        let reached: BTreeSet<_> = delivered
            .filter(|(incident, number)| {
                tickets.iter().any(|open| open.incident == *incident && open.number == *number)
            })
            .collect();
        let heard = self.tickets.values().filter(|(ticket, end)| {
            end.as_ref().is_some_and(|end| end.heard)
                && self.incidents.contains_key(&ticket.incident)
        });
        let heard: BTreeSet<Heard> = heard
            .map(|(ticket, _)| {
                let Ticket { incident, owner, to, .. } = ticket.clone();
                Heard { incident, owner, to }
            })
            .collect();
        let installation = "sim".to_owned();
        let (heard, reached) = (heard.into_iter().collect(), reached.into_iter().collect());
        let mut silences: Vec<_> = self.silences.values().cloned().collect();
        silences.sort_by(|a, b| (a.starts, &a.id).cmp(&(b.starts, &b.id)));
        let link_key = None;
        let dead = Vec::new();
        Remembered { installation, incidents, tickets, heard, dead, reached, silences, link_key }
    }

    pub(super) fn open_keys(&self) -> impl Iterator<Item = &String> {
        self.tickets.iter().filter(|(_, (_, end))| end.is_none()).map(|(key, _)| key)
    }
}

/// A disk with its accidents.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// What is on it.
    durable: Store,
    /// What has to be on it, by its own promises.
    pub(super) promised: Store,
    /// With [`Bug::DiskLies`]: what is gone after the next crash.
    volatile: Vec<Change>,
    pub(super) full: bool,
    bug: Option<Bug>,
}

impl Disk {
    pub(super) fn new(bug: Option<Bug>) -> Self {
        Self { bug, ..Self::default() }
    }

    /// Saves all of it. `Err` when it is full.
    pub(super) fn save(&mut self, mut change: Change) -> Result<(), ()> {
        if self.full {
            return Err(());
        }
        self.promised.apply(&change);
        match self.bug {
            Some(Bug::DiskLies) => self.volatile.push(change),
            Some(Bug::SettlementsLost) => {
                change.settled.clear();
                self.durable.apply(&change);
            }
            _ => self.durable.apply(&change),
        }
        Ok(())
    }

    /// The power goes while it saves: all of it is there afterwards, or nothing.
    pub(super) fn tear(&mut self, mut change: Change, kept: bool) {
        match self.bug {
            Some(Bug::TicketsTorn) => {
                change.tickets.clear();
                self.durable.apply(&change);
            }
            Some(Bug::IncidentsTorn) => {
                change.incidents.clear();
                change.ended.clear();
                self.durable.apply(&change);
            }
            _ if kept => {
                self.promised.apply(&change);
                self.durable.apply(&change);
            }
            _ => {}
        }
    }

    pub(super) fn load_after_crash(&mut self, process: u64) -> Remembered {
        // What a liar wrote long ago has reached the disk meanwhile.
        let lost = self.volatile.len().min(3);
        for change in self.volatile.drain(..).rev().skip(lost).collect::<Vec<_>>().into_iter().rev()
        {
            self.durable.apply(&change);
        }
        let mut found = self.durable.load();
        match self.bug {
            Some(Bug::NewInstallation) => {
                found.installation = format!("sim{process}");
                for ticket in &mut found.tickets {
                    ticket.key = format!("{}{process}", ticket.key);
                }
            }
            Some(Bug::ForgetsHeard) => found.heard.clear(),
            Some(Bug::ForgetsIncidents) => found.incidents.clear(),
            Some(Bug::ForgetsAcknowledgements) => {
                found.incidents.iter_mut().for_each(|incident| incident.acknowledged = None);
            }
            Some(Bug::ForgetsReached) => found.reached.clear(),
            Some(Bug::ForgetsTickets) => found.tickets.clear(),
            Some(Bug::ForgetsWhenTold) => {
                for incident in &mut found.incidents {
                    incident.told = incident.told - std::time::Duration::from_secs(86_400);
                }
            }
            _ => {}
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Luck;
    use super::*;
    use crate::model::{Alert, Fingerprint, Labels, Phase, Timestamp};
    use crate::ports::{Address, Message, Settlement, State};
    use crate::state::SqliteState;

    fn incident(luck: &mut Luck) -> Incident {
        let alert = |name: &str| Alert {
            labels: Labels::from_pairs([("alertname", name)]).unwrap(),
            annotations: Labels::empty(),
            phase: Phase::Firing { since: Timestamp::default(), fired: Timestamp::default() },
            value: None,
            ends: None,
            generator: "".into(),
        };
        let alerts = ["A", "B", "C"].into_iter().filter(|_| luck.once_in(2)).map(alert).collect();
        Incident {
            id: format!("i{}", luck.below(4)),
            route: "{}".into(),
            group: Labels::empty(),
            receiver: "web".into(),
            opened: Timestamp::from_millis(i64::try_from(luck.below(3)).unwrap()),
            told: Timestamp::default(),
            messages: 1,
            alerts,
            acknowledged: None,
            reacted: None,
            digest: false,
        }
    }

    fn change(luck: &mut Luck, serial: u64) -> Change {
        let mut change = Change::default();
        if luck.once_in(2) {
            change.incidents.push(incident(luck));
        }
        if luck.once_in(5) {
            change.ended.push((format!("i{}", luck.below(4)), Timestamp::from_millis(9)));
        }
        if luck.once_in(2) {
            change.tickets.push(Ticket {
                key: format!("k{}", luck.below(12)),
                serial,
                incident: format!("i{}", luck.below(4)),
                number: u32::try_from(luck.below(2)).unwrap(),
                owner: "web".into(),
                to: Address::Email(format!("{}@example.org", luck.below(3)).into()),
                message: Message { language: "de".to_owned(), ..Message::default() }.into(),
                covers: vec![(Fingerprint(luck.next()), luck.once_in(2))],
                created: Timestamp::default(),
                escalated: luck.once_in(2),
            });
        }
        if luck.once_in(2) {
            let how = match luck.below(3) {
                0 => Settlement::Delivered,
                1 => Settlement::Rejected,
                _ => Settlement::Superseded,
            };
            change.settled.push(Settled {
                key: format!("k{}", luck.below(12)),
                at: Timestamp::from_millis(5),
                how,
                heard: luck.once_in(2),
                evidence: String::new(),
            });
        }
        change
    }

    /// The simulation's disk means the same as the real one.
    #[test]
    fn the_double_behaves_as_sqlite_does() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for seed in 0..20 {
            let path = folder.path().join(format!("{seed}.db"));
            let mut sqlite = SqliteState::open(&path).unwrap();
            let (mut store, mut luck) = (Store::default(), Luck::seeded(seed));
            for step in 0..30 {
                let change = change(&mut luck, step);
                runtime.block_on(sqlite.save(change.clone())).unwrap();
                store.apply(&change);
                if luck.once_in(10) {
                    drop(sqlite);
                    sqlite = SqliteState::open(&path).unwrap();
                }
                let mut found = runtime.block_on(sqlite.load()).unwrap();
                found.installation = "sim".to_owned();
                assert!(found.link_key.take().is_some());
                // Only a gauge counts them; the double keeps none.
                found.dead.clear();
                assert_eq!(found, store.load(), "seed {seed}, step {step}, {change:?}");
            }
        }
    }

    /// The power goes while the real file is written: at any byte, with anything behind it.
    #[test]
    fn what_is_torn_is_there_wholly_or_not_at_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let load = |path: &Path| {
            let found = runtime.block_on(SqliteState::open(path).unwrap().load()).unwrap();
            Remembered { installation: "sim".to_owned(), link_key: None, dead: Vec::new(), ..found }
        };
        let (mut torn, mut kept) = (0, 0);
        for seed in 0..12 {
            let path = folder.path().join(format!("{seed}.db"));
            let log = folder.path().join(format!("{seed}.db-wal"));
            let length = |file: &Path| std::fs::metadata(file).map_or(0, |data| data.len());
            let sqlite = SqliteState::open(&path).unwrap();
            let (mut store, mut luck) = (Store::default(), Luck::seeded(seed));
            for step in 0..12 {
                let change = change(&mut luck, step);
                let (before, from) = (store.load(), length(&log));
                runtime.block_on(sqlite.save(change.clone())).unwrap();
                store.apply(&change);
                let until = length(&log);
                if until <= from {
                    continue;
                }
                let cut = from + luck.below(until - from + 1);
                let copy = folder.path().join(format!("{seed}-{step}.db"));
                let copied_log = folder.path().join(format!("{seed}-{step}.db-wal"));
                std::fs::copy(&path, &copy).unwrap();
                let mut bytes = std::fs::read(&log).unwrap();
                bytes.truncate(usize::try_from(cut).unwrap());
                if luck.once_in(2) {
                    // Blocks that were allotted and never written.
                    bytes.resize(usize::try_from(until).unwrap(), 0);
                }
                std::fs::write(&copied_log, bytes).unwrap();
                let found = load(&copy);
                let after = store.load();
                assert!(found == before || found == after, "seed {seed}, step {step}");
                assert!(cut < until || found == after, "acknowledged and lost: seed {seed}");
                torn += u32::from(found == before);
                kept += u32::from(found == after);
            }
        }
        assert!(torn > 20 && kept > 0, "{torn} torn, {kept} kept");
    }
}
