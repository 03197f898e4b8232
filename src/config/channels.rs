use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use super::yaml::Node;
use crate::notify::{
    Access, EmailSettings, Handshake, MailLogin, MatrixSettings, Settings, SmtpTls, WebhookSettings,
};

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(900);
const TLS: &[(&str, SmtpTls)] = &[
    ("required", SmtpTls::Required),
    ("implicit", SmtpTls::Implicit),
    ("opportunistic", SmtpTls::Opportunistic),
    ("off", SmtpTls::Off),
];

/// `notify:`.
pub fn read(node: Option<&Node>, reader: &mut Reader<'_>) -> Settings {
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "notify")) else {
        return Settings::default();
    };
    let email = fields.get("email").and_then(|node| email(node, reader));
    let matrix = fields.get("matrix").and_then(|node| matrix(node, reader));
    let webhooks = fields.get("webhooks").map(|node| webhooks(node, reader)).unwrap_or_default();
    fields.finish(reader);
    Settings { email, matrix, webhooks }
}

/// `messages:`.
pub fn templates(node: Option<&Node>, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let mut fields = reader.fields(node?, "messages")?;
    let node = fields.get("templates");
    let folder = node.and_then(|node| reader.path(node, "templates"));
    fields.finish(reader);
    if let (Some(node), Some(folder)) = (node, &folder)
        && !folder.is_dir()
    {
        reader.problem(node.at, "`templates` should be a folder with `de.ftl` or `en.ftl`");
    }
    folder
}

fn email(node: &Node, reader: &mut Reader<'_>) -> Option<EmailSettings> {
    let mut fields = reader.fields(node, "notify.email")?;
    let smarthost = fields.need("smarthost", reader);
    let host_port = smarthost.and_then(|node| host_and_port(node, "smarthost", Some(587), reader));
    let from_node = fields.need("from", reader);
    let from = from_node.and_then(|node| mailbox(node, "from", reader));
    let reply_to = fields.get("reply_to").and_then(|node| mailbox(node, "reply_to", reader));
    let hello = fields.get("hello").and_then(|node| reader.text(node, "hello"));
    let username = fields.get("username").and_then(|node| reader.text(node, "username"));
    let password_node = fields.get("password");
    let password = password_node.and_then(|node| reader.secret(node, "password", false));
    let oauth_node = fields.get("oauth_token_file");
    let oauth = oauth_node.and_then(|node| reader.path(node, "oauth_token_file"));
    let headers = fields.get("headers").map(|node| headers(node, reader)).unwrap_or_default();
    let tls_node = fields.get("tls");
    let tls = tls_node.and_then(|node| reader.choice(node, "tls", TLS));
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node, "ca_file"));
    let timeout = fields.get("timeout");
    let timeout = timeout.and_then(|node| reader.duration(node, "timeout", SHORTEST, LONGEST));
    let at = fields.at;
    fields.finish(reader);
    if username.is_some() != (password_node.is_some() || oauth_node.is_some()) {
        let message = "notify.email needs `username` and `password` (or `oauth_token_file`) together, or neither";
        reader.problem(at, message);
    }
    if password_node.is_some() && oauth_node.is_some() {
        reader.problem(at, "notify.email takes `password` or `oauth_token_file`, not both");
    }
    let (host, port) = host_port?;
    let tls = tls.unwrap_or(if port == 465 { SmtpTls::Implicit } else { SmtpTls::Required });
    if tls == SmtpTls::Off && !is_loopback(&host) {
        let at = tls_node.map_or(at, |node| node.at);
        let message = "`tls: off` is only for a mail server on this machine (localhost)";
        reader.problem(at, message);
    }
    Some(EmailSettings {
        host,
        port,
        from: from?,
        reply_to,
        hello,
        login: username.clone().zip(password).map(|(user, word)| MailLogin::new(&user, &word)),
        oauth_token: username.zip(oauth),
        headers,
        tls,
        handshake: Handshake::trusting(ca_file),
        timeout: timeout.unwrap_or(Duration::from_secs(120)),
    })
}

/// Headers of our own making: names as RFC 5322 allows them, none that we write ourselves.
fn headers(node: &Node, reader: &mut Reader<'_>) -> Vec<(Arc<str>, Arc<str>)> {
    const OURS: [&str; 14] = [
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "auto-submitted",
    ];
    let Some(mut fields) = reader.fields(node, "notify.email.headers") else { return Vec::new() };
    let mut headers = Vec::new();
    for (key, node) in fields.all() {
        let Some(value) = reader.text(node, "the header") else { continue };
        let name = &key.text;
        let fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !fits || value.contains(char::is_control) {
            reader.problem(key.at, format!("`{name}` is no header with a text on one line"));
        } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            reader.problem(key.at, format!("`{name}` is written by the program itself"));
        } else {
            headers.push((name.as_str().into(), value));
        }
    }
    headers
}

