//! Rules over a month of history: `cargo bench --bench replay`. Prints one line for each figure.
//!
//! 500 series, one sample a minute, in the real store (in memory); 50 rules evaluated once a minute
//! for 30 days, each over the 50 series of one of ten metrics.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, clippy::disallowed_methods)]

mod measure;

use std::sync::Arc;
use std::time::{Duration, Instant};

use augenmass::model::{Batch, Labels, Timestamp};
use augenmass::ports::{Append, Queryable};
use augenmass::rules::replay::{Settings, replay};
use augenmass::rules::{File, World};
use augenmass::storage::{self, Store};
use augenmass::telemetry::Telemetry;
use measure::{SetClock, cpu, resident};

const START: i64 = 1_780_000_000_000;
const MINUTES: i64 = 30 * 1_440;

/// Ten metrics of fifty targets.
fn labels() -> Vec<Labels> {
    let one = |n: usize| {
        let (metric, target) = (format!("metric_{}", n / 50), format!("target-{}", n % 50));
        let service = format!("service-{}", n % 10);
        Labels::from_pairs([
            ("__name__", metric.as_str()),
            ("service", &service),
            ("owner", "web-team"),
            ("target", &target),
            ("probe", "http"),
        ])
        .unwrap()
    };
    (0..500).map(one).collect()
}

fn rules(metric: impl Fn(usize) -> String) -> String {
    let mut text = String::from("groups:\n- name: g\n  interval: 1m\n  rules:\n");
    for n in 0..10 {
        let m = metric(n);
        for (k, expr) in [
            format!("{m} > 0.99"),
            format!("avg_over_time({m}[5m]) > 0.8"),
            format!("sum by (service) ({m}) > 3"),
            format!("max_over_time({m}[15m]) - {m} > 0.95"),
            format!("quantile_over_time(0.9, {m}[1h]) > 0.95"),
        ]
        .iter()
        .enumerate()
        {
            text.push_str(&format!(
                "  - {{alert: 'A{n}x{k}', expr: '{expr}', for: 2m, annotations: {{summary: '{{{{ $labels.target }}}}: \
                 {{{{ $value }}}}'}}}}\n"
            ));
        }
    }
    text
}

fn main() {
    let clock = Arc::new(SetClock::at(START));
    let store = Store::open(storage::Settings::default(), clock.clone(), Telemetry::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let labels = labels();
    let mut state = 1u64;
    let begun = Instant::now();
    for minute in 0..MINUTES {
        let at = START + minute * 60_000;
        clock.set(at);
        let mut batch = Batch::new("bench".into(), Timestamp::from_millis(at));
        for labels in &labels {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            batch.push(labels.clone(), (state >> 40) as f64 / (1u64 << 24) as f64);
        }
        let _ = runtime.block_on(store.append(batch));
    }
    println!("filled in {:.1} s, {} MiB", begun.elapsed().as_secs_f64(), resident() >> 20);
    {
        let file = File::parse("bench.yml", &rules(|n| format!("metric_{n}"))).unwrap();
        let settings = Settings {
            from: Timestamp::from_millis(START),
            to: Timestamp::from_millis(START + MINUTES * 60_000),
            interval: Duration::from_secs(60),
            world: World::default(),
        };
        let (begun, before) = (Instant::now(), cpu());
        let found = replay(&file.groups, &*store.snapshot(), &settings, &mut |_, _| {});
        let episodes: usize = found.iter().map(|rule| rule.episodes.len()).sum();
        let failures: u64 = found.iter().map(|rule| rule.failures).sum();
        println!(
            "{} rules, {:.1} s, {:.1} CPU-s, {} MiB, {episodes} episodes, {failures} failures",
            found.len(),
            begun.elapsed().as_secs_f64(),
            (cpu() - before).as_secs_f64(),
            resident() >> 20
        );
    }
}
