use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::peers::Received;
use super::world::World;
use crate::app::View;
use crate::config::show_duration;
use crate::model::Timestamp;
use crate::ports::{Clock, TargetStatus, Tick, Verdict};
use crate::rules::AlertState;

/// Tells what happens, a line at a time.
pub struct Stage {
    clock: Arc<dyn Clock>,
    start: Tick,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    colour: bool,
    seen: Mutex<Seen>,
}

/// What the audience knows.
#[derive(Default)]
struct Seen {
    verdicts: BTreeMap<String, String>,
    alerts: BTreeMap<String, AlertState>,
}

#[derive(Clone, Copy)]
enum Tone {
    Plain,
    Good,
    Bad,
    Waiting,
}

impl Stage {
    /// The clock starts now.
    pub fn new(clock: Arc<dyn Clock>, say: Arc<dyn Fn(&str) + Send + Sync>, colour: bool) -> Self {
        let start = clock.mono();
        Self { clock, start, say, colour, seen: Mutex::default() }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.clock.mono().since(self.start)
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Waits for so long.
    pub async fn pause(&self, length: Duration) {
        self.clock.sleep_until(self.clock.mono().after(length)).await;
    }

    /// What is there, and where to look.
    pub fn open(&self, world: &World, pages: SocketAddr, length: Option<Duration>) {
        let say = |line: String| (self.say)(&line);
        say("augenmass watches a little world on this machine:".to_owned());
        say(format!("  homepage     web page at {}", world.page.url("/")));
        say(format!(
            "  shop         TLS server at {}, certificate ends in 9 days",
            world.shop.address()
        ));
        say(format!(
            "  printer-s71  SNMP printer at {}, black toner at 4 %",
            world.printer.address()
        ));
        say("  mail         mail queue that grows".to_owned());
        say(String::new());
        say(format!("  overview  http://{pages}/"));
        say(format!("  metrics   http://{pages}/metrics"));
        let end = length.map_or_else(
            || "Ctrl-C ends it".to_owned(),
            |length| format!("it ends by itself after {}", show_duration(length)),
        );
        say(format!("  {end}"));
        say(String::new());
    }

    /// Part of the story.
    pub fn tell(&self, text: &str) {
        self.line(Tone::Plain, "story", text);
    }

    /// Tells what changed since the last look.
    pub fn look(&self, view: &View) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for target in view.targets() {
            let (tone, state) = describe(&target);
            let name = format!("{:<12} {}", target.service, target.probe);
            if seen.verdicts.get(&name).is_none_or(|before| *before != state) {
                let value = &target.headline;
                let shown =
                    if value.is_empty() { state.clone() } else { format!("{state}, {value}") };
                self.line(tone, "probe", &format!("{name:<24} {shown}"));
                seen.verdicts.insert(name, state);
            }
        }
        let mut active = BTreeMap::new();
        for group in view.groups().iter() {
            for (rule, alert) in
                group.rules.iter().flat_map(|r| r.alerts.iter().map(move |a| (r, a)))
            {
                let service = alert.labels.get("service").unwrap_or("augenmass");
                // What always fires to prove that alerts come through is no news.
                let news = alert.labels.get("severity") != Some("none");
                if news && alert.state != AlertState::Inactive {
                    active.insert(format!("{service:<12} {}", rule.name), alert.state);
                }
            }
        }
        for (name, state) in &active {
            if seen.alerts.get(name) != Some(state) {
                let (tone, word) = match state {
                    AlertState::Pending => (Tone::Waiting, "pending"),
                    AlertState::Firing | AlertState::Inactive => (Tone::Bad, "firing"),
                };
                let before = if seen.alerts.contains_key(name) { "pending → " } else { "" };
                self.line(tone, "alert", &format!("{name:<36} {before}{word}"));
            }
        }
        for name in seen.alerts.keys().filter(|name| !active.contains_key(*name)) {
            self.line(Tone::Good, "alert", &format!("{name:<36} over"));
        }
        seen.alerts = active;
    }

    /// A message as its owner receives it.
    pub fn letter(&self, letter: &Received) {
        self.line(Tone::Plain, "mail", &format!("to {}", letter.recipients.join(", ")));
        (self.say)(&format!("       ┌ {}", letter.mail.subject));
        for line in letter.mail.text.trim_end().lines() {
            (self.say)(&format!("       │ {line}"));
        }
        (self.say)("       └");
    }

    /// The last word: what was expected, and when it came. Somebody who `stopped` the story early
    /// left no time for the rest, which is no failure.
    pub fn close(&self, lines: &[(String, Option<Duration>)], stopped: bool) {
        (self.say)("");
        for (what, came) in lines {
            let line = match came {
                Some(at) => format!("  came after {:>4.1} s   {what}", at.as_secs_f64()),
                None if stopped => format!("  had no time yet   {what}"),
                None => format!("  DID NOT COME      {what}"),
            };
            (self.say)(&line);
        }
        let (passed, all) = (lines.iter().filter(|(_, came)| came.is_some()).count(), lines.len());
        let failed = if stopped { 0 } else { all - passed };
        (self.say)(&format!("{passed} passed, {failed} failed"));
    }

    fn line(&self, tone: Tone, kind: &str, text: &str) {
        let seconds = self.elapsed().as_secs();
        let (on, off) = match (self.colour, tone) {
            (false, _) | (_, Tone::Plain) => ("", ""),
            (_, Tone::Good) => ("\u{1b}[32m", "\u{1b}[0m"),
            (_, Tone::Bad) => ("\u{1b}[31m", "\u{1b}[0m"),
            (_, Tone::Waiting) => ("\u{1b}[33m", "\u{1b}[0m"),
        };
        (self.say)(&format!("{:02}:{:02}  {kind:<6}{on}{text}{off}", seconds / 60, seconds % 60));
    }
}

fn describe(target: &TargetStatus) -> (Tone, String) {
    match &target.verdict {
        Verdict::Waiting => (Tone::Plain, "not tried yet".to_owned()),
        Verdict::Up => (Tone::Good, "up".to_owned()),
        Verdict::Failing { cause } => (Tone::Waiting, format!("failing ({cause}), trying again")),
        Verdict::Down { cause } => (Tone::Bad, format!("down, confirmed ({cause})")),
        Verdict::NotMeasured { obstacle } => (Tone::Waiting, format!("not measured ({obstacle})")),
    }
}
