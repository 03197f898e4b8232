use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Sources;
use super::channels::{host_and_port, is_host};
use super::problem::{Problem, suggestion};
use super::reader::{Fields, Reader};
use super::services::{self, Surroundings};
use super::yaml::{self, Kind as Yaml, Node};
use crate::model::{Labels, Pattern, Secret};
use crate::probe::{
    BackupTarget, CertificateTarget, Confirm, Family, HttpExpect, HttpTarget, Kind,
    MailQueueSource, MailQueueTarget, Requirement, SmtpTarget, SnmpAuth, SnmpTarget, StartTls,
    Target, TcpTarget, TlsSettings, Waste,
};

const SECOND: Duration = Duration::from_secs(1);
/// Rules look back five minutes; a series that is seldomer would flicker.
const LONGEST_INTERVAL: Duration = Duration::from_secs(240);
const FAMILY: &[(&str, Family)] =
    &[("any", Family::Any), ("ipv4", Family::V4), ("ipv6", Family::V6)];
const REQUIREMENT: &[(&str, Requirement)] = &[
    ("required", Requirement::Required),
    ("optional", Requirement::Optional),
    ("off", Requirement::Off),
];
const WASTE: &[(&str, Waste)] =
    &[("remaining", Waste::Remaining), ("used", Waste::Used), ("ignore", Waste::Ignore)];
const STARTTLS: &[(&str, StartTls)] =
    &[("smtp", StartTls::Smtp), ("imap", StartTls::Imap), ("pop3", StartTls::Pop3)];
pub(super) const KINDS: &[&str] = &[
    "http",
    "certificate",
    "mail_queue",
    "printer",
    "snmp_disk",
    "ups",
    "interfaces",
    "smtp",
    "tcp",
    "backup",
];

/// When and how often, where it is told; the kind of probe decides the rest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    interval: Option<Duration>,
    timeout: Option<Duration>,
    tries: Option<u32>,
    every: Option<Duration>,
}

impl Timing {
    /// What `node` says about timing, over what is known already. With a name for `what` the
    /// node holds nothing else; without one the caller reads the other keys.
    pub fn read(self, node: Option<&Node>, what: &str, reader: &mut Reader<'_>) -> Self {
        let Some(mut fields) = node.and_then(|node| reader.fields(node, what)) else {
            return self;
        };
        let mut timing = self;
        if let Some(node) = fields.get("interval") {
            timing.interval = reader.duration(node, "interval", SECOND, LONGEST_INTERVAL);
        }
        if let Some(node) = fields.get("timeout") {
            let low = Duration::from_millis(10);
            timing.timeout = reader.duration(node, "timeout", low, LONGEST_INTERVAL);
        }
        if let Some(node) = fields.get("confirm")
            && let Some(mut confirm) = reader.fields(node, "confirm")
        {
            if let Some(node) = confirm.get("tries") {
                let tries = reader.number(node, "tries", 1, 100);
                timing.tries = tries.and_then(|tries| u32::try_from(tries).ok());
            }
            if let Some(node) = confirm.get("every") {
                let low = Duration::from_millis(100);
                timing.every = reader.duration(node, "every", low, LONGEST_INTERVAL);
            }
            confirm.finish(reader);
        }
        if !what.is_empty() {
            fields.finish(reader);
        }
        timing
    }

    /// Tells `fields` that the timing keys have been read.
    pub fn taken(self, fields: &mut Fields<'_>) -> Self {
        for name in ["interval", "timeout", "confirm"] {
            fields.get(name);
        }
        self
    }
}

/// Reads one entry of `probes:` alone, such as `http: https://example.org/`, with everything around
/// it as it is unless told otherwise; it belongs to no service and no owner. Relative paths in it
/// begin at `folder`.
///
/// # Errors
/// All problems at once.
pub fn parse_probe(
    text: &str,
    folder: &Path,
    sources: &dyn Sources,
) -> Result<Target, Vec<Problem>> {
    let mut reader = Reader::new(sources, folder);
    let around = Surroundings {
        service: "".into(),
        owner: "".into(),
        timing: Timing::default(),
        labels: Labels::default(),
    };
    let root = yaml::parse(text, &mut reader.problems);
    let target = root.and_then(|root| read(&root, &around, &mut reader));
    match target {
        Some(target) if reader.problems.is_empty() => Ok(target),
        _ => {
            reader.problems.sort();
            reader.problems.dedup();
            Err(reader.problems)
        }
    }
}

