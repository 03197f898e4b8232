//! The embedded little world of `augenmass demo`.

pub mod peers;
