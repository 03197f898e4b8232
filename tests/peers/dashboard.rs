//! What the Grafana dashboard asks for, with its variables filled in.
#![allow(dead_code)]

use serde_json::Value;

/// The dashboard as it is shipped.
pub fn read() -> Value {
    serde_json::from_str(include_str!("../../dashboards/augenmass.json")).unwrap()
}

/// Panel and expression for each expression, with "all" chosen in each variable and an hour shown.
pub fn expressions() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in read()["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let text = target["expr"].as_str().unwrap();
            let text = text
                .replace("$__range", "1h")
                .replace("$__rate_interval", "5m")
                .replace("$owner", ".+")
                .replace("$service", ".+");
            assert!(!text.contains('$'), "an unknown variable: {text}");
            all.push((panel["title"].as_str().unwrap().to_owned(), text));
        }
    }
    all
}

/// Name, metric and label of each variable that asks for label values.
pub fn variables() -> Vec<(String, String, String)> {
    let board = read();
    let asked = board["templating"]["list"].as_array().unwrap().iter().filter_map(|variable| {
        let query = variable["definition"].as_str()?;
        let inside = query.strip_prefix("label_values(")?.strip_suffix(')')?;
        let (selector, label) = inside.rsplit_once(", ")?;
        let metric = selector.split('{').next()?;
        let name = variable["name"].as_str()?;
        Some((name.to_owned(), metric.to_owned(), label.to_owned()))
    });
    let asked: Vec<_> = asked.collect();
    assert_eq!(asked.len(), 2);
    asked
}
