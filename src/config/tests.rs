use std::collections::HashMap;

use super::*;
use crate::model::Secret;
use crate::notify::MailLogin;
use crate::ports::Address;
use crate::probe::{Kind, MailQueueSource, Requirement};

/// Files and environment of a test.
#[derive(Default)]
struct Given {
    files: HashMap<PathBuf, String>,
    env: HashMap<String, String>,
}

impl Sources for Given {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.files.get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }
}

fn given() -> Given {
    let mut given = Given::default();
    for name in ["smtp-password", "matrix-token"] {
        given.files.insert(Path::new("etc").join(name), format!("secret-{name}\n"));
    }
    given.env.insert("SNMP_COMMUNITY".to_owned(), "rosebud".to_owned());
    given
}

/// The configuration of DESIGN §8, as it stands in the README.
const THIRTY_LINES: &str = include_str!("../../tests/data/augenmass.yml");

fn problems(text: &str) -> Vec<String> {
    match Config::parse(text, Path::new("etc"), &given()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|p| format!("{}:{}: {}", p.at.line, p.at.column, p.message))
            .collect(),
    }
}

/// A configuration with one service, whose `probes` and further lines are given.
fn with_probe(probe: &str) -> String {
    format!(
        "owners: {{web: {{notify: [{{email: web@example.org}}]}}}}\n\
         notify: {{email: {{smarthost: \"localhost:25\", from: a@example.org, tls: off}}}}\n\
         services:\n  page:\n    owner: web\n    probes:\n      - {probe}\n"
    )
}

proptest::proptest! {
    /// A good file with a piece of it replaced is read or refused with places.
    #[test]
    fn no_damage_makes_it_panic(
        at in 0usize..3_000, length in 0usize..12,
        piece in "[a-z0-9:\\-\\[\\]{}&*'\"\\n #|<>!.]{0,6}",
    ) {
        let start = at % (THIRTY_LINES.len() + 1);
        let end = (start + length).min(THIRTY_LINES.len());
        let parts = THIRTY_LINES.get(..start).zip(THIRTY_LINES.get(end..));
        let damaged = parts.map(|(before, after)| [before, &piece, after].concat());
        let damaged = damaged.unwrap_or_default();
        if let Err(problems) = Config::parse(&damaged, Path::new("etc"), &given()) {
            proptest::prop_assert!(!problems.is_empty());
            let placed = |p: &Problem| p.at.line > 0 && p.at.column > 0;
            proptest::prop_assert!(problems.iter().all(placed), "{damaged}\n{problems:?}");
        }
    }
}

#[test]
fn thirty_lines_work() {
    let config = Config::parse(THIRTY_LINES, Path::new("etc"), &given()).unwrap();
    assert_eq!(&*config.instance, "orwell");
    let web = config.directory.owner("web-team").unwrap();
    assert_eq!(web.addresses.iter().count(), 2);
    assert_eq!(web.addresses.first(), &Address::Email("web@example.org".into()));
    assert_eq!(&*web.timezone, "Europe/Berlin");
    assert_eq!(config.directory.fallback.as_deref(), Some("web-team"));
    let names: Vec<_> = config
        .probes
        .targets
        .iter()
        .map(|t| format!("{} {} {}", t.service, t.kind.name(), t.name))
        .collect();
    assert_eq!(
        names,
        [
            "homepage http https://www.example.org/",
            "homepage http https://www.example.org/api/health",
            "mail mail_queue postfix",
            "mail smtp mx.example.org",
            "printer-s71 printer 192.0.2.7",
        ]
    );
    assert!(matches!(&config.probes.targets[2].kind, Kind::MailQueue(queue)
        if matches!(queue.source, MailQueueSource::Local)));
    assert!(matches!(&config.probes.targets[3].kind, Kind::Smtp(smtp)
        if smtp.starttls == Requirement::Required));
    assert_eq!(config.calendars[0].week[4].len(), 1);
    let email = config.notify.email.unwrap();
    let expected = MailLogin::new("orwell", &Secret::new("secret-smtp-password"));
    assert_eq!(email.login, Some(expected));
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:9797");
}

