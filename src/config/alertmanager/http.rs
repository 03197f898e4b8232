//! `http_config`: how a webhook is called.

use std::sync::Arc;

use super::super::reader::{Fields, Reader};
use super::super::yaml::{Kind, Node};
use super::scalars::{filled, flag, is_no_url_at_all, some_text};
use super::tls::tls;
use super::{items, plain};
use crate::model::Secret;
use crate::notify::{Access, OAuth2, Proxies};

/// Options without which a call is the same.
const IGNORED: &[&str] = &["follow_redirects", "enable_http2"];

/// `http_config`, when it is given.
pub(super) fn http(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Access> {
    let node = fields.get("http_config")?;
    let mut inner = reader.fields(node, "http_config")?;
    let mut found = Access::default();
    for &name in IGNORED {
        if let Some(node) = inner.get(name) {
            let _ = flag(node, name, reader);
        }
    }
    one_login(&mut inner, reader);
    if let Some(node) = inner.get("basic_auth")
        && let Some(mut login) = reader.fields(node, "basic_auth")
    {
        let user = secret(&mut login, "username", "username_file", reader);
        let password = secret(&mut login, "password", "password_file", reader);
        login.finish(reader);
        let text = |part: &Option<Secret>| {
            part.as_ref().map_or_else(String::new, |part| part.reveal().to_owned())
        };
        found.login = Some(Secret::new(&format!("{}:{}", text(&user), text(&password))));
    }
    found.bearer = secret(&mut inner, "bearer_token", "bearer_token_file", reader);
    if let Some(node) = inner.get("authorization")
        && let Some(mut authorization) = reader.fields(node, "authorization")
    {
        let kind = authorization.get("type").and_then(|node| plain(node, "type", reader));
        let kind = kind.map(str::trim).filter(|kind| !kind.is_empty()).unwrap_or("Bearer");
        let credentials = secret(&mut authorization, "credentials", "credentials_file", reader);
        authorization.finish(reader);
        match (kind.eq_ignore_ascii_case("bearer"), credentials) {
            (true, credentials) => found.bearer = credentials,
            (false, credentials) => {
                let credentials = credentials.unwrap_or_else(|| Secret::new(""));
                let value = Secret::new(&format!("{kind} {}", credentials.reveal()));
                found.headers.push(("Authorization".into(), value));
            }
        }
    }
    found.oauth2 = inner.get("oauth2").and_then(|node| oauth2(node, reader)).map(Box::new);
    if let Some(node) = inner.get("http_headers") {
        found.headers.extend(headers(node, reader));
    }
    found.proxies = proxies(&mut inner, reader);
    found.handshake = tls(&mut inner, "tls_config", reader).unwrap_or_default();
    inner.finish(reader);
    Some(found)
}

/// There is one way to show who we are.
fn one_login(inner: &mut Fields<'_>, reader: &mut Reader<'_>) {
    let ways = ["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"];
    let given: Vec<_> =
        ways.into_iter().filter_map(|name| Some((name, inner.get(name)?))).collect();
    if let [(first, _), (second, node), ..] = &given[..] {
        reader.problem(node.at, format!("either `{first}` or `{second}`, not both"));
    }
}

const OAUTH2: &[&str] = &[
    "client_id",
    "client_secret",
    "client_secret_file",
    "client_secret_ref",
    "client_certificate_key_id",
    "client_certificate_key",
    "client_certificate_key_file",
    "client_certificate_key_ref",
    "grant_type",
    "signature_algorithm",
    "iss",
    "audience",
    "claims",
];

fn oauth2(node: &Node, reader: &mut Reader<'_>) -> Option<OAuth2> {
    let mut inner = reader.fields(node, "oauth2")?;
    let grant = inner.get("grant_type").and_then(|node| plain(node, "grant_type", reader));
    if grant.is_some_and(|grant| !matches!(grant, "" | "client_credentials")) {
        let message = "`oauth2`: of the grant types only `client_credentials` is supported";
        reader.obstacle(node.at, message);
    }
    for &name in OAUTH2 {
        if let Some(node) = inner.get(name)
            && (name.starts_with("client_certificate") || name.ends_with("_ref"))
        {
            reader.obstacle(node.at, format!("`{name}` is not supported"));
        }
    }
    if let (Some(_), Some(node)) = (inner.get("client_secret"), inner.get("client_secret_file")) {
        let message = "either `client_secret` or `client_secret_file`, not both";
        reader.problem(node.at, message);
    }
    let client_id = inner.need("client_id", reader);
    let client_id = client_id.and_then(|node| some_text(node, "client_id", reader));
    let client_secret = secret(&mut inner, "client_secret", "client_secret_file", reader);
    let token_url = inner.need("token_url", reader);
    let token_url = token_url.and_then(|node| token_url_of(node, reader));
    let scopes = inner.get("scopes").map(|node| items(node, "scopes", reader));
    let scopes = scopes.unwrap_or_default().into_iter();
    let scopes = scopes.filter_map(|node| filled(node, "scopes", reader)).map(Arc::from).collect();
    let mut parameters = Vec::new();
    let more = inner.get("endpoint_params");
    let more = more.and_then(|node| reader.fields(node, "endpoint_params"));
    for (key, node) in more.map(|mut more| more.all()).unwrap_or_default() {
        if let Some(value) = plain(node, &key.text, reader) {
            parameters.push((key.text.as_str().into(), Secret::new(value)));
        }
    }
    let proxies = proxies(&mut inner, reader);
    let handshake = tls(&mut inner, "tls_config", reader).unwrap_or_default();
    inner.finish(reader);
    Some(OAuth2 {
        client_id: client_id?.into(),
        client_secret: client_secret.unwrap_or_else(|| Secret::new("")),
        token_url: token_url?,
        scopes,
        parameters,
        handshake,
        proxies,
    })
}

/// Any text is a well-written `token_url`.
fn token_url_of(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
    let text = some_text(node, "token_url", reader)?;
    let url = url::Url::parse(text);
    if !url.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        reader.obstacle(node.at, "`token_url` should be a http or https URL with a host");
        return None;
    }
    Some(Secret::new(text))
}

