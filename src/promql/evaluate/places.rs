use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::model::Labels;

/// Finds what has the same labels in a list that grows, by their bytes ([`Labels::as_bytes`]): the
/// labels stand in the list and not here, so that growing costs little.
#[derive(Default)]
pub(super) struct Places {
    table: HashTable<usize>,
    hasher: DefaultHashBuilder,
}

impl Places {
    /// The place of these labels; `labels_of` gives those at a place of the list.
    pub fn find<'l>(
        &self,
        labels: &[u8],
        labels_of: impl Fn(usize) -> &'l Labels,
    ) -> Option<usize> {
        let hash = self.hasher.hash_one(labels);
        self.table.find(hash, |place| labels_of(*place).as_bytes() == labels).copied()
    }

    /// Remembers that these labels, which are not known, have the next place of the list.
    pub fn add<'l>(
        &mut self,
        labels: &[u8],
        place: usize,
        labels_of: impl Fn(usize) -> &'l Labels,
    ) {
        let hasher = &self.hasher;
        let rehash = |place: &usize| hasher.hash_one(labels_of(*place).as_bytes());
        self.table.insert_unique(hasher.hash_one(labels), place, rehash);
    }
}
