//! How mail is handed in: `global.smtp_*` and the same in an `email_configs` entry.

use std::sync::Arc;
use std::time::Duration;

use super::super::problem::Position;
use super::super::reader::{Fields, Reader};
use super::http::secret;
use super::plain;
use super::tls::tls;
use crate::model::Secret;
use crate::notify::{EmailSettings, Handshake, MailLogin, SmtpTls};

/// What the keys are called.
pub(super) struct Names {
    smarthost: &'static str,
    from: &'static str,
    hello: &'static str,
    username: &'static str,
    password: &'static str,
    password_file: &'static str,
    identity: &'static str,
    secret: &'static str,
    secret_file: &'static str,
    require_tls: &'static str,
    implicit_tls: &'static str,
    tls: &'static str,
}

pub(super) const GLOBAL_NAMES: Names = Names {
    smarthost: "smtp_smarthost",
    from: "smtp_from",
    hello: "smtp_hello",
    username: "smtp_auth_username",
    password: "smtp_auth_password",
    password_file: "smtp_auth_password_file",
    identity: "smtp_auth_identity",
    secret: "smtp_auth_secret",
    secret_file: "smtp_auth_secret_file",
    require_tls: "smtp_require_tls",
    implicit_tls: "smtp_force_implicit_tls",
    tls: "smtp_tls_config",
};

pub(super) const EMAIL_NAMES: Names = Names {
    smarthost: "smarthost",
    from: "from",
    hello: "hello",
    username: "auth_username",
    password: "auth_password",
    password_file: "auth_password_file",
    identity: "auth_identity",
    secret: "auth_secret",
    secret_file: "auth_secret_file",
    require_tls: "require_tls",
    implicit_tls: "force_implicit_tls",
    tls: "tls_config",
};

/// What was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Smtp {
    /// Host and port; the port may be nonsense.
    pub(super) smarthost: Option<Arc<str>>,
    pub(super) from: Option<Arc<str>>,
    hello: Option<Arc<str>>,
    username: Option<Arc<str>>,
    identity: Option<Arc<str>>,
    password: Option<Secret>,
    /// For CRAM-MD5.
    secret: Option<Secret>,
    require_tls: Option<bool>,
    implicit_tls: Option<bool>,
    handshake: Option<Handshake>,
}

pub(super) fn smtp(fields: &mut Fields<'_>, names: &Names, reader: &mut Reader<'_>) -> Smtp {
    let text = |fields: &mut Fields<'_>, name: &'static str, reader: &mut Reader<'_>| {
        let text = fields.get(name).and_then(|node| plain(node, name, reader))?;
        (!text.is_empty()).then(|| Arc::<str>::from(text))
    };
    let flag = |fields: &mut Fields<'_>, name: &'static str, reader: &mut Reader<'_>| {
        fields.get(name).and_then(|node| reader.boolean(node, name))
    };
    Smtp {
        smarthost: smarthost(fields, names.smarthost, reader),
        from: text(fields, names.from, reader),
        hello: text(fields, names.hello, reader),
        username: text(fields, names.username, reader),
        identity: text(fields, names.identity, reader),
        password: secret(fields, &[names.password, names.password_file], reader),
        secret: secret(fields, &[names.secret, names.secret_file], reader),
        require_tls: flag(fields, names.require_tls, reader),
        implicit_tls: flag(fields, names.implicit_tls, reader),
        handshake: tls(fields, names.tls, reader),
    }
}

/// `host:port`.
fn smarthost(
    fields: &mut Fields<'_>,
    name: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Arc<str>> {
    let node = fields.get(name)?;
    let text = reader.text(node, name)?;
    let port = text.rsplit_once(':').map(|(_, port)| port);
    if !port.is_some_and(|port| !port.is_empty() && !port.contains(']')) {
        reader.problem(node.at, format!("`{name}` should be `host:port`, found `{text}`"));
    }
    Some(text)
}

impl Smtp {
    /// What is not written here comes from `global`.
    pub(super) fn or(self, global: &Smtp) -> Smtp {
        Smtp {
            smarthost: self.smarthost.or_else(|| global.smarthost.clone()),
            from: self.from.or_else(|| global.from.clone()),
            hello: self.hello.or_else(|| global.hello.clone()),
            username: self.username.or_else(|| global.username.clone()),
            identity: self.identity.or_else(|| global.identity.clone()),
            password: self.password.or_else(|| global.password.clone()),
            secret: self.secret.or_else(|| global.secret.clone()),
            require_tls: self.require_tls.or(global.require_tls),
            implicit_tls: self.implicit_tls.or(global.implicit_tls),
            handshake: self.handshake.or_else(|| global.handshake.clone()),
        }
    }

    /// The template of the sender, when it is one.
    pub(super) fn sender_template(&self) -> Option<Arc<str>> {
        self.from.clone().filter(|from| from.contains("{{"))
    }

    fn login(&self) -> Option<MailLogin> {
        let (password, secret) = (self.password.clone(), self.secret.clone());
        (password.is_some() || secret.is_some()).then_some(())?;
        Some(MailLogin {
            user: self.username.clone()?,
            password,
            secret,
            identity: self.identity.clone(),
        })
    }

    /// The account; obstacles say why there is none. Where the sender is a template, the account
    /// has the one of `global`, for messages whose template is broken.
    pub(super) fn settings(
        &self,
        global: &Smtp,
        at: Position,
        reader: &mut Reader<'_>,
    ) -> Option<EmailSettings> {
        let (smarthost, from) = (self.smarthost.as_deref()?, self.from.clone()?);
        let (host, port) = smarthost.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Ok(port) = port.parse::<u16>() else {
            reader.obstacle(at, format!("the port of `{smarthost}` is no number"));
            return None;
        };
        let is_address = |text: &str| text.parse::<lettre::message::Mailbox>().is_ok();
        let from = if self.sender_template().is_some() {
            let domains = [self.hello.as_deref(), Some(host), Some("localhost")];
            let ours = domains.into_iter().flatten().map(|domain| format!("augenmass@{domain}"));
            let usual = global.from.iter().map(|from| from.to_string()).chain(ours);
            usual.into_iter().find(|from| is_address(from))?.into()
        } else {
            from
        };
        if !is_address(&from) {
            reader.obstacle(at, "`from` should be a mail address");
            return None;
        }
        let tls = match (self.implicit_tls, self.require_tls) {
            (Some(true), _) => SmtpTls::Implicit,
            (None, _) if port == 465 => SmtpTls::Implicit,
            (_, Some(false)) => SmtpTls::Off,
            (_, Some(true) | None) => SmtpTls::Required,
        };
        Some(EmailSettings {
            oauth_token: None,
            headers: Vec::new(),
            host: host.into(),
            port,
            from,
            reply_to: None,
            hello: self.hello.clone(),
            login: self.login(),
            tls,
            handshake: self.handshake.clone().unwrap_or_default(),
            timeout: Duration::from_secs(120),
        })
    }
}
