//! The two languages inside a rule file, PromQL and Go templates, as rules use them.

use std::sync::{Arc, OnceLock};

use crate::model::Labels;
use crate::promql::{self, Expr, Selector};
use crate::template::{TemplateError, prometheus as template};

/// A PromQL expression that was accepted.
#[derive(Clone, Debug)]
pub struct Expression {
    text: Arc<str>,
    parsed: Arc<promql::Expr>,
}

/// A text in a rule: a template in alerts, plain in recording rules.
#[derive(Clone, Debug)]
pub struct Text {
    text: Arc<str>,
    template: bool,
    /// The template, once it was wanted.
    read: Arc<OnceLock<Result<template::Template, TemplateError>>>,
}

/// Why an expression or a template was refused.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Byte offset in the text.
    pub offset: usize,
    /// What is wrong.
    pub reason: String,
}

impl Expression {
    /// Parses PromQL.
    ///
    /// # Errors
    /// Where and why it is no PromQL.
    pub fn parse(text: &str) -> Result<Self, Refused> {
        match promql::parse(text) {
            Ok(parsed) => Ok(Self { text: text.into(), parsed: Arc::new(parsed) }),
            Err(error) => Err(Refused { offset: error.span.start as usize, reason: error.message }),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As it was written, shared.
    pub fn text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// What it means.
    pub fn expr(&self) -> &promql::Expr {
        &self.parsed
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Text {
    /// A text that stands for itself.
    pub fn plain(text: &str) -> Self {
        Self { text: text.into(), template: false, read: Arc::default() }
    }

    /// A template.
    ///
    /// # Errors
    /// Where and why it is no template.
    pub fn template(text: &str) -> Result<Self, Refused> {
        match template::check(text) {
            Ok(()) => {
                let template = text.contains("{{");
                Ok(Self { text: text.into(), template, read: Arc::default() })
            }
            Err(error) => Err(Refused { offset: error.offset, reason: error.message }),
        }
    }

    /// The label of a group as it counts for one of its rules: a template for an alert, even when
    /// it is broken (Prometheus does not look at it when it loads the file).
    #[must_use]
    pub fn for_rule(&self, alert: bool) -> Self {
        let template = alert && self.text.contains("{{");
        Self { text: self.text.clone(), template, read: Arc::default() }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The template of the one rule it belongs to; `alert` names that in errors.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn read(&self, alert: &str) -> Result<&template::Template, TemplateError> {
        let read = self.read.get_or_init(|| template::Template::parse(alert, &self.text));
        read.as_ref().map_err(Clone::clone)
    }

    /// Whether it must be expanded.
    pub fn is_template(&self) -> bool {
        self.template
    }
}

impl Expression {
    /// All its selectors.
    pub fn selectors(&self) -> Vec<&Selector> {
        let mut selectors = Vec::new();
        collect(&self.parsed, &mut selectors);
        selectors
    }

    /// Whether one of its selectors matches one of these series.
    pub fn reads_any(&self, series: &[Labels]) -> bool {
        self.selectors().iter().any(|selector| {
            series.iter().any(|labels| selector.matchers.iter().all(|m| m.matches(labels)))
        })
    }
}

/// All selectors of an expression.
fn collect<'a>(expr: &'a Expr, found: &mut Vec<&'a Selector>) {
    match expr {
        Expr::Number(_) | Expr::Text(_) => {}
        Expr::Selector(selector) => found.push(selector),
        Expr::Range(range) => found.push(&range.selector),
        Expr::Subquery(subquery) => collect(&subquery.inner, found),
        Expr::Call(call) => call.arguments.iter().for_each(|argument| collect(argument, found)),
        Expr::Aggregate(aggregate) => {
            collect(&aggregate.inner, found);
            aggregate.parameter.iter().for_each(|parameter| collect(parameter, found));
        }
        Expr::Binary(binary) => {
            collect(&binary.left, found);
            collect(&binary.right, found);
        }
        Expr::Unary(unary) => collect(&unary.inner, found),
        Expr::Paren(paren) => collect(&paren.inner, found),
    }
}
