//! Service hours, holidays, on-call rotas, time intervals. Pure.

mod holidays;
mod hours;
mod interval;
mod opening;
pub mod ranges;

pub use holidays::Region;
pub use hours::{DaySpan, ServiceHours, parse_days};
pub use interval::{
    BadInterval, TimeInterval, parse_days_of_month, parse_minute, parse_months, parse_times,
    parse_weekdays, parse_years,
};
