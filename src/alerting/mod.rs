//! Who is told what, and when: routes, owners, grouping, silences, inhibition, the decision to tell. Pure.

mod decide;
mod desk;
mod directory;
mod flapping;
mod group;
mod inhibit;
mod matchers;
mod notice;
mod plan;
mod route;
mod silence;

pub use decide::{Last, Sight, decide};
pub use desk::{AlertStatus, Decided, Decision, Desk, GroupStatus, WhyNot};
pub use directory::{Directory, Owner, Service};
pub use flapping::Damping;
pub use inhibit::InhibitRule;
pub use matchers::{BadMatcher, parse_matchers, regex_matcher, sort_matchers};
pub use notice::{Notice, Why};
pub use plan::{Ends, Plan, Timing};
pub use route::{GroupBy, Route, RouteError, RouteId, RouteSpec, RouteTree};
pub use silence::Silence;
