//! Small durable state in SQL: incidents, tickets and who has been told.
//!
//! One SQLite file in WAL mode with `synchronous=FULL`, held exclusively by one thread; a change
//! is one transaction. `Ok` from [`ports::State::save`](crate::ports::State::save) means: on disk.

mod schema;
mod sqlite;
mod tables;

pub use schema::SCHEMA;
pub use sqlite::{OpenError, SqliteState};
