//! `http_config` and `tls_config`: what of them we do, and obstacles for the rest.

use std::path::PathBuf;

use super::super::reader::{Fields, Reader};
use super::super::yaml::{Kind, Node};
use super::plain;
use crate::model::Secret;

/// How to call a webhook.
#[derive(Clone, Debug, Default)]
pub(super) struct Http {
    pub(super) bearer: Option<Secret>,
    pub(super) ca_file: Option<PathBuf>,
    login: Option<(String, Secret)>,
}

impl Http {
    /// The address with user name and password in it.
    pub(super) fn with_login(&self, mut url: url::Url) -> Secret {
        if let Some((user, password)) = &self.login {
            // Only addresses without a host take none, and those were refused.
            let _ = url.set_username(user);
            let _ = url.set_password(Some(password.reveal()));
        }
        Secret::new(url.as_str())
    }
}

/// Options that change where or how a call goes, and that are not supported.
const FOREIGN: &[&str] = &["oauth2", "proxy_url", "proxy_connect_header", "http_headers"];
/// Options without which a call is the same.
const IGNORED: &[&str] =
    &["follow_redirects", "enable_http2", "no_proxy", "proxy_from_environment"];

/// `http_config`, when it is given.
pub(super) fn http(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Http> {
    let node = fields.get("http_config")?;
    let mut inner = reader.fields(node, "http_config")?;
    let mut found = Http::default();
    for &name in FOREIGN {
        if let Some(node) = inner.get(name) {
            reader.obstacle(node.at, format!("`{name}` is not supported"));
        }
    }
    for &name in IGNORED {
        let _ = inner.get(name);
    }
    if let Some(node) = inner.get("basic_auth")
        && let Some(mut login) = reader.fields(node, "basic_auth")
    {
        let user = secret(&mut login, "username", "username_file", reader);
        let password = secret(&mut login, "password", "password_file", reader);
        login.finish(reader);
        let user = user.map(|user| user.reveal().to_owned()).unwrap_or_default();
        found.login = Some((user, password.unwrap_or_else(|| Secret::new(""))));
    }
    found.bearer = secret(&mut inner, "bearer_token", "bearer_token_file", reader);
    if let Some(node) = inner.get("authorization")
        && let Some(mut authorization) = reader.fields(node, "authorization")
    {
        if let Some(kind) = authorization.get("type")
            && plain(kind, "type", reader).is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
        {
            reader.obstacle(kind.at, "`authorization`: only the type `Bearer` is supported");
        }
        found.bearer = secret(&mut authorization, "credentials", "credentials_file", reader);
        authorization.finish(reader);
    }
    found.ca_file = tls(&mut inner, "tls_config", reader);
    inner.finish(reader);
    Some(found)
}

/// A secret as text, or in a file.
pub(super) fn secret(
    fields: &mut Fields<'_>,
    name: &'static str,
    file: &'static str,
    reader: &mut Reader<'_>,
) -> Option<Secret> {
    if let Some(node) = fields.get(file) {
        let _ = fields.get(name);
        return reader.content(node, file).map(|text| Secret::new(text.trim()));
    }
    let node = fields.get(name)?;
    match &node.kind {
        Kind::Scalar { text, .. } => Some(Secret::new(text)),
        _ => reader.expected(node, name, "a text"),
    }
}

/// `tls_config`: the file with trust anchors.
pub(super) fn tls(
    fields: &mut Fields<'_>,
    name: &'static str,
    reader: &mut Reader<'_>,
) -> Option<PathBuf> {
    let node: &Node = fields.get(name)?;
    let mut inner = reader.fields(node, name)?;
    for option in ["ca", "cert", "cert_file", "key", "key_file", "key_ref", "cert_ref", "ca_ref"] {
        if let Some(node) = inner.get(option) {
            reader.obstacle(node.at, format!("`{option}` is not supported, `ca_file` is"));
        }
    }
    if let Some(node) = inner.get("server_name") {
        reader.obstacle(node.at, "`server_name` is not supported: the host's own name is checked");
    }
    for option in ["min_version", "max_version"] {
        let _ = inner.get(option);
    }
    if let Some(node) = inner.get("insecure_skip_verify")
        && reader.boolean(node, "insecure_skip_verify") == Some(true)
    {
        let message = "certificates are always checked: give the issuer's certificate as `ca_file`";
        reader.obstacle(node.at, message);
    }
    let ca_file = inner.get("ca_file").and_then(|node| reader.path(node, "ca_file"));
    inner.finish(reader);
    ca_file
}
