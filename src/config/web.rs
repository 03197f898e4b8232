//! `web:`, and the ecosystem's own file for the same things (`--web.config.file` of Prometheus and
//! its exporters).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::channels::LOOPBACK;
use super::problem::Problem;
use super::reader::{Fields, Reader};
use super::yaml::{self, Node};
use super::{Sources, WebSection};
use crate::model::Secret;
use crate::web::{Credentials, Exposure, Rights, TlsSettings, Token, User};

/// The port of the HTTP server unless told otherwise.
const PORT: u16 = 9797;
const EXPOSURE: &[(&str, Exposure)] = &[
    ("loopback", Exposure::Loopback),
    ("everybody", Exposure::ReadableByAll),
    ("users", Exposure::Users),
];
const RIGHTS: &[(&str, Rights)] = &[
    ("read", Rights { read: true, write: false, change: false }),
    ("write", Rights { read: false, write: true, change: false }),
    ("change", Rights { read: false, write: false, change: true }),
];
/// A password whose check takes longer than seconds would let anybody keep us busy.
const DEAREST: u32 = 15;
/// A token shorter than this could be guessed.
const SHORTEST_TOKEN: usize = 16;

/// `web:`.
pub fn read(node: Option<&Node>, reader: &mut Reader<'_>) -> WebSection {
    let mut section = WebSection {
        listen: SocketAddr::new(LOOPBACK, PORT),
        exposure: Exposure::Loopback,
        external_url: None,
        credentials: Credentials::default(),
        tls: None,
        cors_origins: Vec::new(),
    };
    let Some(mut fields) = node.and_then(|node| reader.fields(node, "web")) else {
        return section;
    };
    if let Some(node) = fields.get("listen")
        && let Some(text) = reader.text(node, "listen")
    {
        match text.parse::<SocketAddr>() {
            Ok(listen) => section.listen = listen,
            Err(_) => {
                let wanted = "an address with port such as `127.0.0.1:9797`";
                reader.expected::<()>(node, "listen", wanted);
            }
        }
    }
    let exposure = fields.get("readable_by");
    let exposure = exposure.and_then(|node| reader.choice(node, "readable_by", EXPOSURE));
    section.tls = fields.get("tls").and_then(|node| encryption(node, reader));
    if let Some(node) = fields.get("users") {
        section.credentials.users = users(node, reader);
    }
    if let Some(node) = fields.get("tokens") {
        section.credentials.tokens = tokens(node, reader);
    }
    if let Some(node) = fields.get("config_file")
        && let Some(path) = reader.path(node, "config_file")
    {
        match WebFile::load(&path, reader.sources()) {
            Ok(file) => file.add_to(&mut section),
            Err(problems) => {
                for problem in problems {
                    reader.problem(node.at, format!("`config_file`: {problem}"));
                }
            }
        }
    }
    for node in fields.get("cors_origins").map(|node| reader.list(node)).unwrap_or_default() {
        section.cors_origins.extend(origin(node, reader));
    }
    section.exposure = exposure.unwrap_or_else(|| usual_exposure(&section));
    if section.exposure == Exposure::Loopback && !section.listen.ip().is_loopback() {
        let message = "`listen` is not a loopback address: everybody who reaches it could read \
                       everything; name `users` or `tokens`, or allow it with `readable_by: everybody`";
        reader.problem(fields.at, message);
    }
    if section.exposure == Exposure::Users && usual_exposure(&section) != Exposure::Users {
        reader.problem(fields.at, "`readable_by: users` needs `users` or `tokens`");
    }
    section.external_url =
        fields.get("external_url").and_then(|node| reader.url(node, "external_url"));
    fields.finish(reader);
    section
}

/// Who may read when nobody says.
fn usual_exposure(section: &WebSection) -> Exposure {
    let certified = section.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    if section.credentials.is_empty() && !certified { Exposure::Loopback } else { Exposure::Users }
}

/// `https://grafana.example.org`, or `*`.
fn origin(node: &Node, reader: &mut Reader<'_>) -> Option<Arc<str>> {
    let text = reader.text(node, "cors_origins")?;
    let plain =
        text.parse::<url::Url>().is_ok_and(|url| url.origin().ascii_serialization() == *text);
    if plain || &*text == "*" {
        return Some(text);
    }
    reader.expected(node, "cors_origins", "an origin such as `https://grafana.example.org`, or `*`")
}

