//! The embedded little world of `augenmass demo`.
