//! Metrics pages: text 0.0.4, text 1.0, OpenMetrics 1.0; out and in. Pure.
//!
//! A page goes out in three steps: [`join`] makes one list of [`Family`] from our own metrics and
//! the rows of the board, [`Format::negotiate`] chooses what the scraper understands, and
//! [`write`] prints it. A page comes in through [`parse`], which gives what a Prometheus server
//! would have stored, or the place of the first error.

mod escape;
mod family;
mod format;
mod join;
mod number;
mod parse;
mod scan;
mod write;

pub use escape::Escaping;
pub use family::{Exemplar, Family, Sample};
pub use format::{Format, Syntax};
pub use join::join;
pub use number::{float_text, label_float};
pub use parse::{Limits, Metadata, Page, ParseError, parse};
pub use write::{write, write_hiding};
