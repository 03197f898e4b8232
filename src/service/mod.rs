//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.

mod reaction;

pub use reaction::{ReactionTimes, Within};
