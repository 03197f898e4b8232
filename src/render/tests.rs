use super::*;
use crate::alerting::{Service, Why};
use crate::model::{Alert, Labels, NonEmpty, Phase, Timestamp};
use crate::ports::Address;

/// 2025-11-22 10:00:00 UTC.
const NOON: i64 = 1_763_805_600_000;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(NOON + minutes * 60_000)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn owner(language: &str) -> Owner {
    Owner {
        name: "web-team".into(),
        addresses: NonEmpty::of(Address::Email("web@example.org".into())),
        language: language.into(),
        timezone: "Europe/Berlin".into(),
    }
}

fn down(phase: Phase) -> Alert {
    Alert {
        labels: labels(&[
            ("alertname", "ServiceDown"),
            ("class", "1"),
            ("service", "homepage"),
            ("owner", "web-team"),
            ("target", "https://user:geheim@www.example.org/?token=geheim"),
            ("probe", "http"),
            ("instance", "orwell"),
            ("job", "augenmass"),
        ]),
        annotations: labels(&[
            ("summary", "www.example.org does not answer"),
            ("summary_de", "www.example.org antwortet nicht"),
            ("description", "Three tries in a row failed. Look whether the server runs."),
            ("description_de", "Drei Versuche hintereinander sind gescheitert. Läuft der Server?"),
            ("runbook", "service-down"),
        ]),
        phase,
        value: Some(1.0),
        ends: None,
        generator: "".into(),
    }
}

fn slow() -> Alert {
    Alert {
        labels: labels(&[
            ("alertname", "PageSlow"),
            ("class", "3"),
            ("service", "homepage"),
            ("target", "https://www.example.org/"),
            ("probe", "http"),
            ("phase", "processing"),
        ]),
        annotations: labels(&[("summary", "A page is slow: <b>2.5 s</b> & more")]),
        phase: Phase::Firing { since: at(-90), fired: at(-80) },
        value: Some(2.5),
        ends: None,
        generator: "https://mon.example/graph?g0.expr=up".into(),
    }
}

fn notice(alerts: Vec<Alert>, why: Why) -> Notice {
    Notice {
        route: "{}".into(),
        receiver: "web-team".into(),
        group: labels(&[("service", "homepage")]),
        alerts,
        why,
        incident: "i-1".into(),
        at: at(5),
        also_told: vec!["web-team".into(), "dispatcher".into()],
        flapping: false,
        left_out: 0,
        acknowledged: None,
        react_by: None,
    }
}

fn renderer() -> Renderer {
    let directory = Directory {
        services: vec![Service {
            name: "homepage".into(),
            owner: "web-team".into(),
            title: Some("Homepage".into()),
            depends_on: Vec::new(),
        }],
        ..Directory::default()
    };
    let links = Links {
        instance: "orwell".into(),
        pages: Some("https://mon.example".into()),
        runbooks: Some("https://docs.example/runbooks".into()),
        acting: None,
    };
    Renderer::new(Arc::new(directory), links)
}

fn read(message: &Message) -> String {
    format!("Subject: {}\n\n{}", message.subject, message.text)
}

const FIRING: Phase =
    Phase::Firing { since: Timestamp::from_millis(NOON), fired: Timestamp::from_millis(NOON) };
const OVER: Phase = Phase::Resolved {
    fired: Timestamp::from_millis(NOON),
    resolved: Timestamp::from_millis(NOON + 12 * 60_000),
};

#[test]
fn a_service_is_down_in_german() {
    let message = renderer().message(&notice(vec![down(FIRING)], Why::First), &owner("de"));
    insta::assert_snapshot!(read(&message));
    assert_eq!((message.urgency, message.resolved), (Urgency::High, false));
}

#[test]
fn a_service_is_down_in_english() {
    let message = renderer().message(&notice(vec![down(FIRING)], Why::First), &owner("en"));
    insta::assert_snapshot!(read(&message));
}

#[test]
fn it_is_over() {
    let message = renderer().message(&notice(vec![down(OVER)], Why::AllResolved), &owner("de"));
    insta::assert_snapshot!(read(&message));
    assert_eq!((message.urgency, message.resolved), (Urgency::Low, true));
    let message = renderer().message(&notice(vec![down(OVER)], Why::AllResolved), &owner("en"));
    insta::assert_snapshot!(read(&message));
}

