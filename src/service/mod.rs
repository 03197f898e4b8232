//! Services, dependencies, outages, service-level arithmetic, reaction deadlines. Pure.

mod reaction;

pub use crate::calendar::{DaySpan, ServiceHours};
pub use reaction::{ReactionTimes, Within};
