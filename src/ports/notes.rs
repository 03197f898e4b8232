use super::{Doing, StateError};

/// What a channel has to remember across restarts: small texts by topic and key (the event that
/// began a thread, how far a conversation was read, a renewed token). A topic keeps its newest
/// 10,000 notes.
pub trait Notes: Send + Sync {
    /// All notes of a topic.
    fn read<'a>(&'a self, topic: &'a str) -> Doing<'a, Result<Vec<(String, String)>, StateError>>;
    /// Durable, all of them, when it returns `Ok`. `None` forgets a note.
    fn write<'a>(
        &'a self,
        topic: &'a str,
        notes: Vec<(String, Option<String>)>,
    ) -> Doing<'a, Result<(), StateError>>;
}
