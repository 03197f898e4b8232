use crate::config::{Config, show_duration};

/// What runs, as YAML for `/api/v1/status/config`: no address, no secret, no URL with a query.
pub fn summary(config: &Config) -> String {
    let mut text = format!("instance: {}\nservices:\n", quoted(&config.instance));
    for service in &config.directory.services {
        text.push_str(&format!("  {}:\n", quoted(&service.name)));
        text.push_str(&format!("    owner: {}\n    probes:\n", quoted(&service.owner)));
        for target in config.probes.targets.iter().filter(|t| t.service == service.name) {
            let (kind, name) = (target.kind.name(), quoted(&target.name));
            let every = show_duration(target.interval);
            text.push_str(&format!("      - {kind}: {{target: {name}, interval: {every}}}\n"));
        }
    }
    text
}

/// A YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use std::path::Path;

    struct Nothing;

    impl Sources for Nothing {
        fn read(&self, _: &Path) -> std::io::Result<String> {
            Ok("canary-secret".to_owned())
        }
        fn env(&self, _: &str) -> Option<String> {
            Some("canary-secret".to_owned())
        }
    }

    #[test]
    fn it_shows_what_runs_and_no_secret() {
        let text = include_str!("../../tests/data/augenmass.yml");
        let config = Config::parse(text, Path::new(""), &Nothing).unwrap();
        let shown = summary(&config);
        assert!(shown.contains("- printer: {target: \"192.0.2.7\", interval: 2m}"), "{shown}");
        for secret in ["canary", "example.org:587", "@"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
