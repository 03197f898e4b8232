//! What goes wrong: servers, the wall clock, the power; and people who change the configuration.

use std::sync::Arc;

use super::{TROUBLE_ENDS, World};
use crate::ports::{Address, Change, Channel, Remembered};
use crate::sim::Bug;
use crate::sim::stage::directory;

impl World {
    pub(super) fn break_servers(&mut self) {
        for channel in [Channel::Email, Channel::Matrix] {
            if self.luck.once_in(2) {
                let from = self.luck_below(TROUBLE_ENDS);
                let length = self.luck_below(600_000);
                self.network.down.insert(channel, vec![(from, (from + length).min(TROUBLE_ENDS))]);
            }
        }
        if self.luck.once_in(5) {
            self.network.refused.push(Address::Email("office@example.org".into()));
        }
        if self.luck.once_in(5) {
            self.network.refused.push(Address::Matrix("#web:x".into()));
        }
    }

    pub(super) fn mishaps(&mut self, counted_full: bool) {
        if counted_full && self.disk.full {
            self.accidents.full_disks += 1;
        }
        if self.network.calm || self.now >= TROUBLE_ENDS {
            return;
        }
        if self.luck.once_in(400) {
            let by = self.luck_below(7_200_000) - 3_600_000;
            self.offset += by;
            self.accidents.clock_jumps += 1;
            self.set_in_the_dark |= self.process.is_none();
            self.set_at = Some(self.now);
            self.settled_since = self.now;
            self.say(|| format!("the wall clock is set by {by} ms"));
            if let Some(process) = &mut self.process
                && self.bug != Some(Bug::IgnoresClock)
            {
                process.clock_moved(by);
                self.known_offset = self.offset;
            }
        }
        if self.luck.once_in(300) {
            let guest = self.luck.once_in(2);
            self.directory = Arc::new(directory(&self.cast, guest));
            self.settled_since = self.now;
            self.accidents.reloads += 1;
            self.say(|| format!("reload, guest: {guest}"));
            let Some(mut process) = self.process.take() else { return };
            if self.bug == Some(Bug::ReloadForgets) {
                let installation = "sim".to_owned();
                process = self.teller(Remembered { installation, ..Remembered::default() });
                process.silence(self.known_silences().cloned().collect());
            } else {
                let plan = self.plan();
                process.replace(plan, self.directory.clone(), self.wall());
            }
            self.process = Some(process);
        }
    }

    /// Whether the power goes now.
    pub(super) fn dies(&mut self, odds: u64) -> bool {
        if self.crashes_left == 0 || self.now >= TROUBLE_ENDS || !self.luck.once_in(odds) {
            return false;
        }
        self.crash();
        true
    }

    pub(super) fn crash(&mut self) {
        self.crashes_left -= 1;
        self.accidents.crashes += 1;
        self.crashed.push(self.now);
        self.settled_since = self.now;
        // What was learnt of it had no time to reach the disk.
        self.set_in_the_dark |= self.set_at == Some(self.now);
        self.process = None;
        self.late = None;
        self.answers.clear();
        self.unsaved = Change::default();
        self.restart_at = self.now + 200 + self.luck_below(60_000);
        for key in self.disk.promised.open_keys() {
            *self.network.excused.entry(key.clone()).or_default() += 1;
        }
        self.say(|| "crash".to_owned());
    }
}
