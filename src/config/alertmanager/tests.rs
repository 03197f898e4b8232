use super::*;
use crate::config::System;
use crate::notify::{
    Access, Assertion, ClientCertificate, Grant, Handshake, MailLogin, Pem, SigningAlgorithm,
    TlsVersions,
};
use crate::render::Way;
use proptest::prelude::*;

const GOOD: &str = "\
global: {resolve_timeout: 5m, smtp_smarthost: 'localhost:25', smtp_from: a@example.org}
route:
  receiver: team
  group_by: [alertname]
  routes:
  - {matchers: ['a=\"b\"', c=~d.*], mute_time_intervals: [night], continue: true}
receivers:
- name: team
  email_configs: [{to: t@example.org, headers: {Subject: '{{ .CommonLabels }}'}}]
  webhook_configs: [{url: 'http://localhost/', max_alerts: 3}]
inhibit_rules: [{source_matchers: [a=b], target_matchers: [c!=d], equal: [e]}]
time_intervals:
- {name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '24:00'}], weekdays: ['monday:friday'], location: Europe/Berlin}]}
";

proptest! {
    /// Any text, and a good file with a piece of it replaced, is read or refused with places.
    #[test]
    fn no_text_makes_it_panic(
        any_text in "[a-z:\\-\\[\\]{}&*'\"\\n #|<>!]{0,80}",
        at in 0usize..800, length in 0usize..12,
        piece in "[a-z0-9:\\-\\[\\]{}&*'\"\\n #|<>!.]{0,6}",
    ) {
        let (start, end) = (at.min(GOOD.len()), (at + length).min(GOOD.len()));
        let damaged = [&GOOD[..start], &piece, &GOOD[end..]].concat();
        for text in [any_text, damaged] {
            match AlertmanagerFile::parse(&text, Path::new("am.yml"), &System) {
                Ok(file) => drop(file.outfit(|_| false, &"en".into(), &"UTC".into())),
                Err(refused) => {
                    prop_assert!(!refused.problems.is_empty());
                    let placed = |p: &Problem| p.at.line > 0 && p.at.column > 0;
                    prop_assert!(refused.problems.iter().all(placed), "{text:?} {refused}");
                }
            }
        }
    }
}

#[test]
fn what_is_damaged_above_was_good() {
    if let Err(refused) = AlertmanagerFile::parse(GOOD, Path::new("am.yml"), &System) {
        panic!("{refused}");
    }
}