/// One entry of `probes:`, such as `http: https://example.org/`.
pub fn read(node: &Node, around: &Surroundings, reader: &mut Reader<'_>) -> Option<Target> {
    let Yaml::Map(entries) = &node.kind else {
        return reader.expected(node, "probes", "entries such as `http: https://example.org/`");
    };
    let [(key, value)] = entries.as_slice() else {
        let names: Vec<_> = entries.iter().map(|(key, _)| key.text.as_str()).collect();
        let message = format!(
            "an entry of `probes` has one kind, found {}; options belong in `{{…}}` behind it",
            names.join(", ")
        );
        reader.problem(node.at, message);
        return None;
    };
    if !KINDS.contains(&key.text.as_str()) {
        let near = suggestion(&key.text, KINDS.iter().copied());
        let kinds = KINDS.join(", ");
        let message = format!("there is no probe `{}`, expected one of {kinds}{near}", key.text);
        reader.problem(key.at, message);
        return None;
    }
    // `http: URL` is short for `http: {url: URL}`, and so on.
    let short = matches!(value.kind, Yaml::Scalar { .. }).then_some(&**value);
    let nothing = Node::nothing(value.at);
    let options = if short.is_some() { &nothing } else { &**value };
    if short.is_none() && matches!(value.kind, Yaml::Null) {
        reader.problem(key.at, format!("the probe `{}` has no target", key.text));
        return None;
    }
    let what = format!("probe `{}`", key.text);
    let mut fields = reader.fields(options, &what)?;
    let timing = around.timing.read(Some(options), "", reader).taken(&mut fields);
    let labels = services::labels(&mut fields, &around.labels, reader);
    let name = fields.get("name").and_then(|node| reader.text(node, "name"));
    let kind = match key.text.as_str() {
        "http" => http(short, &mut fields, reader),
        "certificate" => certificate(short, &mut fields, reader),
        "mail_queue" => mail_queue(short, &mut fields, reader),
        "printer" => printer(short, &mut fields, reader),
        "snmp_disk" => device(Kind::SnmpDisk, short, &mut fields, reader),
        "ups" => device(Kind::Ups, short, &mut fields, reader),
        "interfaces" => device(Kind::Interfaces, short, &mut fields, reader),
        "smtp" => smtp(short, &mut fields, reader),
        "backup" => backup(short, &mut fields, reader),
        _ => tcp(short, &mut fields, reader),
    };
    fields.finish(reader);
    let (shown, kind) = kind?;
    let (interval, timeout, confirm) = times(&timing, &kind, node, reader);
    Some(Target {
        service: around.service.clone(),
        owner: around.owner.clone(),
        name: name.unwrap_or(shown),
        labels,
        interval,
        timeout,
        confirm,
        kind,
    })
}

fn times(
    timing: &Timing,
    kind: &Kind,
    node: &Node,
    reader: &mut Reader<'_>,
) -> (Duration, Duration, Confirm) {
    let seconds = match kind {
        Kind::Http(_) | Kind::Smtp(_) | Kind::Tcp(_) => 30,
        Kind::MailQueue(_) => 60,
        Kind::Ups(_) | Kind::Interfaces(_) => 60,
        Kind::Certificate(_) | Kind::Printer(_) | Kind::SnmpDisk(_) | Kind::Backup(_) => 120,
    };
    let interval = timing.interval.unwrap_or(Duration::from_secs(seconds));
    let usual = Duration::from_secs(10).min(interval);
    let timeout = timing.timeout.unwrap_or(usual);
    if timeout > interval {
        reader.problem(node.at, "`timeout` should not be longer than `interval`");
    }
    let confirm = Confirm::default();
    let confirm = Confirm {
        tries: timing.tries.unwrap_or(confirm.tries),
        every: timing.every.unwrap_or(confirm.every),
    };
    (interval, timeout, confirm)
}

