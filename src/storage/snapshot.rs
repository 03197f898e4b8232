//! What a query sees.

use std::sync::{Arc, PoisonError, RwLock};

use roaring::RoaringBitmap;

use super::chunk::{Part, Reading};
use super::head::{Block, Frame, frame_of};
use super::index::{Index, Number};
use crate::model::{Columns, Matcher, Window};
use crate::ports::{Found, Select, SelectError, SeriesId};

/// A consistent view of all samples.
pub(super) struct View {
    blocks: Vec<Arc<Block>>,
    index: Arc<RwLock<Index>>,
    limit: Number,
}

impl View {
    pub(super) fn new(
        (blocks, index, limit): (Vec<Arc<Block>>, Arc<RwLock<Index>>, Number),
    ) -> Self {
        Self { blocks, index, limit }
    }

    fn index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame and column of a place, if the series was there when the snapshot was taken.
    fn column(&self, series: Number, (frame, slot): (u32, u32)) -> Option<(&Frame, usize)> {
        let frame = frame_of(&self.blocks, frame)?;
        let slot = slot as usize;
        (frame.columns.get(slot) == Some(&series)).then_some((frame, slot))
    }

    fn candidates(&self, index: &Index, matchers: &[Matcher], window: Window) -> RoaringBitmap {
        let mut found = index.find(matchers);
        found.remove_range(self.limit..);
        let outside = found.iter().filter(|series| {
            !index.places(*series).iter().any(|place| {
                let frame = self.column(*series, *place).map(|(frame, _)| frame);
                frame.and_then(Frame::span).is_some_and(|span| meets(span, window))
            })
        });
        let outside: RoaringBitmap = outside.collect();
        found - outside
    }

    fn among(&self, index: &Index, sets: &[Vec<Matcher>], window: Window) -> RoaringBitmap {
        let everything = [Vec::new()];
        let sets = if sets.is_empty() { &everything } else { sets };
        let mut all = RoaringBitmap::new();
        for set in sets {
            all |= self.candidates(index, set, window);
        }
        all
    }
}

fn meets((first, last): (i64, i64), window: Window) -> bool {
    last > window.after.millis() && first <= window.through.millis()
}

impl Select for View {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        let index = self.index();
        let found = self.candidates(&index, matchers, window);
        let with_labels = found.iter().filter_map(|series| {
            let labels = index.labels(series)?.clone();
            Some(Found { id: SeriesId(u64::from(series)), labels })
        });
        Ok(with_labels.collect())
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        into.clear();
        let Ok(number) = Number::try_from(series.0) else { return Ok(()) };
        let places: super::index::Places = self.index().places(number).into();
        let mut parts: Vec<(Part<'_>, usize)> = Vec::new();
        for place in places {
            let Some((frame, slot)) = self.column(number, place) else { continue };
            let wanted = frame.parts().filter(|p| p.span().is_some_and(|s| meets(s, window)));
            parts.extend(wanted.map(|part| (part, slot)));
        }
        Reading::default().read(&parts, window, into);
        Ok(())
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let index = self.index();
        let among = self.among(&index, sets, window);
        Ok(index.names(Some(&among)).take(limit).map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        let index = self.index();
        let among = self.among(&index, sets, window);
        Ok(index.values(name, Some(&among)).take(limit).map(str::to_owned).collect())
    }
}