fn problems(text: &str) -> Vec<String> {
    let refused = AlertmanagerFile::parse(text, Path::new("am.yml"), &System).unwrap_err();
    refused.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn all_problems_come_at_once_with_their_places() {
    let text = "route:\n  receiver: teem\n  group_by: ['']\n  routes:\n  - matchers: ['a']\n\
                receivers:\n- name: team\n  slack_configs: []\n";
    let found = problems(text);
    assert_eq!(
        found,
        [
            "am.yml:2:13: there is no receiver `teem`, did you mean `team`?",
            "am.yml:3:14: `group_by` should be a text, found ``",
            "am.yml:5:16: `a` is not a matcher, expected name=\"value\", name!=…, name=~… or \
             name!~…",
            "am.yml:8:3: `slack_configs` is not known here: connect that service through \
             `webhook_configs`",
        ]
    );
}

#[test]
fn an_empty_file_has_no_route() {
    assert_eq!(problems(""), ["am.yml:1:1: the file has no `route`"]);
}

#[test]
fn it_becomes_a_plan() {
    let text = "route: {receiver: a, group_by: ['...'], routes: [{match: {x: 1}, \
                receiver: b, mute_time_intervals: [night]}]}\n\
                receivers: [{name: a}, {name: b}]\n\
                global: {resolve_timeout: 1h}\n\
                time_intervals: [{name: night, time_intervals: [{times: [{start_time: \
                '22:00', end_time: '24:00'}], location: Europe/Berlin}]}]\n";
    let file = AlertmanagerFile::parse(text, Path::new("am.yml"), &System).unwrap();
    assert_eq!(file.plan.resolve_timeout, Duration::from_secs(3600));
    let labels = crate::model::Labels::from_pairs([("x", "1")]).unwrap();
    let route = file.plan.routes.get(file.plan.routes.resolve(&labels)[0]);
    assert_eq!((&*route.receiver, &*route.mute[0]), ("b", "night"));
    assert_eq!(file.plan.intervals["night"].len(), 1);
}

/// A machine with these variables.
struct Variables(&'static [(&'static str, &'static str)]);

impl Sources for Variables {
    fn read(&self, path: &Path) -> std::io::Result<String> {
        System.read(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    }
}

/// A file with one webhook and one mail.
fn with(webhook: &str, email: &str, variables: &'static [(&str, &str)]) -> Result<Outfit, String> {
    let text = format!(
        "route: {{receiver: a}}\n\
         global: {{smtp_smarthost: 'localhost:25', smtp_from: us@example.org}}\n\
         receivers: [{{name: a, webhook_configs: [{{{webhook}}}], email_configs: [{{{email}}}]}}]\n"
    );
    let variables = Variables(variables);
    let file = AlertmanagerFile::parse(&text, Path::new("/etc/am/am.yml"), &variables);
    let file = file.map_err(|refused| refused.to_string())?;
    match &file.obstacles[..] {
        [] => Ok(file.outfit(|_| false, &"en".into(), &"UTC".into())),
        [first, ..] => Err(format!("cannot run: {}", first.message)),
    }
}

const MAIL: &str = "to: t@example.org";

fn access(http: &str) -> Access {
    let webhook = format!("url: 'http://x/', http_config: {{{http}}}");
    let webhooks = with(&webhook, MAIL, &[("NO_PROXY", "a.org"), ("http_proxy", "p:3128")]);
    webhooks.unwrap_or_else(|problem| panic!("{problem}")).webhooks.remove(0).access
}

fn refused(http: &str) -> String {
    with(&format!("url: 'http://x/', http_config: {{{http}}}"), MAIL, &[]).unwrap_err()
}

#[test]
fn proxies_are_read() {
    let secret = |text: &str| Some(Secret::new(text));
    let found = access(
        "proxy_url: 'http://me:geheim@p/', no_proxy: 'a, b', proxy_connect_header: {X-T: [one, two]}",
    );
    let found = found.proxies.unwrap();
    assert_eq!((&found.http, &found.https), (&secret("http://me:geheim@p/"), &found.http));
    assert_eq!(found.exceptions.as_deref(), Some("a, b"));
    let headers = ["one", "two"].map(|value| ("X-T".into(), Secret::new(value)));
    assert_eq!(found.connect_headers, headers);
    assert_eq!(access("proxy_url: 'socks5://p'").proxies.unwrap().exceptions, None);
    let found = access("proxy_from_environment: true").proxies.unwrap();
    assert_eq!((found.http, found.https), (secret("http://p:3128"), None));
    assert_eq!(found.exceptions.as_deref(), Some("a.org"));
    assert_eq!(access("proxy_from_environment: false").proxies, None);

    let wrong = refused("proxy_url: 'ftp://me:geheim@p'");
    assert!(wrong.contains("cannot run: `proxy_url` should be") && !wrong.contains("geheim"));
    for http in [
        "proxy_url: 'http://p', proxy_from_environment: true",
        "no_proxy: a, proxy_from_environment: true",
    ] {
        assert!(refused(http).contains("goes without"), "{http}");
    }
    for http in ["no_proxy: a", "proxy_connect_header: {X-T: [one]}"] {
        assert!(refused(http).contains("there is no `proxy_url`"), "{http}");
    }
}

#[test]
fn a_way_to_log_in_is_read() {
    let found = access("basic_auth: {username: me, password: geheim}");
    assert_eq!(found.login, Some(Secret::new("me:geheim")));
    let found = access(
        "oauth2: {client_id: i, client_secret: s, token_url: 'https://t/', scopes: [a, b], \
         endpoint_params: {audience: x}, tls_config: {server_name: n}, proxy_url: 'http://p'}",
    );
    let oauth2 = found.oauth2.unwrap();
    assert_eq!(&*oauth2.client_id, "i");
    assert_eq!(oauth2.grant, Grant::ClientCredentials(Secret::new("s")));
    assert_eq!((oauth2.token_url.reveal(), oauth2.scopes.len()), ("https://t/", 2));
    assert_eq!(oauth2.parameters, [("audience".into(), Secret::new("x"))]);
    assert_eq!(oauth2.handshake.server_name.as_deref(), Some("n"));
    assert!(oauth2.proxies.is_some());
    let twice = refused("bearer_token: a, basic_auth: {username: b}");
    assert!(twice.contains("either `basic_auth` or `bearer_token`, not both"), "{twice}");
    assert!(refused("oauth2: {token_url: 'https://t/'}").contains("oauth2 needs `client_id`"));
    assert!(refused("oauth2: {client_id: i}").contains("oauth2 needs `token_url`"));
}

const ASSERTION: &str = "client_id: i, token_url: 'https://t/', \
                         grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'";

#[test]
fn a_statement_for_a_token_is_read() {
    let grant =
        |more: &str| access(&format!("oauth2: {{{ASSERTION}, {more}}}")).oauth2.unwrap().grant;
    let mut expected = Assertion {
        key: Pem::Text(Secret::new("K")),
        key_id: None,
        algorithm: SigningAlgorithm::Rs256,
        issuer: None,
        audience: None,
        claims: serde_json::Map::new(),
    };
    let found = grant("client_certificate_key: K, client_secret: s, client_secret_file: t");
    assert_eq!(found, Grant::Assertion(Arc::new(expected.clone())), "no password is read");
    expected.key = Pem::File("/etc/am/k.pem".into());
    expected.key_id = Some("one".into());
    expected.algorithm = SigningAlgorithm::Rs512;
    expected.issuer = Some("me".into());
    expected.audience = Some("you".into());
    expected.claims = serde_json::json!({"n": 1, "l": ["a"]}).as_object().unwrap().clone();
    let found = grant(
        "client_certificate_key_file: k.pem, client_certificate_key_id: one, iss: me, \
         audience: you, signature_algorithm: RS512, claims: {n: 1, l: [a]}",
    );
    assert_eq!(found, Grant::Assertion(Arc::new(expected)));
    let usual = "client_id: i, token_url: 'https://t/', client_secret: s, grant_type: other, \
                 signature_algorithm: HS256, client_certificate_key: a, \
                 client_certificate_key_file: b";
    let usual = access(&format!("oauth2: {{{usual}}}")).oauth2.unwrap().grant;
    assert_eq!(usual, Grant::ClientCredentials(Secret::new("s")), "as Alertmanager takes it");
    for (more, why) in [
        ("iss: me", "cannot run: this grant needs a `client_certificate_key`"),
        ("client_certificate_key: a, client_certificate_key_file: b", "not both"),
        (
            "client_certificate_key: a, signature_algorithm: HS256",
            "one of `RS256`, `RS384`, `RS512`",
        ),
        ("client_certificate_key: a, claims: [a]", "names and values"),
    ] {
        let found = refused(&format!("oauth2: {{{ASSERTION}, {more}}}"));
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn what_a_secret_manager_keeps_is_known_and_cannot_run() {
    for http in [
        "basic_auth: {username: a, password_ref: b}",
        "basic_auth: {username_ref: a}",
        "authorization: {credentials_ref: a}",
        "tls_config: {ca_ref: a}",
        "tls_config: {cert_ref: a, key_file: b}",
        "oauth2: {client_id: i, token_url: 'https://t/', client_secret_ref: a}",
    ] {
        let found = refused(http);
        assert!(found.contains("_ref`: there is no secret manager, as in Alertmanager"), "{found}");
        assert!(found.starts_with("cannot run"), "{found}");
    }
    for http in ["tls_config: {ca_ref: a, ca: b}", "basic_auth: {password_ref: a, password: b}"] {
        assert!(refused(http).contains("not both"), "{http}");
    }
    assert_eq!(access("bearer_token: '', bearer_token_file: ''").bearer, None);
    assert!(access("follow_redirects: false").stays && !access("follow_redirects: true").stays);
    assert!(refused("authorization: {type: Basic}").contains("`basic_auth` is for"));
}

#[test]
fn a_login_at_a_mail_server_is_read() {
    let login = |mail: &str| {
        let found = with("url: 'http://x/'", &format!("{MAIL}, {mail}"), &[]).unwrap();
        found.accounts[0].1.login.clone()
    };
    let secret = |text: &str| Some(Secret::new(text));
    let found = login("auth_username: u, auth_password: p, auth_secret: s, auth_identity: i");
    let (password, identity) = (secret("p"), Some("i".into()));
    assert_eq!(
        found,
        Some(MailLogin { user: "u".into(), password, secret: secret("s"), identity })
    );
    let (secret, user) = (secret("s"), "u".into());
    let found = login("auth_username: u, auth_secret: s");
    assert_eq!(found, Some(MailLogin { user, password: None, secret, identity: None }));
    for nobody in ["auth_password: p", "auth_username: u", "auth_username: u, auth_password: ''"] {
        assert_eq!(login(nobody), None, "{nobody}");
    }
}

#[test]
fn a_handshake_is_read_for_webhooks_and_for_mail() {
    let tls = "tls_config: {ca: CA, cert_file: us.pem, key: KEY, server_name: n, \
               min_version: TLS13, insecure_skip_verify: true}";
    let expected = Handshake {
        ca: Some(Pem::Text(Secret::new("CA"))),
        certificate: Some(ClientCertificate {
            certificate: Pem::File("/etc/am/us.pem".into()),
            key: Pem::Text(Secret::new("KEY")),
        }),
        server_name: Some("n".into()),
        trusts_anybody: true,
        versions: TlsVersions::Only13,
    };
    assert_eq!(access(tls).handshake, expected);
    let found = with("url: 'http://x/'", &format!("{MAIL}, {tls}"), &[]).unwrap();
    assert_eq!(found.accounts[0].1.handshake, expected);
    assert_eq!(access("tls_config: {max_version: TLS12}").handshake.versions, TlsVersions::Only12);
    for (tls, why) in [
        ("cert: A", "a certificate (`cert`, `cert_file`) needs its key"),
        ("ca: A, ca_file: b", "either `ca` or `ca_file`, not both"),
        ("max_version: TLS11", "cannot run: `max_version`"),
        ("min_version: TLS14", "`min_version` should be one of TLS10"),
    ] {
        let found = refused(&format!("tls_config: {{{tls}}}"));
        assert!(found.contains(why), "{found}");
    }
}

#[test]
fn templates_of_addresses_are_kept_for_later() {
    let found = with(
        "url: 'http://x/{{ .Status }}'",
        "to: 'a@x, {{ .CommonLabels.mail }}', from: '{{ .Receiver }}@example.org'",
        &[],
    );
    let found = found.unwrap();
    let Way::Email { to, from, .. } = &found
        .voices
        .values()
        .map(|voice| &voice.way)
        .find(|way| matches!(way, Way::Email { .. }))
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(to.as_deref(), Some("a@x, {{ .CommonLabels.mail }}"));
    assert_eq!(from.as_deref(), Some("{{ .Receiver }}@example.org"));
    assert_eq!(&*found.accounts[0].1.from, "us@example.org", "where the template is broken");
    assert!(found.default_addresses.is_empty());
    let found = with("url: 'http://x/'", "to: 'a@example.org, \"B, C\" <b@example.org>'", &[]);
    let found = found.unwrap();
    let to = ["a@example.org", "\"B, C\" <b@example.org>"];
    assert_eq!(found.default_addresses, to.map(|to| crate::ports::Address::Email(to.into())));
}

#[test]
fn a_broken_template_is_remarked() {
    let text = "route: {receiver: a}\n\
                global: {smtp_smarthost: 'localhost:25', smtp_from: '{{ nonsense }}'}\n\
                receivers: [{name: a, webhook_configs: [{url: 'http://x/{{', \
                payload: {a: [7, '{{ end }}']}}], \
                email_configs: [{to: '{{ if }}'}]}]\n";
    let file = AlertmanagerFile::parse(text, Path::new("am.yml"), &System).unwrap();
    let remarks: Vec<_> = file.remarks.iter().map(|remark| &*remark.message).collect();
    for (name, instead) in [
        ("to", "the default receiver will be told"),
        ("from", "the usual sender"),
        ("url", "it will not be told"),
        ("payload", "it will not be told"),
    ] {
        let expected =
            format!("the template `{name}` of the receiver `a` is broken, so that {instead}");
        assert!(remarks.iter().any(|remark| remark.starts_with(&expected)), "{remarks:?}");
    }
    assert!(file.obstacles.is_empty(), "{:?}", file.obstacles);
}

/// Verdicts of amtool 0.33.1 on a good file with one thing replaced.
#[test]
fn odd_values_are_judged_as_by_amtool() {
    let whole = "global: {smtp_smarthost: 'h:25', smtp_auth_identity: i, smtp_from: a@b.c,
      http_config: {proxy_url: 'http://p:8', follow_redirects: true, http_headers: {A: {values: [b]}}}}
route: {receiver: a, group_by: [x], group_wait: 5s, routes: [{continue: true, matchers: [b=c]}]}
templates: ['*.none']
inhibit_rules: [{name: n, equal: [e]}]
receivers:
- {name: a, email_configs: [{to: 'a@b.c', threading: {thread_by_date: daily}, headers: {X-Y: z}}],
  webhook_configs: [{url: 'http://h/', timeout: 3s, max_alerts: 7, http_config: {
    tls_config: {min_version: TLS12}, oauth2: {client_id: i, token_url: 'http://t/', scopes: [s]}}}]}
";
    let judge = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        AlertmanagerFile::parse(&whole.replace(from, to), Path::new("am.yml"), &System).is_ok()
    };
    let both = [
        (
            "continue: true",
            vec!["continue: yes", "continue: On", "continue: n"],
            vec!["continue: 1"],
        ),
        (
            "follow_redirects: true",
            vec!["follow_redirects: FALSE"],
            vec!["follow_redirects: 'true'"],
        ),
        ("'h:25'", vec!["'[::1]:25'"], vec!["'1:2:3'", "'h'"]),
        ("identity: i", vec!["identity: 5"], vec!["identity: [i]"]),
        ("'http://p:8'", vec!["''"], vec!["'12:30'", "\"a\\nb\""]),
        ("values: [b]", vec!["values: [~]"], vec!["values: b"]),
        (
            "group_by: [x]",
            vec!["group_by: [' ']", "group_by: ['...', '...']"],
            vec!["group_by: [x, x]"],
        ),
        ("group_wait: 5s", vec!["group_wait: 292y"], vec!["group_wait: 293y"]),
        ("matchers: [b=c]", vec!["matchers: [~]"], vec!["matchers: [b]"]),
        ("[{continue", vec![], vec!["[~, {continue"]),
        ("'*.none'", vec!["''", "~"], vec!["'[a'"]),
        ("name: n", vec!["name: ''"], vec!["name: []"]),
        ("equal: [e]", vec!["equal: [e, e]"], vec!["equal: ['']"]),
        ("{thread_by_date: daily}", vec!["~"], vec!["{}", "{thread_by_date: weekly}", "x"]),
        ("X-Y: z", vec!["X-Y: ~"], vec!["X-Y: []"]),
        ("timeout: 3s", vec!["timeout: 1.5h", "timeout: 5", "timeout: 30m1h"], vec!["timeout: 1d"]),
        (
            "max_alerts: 7",
            vec!["max_alerts: 0x10", "max_alerts: 1e3"],
            vec!["max_alerts: '7'", "max_alerts: -1"],
        ),
        ("TLS12", vec!["TLS13", "~"], vec!["''", "TLS9"]),
        ("'http://t/'", vec!["t"], vec!["''", "~"]),
        ("scopes: [s]", vec!["scopes: ['', ~]"], vec!["scopes: s"]),
    ];
    for (from, accepted, refused) in both {
        assert!(accepted.iter().all(|to| judge(from, to)), "{from}: {accepted:?}");
        assert!(!refused.iter().any(|to| judge(from, to)), "{from}: {refused:?}");
    }
}

#[test]
fn the_receivers_stand_in_the_order_of_the_file() {
    let text = "route: {receiver: b, routes: [{receiver: a}]}\n\
                receivers: [{name: c}, {name: b}, {name: a}]\n";
    let file = AlertmanagerFile::parse(text, Path::new("am.yml"), &System).unwrap();
    assert_eq!(file.plan.receivers, ["c", "b", "a"].map(Into::into), "also what no route names");
}
