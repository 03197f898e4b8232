mod accidents;
mod rules;
mod telling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::network::Network;
use super::stage::{Cast, FLAKY, Scribe, addresses, directory, faults, flaky, silences};
use super::story::{Accidents, Acknowledged, Fault, Story, Told};
use super::{Bug, Luck};
use crate::alerting::{Directory, Plan, Silence};
use crate::model::{Alert, Timestamp};
use crate::notify::{Patience, Teller};
use crate::ports::{Address, Change, DeliveryError, Receipt, Remembered};

/// Everything stays broken at most until here; then follow calm minutes to catch up.
pub(super) const TROUBLE_ENDS: i64 = 40 * 60_000;
const END: i64 = 60 * 60_000;
/// The rules look so often.
pub(super) const TICK: i64 = 15_000;
/// An alert that is over is reported as such for so long.
const REPORTED_OVER: i64 = 15 * 60_000;
/// Process and channel have worked for so long: whoever is to be told has been told. Longer than a
/// few retries at their slowest.
const HEALTHY: i64 = 8 * 60_000;
/// After a start nothing is told for so long, or until all rules have run.
const HOLD: Duration = Duration::from_secs(20);
/// Wall clock at the true time 0.
pub(super) const BASE: i64 = 1_700_000_000_000;

struct World {
    luck: Luck,
    bug: Option<Bug>,
    now: i64,
    /// Wall clock minus true time.
    offset: i64,
    /// What the process believes the offset is.
    known_offset: i64,
    process: Option<Teller>,
    processes: u64,
    restart_at: i64,
    disk: Disk,
    network: Network,
    unsaved: Change,
    /// Answers on their way to this process: when, key, answer.
    answers: BTreeMap<(i64, u64), (String, Result<Receipt, DeliveryError>)>,
    next_answer: u64,
    directory: Arc<Directory>,
    faults: Vec<Fault>,
    decided: BTreeMap<String, i64>,
    worded: BTreeMap<String, i64>,
    /// With the true time from which on the process is to know it.
    silences: Vec<(i64, Silence)>,
    silences_known: usize,
    /// The rules have not run since the process began.
    fresh: bool,
    /// Reports on their way, and when they come.
    late: Option<(i64, Vec<Alert>)>,
    /// How much faster the wall clock runs, milliseconds for each look of the rules.
    drift: i64,
    set_in_the_dark: bool,
    /// When the wall clock was set last.
    set_at: Option<i64>,
    leaks: Vec<String>,
    told: Vec<Told>,
    acknowledged: Vec<Acknowledged>,
    openings: Vec<(String, i64)>,
    crashed: Vec<i64>,
    cast: Cast,
    /// Decides who acknowledges; of its own, so that other worlds stay as they were.
    people: Option<Luck>,
    /// Alerts whose route was closed at the last look.
    outside: Vec<String>,
    /// Process, clock and plan are the same since then.
    settled_since: i64,
    crashes_left: u64,
    accidents: Accidents,
    verbose: bool,
    log: Vec<String>,
}

/// `verbose`: keeps a log of what happened.
#[allow(clippy::too_many_lines)] // one field after the other, without a branch
pub(super) fn run(seed: u64, bug: Option<Bug>, verbose: bool) -> Story {
    let mut luck = Luck::seeded(seed);
    let calm = seed.is_multiple_of(10);
    let full = !calm && luck.once_in(6);
    let cast = Cast::of(seed, bug);
    let mut faults = faults(&mut luck, &cast);
    if cast.flaky {
        faults.push(flaky(Luck::seeded(seed ^ 0xf1a), &cast));
    }
    let mut world = World {
        bug,
        now: 0,
        offset: 0,
        known_offset: 0,
        process: None,
        processes: 0,
        restart_at: 0,
        disk: Disk::new(bug),
        network: Network {
            arrivals: Vec::new(),
            sent: BTreeMap::new(),
            down: BTreeMap::new(),
            refused: Vec::new(),
            excused: BTreeMap::new(),
            calm,
            lost_answers: 0,
            slow_answers: 0,
            refusals: 0,
            duplicates: 0,
            bug,
        },
        unsaved: Change::default(),
        answers: BTreeMap::new(),
        next_answer: 0,
        directory: Arc::new(directory(&cast, false)),
        faults,
        decided: BTreeMap::new(),
        worded: BTreeMap::new(),
        silences: silences(&mut luck),
        silences_known: 0,
        fresh: false,
        late: None,
        drift: i64::try_from(luck.below(17)).unwrap() - 8,
        set_in_the_dark: false,
        set_at: None,
        leaks: Vec::new(),
        told: Vec::new(),
        acknowledged: Vec::new(),
        openings: Vec::new(),
        crashed: Vec::new(),
        cast,
        people: cast.acknowledges.then(|| Luck::seeded(seed ^ 0xacc)),
        outside: Vec::new(),
        settled_since: 0,
        // A full disk and a crash together do lose what was in memory only.
        crashes_left: if calm || full { 0 } else { luck.below(6) },
        accidents: Accidents::default(),
        verbose,
        log: Vec::new(),
        luck,
    };
    if !calm {
        world.break_servers();
    }
    let full = full.then(|| (world.luck_below(TROUBLE_ENDS), 600_000));
    world.live(full);
    world.accidents.lost_answers = world.network.lost_answers;
    world.accidents.arrivals = world.network.arrivals.len() as u64;
    world.accidents.slow_answers = world.network.slow_answers;
    world.accidents.refused = world.network.refusals;
    world.accidents.duplicates = world.network.duplicates;
    world.accidents.damped = world.ends_not_told();
    let honest = Cast { bug: None, ..cast };
    let with = |guest| {
        let of = |owner| (owner, addresses(&directory(&honest, guest), owner));
        ["web", "office", "dispatcher"].map(of).into()
    };
    Story {
        faults: world.faults,
        arrivals: world.network.arrivals,
        sent: world.network.sent,
        decided: world.decided,
        worded: world.worded,
        told: world.told,
        acknowledged: world.acknowledged,
        openings: world.openings,
        crashed: world.crashed,
        repeat: i64::try_from(cast.repeat().as_millis()).unwrap(),
        excused: world.network.excused,
        sometimes: with(true),
        always: with(false),
        refused: world.network.refused,
        one_way: cast.one_way,
        calm,
        leaks: world.leaks,
        set_in_the_dark: world.set_in_the_dark,
        open_at_the_end: world.process.map_or(0, |process| process.outbox().open_count()),
        accidents: world.accidents,
        log: world.log,
    }
}