fn encryption(node: &Node, reader: &mut Reader<'_>) -> Option<TlsSettings> {
    let mut fields = reader.fields(node, "web.tls")?;
    let cert = fields.need("cert", reader).and_then(|node| file(node, "cert", reader));
    let key = fields.need("key", reader).and_then(|node| file(node, "key", reader));
    let client_ca = fields.get("client_ca").and_then(|node| file(node, "client_ca", reader));
    fields.finish(reader);
    Some(TlsSettings {
        cert: cert?,
        key: key?,
        client_ca,
        client_optional: false,
        only_tls13: false,
    })
}

/// The path of a file that can be read.
fn file(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<PathBuf> {
    let path = reader.path(node, what)?;
    if let Err(error) = reader.sources().read(&path) {
        reader.problem(node.at, format!("`{what}`: cannot read {}: {error}", path.display()));
        return None;
    }
    Some(path)
}

fn may(fields: &mut Fields<'_>, reader: &mut Reader<'_>) -> Rights {
    let Some(node) = fields.get("may") else { return RIGHTS[0].1 };
    let mut rights = Rights::default();
    for node in reader.list(node) {
        if let Some(right) = reader.choice(node, "may", RIGHTS) {
            rights.read |= right.read;
            rights.write |= right.write;
            rights.change |= right.change;
        }
    }
    rights
}

fn users(node: &Node, reader: &mut Reader<'_>) -> Vec<User> {
    let Some(mut fields) = reader.fields(node, "web.users") else { return Vec::new() };
    let mut users = Vec::new();
    for (key, node) in fields.all() {
        let Some(mut one) = reader.fields(node, "a user of `web.users`") else { continue };
        let hash_node = one.need("password_hash", reader);
        let hash = hash_node.and_then(|node| reader.secret(node, "password_hash", true));
        let rights = may(&mut one, reader);
        one.finish(reader);
        if key.text.is_empty() || key.text.contains(':') {
            reader.problem(key.at, "the name of a user may not be empty and not hold a colon");
        }
        let Some((hash, node)) = hash.zip(hash_node) else { continue };
        if let Some(complaint) = complaint(hash.reveal()) {
            reader.problem(node.at, format!("`password_hash` {complaint}"));
            continue;
        }
        users.push(User { name: key.text.as_str().into(), password_hash: hash, may: rights });
    }
    users
}

/// What is wrong with a hash; the hash itself is not shown.
fn complaint(hash: &str) -> Option<String> {
    match hash.parse::<bcrypt::HashParts>() {
        Ok(parts) if parts.get_cost() > DEAREST => {
            Some(format!("has a cost of {}; up to {DEAREST} are allowed", parts.get_cost()))
        }
        Ok(_) => None,
        Err(_) => Some(
            "should be a bcrypt hash, as `htpasswd -nBC 10 NAME` writes it behind the colon"
                .to_owned(),
        ),
    }
}

fn tokens(node: &Node, reader: &mut Reader<'_>) -> Vec<Token> {
    let Some(mut fields) = reader.fields(node, "web.tokens") else { return Vec::new() };
    let mut tokens = Vec::new();
    for (key, node) in fields.all() {
        let Some(mut one) = reader.fields(node, "a token of `web.tokens`") else { continue };
        let token_node = one.need("token", reader);
        let secret = token_node.and_then(|node| reader.secret(node, "token", false));
        let rights = may(&mut one, reader);
        one.finish(reader);
        let Some((secret, node)) = secret.zip(token_node) else { continue };
        if secret.reveal().len() < SHORTEST_TOKEN {
            let message = format!(
                "`token` is too short: at least {SHORTEST_TOKEN} random characters, such as \
                 `openssl rand -hex 24` gives"
            );
            reader.problem(node.at, message);
            continue;
        }
        tokens.push(Token { name: key.text.as_str().into(), secret, may: rights });
    }
    tokens
}

/// What stands in the ecosystem's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebFile {
    tls: Option<TlsSettings>,
    users: Vec<User>,
}

