//! The whole system behind a seeded clock, disk, network and mailbox.
//!
//! `cargo test` runs a few hundred seeds of one virtual hour each; `AUGENMASS_SEEDS=5000` more.

mod disk;
mod network;
mod verdict;
mod world;

/// A small generator (xorshift64*): the same seed tells the same story everywhere.
#[derive(Clone, Debug)]
struct Luck(u64);

impl Luck {
    fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// `0..n`
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A bug planted into a double or into the wiring, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// The disk says yes and forgets at the next crash.
    DiskLies,
    /// A crash while saving keeps the incidents and loses the tickets.
    TicketsTorn,
    /// A crash while saving keeps the tickets and loses the incidents.
    IncidentsTorn,
    /// How tickets ended is not written.
    SettlementsLost,
    /// Messages leave before their intent is durable.
    SendsBeforeSaving,
    /// Keys depend on the process.
    NewInstallation,
    /// After a restart nobody has heard anything.
    ForgetsHeard,
    /// After a restart no incident is open.
    ForgetsIncidents,
    /// After a restart no ticket is open.
    ForgetsTickets,
    /// A lost answer is taken for a refusal.
    LostAnswerIsRefusal,
    /// A lost answer is taken for "surely not delivered", and the key is changed.
    LostAnswerIsNewKey,
    /// Nobody notices that the wall clock was set.
    IgnoresClock,
    /// Alerts are reported when they change, not as long as they last.
    ReportsEdges,
    /// One owner's mail goes to another owner.
    WrongAddress,
    /// A reload starts with an empty memory.
    ReloadForgets,
    /// The retry after a failure is forgotten.
    DropsRetries,
    /// After a restart it is not known which messages reached their owner.
    ForgetsReached,
}

const BUGS: [Bug; 17] = [
    Bug::DiskLies,
    Bug::TicketsTorn,
    Bug::IncidentsTorn,
    Bug::SettlementsLost,
    Bug::SendsBeforeSaving,
    Bug::NewInstallation,
    Bug::ForgetsHeard,
    Bug::ForgetsIncidents,
    Bug::ForgetsTickets,
    Bug::LostAnswerIsRefusal,
    Bug::LostAnswerIsNewKey,
    Bug::IgnoresClock,
    Bug::ReportsEdges,
    Bug::WrongAddress,
    Bug::ReloadForgets,
    Bug::DropsRetries,
    Bug::ForgetsReached,
];

fn seeds() -> u64 {
    std::env::var("AUGENMASS_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}

#[test]
fn nobody_is_forgotten_and_nobody_is_told_twice() {
    let mut total = world::Accidents::default();
    for seed in 0..seeds() {
        let story = world::run(seed, None, false);
        if let Err(broken) = verdict::judge(&story) {
            let story = world::run(seed, None, true);
            panic!("{}\nseed {seed}: {broken}", story.log.join("\n"));
        }
        total.add(&story.accidents);
    }
    eprintln!("{} seeds: {total:?}", seeds());
    assert!(total.crashes > seeds() / 2, "{total:?}");
    assert!(total.crashes_while_saving > seeds() / 50, "{total:?}");
    assert!(total.lost_answers > seeds() / 2, "{total:?}");
    assert!(total.clock_jumps > seeds() / 10 && total.reloads > seeds() / 10, "{total:?}");
    assert!(total.full_disks > 0 && total.arrivals > seeds(), "{total:?}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..20 {
        assert_eq!(world::run(seed, None, true).log, world::run(seed, None, true).log);
    }
}

#[test]
fn planted_bugs_are_found() {
    for bug in BUGS {
        let found = (0..600).find_map(|seed| {
            verdict::judge(&world::run(seed, Some(bug), false)).err().map(|broken| (seed, broken))
        });
        let (seed, broken) = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        eprintln!("{bug:?}: seed {seed}: {broken}");
    }
}
