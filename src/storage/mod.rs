//! Keeps samples: head, frames, recovery, retention.
//!
//! A probe, a scrape, a rule group each yield many series at one instant, again and again, with the
//! same set of series. So the unit of storage is the frame: one source, one time column, many value
//! columns. [`Store`] is the only thing to be seen from outside.

mod bits;
mod chunk;
mod floats;
mod head;
mod histograms;
mod index;
mod integers;
mod settings;
mod shortcut;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;

pub use settings::Settings;
pub use store::{OpenError, Store};