impl WebFile {
    /// Reads the file; relative paths in it begin at its folder.
    ///
    /// # Errors
    /// All problems, each with file, line and column.
    pub fn load(path: &Path, sources: &dyn Sources) -> Result<Self, Vec<String>> {
        let shown = path.display();
        let text =
            sources.read(path).map_err(|error| vec![format!("cannot read {shown}: {error}")])?;
        let mut reader = Reader::new(sources, path.parent().unwrap_or(Path::new("")));
        let root = yaml::parse(&text, &mut reader.problems);
        let file = root.map(|root| Self::read(&root, &mut reader)).unwrap_or_default();
        let problems = &mut reader.problems;
        problems.sort();
        let show = |problem: &Problem| {
            format!("{shown}:{}:{}: {}", problem.at.line, problem.at.column, problem.message)
        };
        if problems.is_empty() { Ok(file) } else { Err(problems.iter().map(show).collect()) }
    }

    fn read(root: &Node, reader: &mut Reader<'_>) -> Self {
        let mut file = Self::default();
        let Some(mut fields) = reader.fields(root, "the web configuration") else { return file };
        if let Some(node) = fields.get("tls_server_config") {
            file.tls = server_config(node, reader);
        }
        if let Some(node) = fields.get("http_server_config")
            && let Some(mut http) = reader.fields(node, "http_server_config")
        {
            // We speak HTTP/1.1 to everybody, so this changes nothing.
            if let Some(node) = http.get("http2") {
                reader.boolean(node, "http2");
            }
            http.finish(reader);
        }
        if let Some(node) = fields.get("basic_auth_users")
            && let Some(mut users) = reader.fields(node, "basic_auth_users")
        {
            for (key, node) in users.all() {
                let Some(hash) = reader.text(node, "a password hash") else { continue };
                match complaint(&hash) {
                    Some(complaint) => reader.problem(node.at, format!("the hash {complaint}")),
                    None => file.users.push(User {
                        name: key.text.as_str().into(),
                        password_hash: Secret::new(&hash),
                        may: Rights::ALL,
                    }),
                }
            }
        }
        fields.finish(reader);
        file
    }

    /// Joins what stands here to the section `web`.
    pub fn add_to(self, section: &mut WebSection) {
        if self.tls.is_some() {
            section.tls = self.tls;
        }
        section.credentials.users.extend(self.users);
        if section.exposure == Exposure::Loopback {
            section.exposure = usual_exposure(section);
        }
    }
}

/// How a client's certificate is judged: whether it is, and whether it may be missing.
const CLIENT_AUTH: &[(&str, (bool, bool))] = &[
    ("NoClientCert", (false, true)),
    ("VerifyClientCertIfGiven", (true, true)),
    ("RequireAndVerifyClientCert", (true, false)),
];

