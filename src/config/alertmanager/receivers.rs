use std::sync::Arc;
use std::time::Duration;

use super::super::problem::Position;
use super::super::reader::{Fields, Reader};
use super::super::yaml::{Key, Kind, Node};
use super::http::{http, one_of};
use super::smtp::{EMAIL_NAMES, GLOBAL_NAMES, Smtp, smtp};
use super::{items, plain, span};
use crate::model::Secret;
use crate::notify::{Access, EmailSettings};
use crate::render::separated;

/// Somebody who is told, by any number of ways.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// What routes call it.
    pub name: Arc<str>,
    /// The ways, in the order of the file.
    pub integrations: Vec<Integration>,
    /// Where it stands in the file.
    pub at: Position,
}

/// One way to tell a receiver.
#[derive(Clone, Debug)]
pub enum Integration {
    /// `email_configs`
    Email {
        /// One or more addresses, separated by commas; or a template of them.
        to: Arc<str>,
        /// Template of the sender; none where the account has one.
        from: Option<Arc<str>>,
        /// Whether ends are told; by default they are not.
        send_resolved: bool,
        /// The account; `None` when it cannot be used, which is an obstacle.
        settings: Option<Box<EmailSettings>>,
        /// Templates.
        words: MailWords,
    },
    /// `webhook_configs`
    Webhook {
        /// Where; may hold templates and secrets. `None` when it stands in a file that cannot be
        /// read.
        url: Option<Secret>,
        /// At most so many alerts in one call; 0 = all.
        max_alerts: u64,
        /// Whether ends are told; by default they are.
        send_resolved: bool,
        /// How we show who we are, and whom we trust.
        access: Box<Access>,
        /// The longest a call may take.
        timeout: Duration,
        /// `payload`: a body of its own, with templates in it.
        body: Option<serde_json::Value>,
    },
    /// `matrix_configs`, our own.
    Matrix {
        /// Room id or alias.
        room: Arc<str>,
        /// Whether ends are told; by default they are.
        send_resolved: bool,
    },
}

/// The templates of a mail; what is absent is worded by us.
#[derive(Clone, Debug, Default)]
pub struct MailWords {
    /// Of the subject.
    pub subject: Option<Arc<str>>,
    /// Of the plain text.
    pub text: Option<Arc<str>>,
    /// Of the HTML.
    pub html: Option<Arc<str>>,
    /// Of further header fields.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
}

/// The longest a webhook may take unless told otherwise.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(30);

/// What `global` says, as far as it matters elsewhere.
#[derive(Debug, Default)]
pub(super) struct Global {
    pub(super) resolve_timeout: Option<Duration>,
    smtp: Smtp,
    http: Access,
}

/// Keys of `global` that are known; those of services we do not speak to are read over.
const GLOBAL: &[&str] = &[
    "resolve_timeout",
    "http_config",
    "smtp_from",
    "smtp_hello",
    "smtp_smarthost",
    "smtp_auth_username",
    "smtp_auth_password",
    "smtp_auth_password_file",
    "smtp_auth_secret",
    "smtp_auth_secret_file",
    "smtp_auth_identity",
    "smtp_require_tls",
    "smtp_force_implicit_tls",
    "smtp_tls_config",
    "slack_api_url",
    "slack_api_url_file",
    "slack_app_token",
    "slack_app_token_file",
    "slack_app_url",
    "pagerduty_url",
    "opsgenie_api_url",
    "opsgenie_api_key",
    "opsgenie_api_key_file",
    "wechat_api_url",
    "wechat_api_secret",
    "wechat_api_secret_file",
    "wechat_api_corp_id",
    "victorops_api_url",
    "victorops_api_key",
    "victorops_api_key_file",
    "telegram_api_url",
    "telegram_bot_token",
    "telegram_bot_token_file",
    "webex_api_url",
    "rocketchat_api_url",
    "rocketchat_token",
    "rocketchat_token_file",
    "rocketchat_token_id",
    "rocketchat_token_id_file",
    "mattermost_webhook_url",
    "mattermost_webhook_url_file",
    "jira_api_url",
];

