//! augenmass watches the machines of organisations whose IT people are volunteers, and tells the
//! responsible people, once. `ARCHITECTURE.md` is the plan of this house; rooms are listed here
//! from the bottom up, and import downwards only (`tests/tidy.rs`).
#![deny(unsafe_code)]
#![warn(missing_docs)]
#![warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::todo)]
#![warn(clippy::too_many_lines, clippy::print_stdout, clippy::dbg_macro)]

// words and doors
pub mod model;
pub mod ports;
pub mod telemetry;
pub mod yaml;

// pure cores: no async, no clock, no file, no socket, no log
pub mod alerting;
pub mod calendar;
pub mod exposition;
pub mod promql;
pub mod render;
pub mod rules;
pub mod service;
pub mod template;

// shells: they touch the world and never import each other
pub mod evaluate;
pub mod notify;
pub mod probe;
pub mod remote;
pub mod state;
pub mod storage;
pub mod web;

// the wires
pub mod app;
pub mod cli;
pub mod config;
pub mod demo;

#[cfg(test)]
mod sim;
