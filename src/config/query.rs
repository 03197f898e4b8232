use std::time::Duration;

use super::reader::Reader;
use super::yaml::Node;
use crate::web::QueryLimits;

/// Fewer samples would refuse an overview page.
const LEAST_SAMPLES: u64 = 1_000;
/// 16 bytes each at least: more than any machine of ours has.
const MOST: u64 = 10_000_000_000;

/// `query:`, what a query may cost.
pub fn read(node: Option<&Node>, reader: &mut Reader<'_>) -> QueryLimits {
    let mut limits = QueryLimits::default();
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "query")) else {
        return limits;
    };
    let second = Duration::from_secs(1);
    for (name, high, limit) in [
        ("timeout", Duration::from_secs(3_600), &mut limits.timeout),
        ("lookback", Duration::from_secs(86_400), &mut limits.lookback),
    ] {
        let length = fields.get(name).and_then(|node| reader.duration(node, name, second, high));
        *limit = length.unwrap_or(*limit);
    }
    for (name, low, high, limit) in [
        ("max_samples", LEAST_SAMPLES, MOST, &mut limits.samples),
        ("max_series", 1, MOST, &mut limits.series),
        ("max_concurrency", 1, 1_000, &mut limits.concurrent),
        ("max_waiting", 0, 100_000, &mut limits.waiting),
    ] {
        let number = fields.get(name).and_then(|node| reader.number(node, name, low, high));
        *limit = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(*limit);
    }
    fields.finish(reader);
    limits
}