type Made = Option<(Arc<str>, Kind)>;

/// The address as people and series see it: no user name, password, query or fragment.
fn shown(url: &url::Url) -> Arc<str> {
    let mut url = url.clone();
    // Both fail only for addresses without a host, which are refused before.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.as_str().into()
}

fn http(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let url_node = short.or_else(|| fields.need("url", reader));
    let url = url_node.and_then(|node| reader.url(node, "url"));
    let method = fields.get("method").and_then(|node| {
        let words = [
            ("GET", 0),
            ("HEAD", 1),
            ("POST", 2),
            ("PUT", 3),
            ("OPTIONS", 4),
            ("PATCH", 5),
            ("DELETE", 6),
        ];
        let nth = reader.choice(node, "method", &words)?;
        http::Method::from_bytes(words[nth].0.as_bytes()).ok()
    });
    let headers = headers(fields, reader);
    let basic_auth = fields.get("basic_auth").and_then(|node| {
        let mut auth = reader.fields(node, "basic_auth")?;
        let user = auth.need("username", reader);
        let user = user.and_then(|node| reader.secret(node, "username", true));
        let password = auth.need("password", reader);
        let password = password.and_then(|node| reader.secret(node, "password", false));
        auth.finish(reader);
        user.zip(password)
    });
    let bearer = fields.get("bearer").and_then(|node| reader.secret(node, "bearer", false));
    let body = fields.get("body").and_then(|node| reader.text(node, "body"));
    let expect = fields.get("expect").map(|node| expect(node, reader)).unwrap_or_default();
    let redirects = fields.get("redirects");
    let redirects = redirects.and_then(|node| reader.number(node, "redirects", 0, 20));
    let body_limit = fields.get("body_limit").and_then(|node| reader.size(node, "body_limit"));
    let address = fields.get("address").and_then(|node| {
        let text = reader.text(node, "address")?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => reader.expected(node, "address", "an IP address"),
        }
    });
    let family = family(fields, reader);
    let tls = tls(fields, reader);
    let url = url?;
    Some((
        shown(&url),
        Kind::Http(Box::new(HttpTarget {
            url,
            method: method.unwrap_or_default(),
            headers,
            basic_auth,
            bearer,
            body: body.map(|text| text.as_bytes().to_vec()).unwrap_or_default(),
            expect,
            redirects: redirects.and_then(|n| u32::try_from(n).ok()).unwrap_or(10),
            body_limit: body_limit.unwrap_or(10 << 20),
            family,
            tls,
            address,
        })),
    ))
}

