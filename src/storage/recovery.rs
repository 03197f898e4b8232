//! From the tail on disk into the head, at the start.
//!
//! Nobody asks for most of what is in the tail soon, and decoding it costs more than reading it. So
//! batches of floats of one source, in the order of their times, are kept as they lie on the disk, an
//! era in one chunk that is decoded when somebody looks into it. They were passed over, so that it
//! is sure that they can be decoded. All others are decoded at once.

use hashbrown::HashMap;

use super::chunk::Chunk;
use super::head::Head;
use super::tail::{KnownShape, Packed};

/// Most rows that are kept undecoded in one piece: who wants one of them decodes all.
const ROWS: usize = 512;

/// Where the head has a shape's batches.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) frame: u32,
    /// The columns of the frame are the shape's in order and no other source gives them; holds as
    /// long as no further series got another source ([`Head::sharings`]).
    pub(super) seat: Option<u64>,
}

/// Batches of one shape and era that are kept as they lie on the disk.
struct Run {
    of: (u64, u64),
    rows: usize,
    first: i64,
    last: i64,
    width: usize,
    bytes: Vec<u8>,
}

impl Run {
    fn new(known: &KnownShape) -> Self {
        let (at, width) = (known.at(), known.labels.len());
        Self { of: known.run(), rows: 0, first: at, last: at, width, bytes: Vec::new() }
    }

    /// Takes a batch that is later than all before.
    fn take(&mut self, at: i64, code: &[u8]) -> bool {
        let fits = self.rows == 0 || (self.last < at && self.rows < ROWS);
        if fits {
            self.rows += 1;
            self.last = at;
            self.bytes.extend_from_slice(code);
        }
        fits
    }
}

/// Fills a head from the tail.
pub(super) struct Recovery<'h> {
    head: &'h mut Head,
    /// By frame.
    runs: HashMap<u32, Run>,
    /// Runs that ended within their era, by shape: what follows them there builds upon them.
    ended: HashMap<u64, (u64, Vec<u8>)>,
}

impl<'h> Recovery<'h> {
    pub(super) fn new(head: &'h mut Head) -> Self {
        head.recovering(true);
        Self { head, runs: HashMap::new(), ended: HashMap::new() }
    }

    /// Takes the batch of a shape that was read last.
    pub(super) fn take(&mut self, known: &mut KnownShape) {
        if known.labels.is_empty() {
            return;
        }
        let place = match known.place {
            Some(place) => place,
            None => *known.place.insert(self.head.place(known)),
        };
        if self.keep(known, place) {
            return;
        }
        if self.head.sharings() > 0 {
            // It may take values out of other frames.
            let frames: Vec<u32> = self.runs.keys().copied().collect();
            frames.into_iter().for_each(|frame| self.end(frame, known.run().1));
        }
        self.end(place.frame, known.run().1);
        let (shape, era) = known.run();
        let before = self.ended.remove(&shape).filter(|(of, _)| *of == era);
        known.unpack(&before.unwrap_or_default().1);
        self.head.recover(known);
    }

    /// Keeps a batch as it is, if it can be.
    fn keep(&mut self, known: &KnownShape, place: Place) -> bool {
        let Some(code) = known.packed() else { return false };
        if self.head.sharings() > 0 || place.seat.is_none() {
            return false;
        }
        if let Some(run) = self.runs.get_mut(&place.frame)
            && run.of == known.run()
        {
            return run.take(known.at(), code);
        }
        if !known.is_first() {
            return false;
        }
        self.end(place.frame, known.run().1);
        self.head.close(place.frame);
        let mut run = Run::new(known);
        let taken = run.take(known.at(), code);
        self.runs.insert(place.frame, run);
        taken
    }

    /// Gives the run of a frame to the head. `era` is the one that is read.
    fn end(&mut self, frame: u32, era: u64) {
        let Some(run) = self.runs.remove(&frame) else { return };
        if run.of.1 == era {
            self.ended.insert(run.of.0, (era, run.bytes.clone()));
        }
        let packed = Packed { width: run.width, bytes: run.bytes.into() };
        self.head.push(frame, Chunk::packed(packed, run.rows, (run.first, run.last)));
    }

    /// All was read.
    pub(super) fn finish(mut self) {
        self.ended = HashMap::new();
        for (frame, run) in std::mem::take(&mut self.runs) {
            let packed = Packed { width: run.width, bytes: run.bytes.into() };
            self.head.push(frame, Chunk::packed(packed, run.rows, (run.first, run.last)));
        }
        self.head.recovering(false);
    }
}