pub(super) fn global(node: Option<&Node>, reader: &mut Reader<'_>) -> Global {
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "global")) else {
        return Global::default();
    };
    for &name in GLOBAL {
        let _ = fields.get(name);
    }
    one_of_each_pair(&mut fields, GLOBAL, reader);
    let http = http(&mut fields, reader).unwrap_or_default();
    let resolve_timeout =
        fields.get("resolve_timeout").and_then(|node| span(node, "resolve_timeout", reader));
    let smtp = smtp(&mut fields, &GLOBAL_NAMES, reader);
    fields.finish(reader);
    Global { resolve_timeout, smtp, http }
}

/// `x` and `x_file` exclude each other; those of mail are looked at where they are read.
fn one_of_each_pair(fields: &mut Fields<'_>, names: &[&'static str], reader: &mut Reader<'_>) {
    for &file in names.iter().filter(|name| name.ends_with("_file")) {
        if let Some(&plain) = names.iter().find(|name| Some(**name) == file.strip_suffix("_file"))
            && !plain.starts_with("smtp_")
        {
            let _ = one_of(fields, &[plain, file], reader);
        }
    }
}

pub(super) fn read(node: &Node, global: &Global, reader: &mut Reader<'_>) -> Vec<Receiver> {
    let mut receivers: Vec<Receiver> = Vec::new();
    for item in items(node, "receivers", reader) {
        let Some(mut fields) = reader.fields(item, "a receiver") else { continue };
        let name = fields.need("name", reader).and_then(|node| reader.text(node, "name"));
        let mut integrations = Vec::new();
        for (kind, read) in [
            ("email_configs", email as fn(&mut Fields<'_>, &Global, &mut Reader<'_>) -> _),
            ("webhook_configs", webhook),
            ("matrix_configs", matrix),
        ] {
            let Some(node) = fields.get(kind) else { continue };
            for config in items(node, kind, reader) {
                let Some(mut inner) = reader.fields(config, kind) else { continue };
                integrations.extend(read(&mut inner, global, reader));
                inner.finish(reader);
            }
        }
        foreign(item, reader);
        let Some(name) = name else { continue };
        if receivers.iter().any(|receiver| receiver.name == name) {
            reader.problem(item.at, format!("the receiver `{name}` is given twice"));
        }
        receivers.push(Receiver { name, integrations, at: item.at });
    }
    receivers
}

/// Everything else in a receiver is a service of somebody else.
fn foreign(node: &Node, reader: &mut Reader<'_>) {
    let known = ["name", "email_configs", "webhook_configs", "matrix_configs"];
    let Kind::Map(entries) = &node.kind else { return };
    let problem = |(key, _): &(Key, _)| -> Option<(Position, String)> {
        if known.contains(&key.text.as_str()) {
            return None;
        }
        let advice = match key.text.ends_with("_configs") {
            true => ": connect that service through `webhook_configs`".to_owned(),
            false => format!(", expected one of {}", known.join(", ")),
        };
        Some((key.at, format!("`{}` is not known here{advice}", key.text)))
    };
    for (at, message) in entries.iter().filter_map(problem) {
        reader.problem(at, message);
    }
}

const EMAIL: &[&str] = &[
    "send_resolved",
    "to",
    "from",
    "smarthost",
    "hello",
    "auth_username",
    "auth_password",
    "auth_password_file",
    "auth_secret",
    "auth_secret_file",
    "auth_identity",
    "require_tls",
    "force_implicit_tls",
    "tls_config",
    "html",
    "text",
    "headers",
    "threading",
];

fn email(fields: &mut Fields<'_>, global: &Global, reader: &mut Reader<'_>) -> Option<Integration> {
    for &name in EMAIL {
        let _ = fields.get(name);
    }
    let at = fields.at;
    let smtp = smtp(fields, &EMAIL_NAMES, reader).or(&global.smtp);
    if smtp.smarthost.is_none() {
        reader.problem(at, "email needs a `smarthost`, here or as `smtp_smarthost` in `global`");
    }
    if smtp.from.is_none() {
        reader.problem(at, "email needs a `from`, here or as `smtp_from` in `global`");
    }
    let settings = smtp.settings(&global.smtp, at, reader).map(Box::new);
    let from = smtp.sender_template();
    let send_resolved = send_resolved(fields, false, reader);
    let words = words(fields, reader);
    let node = fields.need("to", reader)?;
    let to = reader.text(node, "to")?;
    let is_address = |one: &&str| one.parse::<lettre::message::Mailbox>().is_ok();
    if !to.contains("{{")
        && let Some(bad) = separated(&to).find(|one| !is_address(one))
    {
        let bad = super::super::yaml::shorten(bad);
        reader.obstacle(node.at, format!("`to`: `{bad}` is no mail address"));
    }
    Some(Integration::Email { to, from, send_resolved, settings, words })
}

