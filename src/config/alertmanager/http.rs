//! `http_config`: how a webhook is called.

use std::sync::Arc;

use super::super::reader::{Fields, Reader};
use super::super::yaml::{Kind, Node};
use super::plain;
use super::tls::{pem, tls};
use crate::model::Secret;
use crate::notify::{Access, Assertion, Grant, OAuth2, Proxies, SigningAlgorithm};

/// `http_config`, when it is given.
pub(super) fn http(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Access> {
    let node = fields.get("http_config")?;
    let mut inner = reader.fields(node, "http_config")?;
    let mut found = Access::default();
    // Without it a call is the same.
    let _ = inner.get("enable_http2");
    let follows = inner.get("follow_redirects");
    found.stays = follows.and_then(|node| reader.boolean(node, "follow_redirects")) == Some(false);
    one_login(&mut inner, reader);
    if let Some(node) = inner.get("basic_auth")
        && let Some(mut login) = reader.fields(node, "basic_auth")
    {
        let user = secret(&mut login, &["username", "username_file", "username_ref"], reader);
        let password = secret(&mut login, &["password", "password_file", "password_ref"], reader);
        login.finish(reader);
        let text = |part: &Option<Secret>| {
            part.as_ref().map_or_else(String::new, |part| part.reveal().to_owned())
        };
        found.login = Some(Secret::new(&format!("{}:{}", text(&user), text(&password))));
    }
    found.bearer = secret(&mut inner, &["bearer_token", "bearer_token_file"], reader);
    if let Some(node) = inner.get("authorization")
        && let Some(mut authorization) = reader.fields(node, "authorization")
    {
        let kind_node = authorization.get("type");
        let kind = kind_node.and_then(|node| plain(node, "type", reader));
        if let Some(node) = kind_node.filter(|_| kind.is_some_and(is_basic)) {
            reader.problem(node.at, "`type` cannot be `basic`, that is what `basic_auth` is for");
        }
        let kind = kind.map(str::trim).filter(|kind| !kind.is_empty()).unwrap_or("Bearer");
        let credentials = secret(&mut authorization, CREDENTIALS, reader);
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

const CREDENTIALS: &[&str] = &["credentials", "credentials_file", "credentials_ref"];

fn is_basic(kind: &str) -> bool {
    kind.trim().eq_ignore_ascii_case("basic")
}

/// There is one way to show who we are.
fn one_login(inner: &mut Fields<'_>, reader: &mut Reader<'_>) {
    let ways = ["basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file"];
    let given = ways.into_iter().filter_map(|name| Some((name, inner.get(name)?)));
    let given: Vec<_> = given.filter(|(_, node)| !node.is_empty_text()).collect();
    if let [(first, _), (second, node), ..] = &given[..] {
        reader.problem(node.at, format!("either `{first}` or `{second}`, not both"));
    }
}

/// The grant that is not the usual one.
const ASSERTION: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ALGORITHMS: &[(&str, SigningAlgorithm)] = &[
    ("RS256", SigningAlgorithm::Rs256),
    ("RS384", SigningAlgorithm::Rs384),
    ("RS512", SigningAlgorithm::Rs512),
];
const CLIENT_SECRET: &[&str] = &["client_secret", "client_secret_file", "client_secret_ref"];
const SIGNING_KEY: [&str; 3] =
    ["client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref"];
/// What belongs to an assertion alone; elsewhere it is read over.
const OF_ASSERTIONS: &[&str] =
    &["client_certificate_key_id", "signature_algorithm", "iss", "audience", "claims"];

fn oauth2(node: &Node, reader: &mut Reader<'_>) -> Option<OAuth2> {
    let mut inner = reader.fields(node, "oauth2")?;
    let client_id = inner.need("client_id", reader);
    let client_id = client_id.and_then(|node| reader.text(node, "client_id"));
    let grant_type = inner.get("grant_type");
    let grant = grant_type.and_then(|node| plain(node, "grant_type", reader)).unwrap_or_default();
    let grant = match (grant, grant_type) {
        (ASSERTION, _) => {
            for &name in CLIENT_SECRET {
                let _ = inner.get(name);
            }
            assertion(&mut inner, reader).map(|found| Grant::Assertion(Arc::new(found)))
        }
        (other, node) => {
            for &name in SIGNING_KEY.iter().chain(OF_ASSERTIONS) {
                let _ = inner.get(name);
            }
            let strange = !matches!(other, "" | "client_credentials");
            if let Some(node) = node.filter(|_| strange) {
                let message = format!(
                    "`grant_type` should be `client_credentials` or `{ASSERTION}`; everything \
                     else is read as `client_credentials`"
                );
                reader.remark(node.at, message);
            }
            let secret = secret(&mut inner, CLIENT_SECRET, reader);
            Some(Grant::ClientCredentials(secret.unwrap_or_else(|| Secret::new(""))))
        }
    };
    let token_url = inner.need("token_url", reader);
    let token_url = token_url.and_then(|node| reader.url(node, "token_url"));
    let scopes = inner.get("scopes").map(|node| reader.list(node)).unwrap_or_default();
    let scopes = scopes.into_iter().filter_map(|node| reader.text(node, "scopes")).collect();
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
        client_id: client_id?,
        grant: grant?,
        token_url: Secret::new(token_url?.as_str()),
        scopes,
        parameters,
        handshake,
        proxies,
    })
}

/// What belongs to a grant by assertion.
fn assertion(inner: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Assertion> {
    let at = inner.at;
    let given = SIGNING_KEY.iter().any(|name| inner.get(name).is_some());
    let key = pem(inner, SIGNING_KEY, reader);
    if !given {
        reader.obstacle(at, "this grant needs a `client_certificate_key`");
    }
    let mut text = |name: &'static str| {
        let node = inner.get(name).filter(|node| !node.is_empty_text())?;
        plain(node, name, reader).map(Arc::<str>::from)
    };
    let (key_id, issuer) = (text("client_certificate_key_id"), text("iss"));
    let audience = text("audience");
    let algorithm = inner.get("signature_algorithm").filter(|node| !node.is_empty_text());
    let algorithm = match algorithm {
        Some(node) => reader.choice(node, "signature_algorithm", ALGORITHMS)?,
        None => SigningAlgorithm::default(),
    };
    let claims = match inner.get("claims").map(|node| (node, &node.kind)) {
        Some((_, Kind::Map(entries))) => {
            entries.iter().map(|(key, node)| (key.text.clone(), node.json())).collect()
        }
        Some((node, kind)) if !matches!(kind, Kind::Null) => {
            return reader.expected(node, "claims", "names and values");
        }
        _ => serde_json::Map::new(),
    };
    Some(Assertion { key: key?, key_id, algorithm, issuer, audience, claims })
}

/// `proxy_url` and its kin.
fn proxies(inner: &mut Fields<'_>, reader: &mut Reader<'_>) -> Option<Proxies> {
    let proxy = inner.get("proxy_url");
    let no_proxy = inner.get("no_proxy").filter(|node| !node.is_empty_text());
    let surroundings = inner.get("proxy_from_environment");
    let surroundings =
        surroundings.filter(|node| reader.boolean(node, "proxy_from_environment") == Some(true));
    let connect = inner.get("proxy_connect_header");
    let proxy = proxy.filter(|node| !node.is_empty_text());
    if let (Some(node), Some(_)) = (surroundings, proxy.or(no_proxy)) {
        let message = "`proxy_from_environment` goes without `proxy_url` and `no_proxy`";
        reader.problem(node.at, message);
    }
    if let (None, None, Some(node)) = (proxy, surroundings, no_proxy.or(connect)) {
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
        for item in reader.list(node) {
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
            for item in one.get(kind).map(|node| reader.list(node)).unwrap_or_default() {
                let value = match is_file {
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

/// A secret as text, in a file (`…_file`) or kept by somebody else (`…_ref`).
pub(super) fn secret(
    fields: &mut Fields<'_>,
    names: &[&'static str],
    reader: &mut Reader<'_>,
) -> Option<Secret> {
    let (name, node) = one_of(fields, names, reader)?;
    if name.ends_with("_file") {
        return reader.content(node, name).map(|text| Secret::new(text.trim()));
    }
    match &node.kind {
        Kind::Scalar { text, .. } => Some(Secret::new(text)),
        _ => reader.expected(node, name, "a text"),
    }
}

/// The one of these that is given and not empty; of several, the first.
pub(super) fn one_of<'n>(
    fields: &mut Fields<'n>,
    names: &[&'static str],
    reader: &mut Reader<'_>,
) -> Option<(&'static str, &'n Node)> {
    let given: Vec<_> = names.iter().filter_map(|name| Some((*name, fields.get(name)?))).collect();
    let mut filled = given.into_iter().filter(|(_, node)| !node.is_empty_text());
    let (name, node) = filled.next()?;
    if let Some((second, node)) = filled.next() {
        reader.problem(node.at, format!("either `{name}` or `{second}`, not both"));
    }
    if name.ends_with("_ref") {
        // Alertmanager takes the word, and fails when it shall use it.
        let message = format!("`{name}`: there is no secret manager, as in Alertmanager");
        reader.obstacle(node.at, message);
        return None;
    }
    Some((name, node))
}
