//! Who is told what, and when: routes, owners, grouping, silences, inhibition, the decision to tell. Pure.

mod decide;
mod desk;
mod directory;
mod explain;
mod export;
mod flapping;
mod group;
mod inhibit;
mod link;
mod matchers;
mod notice;
mod plan;
mod route;
mod silence;

pub use crate::model::Silence;
pub use decide::{Last, Sight, decide};
pub use desk::{AlertStatus, AlertView, Decided, Decision, Desk, GroupStatus, GroupView, WhyNot};
pub use directory::{Directory, Owner, OwnerHours, Service};
pub use explain::{Explained, Verdict, explain};
pub use flapping::Damping;
pub use inhibit::InhibitRule;
pub use link::{BadLink, Invitation, LinkSigner};
pub use matchers::{BadMatcher, parse_matcher, parse_matchers, regex_matcher, sort_matchers};
pub use notice::{Notice, Why};
pub use plan::{Ends, Plan, Timing};
pub use route::{GroupBy, Route, RouteError, RouteId, RouteSpec, RouteTree};
