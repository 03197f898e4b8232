//! Who is told what, and when: routes, owners, grouping, silences, inhibition, the decision to tell. Pure.

mod decide;
mod desk;
mod directory;
mod group;
mod notice;
mod plan;
mod route;

pub use decide::{Last, Sight, decide};
pub use desk::{Decided, Decision, Desk, GroupStatus};
pub use directory::{Directory, Owner, Service};
pub use notice::{Notice, Why};
pub use plan::{Ends, Plan, Timing};
pub use route::{GroupBy, Route, RouteError, RouteId, RouteSpec, RouteTree};
