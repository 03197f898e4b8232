use std::sync::Arc;

use super::Timestamp;

/// Somebody knows of an incident: it is not repeated until it gets worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Who: an owner's name or a word that a person is known by; never a mail address.
    pub by: Arc<str>,
    /// How much they took upon themselves.
    pub kind: AckKind,
    /// When.
    pub at: Timestamp,
    /// How they said so.
    pub way: Way,
}

/// How much somebody took upon themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AckKind {
    /// "I know."
    Acknowledged,
    /// "I have it."
    Claimed,
}

impl AckKind {
    /// `acknowledged` or `claimed`.
    pub fn name(self) -> &'static str {
        match self {
            AckKind::Acknowledged => "acknowledged",
            AckKind::Claimed => "claimed",
        }
    }
}

/// How somebody told us what they want.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// `augenmass ack`, `augenmass silence`.
    CommandLine,
    /// One of our pages.
    Page,
    /// The signed link in a message.
    Link,
    /// Alertmanager's API.
    Api,
    /// A reaction or an answer in a Matrix room.
    Matrix,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 5] = [Way::CommandLine, Way::Page, Way::Link, Way::Api, Way::Matrix];

    /// One word, for logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Way::CommandLine => "command-line",
            Way::Page => "page",
            Way::Link => "link",
            Way::Api => "api",
            Way::Matrix => "matrix",
        }
    }
}
