//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.

pub mod availability;
pub mod level;
pub mod promise;
pub mod ranges;
mod reaction;

pub use crate::calendar::{DaySpan, ServiceHours};
pub use reaction::{ReactionTimes, Within};