fn mailbox(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = reader.text(node, what)?;
    if text.parse::<lettre::message::Mailbox>().is_err() {
        return reader.expected(node, what, "a mail address such as `orwell@example.org`");
    }
    Some(text)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `host`, `host:port`, `[v6]:port`.
pub fn host_and_port(
    node: &Node,
    what: &str,
    default: Option<u16>,
    reader: &mut Reader<'_>,
) -> Option<(Arc<str>, u16)> {
    let text = reader.text(node, what)?;
    let wanted = if default.is_some() { "a host or `host:port`" } else { "`host:port`" };
    if let Ok(address) = text.parse::<IpAddr>() {
        return match default {
            Some(port) => Some((address.to_string().into(), port)),
            None => reader.expected(node, what, wanted),
        };
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port > 0)),
        None => (&*text, default),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match port {
        Some(port) if is_host(host) => Some((host.into(), port)),
        _ => reader.expected(node, what, wanted),
    }
}

/// Whether it could be a host name or an address.
pub fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (url::Host::parse(text).is_ok() && !text.contains([':', '/', '@', ' ']))
}

fn matrix(node: &Node, reader: &mut Reader<'_>) -> Option<MatrixSettings> {
    let mut fields = reader.fields(node, "notify.matrix")?;
    let server = fields.need("homeserver", reader);
    let homeserver = server.and_then(|node| reader.url(node, "homeserver"));
    let token = fields.need("token", reader);
    let token = token.and_then(|node| reader.secret(node, "token", false));
    let ca_file = fields.get("ca_file").and_then(|node| reader.path(node, "ca_file"));
    let refresh = fields.get("refresh_token");
    let refresh = refresh.and_then(|node| reader.secret(node, "refresh_token", false));
    let clear = fields.get("allow_unencrypted");
    let clear = clear.and_then(|node| reader.boolean(node, "allow_unencrypted"));
    let level = fields.get("act_power_level");
    let level = level.and_then(|node| reader.number(node, "act_power_level", 0, 100));
    let timeout = fields.get("timeout");
    let timeout = timeout.and_then(|node| reader.duration(node, "timeout", SHORTEST, LONGEST));
    fields.finish(reader);
    let homeserver = homeserver?;
    let local =
        homeserver.host_str().is_some_and(|host| is_loopback(host.trim_matches(['[', ']'])));
    if let Some(node) = server
        && homeserver.scheme() == "http"
        && !local
    {
        reader.problem(node.at, "`homeserver` should begin with https://: the token is a password");
    }
    Some(MatrixSettings {
        homeserver,
        token: token?,
        ca_file,
        refresh_token: refresh,
        allow_unencrypted: clear.unwrap_or(false),
        // Filled when the owners are read.
        rooms: BTreeMap::new(),
        act_power_level: level.and_then(|level| i64::try_from(level).ok()).unwrap_or(50),
        timeout: timeout.unwrap_or(Duration::from_secs(30)),
    })
}

fn webhooks(node: &Node, reader: &mut Reader<'_>) -> Vec<WebhookSettings> {
    let Some(mut fields) = reader.fields(node, "notify.webhooks") else { return Vec::new() };
    let mut webhooks = Vec::new();
    for (key, node) in fields.all() {
        let Some(mut one) = reader.fields(node, &format!("webhook `{}`", key.text)) else {
            continue;
        };
        let url_node = one.need("url", reader);
        // The address may be a secret; where it is none it may stand here as it is.
        let url = url_node.and_then(|node| reader.secret(node, "url", true));
        let bearer = one.get("bearer").and_then(|node| reader.secret(node, "bearer", false));
        let timeout = one.get("timeout");
        let timeout = timeout.and_then(|node| reader.duration(node, "timeout", SHORTEST, LONGEST));
        one.finish(reader);
        let Some((url, node)) = url.zip(url_node) else { continue };
        let fits = url::Url::parse(url.reveal())
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
        if !fits {
            reader.problem(node.at, "`url` should be a web address (https://…)");
            continue;
        }
        webhooks.push(WebhookSettings {
            name: key.text.as_str().into(),
            url,
            templates: None,
            body: None,
            access: Access { bearer, ..Access::default() },
            timeout: timeout.unwrap_or(Duration::from_secs(30)),
        });
    }
    webhooks
}

/// Loopback, for sections that default to it.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