fn words(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> MailWords {
    let mut template = |name: &'static str, reader: &mut Reader<'_>| -> Option<Arc<str>> {
        let text = fields.get(name).and_then(|node| plain(node, name, reader))?;
        (!text.is_empty()).then(|| text.into())
    };
    let (text, html) = (template("text", reader), template("html", reader));
    let mut words = MailWords { text, html, ..MailWords::default() };
    let headers = fields.get("headers").and_then(|node| reader.fields(node, "headers"));
    for (key, node) in headers.into_iter().flat_map(|mut headers| headers.all()) {
        let Some(value) = plain(node, &key.text, reader) else { continue };
        if key.text.eq_ignore_ascii_case("subject") {
            words.subject = Some(value.into());
        } else {
            words.headers.push((key.text.as_str().into(), value.into()));
        }
    }
    words
}

const WEBHOOK: &[&str] =
    &["send_resolved", "http_config", "url", "url_file", "max_alerts", "timeout", "payload"];

fn webhook(
    fields: &mut Fields<'_>,
    global: &Global,
    reader: &mut Reader<'_>,
) -> Option<Integration> {
    for &name in WEBHOOK {
        let _ = fields.get(name);
    }
    one_of_each_pair(fields, WEBHOOK, reader);
    let http = http(fields, reader).unwrap_or_else(|| global.http.clone());
    let timeout = fields.get("timeout").and_then(|node| span(node, "timeout", reader));
    let timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(WEBHOOK_TIMEOUT);
    let body = fields.get("payload").map(Node::json);
    let at = fields.at;
    let file = fields.get("url_file");
    let url = match (fields.get("url"), file) {
        (Some(node), _) => address(node, reader),
        (None, Some(node)) => address_in_file(node, reader),
        (None, None) => {
            reader.problem(at, "a webhook needs `url` or `url_file`");
            None
        }
    };
    let max_alerts = fields.get("max_alerts");
    let max_alerts = max_alerts.and_then(|node| reader.number(node, "max_alerts", 0, u64::MAX));
    let send_resolved = send_resolved(fields, true, reader);
    Some(Integration::Webhook {
        url,
        max_alerts: max_alerts.unwrap_or(0),
        send_resolved,
        access: Box::new(http),
        timeout,
        body,
    })
}

fn matrix(fields: &mut Fields<'_>, _: &Global, reader: &mut Reader<'_>) -> Option<Integration> {
    let send_resolved = send_resolved(fields, true, reader);
    let node = fields.need("room", reader)?;
    let room = reader.text(node, "room")?;
    if !room.starts_with(['!', '#']) {
        reader.problem(node.at, "`room` should be an id (`!…`) or an alias (`#…:server`)");
    }
    Some(Integration::Matrix { room, send_resolved })
}

fn send_resolved(fields: &mut Fields<'_>, usual: bool, reader: &mut Reader<'_>) -> bool {
    let node = fields.get("send_resolved");
    node.and_then(|node| reader.boolean(node, "send_resolved")).unwrap_or(usual)
}

/// A web address, or the template of one.
fn address(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
    let text = plain(node, "url", reader)?;
    if text.contains("{{") {
        return Some(Secret::new(text));
    }
    reader.url(node, "url").map(|url| Secret::new(url.as_str()))
}

fn address_in_file(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
    let text = reader.content(node, "url_file")?;
    let text = text.trim();
    let fits = url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if fits || text.contains("{{") {
        return Some(Secret::new(text));
    }
    reader.obstacle(node.at, "`url_file`: there is no web address in the file");
    None
}
