use std::fs;

use crate::exposition::{Family, Sample};
use crate::model::{Labels, METRIC_NAME, MetricType};

/// Ticks of a second in `/proc` on every Linux that Rust knows.
const TICKS: f64 = 100.0;

/// What the system says about this process, under the names that Prometheus' client libraries
/// gave them; nothing where the system has no `/proc`.
pub(super) fn families() -> Vec<Family> {
    let mut all = Vec::new();
    let mut add = |name: &str, help: &str, kind, unit: &str, value: Option<f64>| {
        let labels = Labels::from_pairs([(METRIC_NAME, name)]);
        if let (Some(value), Ok(labels)) = (value, labels) {
            let (name, help, unit) = (name.to_owned(), help.to_owned(), unit.to_owned());
            all.push(Family { name, help, kind, unit, samples: vec![Sample::new(labels, value)] });
        }
    };
    let (gauge, counter) = (MetricType::Gauge, MetricType::Counter);
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // The second field is the program's name in brackets and may contain anything.
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().collect())
        .unwrap_or_default();
    // Numbered from 3 in proc(5), behind the name.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let kilobytes = |name: &str| Some(number_after(&status, name)? * 1024.0);

    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS);
    add(
        "process_cpu_seconds_total",
        "Time that this process has spent on CPUs.",
        counter,
        "seconds",
        cpu,
    );
    add(
        "process_resident_memory_bytes",
        "Memory of this process that is in RAM.",
        gauge,
        "bytes",
        kilobytes("VmRSS:"),
    );
    add(
        "process_virtual_memory_bytes",
        "Memory that this process has mapped.",
        gauge,
        "bytes",
        kilobytes("VmSize:"),
    );
    add(
        "process_threads",
        "Threads of this process.",
        gauge,
        "",
        number_after(&status, "Threads:"),
    );
    let open = fs::read_dir("/proc/self/fd")
        .ok()
        .map(|list| u32::try_from(list.count()).unwrap_or(u32::MAX));
    add("process_open_fds", "Open file descriptors.", gauge, "", open.map(f64::from));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    add(
        "process_max_fds",
        "How many file descriptors may be open.",
        gauge,
        "",
        number_after(&limits, "Max open files"),
    );
    let boot = number_after(&fs::read_to_string("/proc/stat").unwrap_or_default(), "btime");
    let start = field(22).zip(boot).map(|(ticks, boot)| boot + ticks / TICKS);
    add(
        "process_start_time_seconds",
        "Unix time at which this process began.",
        gauge,
        "seconds",
        start,
    );
    all
}

/// The number behind a word at the beginning of a line.
fn number_after(text: &str, word: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells_about_us() {
        let all = families();
        let names: Vec<_> = all.iter().map(|family| family.name.as_str()).collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(
            all.iter().all(|family| family.samples[0].value > 0.0 || family.name.contains("cpu"))
        );
    }
}
