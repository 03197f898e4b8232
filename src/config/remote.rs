//! `remote_write:`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::reader::{Fields, Reader};
use super::yaml::Node;
use crate::model::Secret;
use crate::remote::{Action, Destination, Login, Protocol, Relabel};

/// Bytes of the queue of a destination: days of an office, hours of a large installation.
const QUEUE: u64 = 512 << 20;
const SMALLEST_QUEUE: u64 = 1 << 20;
const PROTOCOLS: &[(&str, Protocol)] =
    &[("1", Protocol::One), ("2", Protocol::Two), ("1.0", Protocol::One), ("2.0", Protocol::Two)];
const ACTIONS: &[(&str, Action)] = &[
    ("replace", Action::Replace),
    ("keep", Action::Keep),
    ("drop", Action::Drop),
    ("keepequal", Action::KeepEqual),
    ("dropequal", Action::DropEqual),
    ("labelmap", Action::LabelMap),
    ("labeldrop", Action::LabelDrop),
    ("labelkeep", Action::LabelKeep),
    ("lowercase", Action::Lowercase),
    ("uppercase", Action::Uppercase),
];
/// Headers that are ours.
const OURS: [&str; 6] = [
    "host",
    "authorization",
    "content-type",
    "content-encoding",
    "content-length",
    "x-prometheus-remote-write-version",
];

/// The destinations, each with a name of its own.
pub fn read(node: Option<&Node>, reader: &mut Reader<'_>) -> Vec<Destination> {
    let mut all: Vec<Destination> = Vec::new();
    for node in node.map(|node| reader.list(node)).unwrap_or_default() {
        let Some(one) = destination(node, reader) else { continue };
        if all.iter().any(|other| other.name == one.name) {
            let message = format!(
                "there are two destinations `{}` in remote_write; give them different `name`s",
                one.name
            );
            reader.problem(node.at, message);
        }
        all.push(one);
    }
    all
}