#[test]
fn several_alerts_of_a_service_are_one_message() {
    let mixed = notice(vec![slow(), down(FIRING), down(OVER)], Why::NewAlerts);
    let message = renderer().message(&mixed, &owner("de"));
    insta::assert_snapshot!(read(&message));
    insta::assert_snapshot!(message.html);
}

#[test]
fn a_reminder_says_so() {
    let message = renderer().message(&notice(vec![down(FIRING)], Why::Repeat), &owner("de"));
    assert!(message.subject.starts_with("Weiterhin: "), "{}", message.subject);
    assert!(message.text.contains("Zur Erinnerung"), "{}", message.text);
}

#[test]
fn without_annotations_there_is_a_plain_text() {
    let mut bare = down(FIRING);
    bare.annotations = Labels::empty();
    let message = renderer().message(&notice(vec![bare], Why::First), &owner("en"));
    insta::assert_snapshot!(read(&message));
}

#[test]
fn a_storm_is_counted() {
    let mut many = notice(vec![down(FIRING); 40], Why::First);
    many.left_out = 60;
    let message = renderer().message(&many, &owner("en"));
    assert!(message.text.contains("90 more alerts are not listed here."), "{}", message.text);
    assert!(message.subject.ends_with("(+99 more)"), "{}", message.subject);
    assert!(message.text.len() < 8_000);
}

#[test]
fn no_secret_and_no_markup_gets_through() {
    let mut alert = slow();
    alert.annotations = labels(&[
        ("summary", "a\r\nBcc: x@example.org"),
        ("description", "see ftp://joe:hunter2@files.example/x?y and <script>alert(1)</script>"),
    ]);
    let hostile = notice(vec![alert, down(FIRING)], Why::First);
    let message = renderer().message(&hostile, &owner("en"));
    let all = format!("{message:?}");
    assert!(!all.contains("geheim") && !all.contains("hunter2"), "{all}");
    assert!(!message.subject.contains(['\r', '\n']));
    assert!(!message.html.contains("<script>"), "{}", message.html);
}

