//! A tick of rules over many series: `cargo bench --bench rules`. Prints one line for each figure.
//!
//! 100,000 series (2,000 hosts of 50) every 15 s for eleven minutes in the real store (in memory), as
//! 2,000 sources; 2,000 alerting and 500 recording rules in groups of 50, as in
//! `benches/peers/rules.py`, evaluated twice. `ROUNDS=n` for more rounds.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, clippy::disallowed_methods)]

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use augenmass::model::{Batch, Labels, Timestamp};
use augenmass::ports::{Append, Queryable};
use augenmass::rules::{File, Group, World};
use augenmass::storage::{self, Store};
use augenmass::telemetry::Telemetry;
use measure::{SetClock, cpu, resident};

const START: i64 = 1_780_000_000_000;
const HOSTS: usize = 2_000;
const SOURCES: usize = HOSTS;
const STEPS: i64 = 44;
const BORDERS: [&str; 11] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf"];

/// The 50 series of a host.
fn of_host(host: usize) -> Vec<Labels> {
    let (instance, site) = (format!("host-{host:05}.example.test"), format!("s{:02}", host % 40));
    let mut all = Vec::new();
    let mut add = |name: &str, more: &[(&str, &str)]| {
        let own = [("__name__", name), ("instance", &instance), ("job", "fleet"), ("site", &site)];
        all.push(Labels::from_pairs(own.into_iter().chain(more.iter().copied())).unwrap());
    };
    add("probe_success", &[]);
    add("probe_duration_seconds", &[]);
    for phase in ["resolve", "connect", "tls", "processing", "transfer"] {
        add("probe_http_duration_seconds", &[("phase", phase)]);
    }
    add("probe_http_status_code", &[]);
    add("probe_ssl_earliest_cert_expiry", &[]);
    for method in ["GET", "POST", "PUT"] {
        for code in ["200", "404", "500"] {
            add("http_requests_total", &[("method", method), ("code", code)]);
        }
    }
    for le in BORDERS {
        add("http_request_duration_seconds_bucket", &[("le", le)]);
    }
    add("http_request_duration_seconds_sum", &[]);
    add("http_request_duration_seconds_count", &[]);
    for metric in ["ifHCInOctets", "ifHCOutOctets", "ifOperStatus"] {
        for port in ["eth1", "eth2", "eth3", "eth4"] {
            add(metric, &[("ifName", port)]);
        }
    }
    for color in ["black", "cyan", "magenta", "yellow"] {
        add("printer_toner_level", &[("color", color)]);
    }
    for metric in ["postfix_queue_size", "node_temperature_celsius", "node_load1"] {
        add(metric, &[]);
    }
    all
}

/// Counters grow, gauges wander, as whole numbers or with six digits.
fn next(place: usize, before: f64, chance: u64) -> f64 {
    match place {
        0 => f64::from(u8::from(!chance.is_multiple_of(1_000))),
        7 => 200.0,
        8 => 1_990_000_000.0,
        9..=28 => before + (chance % 400) as f64,
        29..=37 => before + (chance % 50_000_000) as f64,
        42..=45 => 50.0,
        46 => (before + (chance % 21) as f64 - 10.0).max(0.0),
        _ => (chance % 1_000_000) as f64 / 1e6,
    }
}

fn alert(number: usize) -> String {
    let site = format!("site=\"s{:02}\"", number / 10 % 40);
    let one = format!("instance=\"host-{:05}.example.test\"", number * 37 % HOSTS);
    let v = (number / 10) as f64 / 1000.0;
    match number % 10 {
        0 => format!("probe_success{{{one}}} == 0"),
        1 => format!("probe_duration_seconds{{{site}}} > {}", 0.999 + v / 1e3),
        2 => format!("avg_over_time(probe_duration_seconds{{{site}}}[5m]) > {}", 0.7 + v),
        3 => format!("rate(http_requests_total{{{site},code=\"500\"}}[5m]) > {}", 19.5 + v),
        4 => format!(
            "sum by (instance) (rate(http_requests_total{{{site},code=\"500\"}}[5m])) / sum by (instance) \
             (rate(http_requests_total{{{site}}}[5m])) > {}",
            0.4 + v
        ),
        5 => format!(
            "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{{{site}}}[5m]))) > {}",
            14.0 + v
        ),
        6 => format!("absent(probe_success{{{one}}})"),
        7 => {
            format!("(probe_ssl_earliest_cert_expiry{{{site}}} - time()) / 86400 < {}", -1000.0 - v)
        }
        8 => format!("max_over_time(postfix_queue_size{{{site}}}[10m]) > {}", 400.0 + v),
        _ => format!("avg by (instance) (printer_toner_level{{{site}}}) < {}", 1.0 + v),
    }
}

