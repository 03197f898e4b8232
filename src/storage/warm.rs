//! What was decoded from segments lately: a dashboard asks for the same columns again and again, and
//! decoding costs far more than all that a query does with the samples.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

use super::piece::Loaded;
use crate::model::Histogram;

/// Bytes of samples that are kept decoded.
const LIMIT: usize = 48 << 20;

/// A piece of a segment: the segment's number and the piece's place in the file.
pub(super) type Key = (u64, u64);

/// Decoded pieces, the least used ones leaving first.
pub(super) struct Warm {
    kept: Mutex<Kept>,
    limit: usize,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// In the order in which they leave, unless they were used meanwhile.
    order: VecDeque<Key>,
    bytes: usize,
}

struct Entry {
    piece: Piece,
    bytes: usize,
    used: bool,
}

/// A decoded piece.
#[derive(Clone)]
pub(super) enum Piece {
    /// The times of a frame.
    Times(Arc<Vec<i64>>),
    /// A column.
    Column(Arc<Loaded>),
}

impl Piece {
    fn bytes(&self) -> usize {
        const OVERHEAD: usize = 128;
        OVERHEAD
            + match self {
                Piece::Times(times) => times.len() * 8,
                Piece::Column(column) => {
                    // The times are counted once, for their frame.
                    column.bits.len() * 8
                        + column.rows.as_ref().map_or(0, |rows| rows.len() * 4)
                        + column.histograms.iter().map(|(_, one)| heap(one)).sum::<usize>()
                }
            }
    }
}

fn heap(histogram: &Histogram) -> usize {
    let buckets = histogram.positive.len() + histogram.negative.len();
    200 + 8 * buckets
}

impl Default for Warm {
    fn default() -> Self {
        Self { kept: Mutex::default(), limit: LIMIT }
    }
}

impl Warm {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: Key) -> Option<Piece> {
        let mut kept = self.kept();
        let entry = kept.entries.get_mut(&key)?;
        entry.used = true;
        Some(entry.piece.clone())
    }

    pub(super) fn put(&self, key: Key, piece: Piece) {
        let bytes = piece.bytes();
        if bytes > self.limit / 4 {
            return;
        }
        let mut kept = self.kept();
        let entry = Entry { piece, bytes, used: false };
        if let Some(before) = kept.entries.insert(key, entry) {
            kept.bytes -= before.bytes;
        } else {
            kept.order.push_back(key);
        }
        kept.bytes += bytes;
        while kept.bytes > self.limit {
            let Some(oldest) = kept.order.pop_front() else { break };
            match kept.entries.get_mut(&oldest) {
                // Used since it stood in line: once more round.
                Some(entry) if entry.used => {
                    entry.used = false;
                    kept.order.push_back(oldest);
                }
                Some(entry) => {
                    let bytes = entry.bytes;
                    kept.entries.remove(&oldest);
                    kept.bytes -= bytes;
                }
                None => {}
            }
        }
    }

    /// Forgets all pieces of a segment.
    pub(super) fn forget(&self, segment: u64) {
        let mut kept = self.kept();
        let Kept { entries, order, bytes } = &mut *kept;
        order.retain(|key| key.0 != segment);
        entries.retain(|key, entry| {
            let stays = key.0 != segment;
            *bytes -= if stays { 0 } else { entry.bytes };
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(values: usize) -> Piece {
        Piece::Column(Arc::new(Loaded { bits: vec![0; values], ..Loaded::default() }))
    }

    fn holds(warm: &Warm, key: Key) -> bool {
        warm.kept().entries.contains_key(&key)
    }

    #[test]
    fn what_is_used_stays_and_memory_is_bounded() {
        let warm = Warm { limit: 100_000, ..Warm::default() };
        warm.put((1, 0), column(1_000));
        for at in 1..100 {
            warm.put((1, at), column(1_000));
            assert!(warm.get((1, 0)).is_some(), "{at}");
            assert!(warm.kept().bytes <= 100_000);
        }
        assert!(!holds(&warm, (1, 1)) && holds(&warm, (1, 99)));
        let kept = warm.kept();
        assert_eq!(kept.order.len(), kept.entries.len());
    }

    #[test]
    fn the_huge_and_the_doomed_are_not_kept() {
        let warm = Warm { limit: 100_000, ..Warm::default() };
        warm.put((1, 0), column(10_000));
        assert!(!holds(&warm, (1, 0)));
        warm.put((1, 1), column(10));
        warm.put((1, 1), column(20));
        warm.put((2, 1), column(10));
        warm.forget(1);
        assert!(!holds(&warm, (1, 1)) && holds(&warm, (2, 1)));
        assert_eq!(warm.kept().bytes, column(10).bytes());
    }
}