#[test]
fn a_webhook_gets_the_facts() {
    let mut owner = owner("en");
    owner.addresses = NonEmpty::of(Address::Webhook("chat".into()));
    let message = renderer().message(&notice(vec![slow(), down(OVER)], Why::NewResolved), &owner);
    let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
    assert_eq!(payload["version"], "4");
    assert_eq!(payload["status"], "firing");
    assert_eq!(payload["groupKey"], "{}:{service=\"homepage\"}");
    assert_eq!(
        payload["commonLabels"],
        serde_json::json!({"service": "homepage", "probe": "http"})
    );
    assert_eq!(payload["alerts"][0]["startsAt"], "2025-11-22T08:40:00Z");
    assert_eq!(payload["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(payload["alerts"][1]["endsAt"], "2025-11-22T10:12:00Z");
    assert_eq!(payload["notification_reason"], "some alerts resolved");
}

#[test]
fn a_picture_is_wanted_where_the_expression_is_known() {
    let mut known = Expressions::default();
    let class = |class: &str| labels(&[("class", class), ("text", "{{ $value }}")]);
    known.add("ServiceDown".into(), class("2"), "up == 2".into());
    known.add("ServiceDown".into(), class("1"), "probe_confirmed_down == 1".into());
    let renderer = renderer().with_expressions(Arc::new(known));
    let of = |alerts, why| renderer.message(&notice(alerts, why), &owner("de"));
    let message = of(vec![slow(), down(FIRING)], Why::First);
    let plot = message.plot.unwrap();
    assert_eq!(plot.expression, "probe_confirmed_down == 1");
    assert_eq!((plot.since, plot.until, plot.firing), (at(0), at(5), true));
    assert_eq!(plot.alt, "Verlauf: www.example.org antwortet nicht");
    assert!(message.html.contains(PLOT));
    assert_eq!(of(vec![down(OVER)], Why::AllResolved).plot.unwrap().until, at(12));
    assert_eq!(of(vec![down(OVER)], Why::NewResolved).plot, None);
    let unknown = of(vec![slow()], Why::First);
    assert_eq!((unknown.plot, unknown.html.contains(PLOT)), (None, false));
}

#[test]
fn whoever_gets_it_can_say_i_have_it() {
    let mut renderer = renderer();
    let signer = LinkSigner::new("https://mon.example", &crate::model::Secret::new("key"));
    let link = signer.link("i-1", "web-team", at(5));
    renderer.links.acting = Some(signer);
    let message = renderer.message(&notice(vec![down(FIRING)], Why::First), &owner("de"));
    assert!(message.text.contains(&format!("Ich kümmere mich darum: {link}")), "{}", message.text);
    assert!(message.html.contains(&html::escape(&link)), "{}", message.html);
    let message = renderer.message(&notice(vec![down(OVER)], Why::AllResolved), &owner("de"));
    assert!(!message.text.contains(&link), "{}", message.text);
}

#[test]
fn a_broken_template_costs_nobody_the_message() {
    let own = "subject-firing = ACHTUNG { $what }\nwhere = Ort: { $ort }\n";
    let templates = Templates { german: Some(own.to_owned()), english: None };
    let renderer = renderer().with_templates(&templates);
    let message = renderer.message(&notice(vec![down(FIRING)], Why::First), &owner("de"));
    assert!(message.subject.starts_with("ACHTUNG "), "{}", message.subject);
    assert!(message.text.contains("Wo: https://www.example.org/ (http)"), "{}", message.text);
    let says = "Eigene Textvorlagen sind fehlerhaft (de.ftl: where)";
    assert!(message.text.contains(says), "{}", message.text);
    assert!(message.html.contains(says), "{}", message.html);
}

/// Labels of alerts that others report are theirs: none of them begins a line, turns one around, or
/// gives away whom it is about.
#[test]
fn foreign_labels_stay_on_their_line_and_name_nobody() {
    let mut alert = slow();
    let fake = "x\r\n\nIch kümmere mich darum: https://evil.example/";
    let known = alert.labels.clone();
    let more = [
        ("path", fake),
        ("rtl", "\u{202e}gnp.exe\u{2066}"),
        ("screen", "\u{1b}[2J\u{7}"),
        ("sender", "visitor@victim.example"),
        ("markup", "<img src=x onerror=alert(1)>"),
    ];
    alert.labels = Labels::from_pairs(known.iter().chain(more)).unwrap();
    alert.annotations = labels(&[
        ("summary", "Böse\r\nBcc: spy@evil.example \u{202e}evil 👩\u{200d}👩 token=hunter2"),
        (
            "description",
            "one\n-- \n\n\n\n\u{1b}[2Jtwo https://u:hunter2@h.example/?access_token=hunter2",
        ),
        ("runbook", "x\u{202e} y"),
    ]);
    alert.generator = "https://p.example/graph?g0.expr=up&token=hunter2".into();
    let message = renderer().message(&notice(vec![alert], Why::First), &owner("de"));
    let all = format!("{}\n{}\n{}", message.subject, message.text, message.html);
    for gone in ["visitor@", "spy@", "hunter2", "\u{202e}", "\u{2066}", "\u{1b}", "\u{7}", "\r"] {
        assert!(!all.contains(gone), "{gone:?}: {all}");
    }
    assert!(!message.html.contains("<img"), "{}", message.html);
    let lines: Vec<&str> = message.text.lines().collect();
    assert!(!lines.iter().any(|line| line.starts_with("Ich kümmere mich")), "{}", message.text);
    assert_eq!(lines.iter().filter(|line| **line == "-- ").count(), 1, "{}", message.text);
    assert!(
        message.subject.contains("Böse Bcc: …@evil.example evil 👩\u{200d}👩"),
        "{}",
        message.subject
    );
    assert!(message.text.contains("sender: …@victim.example"), "{}", message.text);
    assert!(
        message.text.contains("https://p.example/graph?g0.expr=up&token=…"),
        "{}",
        message.text
    );
}

#[test]
fn the_first_line_says_it_all() {
    let first = |message: &Message| message.text.lines().next().unwrap().to_owned();
    let several = notice(vec![slow(), down(FIRING)], Why::NewAlerts);
    let message = renderer().message(&several, &owner("de"));
    assert_eq!(
        first(&message),
        "Homepage: www.example.org antwortet nicht (+1 weitere). Seit Sa. 22.11.2025, 11:00 Uhr \
         (+01:00), seit 5 Minuten."
    );
    let mut known = notice(vec![down(FIRING)], Why::Acknowledged);
    known.acknowledged = Some(crate::model::Acknowledgement {
        by: "anna".into(),
        kind: crate::model::AckKind::Claimed,
        at: at(4),
        way: crate::model::Way::Link,
    });
    let message = renderer().message(&known, &owner("en"));
    assert_eq!(
        first(&message),
        "Known: Homepage: www.example.org does not answer. anna has it. Since Sat 2025-11-22, \
         11:00 (+01:00), for 5 minutes."
    );
    assert_eq!(message.text.matches("anna has it").count(), 1, "{}", message.text);
}

#[test]
fn a_message_says_by_when_somebody_must_react() {
    // Monday in Berlin, two days later.
    let due = Some(at(48 * 60 - 30));
    let firing = Notice { react_by: due, ..notice(vec![down(FIRING)], Why::First) };
    let german = renderer().message(&firing, &owner("de"));
    insta::assert_snapshot!(read(&german));
    let english = renderer().message(&firing, &owner("en"));
    insta::assert_snapshot!(read(&english));
    let strong = "<p><strong>Reaktion fällig bis Mo. 24.11.2025, 10:30 Uhr (+01:00).</strong></p>";
    assert!(german.html.contains(strong), "{}", german.html);
    let late = Notice { react_by: Some(at(-10)), ..notice(vec![down(FIRING)], Why::Repeat) };
    let late = renderer().message(&late, &owner("en"));
    let says = "Reaction was due by Sat 2025-11-22, 10:50 (+01:00); nobody has said yet";
    assert!(late.text.contains(says), "{}", late.text);
    let over = Notice { react_by: due, ..notice(vec![down(OVER)], Why::AllResolved) };
    assert!(!renderer().message(&over, &owner("en")).text.contains("due"));
}

#[test]
fn programs_read_it_too_and_alertmanagers_payload_stays_as_it_is() {
    let plain = notice(vec![down(FIRING)], Why::First);
    let without = payload::payload(&plain, "https://mon.example");
    assert!(!without.contains("reactBy"), "{without}");
    let due = Notice { react_by: Some(at(60)), ..plain };
    let with = payload::payload(&due, "https://mon.example");
    let more = r#","reactBy":"2025-11-22T11:00:00Z"}"#;
    assert_eq!(with, without.strip_suffix('}').unwrap().to_owned() + more);
}

#[test]
fn an_end_before_its_beginning_has_no_length() {
    let back = Phase::Resolved { fired: at(60), resolved: at(1) };
    let message = renderer().message(&notice(vec![down(back)], Why::AllResolved), &owner("en"));
    let first = message.text.lines().next().unwrap();
    assert!(first.ends_with("Over since Sat 2025-11-22, 11:01 (+01:00)."), "{first}");
}

#[test]
fn no_link_leads_to_the_readers_own_machine() {
    let mut renderer = renderer();
    for (pages, shown) in [("http://127.0.0.1:9797", false), ("https://mon.example", true)] {
        renderer.links.pages = Some(pages.into());
        let mut alert = slow();
        alert.generator = format!("{pages}/graph?g0.expr=up").into();
        let message = renderer.message(&notice(vec![alert], Why::First), &owner("en"));
        assert_eq!(message.text.contains("Details: "), shown, "{}", message.text);
    }
    for (text, fine) in [
        ("http://[::1]:9/x", false),
        ("http://localhost:9090/graph", false),
        ("https://", false),
        ("https://a.example/?b=c", true),
    ] {
        let mut alert = slow();
        alert.generator = text.into();
        let message = renderer.message(&notice(vec![alert], Why::First), &owner("en"));
        assert_eq!(message.text.contains("Details: "), fine, "{text}");
    }
}
