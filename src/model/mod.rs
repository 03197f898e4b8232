//! The words every other room speaks. No I/O, no clock, no serde.

mod acknowledgement;
mod alert;
mod foreign_text;
mod histogram;
mod labels;
mod matcher;
mod metric;
mod nonempty;
mod sample;
mod secret;
mod silence;
mod time;

pub use acknowledgement::{AckKind, Acknowledgement, Way};
pub use alert::{Alert, Phase};
pub use foreign_text::{redacted, visible, visible_line, without_userinfo};
pub use histogram::{CounterReset, Histogram, Span};
pub use labels::{
    EscapedValue, Fingerprint, Labels, LabelsError, METRIC_NAME, is_legacy_label_name,
    is_legacy_metric_name,
};
pub use matcher::{BadPattern, Literals, Matcher, Pattern, Test};
pub use metric::{MetricMeta, MetricType};
pub use nonempty::NonEmpty;
pub use sample::{Batch, Columns, Point, Row, STALE, STALE_BITS, is_stale};
pub use secret::Secret;
pub use silence::Silence;
pub use time::{TimeRange, Timestamp, Window};
