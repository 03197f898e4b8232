//! Keeps samples: head, frames, recovery, retention.
