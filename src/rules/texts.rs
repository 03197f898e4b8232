//! Templates of labels and annotations, expanded for one element of a result.

use super::language::Text;
use super::world::World;
use crate::model::{Labels, Timestamp};
use crate::ports::Select;
use crate::promql;
use crate::template::prometheus as template;

/// What templates may look at.
pub(super) struct Texts<'a> {
    pub(super) store: &'a dyn Select,
    pub(super) world: &'a World,
    pub(super) now: Timestamp,
}

impl Texts<'_> {
    /// A text that cannot be expanded says so, and the reason goes to `broken`: an alert is not lost
    /// for its text.
    pub(super) fn expand(
        &self,
        alert: &str,
        text: &Text,
        labels: &Labels,
        value: f64,
        broken: &mut Vec<String>,
    ) -> String {
        if !text.is_template() {
            return text.as_str().to_owned();
        }
        let context = template::AlertContext {
            labels,
            value,
            external_labels: &self.world.external_labels,
            external_url: &self.world.external_url,
            functions_url: self.world.functions_url.as_deref(),
        };
        let query = |text: &str, at: Timestamp| self.query(text, at);
        let expanded = text.read(alert).and_then(|read| read.expand(&context, self.now, &query));
        match expanded {
            Ok(text) => text,
            Err(error) => {
                let told = format!("<error expanding template: {error}>");
                broken.push(told.clone());
                told
            }
        }
    }

    fn query(&self, text: &str, at: Timestamp) -> Result<Vec<template::QuerySample>, String> {
        let expr = promql::parse(text).map_err(|error| error.to_string())?;
        let options = self.world.options();
        let answer =
            promql::instant(&expr, self.store, at, &options).map_err(|error| error.message)?;
        match answer.value {
            promql::Value::Vector(samples) => Ok(samples
                .into_iter()
                .map(|sample| template::QuerySample {
                    labels: sample.labels,
                    value: sample.value.float().unwrap_or(0.0),
                })
                .collect()),
            promql::Value::Scalar(_, value) => {
                Ok(vec![template::QuerySample { labels: Labels::empty(), value }])
            }
            promql::Value::String(..) | promql::Value::Matrix(_) => {
                Err("query result is not a vector or scalar".to_owned())
            }
        }
    }
}