fn record(number: usize) -> String {
    let site = format!("site=\"s{:02}\"", number / 5 % 40);
    match number % 5 {
        0 => format!("sum by (instance) (rate(http_requests_total{{{site}}}[5m]))"),
        1 => format!("avg by (site) (probe_duration_seconds{{{site}}})"),
        2 => {
            format!("sum by (site, le) (rate(http_request_duration_seconds_bucket{{{site}}}[5m]))")
        }
        3 => format!("avg by (instance) (avg_over_time(probe_success{{{site}}}[5m]))"),
        _ => format!(
            "sum by (instance) (rate(ifHCInOctets{{{site}}}[5m]) * 8 + on (instance, ifName) \
             rate(ifHCOutOctets{{{site}}}[5m]) * 8)"
        ),
    }
}

fn rule_file() -> String {
    let mut text = String::from("groups:\n");
    for n in 0..2_000 {
        if n % 50 == 0 {
            text.push_str(&format!("- name: alert-{}\n  interval: 15s\n  rules:\n", n / 50));
        }
        text.push_str(&format!(
            "  - alert: A{n:04}\n    expr: '{}'\n    for: 1m\n    labels: {{severity: page}}\n    annotations: \
             {{summary: '{{{{ $labels.instance }}}} value {{{{ $value | humanize }}}}'}}\n",
            alert(n)
        ));
    }
    for n in 0..500 {
        if n % 50 == 0 {
            text.push_str(&format!("- name: record-{}\n  interval: 15s\n  rules:\n", n / 50));
        }
        let name = format!("bench:r{}:i{}", n % 5, n / 200);
        text.push_str(&format!("  - record: {name}\n    expr: '{}'\n", record(n)));
    }
    text
}

fn main() {
    let rounds: i64 = std::env::var("ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let clock = Arc::new(SetClock::at(START));
    let store = Store::open(storage::Settings::default(), clock.clone(), Telemetry::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let series: Vec<Labels> = (0..HOSTS).flat_map(of_host).collect();
    let mut values: Vec<f64> = vec![0.0; series.len()];
    let mut state = 1u64;
    let mut fill = |step: i64| {
        let at = START + step * 15_000;
        clock.set(at);
        let portion = series.len() / SOURCES;
        for source in 0..SOURCES {
            let name = format!("write/{source}");
            let mut batch = Batch::new(name.into(), Timestamp::from_millis(at));
            for place in source * portion..(source + 1) * portion {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                values[place] = next(place % 50, values[place], state >> 33);
                batch.push(series[place].clone(), values[place]);
            }
            let _ = runtime.block_on(store.append(batch));
        }
    };
    let before = cpu();
    (0..STEPS).for_each(&mut fill);
    println!("filled in {:.2} CPU-s, {} MiB", (cpu() - before).as_secs_f64(), resident() >> 20);
    let file = File::parse("bench.yml", &rule_file()).unwrap();
    let mut groups: Vec<Group> =
        file.groups.iter().map(|rules| Group::new(rules.clone())).collect();
    let world = World::default();
    let begun = Instant::now();
    let stopwatch = || begun.elapsed();
    for round in 0..rounds {
        fill(STEPS + round);
        let (before, wall) = (cpu(), Instant::now());
        let (mut rows, mut alerts, mut failed) = (0, 0, 0);
        for group in &mut groups {
            let now = Timestamp::from_millis(START + (STEPS + round) * 15_000 + 100);
            let snapshot = store.snapshot();
            let interval = Duration::from_secs(15);
            let outcome = group.evaluate(now, interval, &*snapshot, &world, &stopwatch);
            rows += outcome.batch.rows.len();
            alerts += outcome.alerts.len();
            failed += outcome.failed;
            let _ = runtime.block_on(store.append(outcome.batch));
        }
        println!(
            "round {round}: {:.2} CPU-s, {:.2} s, {rows} rows, {alerts} alerts, {failed} failed, {} MiB",
            (cpu() - before).as_secs_f64(),
            wall.elapsed().as_secs_f64(),
            resident() >> 20
        );
    }
}
