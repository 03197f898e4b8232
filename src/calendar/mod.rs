//! Service hours, holidays, on-call rotas, time intervals. Pure.

mod hours;

pub use hours::{DaySpan, ServiceHours, parse_days};