fn headers(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Vec<(http::HeaderName, Secret)> {
    let mut headers = Vec::new();
    let Some(mut all) = fields.get("headers").and_then(|node| reader.fields(node, "headers"))
    else {
        return headers;
    };
    for (key, node) in all.all() {
        let value = reader.secret(node, &key.text, true);
        let Ok(name) = http::HeaderName::from_bytes(key.text.as_bytes()) else {
            reader.problem(key.at, format!("`{}` is not a header name", key.text));
            continue;
        };
        let Some(value) = value else { continue };
        if http::HeaderValue::from_str(value.reveal()).is_err() {
            reader.problem(node.at, format!("`{}` has a value that no header may have", key.text));
            continue;
        }
        headers.push((name, value));
    }
    headers
}

fn expect(node: &Node, reader: &mut Reader<'_>) -> HttpExpect {
    let mut expect = HttpExpect::default();
    let Some(mut fields) = reader.fields(node, "expect") else { return expect };
    for node in fields.get("status").map(|node| reader.list(node)).unwrap_or_default() {
        let status = reader.number(node, "status", 100, 599);
        expect.status.extend(status.and_then(|status| u16::try_from(status).ok()));
    }
    for node in fields.get("body").map(|node| reader.list(node)).unwrap_or_default() {
        expect.body.extend(reader.regex(node, "body"));
    }
    for node in fields.get("body_not").map(|node| reader.list(node)).unwrap_or_default() {
        expect.body_not.extend(reader.regex(node, "body_not"));
    }
    if let Some(mut headers) =
        fields.get("headers").and_then(|node| reader.fields(node, "expect.headers"))
    {
        for (key, node) in headers.all() {
            let Ok(name) = http::HeaderName::from_bytes(key.text.as_bytes()) else {
                reader.problem(key.at, format!("`{}` is not a header name", key.text));
                continue;
            };
            let Some(text) = reader.text(node, &key.text) else { continue };
            match Pattern::new(&text) {
                Ok(pattern) => expect.headers.push((name, pattern)),
                Err(error) => {
                    let message = format!("`{}` is not a regular expression: {error}", key.text);
                    reader.problem(node.at, message);
                }
            }
        }
    }
    expect.tls = fields.get("tls").and_then(|node| reader.boolean(node, "tls"));
    fields.finish(reader);
    expect
}

fn family(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Family {
    let family = fields.get("family").and_then(|node| reader.choice(node, "family", FAMILY));
    family.unwrap_or_default()
}

fn tls(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> TlsSettings {
    let mut settings = TlsSettings::default();
    let Some(mut tls) = fields.get("tls").and_then(|node| reader.fields(node, "tls")) else {
        return settings;
    };
    settings.ca_file = tls.get("ca_file").and_then(|node| reader.path(node, "ca_file"));
    if let Some(node) = tls.get("server_name")
        && let Some(name) = reader.text(node, "server_name")
    {
        if is_host(&name) {
            settings.server_name = Some(name);
        } else {
            reader.expected::<()>(node, "server_name", "a host name");
        }
    }
    let skip = tls.get("skip_verify").and_then(|node| reader.boolean(node, "skip_verify"));
    settings.skip_verify = skip.unwrap_or(false);
    tls.finish(reader);
    settings
}

/// Host and port from the short form, or from `host` and `port`.
fn host(
    short: Option<&Node>,
    default: Option<u16>,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<(Arc<str>, u16)> {
    if let Some(node) = short {
        return host_and_port(node, "host", default, reader);
    }
    let node = fields.need("host", reader);
    let port = fields.get("port");
    let port = port.and_then(|node| reader.number(node, "port", 1, 65_535));
    let port = port.and_then(|port| u16::try_from(port).ok()).or(default);
    host_and_port(node?, "host", port, reader)
}

/// `host`, or `host:port` where the port is not the usual one.
fn shown_host(host: &str, port: u16, usual: u16) -> Arc<str> {
    let v6 = host.contains(':');
    match (port == usual, v6) {
        (true, _) => host.into(),
        (false, false) => format!("{host}:{port}").into(),
        (false, true) => format!("[{host}]:{port}").into(),
    }
}

fn certificate(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let starttls = fields.get("starttls");
    let starttls = starttls.and_then(|node| reader.choice(node, "starttls", STARTTLS));
    let usual = match starttls {
        None => 443,
        Some(StartTls::Smtp) => 25,
        Some(StartTls::Imap) => 143,
        Some(StartTls::Pop3) => 110,
    };
    let host = host(short, Some(usual), fields, reader);
    let family = family(fields, reader);
    let tls = tls(fields, reader);
    let (host, port) = host?;
    let name = shown_host(&host, port, usual);
    let target = CertificateTarget { host, port, tls, family, starttls };
    Some((name, Kind::Certificate(Box::new(target))))
}

fn mail_queue(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    if let Some(node) = short {
        reader.choice(node, "mail_queue", &[("postfix", ())])?;
        let target = MailQueueTarget { source: MailQueueSource::Local };
        return Some(("postfix".into(), Kind::MailQueue(target)));
    }
    let local = fields.get("postfix");
    let postqueue = fields.get("postqueue");
    let showq = fields.get("showq");
    let config_dir = fields.get("config_dir").and_then(|node| reader.path(node, "config_dir"));
    let source = match (local, postqueue, showq) {
        (Some(node), None, None) => {
            reader.choice(node, "postfix", &[("local", ())])?;
            if config_dir.is_some() {
                MailQueueSource::Postqueue { program: "postqueue".into(), config_dir }
            } else {
                MailQueueSource::Local
            }
        }
        (None, Some(node), None) => {
            MailQueueSource::Postqueue { program: reader.path(node, "postqueue")?, config_dir }
        }
        (None, None, Some(node)) => MailQueueSource::Showq { socket: reader.path(node, "showq")? },
        _ => {
            let message =
                "`mail_queue` needs one of `postfix: local`, `postqueue: PROGRAM`, `showq: SOCKET`";
            reader.problem(fields.at, message);
            return None;
        }
    };
    Some(("postfix".into(), Kind::MailQueue(MailQueueTarget { source })))
}

fn printer(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let waste = fields.get("waste").and_then(|node| reader.choice(node, "waste", WASTE));
    let (name, target) = snmp(short, fields, reader)?;
    let waste = waste.unwrap_or_default();
    Some((name, Kind::Printer(Box::new(SnmpTarget { waste, ..target }))))
}

fn device(
    kind: fn(Box<SnmpTarget>) -> Kind,
    short: Option<&Node>,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Made {
    let (name, target) = snmp(short, fields, reader)?;
    Some((name, kind(Box::new(target))))
}

fn snmp(
    short: Option<&Node>,
    fields: &mut Fields<'_>,
    reader: &mut Reader<'_>,
) -> Option<(Arc<str>, SnmpTarget)> {
    let host = host(short, Some(161), fields, reader);
    let community = fields.get("community");
    let community = community.and_then(|node| reader.secret(node, "community", true));
    let community = community.unwrap_or_else(|| Secret::new("public"));
    let version = fields.get("version");
    let version = version
        .and_then(|node| reader.choice(node, "version", &[("1", 1), ("2c", 2)]))
        .unwrap_or(2);
    let retries = fields.get("retries");
    let retries = retries.and_then(|node| reader.number(node, "retries", 0, 16));
    let (host, port) = host?;
    let name = shown_host(&host, port, 161);
    let auth = match version {
        1 => SnmpAuth::V1 { community },
        _ => SnmpAuth::V2c { community },
    };
    let retries = retries.and_then(|n| u32::try_from(n).ok()).unwrap_or(2);
    Some((name, SnmpTarget { host, port, auth, retries, waste: Waste::default() }))
}

fn smtp(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let host = host(short, Some(25), fields, reader);
    let starttls = fields.get("starttls");
    let starttls = starttls.and_then(|node| reader.choice(node, "starttls", REQUIREMENT));
    let hello = fields.get("hello").and_then(|node| reader.text(node, "hello"));
    let family = family(fields, reader);
    let tls = tls(fields, reader);
    let (host, port) = host?;
    let name = shown_host(&host, port, 25);
    let target = SmtpTarget {
        host,
        port,
        starttls: starttls.unwrap_or_default(),
        tls,
        family,
        hello: hello.unwrap_or_else(|| "localhost".into()),
    };
    Some((name, Kind::Smtp(Box::new(target))))
}

/// `backup: /srv/backup/db-*.dump`; a folder alone means all of its files.
fn backup(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let node = match (short, fields.get("path")) {
        (Some(node), _) | (None, Some(node)) => node,
        (None, None) => {
            reader.problem(fields.at, "`backup` needs `path: /srv/backup/db-*.dump`");
            return None;
        }
    };
    let written = reader.text(node, "path")?;
    let path = reader.path(node, "path")?;
    let (folder, pattern) = match path.file_name().map(|name| name.to_string_lossy()) {
        Some(name) if name.contains('*') => (path.parent()?.to_owned(), name.into_owned().into()),
        _ => (path.clone(), "*".into()),
    };
    if folder.to_string_lossy().contains('*') {
        reader.problem(node.at, "`path`: a `*` stands for a part of a file name only");
    }
    Some((written, Kind::Backup(BackupTarget { folder, pattern })))
}

fn tcp(short: Option<&Node>, fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Made {
    let host = host(short, None, fields, reader);
    let family = family(fields, reader);
    let (host, port) = host?;
    let name = shown_host(&host, port, 0);
    Some((name, Kind::Tcp(TcpTarget { host, port, family })))
}