fn destination(node: &Node, reader: &mut Reader<'_>) -> Option<Destination> {
    let mut fields = reader.fields(node, "a destination of `remote_write`")?;
    let url_node = fields.need("url", reader);
    let url = url_node.and_then(|node| reader.url(node, "url"));
    let name = fields.get("name").and_then(|node| reader.text(node, "name"));
    let protocol = fields.get("protocol");
    let protocol = protocol.and_then(|node| reader.choice(node, "protocol", PROTOCOLS));
    let bearer = fields.get("bearer").and_then(|node| reader.secret(node, "bearer", false));
    let basic = fields.get("basic").and_then(|node| basic(node, reader));
    let headers = fields.get("headers").map(|node| headers(node, reader)).unwrap_or_default();
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node, "ca_file"));
    let queue_node = fields.get("queue");
    let queue = queue_node.and_then(|node| reader.size(node, "queue"));
    let timeout = fields.get("timeout");
    let (low, high) = (Duration::from_secs(1), Duration::from_secs(600));
    let timeout = timeout.and_then(|node| reader.duration(node, "timeout", low, high));
    let mut relabel = Vec::new();
    for node in fields.get("write_relabel").map(|node| reader.list(node)).unwrap_or_default() {
        relabel.extend(rule(node, reader));
    }
    let at = fields.at;
    fields.finish(reader);
    if bearer.is_some() && basic.is_some() {
        reader.problem(at, "a destination has either `bearer` or `basic`");
    }
    let login = bearer.map(Login::Bearer).or(basic);
    if let (Some(node), Some(_)) = (queue_node, queue.filter(|queue| *queue < SMALLEST_QUEUE)) {
        reader.problem(node.at, "`queue` should be at least 1MiB");
    }
    let url = url?;
    if !url.username().is_empty() || url.password().is_some() {
        let at = url_node.map_or(at, |node| node.at);
        reader.problem(at, "`url`: write user and password as `basic: {username, password}`");
        return None;
    }
    if url.scheme() == "http" && login.is_some() && !is_private(&url) {
        let at = url_node.map_or(at, |node| node.at);
        reader.problem(at, "`url` should begin with https://: a password or token goes there");
    }
    Some(Destination {
        name: name.unwrap_or_else(|| url.host_str().unwrap_or("destination").into()),
        url,
        protocol: protocol.unwrap_or_default(),
        login,
        headers,
        ca_file,
        queue_bytes: queue.unwrap_or(QUEUE),
        relabel,
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

/// This machine, or an address that no stranger's network carries.
fn is_private(url: &url::Url) -> bool {
    let host = url.host_str().unwrap_or("").trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Err(_) => host == "localhost",
    }
}

fn basic(node: &Node, reader: &mut Reader<'_>) -> Option<Login> {
    let mut fields = reader.fields(node, "basic")?;
    let name = fields.need("username", reader).and_then(|node| reader.text(node, "username"));
    let password = fields.need("password", reader);
    let password = password.and_then(|node| reader.secret(node, "password", false));
    fields.finish(reader);
    Some(Login::Basic(name?, password?))
}

fn headers(node: &Node, reader: &mut Reader<'_>) -> Vec<(Arc<str>, Secret)> {
    let Some(mut fields) = reader.fields(node, "headers") else { return Vec::new() };
    let mut headers = Vec::new();
    for (key, node) in fields.all() {
        if OURS.contains(&key.text.to_ascii_lowercase().as_str()) {
            let message = format!("the header `{}` is set by the program", key.text);
            reader.problem(key.at, message);
            continue;
        }
        let fits = http::HeaderName::from_bytes(key.text.as_bytes()).is_ok();
        if !fits {
            reader.problem(key.at, "this is not the name of a header");
            continue;
        }
        // A tenant's name is no secret.
        let value = reader.secret(node, "the value of a header", true);
        headers.extend(value.map(|value| (Arc::from(key.text.as_str()), value)));
    }
    headers
}

fn rule(node: &Node, reader: &mut Reader<'_>) -> Option<Relabel> {
    let mut fields = reader.fields(node, "a rule of `write_relabel`")?;
    let text = |name: &'static str, fields: &mut Fields<'_>, reader: &mut Reader<'_>| {
        fields.get(name).and_then(|node| reader.text(node, name))
    };
    let action = fields.get("action").and_then(|node| reader.choice(node, "action", ACTIONS));
    let action = action.unwrap_or(Action::Replace);
    let mut source = Vec::new();
    for node in fields.get("source_labels").map(|node| reader.list(node)).unwrap_or_default() {
        source.extend(reader.text(node, "source_labels"));
    }
    let separator = text("separator", &mut fields, reader);
    let target = text("target_label", &mut fields, reader);
    // The replacement may be empty: that removes a label.
    let replacement: Option<Arc<str>> = fields.get("replacement").and_then(|node| {
        if node.is_empty_text() { Some("".into()) } else { reader.text(node, "replacement") }
    });
    let regex_node = fields.get("regex");
    let pattern = regex_node.and_then(|node| reader.text(node, "regex"));
    let at = fields.at;
    fields.finish(reader);
    let needs_target = matches!(
        action,
        Action::Replace
            | Action::KeepEqual
            | Action::DropEqual
            | Action::Lowercase
            | Action::Uppercase
    );
    if needs_target && target.is_none() {
        reader.problem(at, "this rule of `write_relabel` needs `target_label`");
    }
    let regex = match Relabel::pattern(pattern.as_deref().unwrap_or("(.*)")) {
        Ok(regex) => regex,
        Err(_) => {
            let at = regex_node.map_or(at, |node| node.at);
            reader.problem(at, "`regex` is not a regular expression");
            return None;
        }
    };
    Some(Relabel {
        source,
        separator: separator.unwrap_or_else(|| ";".into()),
        regex,
        target: target.unwrap_or_else(|| "".into()),
        replacement: replacement.unwrap_or_else(|| "$1".into()),
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use std::io;
    use std::path::Path;

    struct Vault;

    impl Sources for Vault {
        fn read(&self, _: &Path) -> io::Result<String> {
            Ok("canary-secret".to_owned())
        }
        fn env(&self, _: &str) -> Option<String> {
            Some("canary-secret".to_owned())
        }
    }

    fn parse(text: &str) -> Result<Vec<Destination>, String> {
        let text = format!(
            "owners: {{a: {{notify: [{{webhook: w}}]}}}}\n\
             notify: {{webhooks: {{w: {{url: \"http://127.0.0.1/\"}}}}}}\n\
             services: {{s: {{owner: a, probes: [{{http: \"http://127.0.0.1/\"}}]}}}}\n\
             remote_write:\n{}",
            text.lines().map(|line| format!("  {line}\n")).collect::<String>()
        );
        Config::parse(&text, Path::new(""), &Vault)
            .map(|config| config.remote_write)
            .map_err(|all| all.iter().map(|p| p.message.clone()).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn destinations() {
        let all = parse(
            "- url: https://central.example.org/api/v1/write\n  protocol: 2\n  bearer: {env: T}\n  \
             queue: 10MiB\n  headers: {X-Scope-OrgID: office}\n  write_relabel:\n    \
             - {source_labels: [__name__], regex: \"augenmass_.*\", action: drop}\n    \
             - {target_label: site, replacement: berlin}\n\
             - {url: \"http://127.0.0.1:9090/api/v1/write\", name: local}",
        )
        .unwrap();
        assert_eq!(&*all[0].name, "central.example.org");
        assert_eq!((all[0].protocol, all[0].queue_bytes), (Protocol::Two, 10 << 20));
        assert_eq!(all[0].relabel.len(), 2);
        assert_eq!(&*all[0].relabel[1].replacement, "berlin");
        assert_eq!((&*all[1].name, all[1].protocol), ("local", Protocol::One));
        assert!(!format!("{all:?}").contains("canary"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, says: &str| {
            let problems = parse(text).unwrap_err();
            assert!(problems.contains(says), "{text}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        };
        check("- {url: \"http://joe:hunter2@10.0.0.1/\"}", "basic: {username, password}");
        check("- {url: \"http://a.example.org/\", bearer: {env: T}}", "https://");
        check("- {url: \"https://a/\", headers: {Authorization: x}}", "set by the program");
        check("- {url: \"https://a/\", queue: 10KiB}", "at least 1MiB");
        check("- {url: \"https://a/\", write_relabel: [{action: kepe}]}", "`keep`");
        check("- {url: \"https://a/\", write_relabel: [{action: replace}]}", "target_label");
        check("- {url: \"https://a/1\"}\n- {url: \"https://a/2\"}", "two destinations `a`");
    }
}
