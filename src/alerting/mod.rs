//! Who is told what, and when: routes, owners, grouping, silences, inhibition, the decision to tell. Pure.

mod directory;

pub use directory::{Directory, Owner, Service};