/// `proxy_url` and its kin.
fn proxies(inner: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Proxies> {
    let proxy = inner.get("proxy_url");
    let no_proxy = inner.get("no_proxy").filter(|node| !node.is_empty_text());
    let surroundings = inner.get("proxy_from_environment");
    let surroundings =
        surroundings.filter(|node| flag(node, "proxy_from_environment", reader) == Some(true));
    let connect = inner.get("proxy_connect_header");
    let said_empty = proxy.is_some_and(Node::is_empty_text);
    let proxy = proxy.filter(|node| !node.is_empty_text());
    if let (Some(node), Some(_)) = (surroundings, proxy.or(no_proxy)) {
        let message = "`proxy_from_environment` goes without `proxy_url` and `no_proxy`";
        reader.problem(node.at, message);
    }
    if let (None, None, Some(node)) = (proxy, surroundings, no_proxy.or(connect))
        && !said_empty
    {
        reader.problem(node.at, "there is no `proxy_url` to which this belongs");
    }
    let connect_headers = connect.map(|node| connect_headers(node, reader)).unwrap_or_default();
    if surroundings.is_some() {
        let variable = |names: [&str; 2]| {
            let values = names.iter().filter_map(|name| reader.sources().env(name));
            values.map(|value| value.trim().to_owned()).find(|value| !value.is_empty())
        };
        let address = |value: String| {
            let whole = value.contains("://");
            Secret::new(&if whole { value } else { format!("http://{value}") })
        };
        return Some(Proxies {
            http: variable(["HTTP_PROXY", "http_proxy"]).map(address),
            https: variable(["HTTPS_PROXY", "https_proxy"]).map(address),
            exceptions: Some(variable(["NO_PROXY", "no_proxy"]).unwrap_or_default().into()),
            connect_headers,
        });
    }
    let node = proxy?;
    let text = plain(node, "proxy_url", reader)?;
    if is_no_url_at_all(text) {
        reader.problem(node.at, "`proxy_url` is no URL");
        return None;
    }
    if !crate::notify::is_proxy(text) {
        // It may hold a password: where, not what.
        reader.obstacle(node.at, "`proxy_url` should be a http, https or socks5 URL with a host");
        return None;
    }
    let exceptions = no_proxy.and_then(|node| plain(node, "no_proxy", reader)).map(Arc::from);
    let url = Some(Secret::new(text));
    Some(Proxies { http: url.clone(), https: url, exceptions, connect_headers })
}

/// `proxy_connect_header`: for each name its values.
fn connect_headers(node: &Node, reader: &mut Reader<'_>) -> Vec<(Arc<str>, Secret)> {
    let mut found = Vec::new();
    let Some(mut names) = reader.fields(node, "proxy_connect_header") else { return found };
    for (key, node) in names.all() {
        let Some(name) = header_name(key, reader) else { continue };
        for item in items(node, &key.text, reader) {
            let value = plain(item, &key.text, reader).map(Secret::new);
            found.extend(value.map(|value| (name.clone(), value)));
        }
    }
    found
}

fn header_name(key: &super::super::yaml::Key, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    if http::HeaderName::try_from(key.text.as_str()).is_err() {
        reader.problem(key.at, format!("`{}` cannot be the name of a header", key.text));
        return None;
    }
    Some(key.text.as_str().into())
}

/// `http_headers`: for each name its `values`, `secrets` and `files`.
fn headers(node: &Node, reader: &mut Reader<'_>) -> Vec<(Arc<str>, Secret)> {
    let mut found = Vec::new();
    let Some(mut names) = reader.fields(node, "http_headers") else { return found };
    for (key, node) in names.all() {
        let Some(name) = header_name(key, reader) else { continue };
        let Some(mut one) = reader.fields(node, &key.text) else { continue };
        for (kind, is_file) in [("values", false), ("secrets", false), ("files", true)] {
            for item in one.get(kind).map(|node| items(node, kind, reader)).unwrap_or_default() {
                let value = match is_file {
                    true if plain(item, kind, reader)
                        .is_some_and(|file| file.trim().is_empty()) =>
                    {
                        reader.obstacle(item.at, "`files`: this is no name of a file");
                        None
                    }
                    true => reader.content(item, kind).map(|text| Secret::new(text.trim())),
                    false => plain(item, kind, reader).map(Secret::new),
                };
                found.extend(value.map(|value| (name.clone(), value)));
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
