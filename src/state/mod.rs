//! Small durable state in SQL: incidents, tickets, who has been told, silences, the incident log.
//!
//! One SQLite file in WAL mode with `synchronous=FULL`, held exclusively by one thread; a change
//! is one transaction. `Ok` from [`ports::State::save`](crate::ports::State::save) means: on disk.

mod alerts;
mod journal;
mod schema;
mod silences;
mod sqlite;
mod tables;

pub use schema::SCHEMA;
pub use sqlite::{OpenError, SqliteState};
