//! Prometheus rule files, alert phases, rule unit tests. Pure.
//!
//! ```text
//! File::parse(text) → GroupRules → Group::evaluate(now, snapshot) → Outcome {batch, alerts}
//! ```
//! A [`Group`] remembers what each rule needs from one evaluation to the next; the shell
//! `evaluate` says when, over which snapshot, and carries the outcome away.

mod alerts;
#[cfg(test)]
mod bad_input;
mod duration;
mod fields;
mod file;
mod group;
mod kept;
mod language;
pub mod lint;
mod overlay;
pub mod pack;
mod problem;
mod recall;
pub mod replay;
#[cfg(test)]
mod tests;
mod texts;
pub mod tune;
pub mod unit;
mod view;
mod world;
mod yaml;

pub use alerts::{Active, Alerts, Candidate, RESOLVED_KEPT, Refusal, Remembered, Terms};
pub use duration::{format_duration, parse_duration};
pub use file::{File, GroupRules, Rule, RuleKind};
pub use group::{Group, Health, Outcome};
pub use language::{Expression, Refused, Text};
pub use problem::{Place, Problem, ProblemKind, nearest};
pub use view::{AlertState, AlertView, GroupView, RuleView};
pub use world::World;
