use std::sync::Arc;

use super::Doing;
use crate::model::{Batch, Columns, Labels, Matcher, Window};

/// Keeps samples.
pub trait Append: Send + Sync {
    /// Durable when it returns `Ok` (DESIGN §3.4); whoever needs an acknowledgement waits for
    /// this and for nothing else. All rows of the batch become visible together.
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>>;

    /// As [`Append::append`] for several batches in their order, for somebody who waits at the
    /// other end of a connection: the trip to the disk begins at once instead of within a second.
    fn append_all(&self, batches: Vec<Batch>) -> Doing<'_, Result<Appended, AppendError>> {
        Box::pin(async move {
            let mut all = Appended::default();
            for batch in batches {
                let one = self.append(batch).await?;
                all.kept += one.kept;
                all.too_old += one.too_old;
            }
            Ok(all)
        })
    }
}

/// What became of a batch's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Kept.
    pub kept: usize,
    /// Refused: older than the out-of-order window.
    pub too_old: usize,
}

/// Why nothing of a batch was kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk refused; the samples are in memory only and queries see them.
    #[error("samples are in memory only, the disk refused them: {0}")]
    NotDurable(Arc<str>),
    /// The store is shutting down.
    #[error("the sample store is closed")]
    Closed,
}

/// Handle of a series inside one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(pub u64);

/// A series that a selector found.
#[derive(Clone, Debug)]
pub struct Found {
    /// For [`Select::read`] of the same snapshot.
    pub id: SeriesId,
    /// Its labels, with the metric name.
    pub labels: Labels,
}

/// Gets a series with its samples; `false` for no more.
pub type TakeSeries<'f> = dyn FnMut(&Found, &Columns) -> bool + 'f;

/// A consistent, immutable view of all samples: a query sees all of a batch or nothing. The only
/// door through which a pure core looks at data: synchronous and without side effects.
pub trait Select: Send + Sync {
    /// All series that match and may have samples in the window (a superset is allowed: `read`
    /// then gives nothing), in no particular order.
    ///
    /// # Errors
    /// The store could not be read.
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError>;

    /// Replaces `into` by the samples of one series in the window, in time order.
    ///
    /// # Errors
    /// The store could not be read.
    fn read(&self, series: SeriesId, window: Window, into: &mut Columns)
    -> Result<(), SelectError>;

    /// Gives `take` the samples of each series in the window, in the order of `found`, also where
    /// there are none, until it answers `false`; `into` is what it reads into. Stores that know which series lie
    /// beside each other are quicker with this than with one [`Select::read`] after the other.
    ///
    /// # Errors
    /// The store could not be read.
    fn read_each(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        self.read_one_by_one(found, window, into, take)
    }

    /// [`Select::read_each`] without knowing anything about neighbours: what is left to a store that
    /// knows something, but not about these series.
    ///
    /// # Errors
    /// The store could not be read.
    fn read_one_by_one(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        for series in found {
            self.read(series.id, window, into)?;
            if !take(series, into) {
                break;
            }
        }
        Ok(())
    }

    /// Sorted distinct label names of all series that match any of `sets` (all series when it is
    /// empty) with samples in the window, at most `limit`.
    ///
    /// # Errors
    /// The store could not be read.
    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let mut names = std::collections::BTreeSet::new();
        for found in self.find_any(sets, window)? {
            names.extend(found.labels.iter().map(|(name, _)| name.to_owned()));
        }
        Ok(names.into_iter().take(limit).collect())
    }

    /// Sorted distinct values of one label, as [`Select::label_names`].
    ///
    /// # Errors
    /// The store could not be read.
    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let mut values = std::collections::BTreeSet::new();
        for found in self.find_any(sets, window)? {
            values.extend(found.labels.get(name).map(str::to_owned));
        }
        Ok(values.into_iter().take(limit).collect())
    }

    /// All series that match any of `sets`, each once; all series when it is empty.
    ///
    /// # Errors
    /// The store could not be read.
    fn find_any(&self, sets: &[Vec<Matcher>], window: Window) -> Result<Vec<Found>, SelectError> {
        if sets.is_empty() {
            return self.find(&[], window);
        }
        let mut all = Vec::new();
        for set in sets {
            all.extend(self.find(set, window)?);
        }
        all.sort_by_key(|found| found.id);
        all.dedup_by_key(|found| found.id);
        Ok(all)
    }
}

/// A snapshot that can be handed around.
pub type Snapshot = Arc<dyn Select>;

/// Gives snapshots.
pub trait Queryable: Send + Sync {
    /// What is known now.
    fn snapshot(&self) -> Snapshot;
}

/// Why data could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SelectError {
    /// The disk refused.
    #[error("cannot read samples: {0}")]
    Io(Arc<str>),
    /// A stored frame is damaged; it has been set aside.
    #[error("stored samples are damaged: {0}")]
    Damaged(Arc<str>),
}
