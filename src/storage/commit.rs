//! Group commit: what was appended since the last trip to the disk, and who waits for the next.

use std::sync::Arc;

use tokio::sync::watch;

use super::tail::{self, Base, Group, NewShape};
use crate::model::{Batch, Labels};

/// Groups that build upon each other: damage costs at most so many.
pub(super) const ERA_GROUPS: u32 = 256;

/// What became of a group.
pub(super) type Outcome = Result<(), Arc<str>>;
/// Tells all who wait for a group.
pub(super) type Done = watch::Sender<Option<Outcome>>;

/// The groups that are not on the disk yet.
pub(super) struct Pending {
    group: Group,
    done: Done,
    /// Complete groups of generations before.
    ready: Vec<(Group, Done)>,
    /// Shapes of an earlier chapter must be defined again.
    chapter: u64,
    /// The next number for shapes and eras.
    next: u64,
    era_groups: u32,
}

impl Pending {
    /// `next` is the first number for shapes and eras that is free.
    pub(super) fn new(generation: u64, next: u64) -> Self {
        Self {
            group: Group::new(generation, next),
            done: watch::Sender::new(None),
            ready: Vec::new(),
            chapter: 0,
            next: next + 1,
            era_groups: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Adds a batch to the group.
    pub(super) fn record(&mut self, batch: &Batch, base: &mut Option<Base>, labels: &[Labels]) {
        let chapter = self.chapter;
        let known = base.take().filter(|base| base.chapter == chapter);
        let base = base.insert(known.unwrap_or_else(|| {
            let number = self.number();
            let labels = tail::encode_shape(labels.iter());
            self.group.shapes.push(NewShape { number, source: Arc::clone(&batch.source), labels });
            Base::new(number, chapter)
        }));
        self.group.push(batch, base);
    }

    /// Whether there is anything to write.
    pub(super) fn is_empty(&self) -> bool {
        self.group.is_empty() && self.ready.is_empty()
    }

    /// Bytes waiting.
    pub(super) fn bytes(&self) -> usize {
        self.group.bytes.len()
    }

    /// For who appended to the group.
    pub(super) fn waiter(&self) -> watch::Receiver<Option<Outcome>> {
        self.done.subscribe()
    }

    fn cut(&mut self, generation: u64, era: u64) {
        let group = std::mem::replace(&mut self.group, Group::new(generation, era));
        let done = std::mem::replace(&mut self.done, watch::Sender::new(None));
        if !group.is_empty() {
            self.ready.push((group, done));
        }
    }

    /// All that waits, for a trip to the disk.
    pub(super) fn take(&mut self) -> (Vec<Group>, Vec<Done>) {
        self.era_groups += 1;
        let mut era = self.group.era;
        if self.era_groups >= ERA_GROUPS {
            era = self.number();
            self.era_groups = 0;
        }
        self.cut(self.group.generation, era);
        std::mem::take(&mut self.ready).into_iter().unzip()
    }

    /// What comes from now on belongs to another generation.
    pub(super) fn begin(&mut self, generation: u64) {
        self.chapter += 1;
        self.era_groups = 0;
        let era = self.number();
        self.cut(generation, era);
    }

    /// A trip failed: what was built upon it meanwhile cannot be read without it, so it fails too.
    pub(super) fn fail(&mut self) -> Vec<Done> {
        self.begin(self.group.generation);
        std::mem::take(&mut self.ready).into_iter().map(|(_, done)| done).collect()
    }
}
