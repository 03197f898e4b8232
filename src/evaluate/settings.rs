use std::sync::Arc;
use std::time::Duration;

use crate::rules::{GroupRules, World};

/// What the evaluator works on: already checked, made by `config`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The rule groups of all files, in order.
    pub groups: Vec<Arc<GroupRules>>,
    /// Time between evaluations where a group does not say.
    pub interval: Duration,
    /// How many groups may be evaluated at the same time; at least 1.
    pub concurrency: usize,
    /// After a change of a verdict, the time in which further changes are waited for.
    pub debounce: Duration,
    /// The least time between two evaluations of a group when the second is set off by a verdict.
    pub pause: Duration,
    /// What is the same for all rules.
    pub world: World,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            groups: Vec::new(),
            interval: Duration::from_secs(15),
            concurrency: 2,
            debounce: Duration::from_millis(50),
            pause: Duration::from_millis(250),
            world: World::default(),
        }
    }
}