impl World {
    fn luck_below(&mut self, n: i64) -> i64 {
        i64::try_from(self.luck.below(u64::try_from(n).unwrap())).unwrap()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(BASE + self.now + self.offset)
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if !self.verbose {
            return;
        }
        let line = format!("{:>8.3} {}", self.now as f64 / 1000.0, what());
        self.log.push(line);
    }

    fn start_process(&mut self) {
        self.processes += 1;
        let mut remembered = self.disk.load_after_crash(self.processes);
        if remembered.installation.is_empty() {
            remembered.installation = "sim".to_owned();
        }
        self.known_offset = self.offset;
        let (processes, open) = (self.processes, remembered.tickets.len());
        self.say(|| format!("process {processes} starts with {open} open tickets"));
        let mut process = self.teller(remembered);
        if self.bug != Some(Bug::ForgetsSilences) || self.processes == 1 {
            process.silence(self.known_silences().cloned().collect());
        }
        match self.bug {
            Some(Bug::TellsBeforeItKnows) => {}
            Some(Bug::HoldsTooLong) => {
                process.hold(self.wall() + Duration::from_secs(1200), self.wall());
            }
            _ => process.hold(self.wall() + HOLD, self.wall()),
        }
        self.settled_since = self.now;
        self.silences_known = self.known_silences().count();
        self.fresh = true;
        self.process = Some(process);
    }

    fn plan(&self) -> Arc<Plan> {
        Arc::new(self.cast.plan(&self.directory))
    }

    /// Those the process is to know.
    fn known_silences(&self) -> impl Iterator<Item = &Silence> {
        let known = self.silences.iter().filter(|(known, _)| *known <= self.now);
        known.map(|(_, silence)| silence)
    }

    fn teller(&self, remembered: Remembered) -> Teller {
        let mut patience =
            Patience { retry_longest: Duration::from_secs(60), ..Patience::default() };
        if self.bug == Some(Bug::GivesUpAtOnce) {
            patience.give_up_after = Duration::ZERO;
        }
        let plan = self.plan();
        let directory = self.directory.clone();
        Teller::restore(
            patience,
            plan,
            directory,
            Arc::new(Scribe(self.bug)),
            remembered,
            self.wall(),
        )
    }

    fn live(&mut self, full: Option<(i64, i64)>) {
        let mut tick = 0;
        while self.now < END {
            if self.process.is_none() && self.restart_at <= self.now {
                self.start_process();
            }
            self.disk.full =
                full.is_some_and(|(from, length)| (from..from + length).contains(&self.now));
            if tick <= self.now {
                tick += TICK;
                self.offset += self.drift;
                self.known_offset += self.drift;
                self.mishaps(full.is_some());
                self.learn_silences();
                self.evaluate();
                self.acknowledge();
            }
            self.report_late();
            self.turn();
            self.answer();
            self.now = self.next_instant(tick);
        }
    }

    fn next_instant(&self, tick: i64) -> i64 {
        let answer = self.answers.keys().next().map(|(at, _)| *at);
        let wall_at_zero = BASE + self.known_offset;
        let due = self.process.as_ref().and_then(Teller::next_due);
        let due = due.map(|due| due.millis() - wall_at_zero);
        let due = due.filter(|_| self.bug != Some(Bug::Oversleeps));
        let restart = self.process.is_none().then_some(self.restart_at);
        let late = self.late.as_ref().map(|(at, _)| *at);
        let next = [Some(tick), answer, due, restart, late].into_iter().flatten().min().unwrap();
        next.max(self.now + 1)
    }

    /// Of what comes and goes.
    fn ends_not_told(&self) -> u64 {
        let fault = self.faults.iter().find(|fault| fault.alert == FLAKY);
        let reported = fault.into_iter().flat_map(|fault| &fault.reported).flatten().count();
        let (over, web) = (format!("{FLAKY}=over"), Address::Email("web@example.org".into()));
        let ends = self.told.iter().filter(|told| !told.in_place && told.to == web);
        let told = ends.filter(|told| told.text.split(',').any(|state| *state == over)).count();
        reported.saturating_sub(told) as u64
    }

    fn learn_silences(&mut self) {
        let known = self.known_silences().count();
        if known == self.silences_known || self.bug == Some(Bug::IgnoresNewSilences) {
            return;
        }
        let silences: Vec<Silence> = self.known_silences().cloned().collect();
        if let Some(process) = &mut self.process {
            process.silence(silences);
            self.silences_known = known;
            self.say(|| format!("{known} silences are known"));
        }
    }
}
