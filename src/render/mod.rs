//! What people read: message texts, HTML, translations. Pure.
