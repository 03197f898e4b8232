//! Keeps samples: head, frames, recovery, retention.
//!
//! A probe, a scrape, a rule group each yield many series at one instant, again and again, with the
//! same set of series. So the unit of storage is the frame: one source, one time column, many value
//! columns. [`Store`] is the only thing to be seen from outside.
//!
//! The way of a sample: [`Store`] takes the batch into the head (memory, visible at once) and into
//! the pending group; the group goes to the catalogue's tail (one SQLite transaction a second for
//! all who wait); every two hours the head's rows are sealed into a segment file, and the tail
//! is forgotten; segments are merged towards days and dropped when they are old. In the data folder:
//! `samples.db` (the module `catalogue` describes its tables), `segments/*.seg` (the module
//! `segment` describes the file byte for byte) and `samples.lock`.
//!
//! What was sealed or appended together is a *generation*; later generations win over earlier ones.
//! At start the tail is read into memory, for the most part undecoded; a group that is damaged costs its era (256 groups), a
//! damaged piece of a segment costs one series for the span of the segment, and is reported.

mod bits;
mod catalogue;
mod chunk;
mod commit;
mod deltas;
mod disk;
mod durable;
mod exact_text;
mod floats;
mod fuzz;
mod head;
mod histograms;
mod index;
mod integers;
mod offline;
mod open;
mod openmetrics;
mod past;
mod piece;
mod reading;
mod recovery;
mod rows;
mod segment;
mod settings;
mod shortcut;
mod snapshot;
mod store;
mod tail;
mod tail_1;
#[cfg(test)]
mod tests;
mod warm;

pub use fuzz::decode_anything;
pub use offline::{
    OfflineError, Progress, SegmentStatus, Share, Status, Verified, look, snapshot as copy, status,
    verify,
};
pub use open::OpenError;
pub use openmetrics::{Exported, Imported, TransferError, export, import};
pub use settings::Settings;
pub use store::Store;
