//! What is known of the world that a configuration makes, for judging rules before they run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::alerting::{Plan, Timing};
use crate::config::{AlertmanagerFile, Config, System};
use crate::model::{Labels, MetricMeta, MetricType};
use crate::probe;
use crate::rules::lint::{Source, Surroundings, Untold};
use crate::telemetry::Telemetry;

/// Everything that is known without or with a configuration.
pub struct World {
    sources: Option<Vec<Source>>,
    metrics: BTreeMap<String, MetricType>,
    routes: Option<Routes>,
}

/// Who is told, and who has no way to be told.
struct Routes {
    plan: Plan,
    /// Receivers that lead nowhere.
    mute: Vec<String>,
}

fn catalogue(metas: &'static [MetricMeta]) -> impl Iterator<Item = (String, MetricType)> {
    metas.iter().map(|meta| (meta.name.to_owned(), meta.kind))
}

/// Our own metrics, by the names of their series.
fn own() -> BTreeMap<String, MetricType> {
    Telemetry::new().catalogue().iter().cloned().collect()
}

impl World {
    /// What is known without a configuration: the kinds of metrics.
    pub fn unknown() -> Self {
        let probes = probe::CATALOGUE.iter().flat_map(|metas| catalogue(metas));
        let metrics = probes.chain(own()).collect();
        Self { sources: None, metrics, routes: None }
    }

    /// What a configuration makes.
    pub fn of(config: &Config) -> Result<Self, String> {
        let mut sources = Vec::new();
        for target in &config.probes.targets {
            let identity = [
                ("service", &*target.service),
                ("owner", &*target.owner),
                ("target", &*target.name),
                ("probe", target.kind.name()),
            ];
            let labels = identity.iter().fold(target.labels.clone(), |all, (n, v)| all.with(n, v));
            let metrics = [probe::METRICS].into_iter().chain(target.kind.catalogue());
            sources.push(Source {
                labels,
                metrics: metrics.flat_map(catalogue).collect(),
                interval: Some(target.interval),
            });
        }
        let labels = [("job", "augenmass"), ("instance", &*config.instance)];
        let labels = Labels::from_pairs(labels).map_err(|error| error.to_string())?;
        sources.push(Source { labels, metrics: own(), interval: None });
        let plan = Plan::of_owners(&config.directory, Timing::default());
        let plan = plan.map_err(|error| error.to_string())?;
        let routes = Routes { plan, mute: Vec::new() };
        Ok(Self { sources: Some(sources), routes: Some(routes), ..Self::unknown() })
    }

    /// The same with the routes of an Alertmanager instead.
    pub fn routed_by(self, file: &Path) -> Result<Self, String> {
        let file =
            AlertmanagerFile::load(file, &System).map_err(|problems| problems.to_string())?;
        let silent = file.receivers.iter().filter(|receiver| receiver.integrations.is_empty());
        let mute = silent.map(|receiver| receiver.name.to_string()).collect();
        Ok(Self { routes: Some(Routes { plan: file.plan, mute }), ..self })
    }

    /// Gives what the doubts are decided by.
    pub fn with<T>(&self, work: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let untold =
            self.routes.as_ref().map(|routes| move |labels: &Labels| routes.untold(labels));
        work(&Surroundings {
            sources: self.sources.clone(),
            metrics: self.metrics.clone(),
            untold: untold.as_ref().map(|untold| untold as &Untold<'_>),
        })
    }
}

impl Routes {
    /// Why none of the routes that such an alert takes leads to anybody, at any time.
    fn untold(&self, labels: &Labels) -> Option<String> {
        let mut reason = None;
        for id in self.plan.routes.resolve(labels) {
            let route = self.plan.routes.get(id);
            let never = route.mute.iter().find(|name| {
                self.plan.intervals.get(*name).into_iter().flatten().any(|part| part.is_always())
            });
            reason = Some(if let Some(interval) = never {
                format!("its route {} is muted always (`{interval}`)", route.key)
            } else if self.mute.iter().any(|name| **name == *route.receiver) {
                format!(
                    "its route {} leads to `{}`, which has no channel",
                    route.key, route.receiver
                )
            } else {
                return None;
            });
        }
        reason
    }
}
