//! `http_config` and `tls_config`: what of them we do, and obstacles for the rest.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::reader::{Fields, Reader};
use super::super::yaml::{Kind, Node};
use super::plain;
use super::receivers::Access;
use crate::model::Secret;
use crate::notify::ClientCertificate;

/// How to call a webhook.
#[derive(Clone, Debug, Default)]
pub(super) struct Http {
    pub(super) access: Access,
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
const FOREIGN: &[&str] = &["oauth2", "proxy_url", "proxy_connect_header"];
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
    found.access.bearer = secret(&mut inner, "bearer_token", "bearer_token_file", reader);
    if let Some(node) = inner.get("authorization")
        && let Some(mut authorization) = reader.fields(node, "authorization")
    {
        let kind = authorization.get("type").and_then(|node| plain(node, "type", reader));
        let kind = kind.map(str::trim).filter(|kind| !kind.is_empty()).unwrap_or("Bearer");
        let credentials = secret(&mut authorization, "credentials", "credentials_file", reader);
        authorization.finish(reader);
        match (kind.eq_ignore_ascii_case("bearer"), credentials) {
            (true, credentials) => found.access.bearer = credentials,
            (false, credentials) => {
                let credentials = credentials.unwrap_or_else(|| Secret::new(""));
                let value = Secret::new(&format!("{kind} {}", credentials.reveal()));
                found.access.headers.push(("Authorization".into(), value));
            }
        }
    }
    if let Some(node) = inner.get("http_headers") {
        found.access.headers.extend(headers(node, reader));
    }
    let (ca_file, certificate) = tls(&mut inner, "tls_config", true, reader);
    (found.access.ca_file, found.access.certificate) = (ca_file, certificate);
    inner.finish(reader);
    Some(found)
}

/// `http_headers`: for each name its `values`, `secrets` and `files`.
fn headers(node: &Node, reader: &mut Reader<'_>) -> Vec<(Arc<str>, Secret)> {
    let mut found = Vec::new();
    let Some(mut names) = reader.fields(node, "http_headers") else { return found };
    for (key, node) in names.all() {
        if http::HeaderName::try_from(key.text.as_str()).is_err() {
            reader.problem(key.at, format!("`{}` cannot be the name of a header", key.text));
            continue;
        }
        let Some(mut one) = reader.fields(node, &key.text) else { continue };
        for (kind, is_file) in [("values", false), ("secrets", false), ("files", true)] {
            for item in one.get(kind).map(|node| reader.list(node)).unwrap_or_default() {
                let value = match is_file {
                    true => reader.content(item, kind).map(|text| Secret::new(text.trim())),
                    false => plain(item, kind, reader).map(Secret::new),
                };
                found.extend(value.map(|value| (key.text.as_str().into(), value)));
            }
        }
        one.finish(reader);
    }
    found
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

/// `tls_config`: the file with trust anchors, and where `shows` says so our own certificate.
pub(super) fn tls(
    fields: &mut Fields<'_>,
    name: &'static str,
    shows: bool,
    reader: &mut Reader<'_>,
) -> (Option<PathBuf>, Option<ClientCertificate>) {
    let Some(node) = fields.get(name) else { return (None, None) };
    let Some(mut inner) = reader.fields(node, name) else { return (None, None) };
    let mut certificate = None;
    if shows {
        let mut file = |name: &'static str, reader: &mut Reader<'_>| {
            inner.get(name).and_then(|node| reader.path(node, name))
        };
        match (file("cert_file", reader), file("key_file", reader)) {
            (Some(cert_file), Some(key_file)) => {
                certificate = Some(ClientCertificate { cert_file, key_file });
            }
            (None, None) => {}
            _ => reader.problem(node.at, "`cert_file` and `key_file` go together"),
        }
    }
    let files: &[&'static str] = if shows { &[] } else { &["cert_file", "key_file"] };
    for option in ["ca", "cert", "key", "key_ref", "cert_ref", "ca_ref"].iter().chain(files) {
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
    (ca_file, certificate)
}
