//! Reading the queue for one destination.

use std::fs::File;
use std::io;

use super::record::{MAGIC, Sample, decode, record};
use super::{Position, Spool};
use crate::model::Labels;

/// Reads the queue for one destination, segment by segment.
pub(in crate::remote::send) struct Reader<S> {
    at: Position,
    /// The segment's bytes as far as they were read from the disk.
    bytes: Vec<u8>,
    /// The segment's series so far, as the destination wants them.
    pub(in crate::remote::send) series: Vec<S>,
    /// A record could not be read: the segment ends here.
    broken: bool,
}

impl<S> Reader<S> {
    /// Reads from a position on.
    pub(in crate::remote::send) fn new(at: Position) -> Self {
        Self { at, bytes: Vec::new(), series: Vec::new(), broken: false }
    }

    /// Where it is.
    pub(in crate::remote::send) fn position(&self) -> Position {
        self.at
    }

    /// Reads records of one segment until there are `limit` samples or no more. Gives what it read
    /// and whether that was all there is. May block.
    ///
    /// # Errors
    /// The disk.
    pub(in crate::remote::send) fn read(
        &mut self,
        spool: &Spool,
        limit: usize,
        want: impl Fn(&Labels) -> S,
    ) -> io::Result<Vec<Sample>> {
        let mut samples = Vec::new();
        loop {
            let (size, next) = spool.extent(self.at.segment);
            if (self.bytes.len() as u64) < size && !self.broken {
                self.load(spool, size, &want)?;
            }
            while samples.len() < limit && self.take(&mut samples, &want) {}
            if !samples.is_empty() {
                return Ok(samples);
            }
            let Some(next) = next else { return Ok(samples) };
            if (self.at.offset as usize) < self.bytes.len() {
                tracing::warn!("a segment of the remote-write queue ends in a damaged record");
            }
            *self = Self::new(Position { segment: next, offset: MAGIC.len() as u64 });
        }
    }

    /// Reads more of the segment; for the first time the series before the position too.
    fn load(&mut self, spool: &Spool, size: u64, want: &impl Fn(&Labels) -> S) -> io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let first = self.bytes.is_empty();
        let mut file = File::open(spool.path(self.at.segment))?;
        file.seek(SeekFrom::Start(self.bytes.len() as u64))?;
        file.take(size - self.bytes.len() as u64).read_to_end(&mut self.bytes)?;
        if first {
            if !self.bytes.starts_with(MAGIC) {
                self.broken = true;
                return Ok(());
            }
            let goal = self.at.offset;
            self.at.offset = MAGIC.len() as u64;
            let mut passed = Vec::new();
            while self.at.offset < goal && self.take(&mut passed, want) {
                passed.clear();
            }
        }
        Ok(())
    }

    /// Takes one record off the front.
    fn take(&mut self, into: &mut Vec<Sample>, want: &impl Fn(&Labels) -> S) -> bool {
        let rest = self.bytes.get(self.at.offset as usize..).unwrap_or_default();
        if rest.is_empty() || self.broken {
            return false;
        }
        let before = into.len();
        let taken = record(rest).and_then(|(payload, length)| {
            decode(payload, &mut self.series, into, want).map(|()| length)
        });
        match taken {
            Some(length) => self.at.offset += length as u64,
            None => {
                into.truncate(before);
                self.broken = true;
            }
        }
        taken.is_some()
    }
}