#[test]
fn all_problems_are_told_at_once_with_place_and_remedy() {
    let text = "\
instance: orwell
langauge: de
timezone: Europe/Berlni
owners:
  web: {notify: [{email: web@example.org}]}
  office: {notify: []}
  web: {notify: [{matrix: nonsense}]}
services:
  homepage:
    owner: wbe
    interval: 5 parsecs
    probes:
      - htpp: https://www.example.org/
      - http:
      - http: {url: ftp://example.org/}
  mail:
    probes: [{mail_queue: {postfix: lokal}}]
notify:
  email: {smarthost: \"mail.example.org:587\", from: orwell@example.org, username: x, password: hunter2}
";
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "hunter2";
    for (key, value) in [
        ("password", format!("{{file: {secret}x, env: y}}")),
        ("password", secret.to_owned()),
        ("password", format!("\"${{{secret}}}\"")),
        ("from", "not an address".to_owned()),
    ] {
        let text = format!(
            "owners: {{a: {{notify: [{{email: a@example.org}}]}}}}\nservices: {{}}\nnotify:\n  email:\n    smarthost: localhost\n    username: u\n    {key}: {value}\n"
        );
        let told = problems(&text).join("\n");
        assert!(!told.is_empty() && !told.contains(secret), "{told}");
    }
    let told = problems(&with_probe("http: \"https://user:hunter2@[broken/?token=hunter2\""));
    assert!(told.len() == 1 && !told[0].contains(secret), "{told:?}");
}

#[test]
fn a_target_shows_no_userinfo_and_no_query() {
    let text = with_probe("http: \"https://user:hunter2@example.org/a?token=x#frag\"");
    let config = Config::parse(&text, Path::new(""), &given()).unwrap();
    assert_eq!(&*config.probes.targets[0].name, "https://example.org/a");
}

#[test]
fn options_of_a_probe_are_read() {
    let text = with_probe(
        "http: {url: \"https://example.org/\", method: POST, body: x, interval: 15s, timeout: 2s, \
         confirm: {tries: 2, every: 1s}, redirects: 0, body_limit: 1MiB, family: ipv4, \
         headers: {X-Token: {env: SNMP_COMMUNITY}}, labels: {class: \"1\"}, \
         tls: {skip_verify: true, server_name: example.org}, \
         expect: {status: [200, 301], body: ok, headers: {content-type: \"text/.*\"}}}",
    );
    let config = Config::parse(&text, Path::new(""), &given()).unwrap();
    let target = &config.probes.targets[0];
    assert_eq!(target.interval, Duration::from_secs(15));
    assert_eq!((target.confirm.tries, target.confirm.every), (2, Duration::from_secs(1)));
    assert_eq!(target.labels.get("class"), Some("1"));
    assert_eq!(target.labels.get("job"), Some("augenmass"));
    let Kind::Http(http) = &target.kind else { panic!("no http") };
    assert_eq!(http.headers[0].1.reveal(), "rosebud");
    assert_eq!((http.redirects, http.body_limit), (0, 1 << 20));
    assert_eq!(http.expect.status, [200, 301]);
}

#[test]
fn devices_speak_snmp() {
    for (probe, kind) in [
        ("ups: 192.0.2.9", "ups"),
        ("interfaces: {host: \"switch.example.org:1161\", version: 1}", "interfaces"),
        ("snmp_disk: {host: nas.example.org, retries: 1}", "snmp_disk"),
    ] {
        let config = Config::parse(&with_probe(probe), Path::new("etc"), &given()).unwrap();
        assert_eq!(config.probes.targets[0].kind.name(), kind);
    }
    let waste = problems(&with_probe("ups: {host: 192.0.2.9, waste: used}"));
    assert!(waste[0].contains("waste"), "{waste:?}");
}

#[test]
fn what_cannot_work_is_refused() {
    let one = |probe: &str| problems(&with_probe(probe)).join("\n");
    assert!(one("http: {url: \"https://e.org/\", interval: 1h}").contains("from 1s to 4m"));
    assert!(one("http: {url: \"https://e.org/\", interval: 5s, timeout: 6s}").contains("longer"));
    assert!(one("tcp: example.org").contains("`host:port`"));
    assert!(one("http: {url: \"https://e.org/\", labels: {owner: x}}").contains("itself"));
    assert!(one("http: {url: \"https://e.org/\", expect: {body: \"(\"}}").contains("regular"));
    assert!(one("{http: \"https://e.org/\", tcp: \"e.org:1\"}").contains("one kind"));
    let ring = "owners: {a: {notify: [{webhook: w}]}}\nnotify: {webhooks: {w: {url: \"http://localhost/\"}}}\n\
        services:\n  x: {owner: a, depends_on: [y]}\n  y: {owner: a, depends_on: [x]}\n";
    assert!(problems(ring)[0].contains("depends on itself through others"));
    let open = format!("{}web: {{listen: \"0.0.0.0:80\"}}\n", with_probe("tcp: \"e.org:1\""));
    assert!(problems(&open)[0].contains("readable_by"));
    assert!(problems("")[0].contains("empty"));
}

#[test]
fn a_huge_file_is_an_error_and_not_the_memory() {
    struct Huge;
    impl Sources for Huge {
        fn read(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::FileTooLarge.into())
        }
        fn env(&self, _: &str) -> Option<String> {
            None
        }
    }
    let told = Config::load(Path::new("x.yml"), &Huge).unwrap_err().to_string();
    assert!(told.starts_with("x.yml:1:1: cannot read the configuration"), "{told}");
}

#[test]
fn owners_say_how_they_are_told_and_who_may_answer() {
    let text = "owners:\n  a: {notify: [{matrix: \"#a:e.org\"}, {email: a@e.org}], tell: first, \
        matrix_users: [\"@joe:e.org\"]}\n\
        notify:\n  email: {smarthost: localhost, from: o@e.org, headers: {X-Team: IT}}\n  \
        matrix: {homeserver: \"https://m.e.org\", token: {env: T}, act_power_level: 60}\n\
        services: {}\n";
    struct Token;
    impl Sources for Token {
        fn read(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }
        fn env(&self, _: &str) -> Option<String> {
            Some("token".to_owned())
        }
    }
    let config = Config::parse(text, Path::new(""), &Token).unwrap();
    assert!(config.directory.tells_first("a") && !config.directory.tells_first("b"));
    let matrix = config.notify.matrix.unwrap();
    assert!(matrix.rooms["#a:e.org"].contains("@joe:e.org"));
    assert_eq!((matrix.act_power_level, matrix.allow_unencrypted), (60, false));
    assert_eq!(&*config.notify.email.unwrap().headers[0].1, "IT");
    let wrong = text.replace("X-Team", "Subject").replace("@joe:e.org", "joe");
    let told = Config::parse(&wrong, Path::new(""), &Token).unwrap_err();
    let told: Vec<String> = told.into_iter().map(|problem| problem.message).collect();
    assert!(told.iter().any(|line| line.contains("written by the program itself")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("matrix_users")), "{told:?}");
}

fn with_file(text: &str, alertmanager: &str) -> Result<Config, Vec<String>> {
    let mut given = given();
    given.files.insert(Path::new("etc").join("am.yml"), alertmanager.to_owned());
    Config::parse(text, Path::new("etc"), &given).map_err(|problems| {
        problems.iter().map(|p| format!("{}:{}: {}", p.at.line, p.at.column, p.message)).collect()
    })
}

#[test]
fn owners_have_hours() {
    let text = "\
calendars:
  support: {hours: {mon-thu: \"08:30-17:00\", fri: \"08:30-14:00\"}, holidays: [DE-BY]}
owners:
  web: {notify: [{webhook: w}]}
  office: {notify: [{webhook: w}], hours: support}
  platform: {notify: [{webhook: w}], hours: {calendar: support, any_time: [1, 2]}}
notify: {webhooks: {w: {url: \"http://127.0.0.1:9/\"}}}
services: {}
";
    let config = Config::parse(text, Path::new(""), &given()).unwrap();
    let plan = crate::alerting::Plan::of_owners(&config.directory, Default::default()).unwrap();
    let told = |pairs: &[(&str, &str)], at: &str| {
        let at: jiff::Timestamp = at.parse().unwrap();
        let at = crate::model::Timestamp::from_millis(at.as_millisecond());
        let found = plan.routes.resolve(&Labels::from_pairs(pairs.iter().copied()).unwrap());
        let route = plan.routes.get(found[0]);
        (route.receiver.to_string(), plan.closed(route, at).is_none())
    };
    let (open, shut) = ("2026-11-20T10:00:00Z", "2026-11-20T18:00:00Z");
    for service in ["printer", ""] {
        let office = [("owner", "office"), ("service", service), ("class", "1")];
        assert_eq!(told(&office, open), ("office".to_owned(), true));
        assert_eq!(told(&office, shut), ("office".to_owned(), false), "{service}");
        let worst = [("owner", "platform"), ("service", service), ("class", "2")];
        assert_eq!(told(&worst, shut), ("platform".to_owned(), true));
        let light = [("owner", "platform"), ("service", service), ("class", "3")];
        assert_eq!(told(&light, shut), ("platform".to_owned(), false));
    }
    assert!(!told(&[("owner", "office")], "2026-04-03T09:00:00Z").1, "Good Friday");
    assert!(told(&[("owner", "web")], shut).1);
    let proof = [("owner", "office"), ("severity", "none")];
    assert!(told(&proof, shut).1, "what proves that alerts come through is missed at night too");
    let wrong = text.replace("hours: support", "hours: suport").replace("[1, 2]", "[1, 5]");
    let wrong = wrong
        .replace("DE-BY", "FR")
        .replace("webhook: w}], hours: suport", "webhook: w}], hours: []");
    let problems = problems(&wrong).join("\n");
    for part in [
        "2:77: the public holidays of `FR` are not known; known are DE, DE-BB",
        "5:43: `hours` should be a text",
        "`any_time` should be a whole number from 1 to 4",
    ] {
        assert!(problems.contains(part), "{problems}");
    }
    let nobody = text.replace("hours: support", "hours: suport");
    assert!(
        self::problems(&nobody)
            .join("")
            .contains("no calendar `suport` in `calendars`, did you mean `support`?")
    );
    let never = text.replace("mon-thu: \"08:30-17:00\", fri: \"08:30-14:00\"", "");
    assert!(self::problems(&never).join("").contains("the calendar `support` is never open"));
}

#[test]
fn an_owner_with_a_wrong_address_is_an_owner() {
    let text = "owners: {a: {notify: [{email: x}]}, b: {notify: []}}\n\
                services: {s: {owner: a, probes: []}, t: {owner: b, probes: []}}\n";
    let problems = problems(text).join("\n");
    assert!(problems.contains("`email` should be a mail address"), "{problems}");
    assert!(problems.contains("owner `b` cannot be reached"), "{problems}");
    assert!(!problems.contains("there is no owner"), "{problems}");
}

#[test]
fn a_room_that_begins_with_any_letter_is_a_problem_and_no_crash() {
    for room in ["\u{fc}#web:example.org", "\u{1f600}", "\u{20ac}"] {
        let text =
            format!("owners: {{web: {{notify: [{{matrix: \"{room}\"}}]}}}}\nservices: {{}}\n");
        let problems = problems(&text).join("\n");
        assert!(problems.contains("a room such as"), "{problems}");
    }
}

#[test]
fn an_alertmanager_yml_stands_in_place_of_owners_or_beside_them() {
    let file = "route: {receiver: hook, routes: [{matchers: [a=b], receiver: web}]}\n\
                receivers: [{name: hook, webhook_configs: [{url: \"http://127.0.0.1:9/\"}]}, {name: web}]\n";
    let alone = with_file("alertmanager: am.yml\n", file).unwrap();
    let section = alone.alertmanager.unwrap();
    assert_eq!(section.outfit.owners.len(), 2, "`web` is there to tell nobody");
    assert_eq!(&*section.outfit.webhooks[0].name, "hook/0");
    assert_eq!(section.file.plan.ends, crate::alerting::Ends::AsAlertmanager);
    let owners = "owners: {web: {notify: [{matrix: \"#w:example.org\"}]}}\n\
                  notify: {matrix: {homeserver: \"https://example.org\", token: {file: matrix-token}}}\n\
                  alertmanager: {file: am.yml, ends: reach_who_heard}\n";
    let beside = with_file(owners, file).unwrap();
    let section = beside.alertmanager.unwrap();
    assert_eq!(section.outfit.owners.len(), 1, "`web` is the owner");
    assert_eq!(section.file.plan.ends, crate::alerting::Ends::ReachWhoHeard);
}

#[test]
fn what_is_wrong_in_an_alertmanager_yml_is_told_with_both_places() {
    let refused = |text: &str, file: &str| with_file(text, file).err().unwrap_or_default();
    let unknown = refused("alertmanager: am.yml\n", "route: {receiver: a}\n");
    assert_eq!(unknown, ["1:15: etc/am.yml:1:19: there is no receiver `a`"]);
    let room = "route: {receiver: a}\nreceivers: [{name: a, matrix_configs: [{room: \"#a:b\"}]}]\n";
    let homeless = refused("alertmanager: am.yml\n", room);
    assert_eq!(homeless, ["1:15: etc/am.yml: `matrix_configs` needs `notify.matrix` in this file"]);
    let proxy = "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: \"http://a/\", \
                 http_config: {proxy_url: 'ftp://a'}}]}]\n";
    assert_eq!(refused("alertmanager: am.yml\n", proxy).len(), 1);
    let gone = refused("alertmanager: gone.yml\n", "");
    assert!(gone[0].contains("gone.yml:1:1: cannot read the configuration"), "{gone:?}");
    let twice = "owners: {web: {notify: [{email: a@example.org}]}}\n\
                 notify: {email: {smarthost: \"localhost:25\", from: a@example.org, tls: off}}\n\
                 alertmanager: am.yml\n";
    let file = "route: {receiver: web}\nreceivers:\n- name: web\n  webhook_configs: [{url: \"http://a/\"}]\n";
    let found = refused(twice, file);
    assert!(
        found[0].starts_with("3:15: etc/am.yml:3:3: the receiver `web` has the name"),
        "{found:?}"
    );
}

#[test]
fn an_owner_without_a_channel_and_a_zone_that_is_none_are_refused() {
    let found = problems("owners: {web: {timezone: Europe/Atlantis}}\nservices: {}\n");
    assert!(
        found.iter().any(|p| p.starts_with("1:10: owner `web` cannot be reached")),
        "{found:?}"
    );
    assert!(found.iter().any(|p| p.starts_with("1:26: `timezone` should be a zone")), "{found:?}");
}

#[test]
fn storage_keys_have_bounds_and_say_them() {
    let with = |storage: &str| format!("{}storage: {storage}\n", with_probe("tcp: localhost:25"));
    let read = |text: &str| {
        Config::parse(&with(text), Path::new("etc"), &given()).map(|config| config.storage)
    };
    let second = Duration::from_secs(1);
    let section = read("{}").unwrap();
    assert_eq!((section.out_of_order, section.commit_delay), (3_600 * second, second));
    let section =
        read("{out_of_order_window: 24h, commit_interval: 250ms, retention: 30d}").unwrap();
    assert_eq!(section.out_of_order, 86_400 * second);
    assert_eq!(section.commit_delay, second / 4);
    assert_eq!(section.retention, 30 * 86_400 * second);
    assert!(read("{sync: every-append, retention_size: 10GiB}").unwrap().commit_delay.is_zero());
    for (text, wanted) in [
        ("{out_of_order_window: 25h}", "from 0s to 1d"),
        ("{commit_interval: 1ms}", "from 10ms to 1m"),
        ("{commit_interval: 2h}", "from 10ms to 1m"),
        ("{retention: 5m}", "from 1h"),
        ("{retention_size: 3kB}", "at least `1MiB`"),
        ("{sync: allways}", "`interval`, `every-append`"),
        ("{sync: every-append, commit_interval: 1s}", "leave one of them out"),
        ("{retension: 1d}", "retention"),
    ] {
        let found = problems(&with(text));
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].contains(wanted), "{text}: {found:?}");
    }
}

#[test]
fn a_backup_is_a_pattern_of_files_or_a_folder() {
    for (written, folder, pattern) in [
        ("backup: /srv/backup/db-*.dump", "/srv/backup", "db-*.dump"),
        ("backup: {path: /srv/backup/, name: nightly}", "/srv/backup/", "*"),
        ("backup: dumps/*.gz", "etc/dumps", "*.gz"),
    ] {
        let config = Config::parse(&with_probe(written), Path::new("etc"), &given()).unwrap();
        let Kind::Backup(backup) = &config.probes.targets[0].kind else { panic!("{written}") };
        assert_eq!((backup.folder.as_path(), &*backup.pattern), (Path::new(folder), pattern));
    }
    assert!(problems(&with_probe("backup: {path: /srv/*/x.gz}"))[0].contains("file name only"));
    assert!(problems(&with_probe("backup: {name: x}"))[0].contains("needs `path"));
}

#[test]
fn reactions_are_due() {
    let text = "\
calendars:
  support: {timezone: Europe/Berlin, hours: {mon-thu: \"08:30-17:00\", fri: \"08:30-14:00\"}}
  always: {timezone: Europe/Berlin, hours: {mon-sun: \"00:00-24:00\"}}
  never: {hours: {}}
owners: {web: {notify: [{webhook: w}]}}
notify: {webhooks: {w: {url: \"http://127.0.0.1:9/\"}}}
services: {home: {owner: web}, mail: {owner: web, calendar: always}}
";
    let read = |extra: &str| {
        Config::parse(&format!("{text}{extra}\n"), Path::new(""), &given()).map_err(|problems| {
            let shown = |p: &Problem| format!("{}:{}: {}", p.at.line, p.at.column, p.message);
            problems.iter().map(shown).collect::<Vec<_>>().join("\n")
        })
    };
    let due = |config: &Config, pairs: &[(&str, &str)]| {
        let friday: jiff::Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let friday = crate::model::Timestamp::from_millis(friday.as_millisecond());
        let labels = Labels::from_pairs(pairs.iter().copied()).unwrap();
        config.reactions.due(&labels, friday).map(|at| at.to_string())
    };
    let (home, mail) =
        ([("class", "1"), ("service", "home")], [("class", "1"), ("service", "mail")]);
    let light = [("class", "4"), ("service", "home")];
    // A calendar at a service is enough for that service.
    let config = read("").unwrap();
    assert_eq!(due(&config, &home), None);
    assert_eq!(due(&config, &mail).as_deref(), Some("2026-11-20T16:00:00.000Z"));
    let config = read("reactions: {calendar: support}").unwrap();
    assert_eq!(due(&config, &home).as_deref(), Some("2026-11-23T10:30:00.000Z"));
    assert_eq!(due(&config, &mail).as_deref(), Some("2026-11-20T16:00:00.000Z"));
    assert_eq!(due(&config, &light).as_deref(), Some("2026-11-27T12:00:00.000Z"));
    let config =
        read("reactions: {calendar: support, within: {\"1\": 90m, 4: 1 service day}}").unwrap();
    assert_eq!(due(&config, &home).as_deref(), Some("2026-11-23T08:00:00.000Z"));
    assert_eq!(due(&config, &light).as_deref(), Some("2026-11-23T12:00:00.000Z"));
    assert_eq!(due(&config, &[("class", "2")]), None, "not in the table");
    let wanted = "service time such as `4h` or `90m`, or days such as `5 service days`";
    for (wrong, expected) in [
        (
            "{calendar: suport}",
            "8:23: there is no calendar `suport` in `calendars`, did you mean `support`?"
                .to_owned(),
        ),
        ("{calendar: never}", "8:23: the calendar `never` is never open".to_owned()),
        (
            "{calendar: support, whithin: {}}",
            "`whithin` is not known in reactions, did you mean `within`?".to_owned(),
        ),
        ("{calendar: support, within: {}}", "`within` has no class".to_owned()),
        (
            "{calendar: support, within: {5: 4h}}",
            "8:41: `5` should be a fault class: 1, 2, 3 or 4".to_owned(),
        ),
        (
            "{calendar: support, within: {1: 5d}}",
            format!("8:44: `1` should be {wanted}, found `5d`, did you mean `5 service days`?"),
        ),
        (
            "{calendar: support, within: {1: 5 days}}",
            format!("`1` should be {wanted}, found `5 days`, did you mean `5 service days`?"),
        ),
        ("{calendar: support, within: {1: soon}}", format!("`1` should be {wanted}, found `soon`")),
        (
            "{calendar: support, within: {1: 0 service days}}",
            "`1` should be 1 to 250 service days".to_owned(),
        ),
        (
            "{calendar: support, within: {1: 30s}}",
            "`1` should be service time from 1m to 1000h".to_owned(),
        ),
    ] {
        let problems = read(&format!("reactions: {wrong}")).unwrap_err();
        assert!(problems.contains(&expected), "{wrong}: {problems}");
    }
    let without = text.replace(", calendar: always", "") + "reactions: {}\n";
    assert!(problems(&without).join("").contains("reactions needs `calendar`"));
}
