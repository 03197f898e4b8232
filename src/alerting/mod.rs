//! Who is told what, and when: routes, owners, grouping, silences, inhibition, the decision to tell. Pure.

mod directory;
mod notice;

pub use directory::{Directory, Owner, Service};
pub use notice::{Notice, Why};