fn server_config(node: &Node, reader: &mut Reader<'_>) -> Option<TlsSettings> {
    let mut fields = reader.fields(node, "tls_server_config")?;
    let at = fields.at;
    let cert = fields.need("cert_file", reader).and_then(|node| file(node, "cert_file", reader));
    let key = fields.need("key_file", reader).and_then(|node| file(node, "key_file", reader));
    let ca = fields.get("client_ca_file").and_then(|node| file(node, "client_ca_file", reader));
    let auth = fields.get("client_auth_type");
    let auth = auth.and_then(|node| reader.choice(node, "client_auth_type", CLIENT_AUTH));
    let versions = &[("TLS12", false), ("TLS13", true)];
    let least = fields.get("min_version");
    let least = least.and_then(|node| reader.choice(node, "min_version", versions));
    if let Some(node) = fields.get("max_version") {
        reader.choice(node, "max_version", &[("TLS13", ())]);
    }
    // The order of the cipher suites is ours, and all of them are good.
    if let Some(node) = fields.get("prefer_server_cipher_suites") {
        reader.boolean(node, "prefer_server_cipher_suites");
    }
    fields.finish(reader);
    let (judged, optional) = auth.unwrap_or((ca.is_some(), false));
    if judged != ca.is_some() {
        reader.problem(at, "`client_auth_type` and `client_ca_file` belong together");
    }
    Some(TlsSettings {
        cert: cert?,
        key: key?,
        client_ca: ca.filter(|_| judged),
        client_optional: optional,
        only_tls13: least.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::io;

    const HASH: &str = "$2y$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa";

    struct Files(&'static [(&'static str, &'static str)]);

    impl Sources for Files {
        fn read(&self, path: &Path) -> io::Result<String> {
            let found = self.0.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned()).ok_or_else(|| io::ErrorKind::NotFound.into())
        }
        fn env(&self, name: &str) -> Option<String> {
            (name == "TOKEN").then(|| "0123456789abcdef".to_owned())
        }
    }

    fn parse(
        web: &str,
        files: &'static [(&'static str, &'static str)],
    ) -> Result<WebSection, String> {
        let text = format!(
            "owners: {{a: {{notify: [{{webhook: w}}]}}}}\n\
             notify: {{webhooks: {{w: {{url: \"http://127.0.0.1/\"}}}}}}\n\
             services: {{s: {{owner: a, probes: [{{http: \"http://127.0.0.1/\"}}]}}}}\nweb:\n{}",
            web.lines().map(|line| format!("  {line}\n")).collect::<String>()
        );
        Config::parse(&text, Path::new(""), &Files(files)).map(|config| config.web).map_err(|all| {
            all.iter()
                .map(|problem| problem.message.clone())
                .filter(|p| !p.contains("notify"))
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    #[test]
    fn users_and_tokens_open_the_door() {
        let web = format!(
            "listen: 0.0.0.0:9797\nusers:\n  alice: {{password_hash: \"{HASH}\", may: [read, change]}}\n\
             tokens: {{office: {{token: {{env: TOKEN}}, may: write}}}}\n\
             cors_origins: [\"https://grafana.example.org\"]"
        );
        let section = match parse(&web, &[]) {
            Ok(section) => section,
            Err(problems) => panic!("{problems}"),
        };
        assert_eq!(section.exposure, Exposure::Users);
        let user = &section.credentials.users[0];
        assert_eq!(
            (&*user.name, user.may.read, user.may.write, user.may.change),
            ("alice", true, false, true)
        );
        assert_eq!(section.credentials.tokens[0].may, RIGHTS[1].1);
        assert_eq!(&*section.cors_origins[0], "https://grafana.example.org");
        assert!(!format!("{section:?}").contains("vI8aWBnW3"), "no hash is shown");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |web: &str, says: &str| {
            let problems = parse(web, &[]).unwrap_err();
            assert!(problems.contains(says), "{web}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        };
        check("listen: 0.0.0.0:9797", "name `users` or `tokens`");
        check("readable_by: users", "needs `users` or `tokens`");
        check("users: {a: {password_hash: hunter2}}", "should be a bcrypt hash");
        check("users: {\"a:b\": {password_hash: hunter2}}", "colon");
        check("tokens: {a: {token: hunter2}}", "is a secret");
        check("tls: {cert: a.pem, key: b.pem}", "cannot read a.pem");
        check("cors_origins: [grafana]", "an origin");
        check("config_file: none.yml", "cannot read none.yml");
        let dear = HASH.replace("$10$", "$31$");
        check(&format!("users: {{a: {{password_hash: \"{dear}\"}}}}"), "cost of 31");
    }

    #[test]
    fn the_file_of_the_ecosystem() {
        const FILES: &[(&str, &str)] = &[
            ("c.pem", "x"),
            ("k.pem", "x"),
            (
                "web.yml",
                "tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\n  min_version: TLS13\n\
                 http_server_config: {http2: true}\n\
                 basic_auth_users:\n  bob: $2y$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa\n",
            ),
            (
                "bad.yml",
                "tls_server_config:\n  cert_file: c.pem\nbasic_auth_users:\n  bob: secret\n",
            ),
        ];
        let section = match parse("listen: 0.0.0.0:1\nconfig_file: web.yml", FILES) {
            Ok(section) => section,
            Err(problems) => panic!("{problems}"),
        };
        assert_eq!(section.exposure, Exposure::Users);
        assert_eq!(section.credentials.users[0].may, Rights::ALL);
        let tls = section.tls.unwrap();
        assert!(tls.only_tls13 && tls.client_ca.is_none());
        let problems = parse("config_file: bad.yml", FILES).unwrap_err();
        assert!(problems.contains("bad.yml:2:3: "), "{problems}");
        assert!(problems.contains("bad.yml:4:8: the hash should be"), "{problems}");
    }
}
