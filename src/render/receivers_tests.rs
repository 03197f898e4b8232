use std::collections::HashMap;

use crate::model::Labels;

use super::*;
use crate::alerting::Directory;
use crate::model::{NonEmpty, Phase};
use crate::render::Links;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
}

fn alert(name: &str, firing: bool) -> Alert {
    let pairs = [("alertname", "X"), ("instance", name)];
    Alert {
        labels: Labels::from_pairs(pairs).unwrap(),
        annotations: Labels::from_pairs([("summary", "it <burns>")]).unwrap(),
        phase: match firing {
            true => Phase::Firing { since: at(0), fired: at(0) },
            false => Phase::Resolved { fired: at(0), resolved: at(60) },
        },
        value: None,
        ends: None,
        generator: "http://prom.example/g".into(),
    }
}

fn notice(why: Why) -> Notice {
    Notice {
        receiver: "team".into(),
        route: "{}".into(),
        group: Labels::from_pairs([("alertname", "X")]).unwrap(),
        alerts: vec![alert("b", true), alert("a", true), alert("c", false)],
        why,
        incident: "i1".into(),
        at: at(90),
        also_told: Vec::new(),
        flapping: false,
        left_out: 0,
        acknowledged: None,
        react_by: None,
    }
}

fn owner(name: &str, to: &Address) -> Owner {
    Owner {
        name: name.into(),
        addresses: NonEmpty::of(to.clone()),
        language: "en".into(),
        timezone: "UTC".into(),
    }
}

fn renderer(to: &Address, voice: Voice, files: &[&str]) -> Renderer {
    let mut templates = TemplateFiles::default();
    for file in files {
        templates.add("own.tmpl", file).unwrap();
    }
    let links = Links { pages: Some("http://am.example".into()), ..Links::default() };
    let directory = Directory { owners: vec![owner("team", to)], ..Directory::default() };
    Renderer::new(Arc::new(directory), links)
        .with_voices(HashMap::from([(("team".into(), to.clone()), voice)]), templates)
}

fn said(way: Way, send_resolved: bool, why: Why, files: &[&str]) -> Wording {
    let to = mail("a@example.org");
    let renderer = renderer(&to, Voice { send_resolved, way }, files);
    renderer.for_address(&notice(why), &owner("team", &to), &to)
}

fn mail(text: &str) -> Address {
    Address::Email(text.into())
}

/// A receiver whose addresses a template writes: who is told what.
fn written(to: &str, from: Option<&str>, default: &[&str]) -> Vec<(Address, Message)> {
    let way = Way::Email {
        account: "acc".into(),
        to: Some(to.into()),
        from: from.map(Into::into),
        subject: None,
        text: Some("mine".into()),
        html: None,
        headers: Vec::new(),
    };
    let at = mail(to);
    let renderer = renderer(&at, Voice { send_resolved: true, way }, &[])
        .with_default_addresses(default.iter().map(|to| mail(to)).collect());
    let (notice, owner) = (notice(Why::First), owner("team", &at));
    let places = renderer.places(&notice, &owner, &at);
    places
        .into_iter()
        .map(|to| (to.clone(), own(renderer.for_address(&notice, &owner, &to))))
        .collect()
}

fn own(wording: Wording) -> Message {
    match wording {
        Wording::Own(message) => *message,
        other => panic!("{other:?}"),
    }
}

fn email(subject: Option<&str>, text: Option<&str>, html: Option<&str>) -> Way {
    let (subject, text) = (subject.map(Into::into), text.map(Into::into));
    let html = html.map(Into::into);
    let (to, from, headers) = (None, None, Vec::new());
    Way::Email { account: "acc".into(), to, from, subject, text, html, headers }
}

#[test]
fn whoever_wants_no_ends_hears_none() {
    let way = Way::Webhook { max_alerts: 0 };
    assert_eq!(said(way.clone(), false, Why::NewResolved, &[]), Wording::Nothing);
    assert_eq!(said(way.clone(), false, Why::AllResolved, &[]), Wording::Nothing);
    let message = own(said(way, false, Why::NewAlerts, &[]));
    assert!(!message.payload.contains("resolved\""), "{}", message.payload);
    assert_eq!(said(Way::Nobody, true, Why::First, &[]), Wording::Nothing);
    assert_eq!(said(Way::Usual, true, Why::First, &[]), Wording::Usual);
}

#[test]
fn a_webhook_gets_as_many_alerts_as_it_can_take_in_alertmanagers_order() {
    let message = own(said(Way::Webhook { max_alerts: 1 }, true, Why::First, &[]));
    let payload: serde_json::Value = serde_json::from_str(&message.payload).unwrap();
    assert_eq!(payload["truncatedAlerts"], 2);
    assert_eq!(payload["alerts"][0]["labels"]["instance"], "a");
}

#[test]
fn own_templates_word_a_mail() {
    let way =
        email(Some("{{ .Status }} {{ template \"x\" . }}"), Some("t {{ len .Alerts }}"), None);
    let message = own(said(way, true, Why::First, &["{{ define \"x\" }}of us{{ end }}"]));
    assert_eq!((&*message.subject, &*message.text), ("firing of us", "t 3"));
    assert_eq!((&*message.html, &*message.account), ("", "acc"));
    let shipped = "{{ template \"email.default.subject\" . }}";
    let message = own(said(
        email(Some(shipped), None, Some("{{ template \"email.default.html\" . }}")),
        true,
        Why::First,
        &[],
    ));
    assert_eq!(message.subject, "[FIRING:2] X");
    assert!(message.html.contains("it &lt;burns&gt;"), "{}", message.html);
    let over = "{{ define \"email.default.subject\" }}mine{{ end }}";
    assert_eq!(own(said(email(None, None, None), true, Why::First, &[over])).subject, "mine");
}

#[test]
fn without_own_words_all_labels_are_shown() {
    let message = own(said(email(None, None, None), true, Why::First, &[]));
    assert!(message.text.contains("instance = a"), "{}", message.text);
    assert!(message.html.contains("summary = it &lt;burns&gt;"), "{}", message.html);
}

#[test]
fn a_broken_template_costs_nobody_the_message() {
    let way = email(None, Some("{{ template \"gone\" . }}"), None);
    let message = own(said(way, true, Why::First, &[]));
    assert!(message.text.contains("is broken, so this is the usual text"), "{}", message.text);
    assert!(message.text.contains("gone") && message.text.contains("it <burns>"));
    assert!(message.html.contains("is broken") && message.is_makeshift, "{}", message.html);
}

#[test]
fn the_shipped_definitions_are_well_formed() {
    let mut templates = Templates::default();
    templates.add("shipped.tmpl", SHIPPED).unwrap();
    let data = data(&notice(Why::First), "http://am.example").unwrap();
    let text = |name: &str| {
        templates.text(&format!("{{{{ template \"{name}\" . }}}}"), &data, at(0)).unwrap()
    };
    assert_eq!(text("__subject"), "[FIRING:2] X");
    assert!(text("email.default.text").contains("instance = c"));
}

#[test]
fn a_template_gives_the_addresses() {
    let told = written(
        "{{ range .Alerts }}{{ .Labels.instance }}@example.org,{{ end }} \"X, Y\" <b@example.org>",
        Some("{{ .CommonLabels.alertname }} <x@example.org>"),
        &["ops@example.org"],
    );
    let to: Vec<_> = told.iter().map(|(to, _)| to.clone()).collect();
    let each = ["a@example.org", "b@example.org", "c@example.org"].map(mail);
    assert_eq!(to, each, "two alerts with different addresses: both are told, nobody twice");
    for (_, message) in &told {
        assert_eq!((&*message.text, &*message.from), ("mine", "X <x@example.org>"));
        assert_eq!((&*message.account, message.is_makeshift), ("acc", false));
    }
}

#[test]
fn a_template_that_gives_no_address_leads_to_the_default_receiver() {
    for (template, why) in [
        ("{{ template \"gone\" . }}", "gone"),
        ("{{ .CommonLabels.nothing }}@example.org", "it gives no mail address"),
        ("{{ .CommonLabels.alertname }}", "it gives no mail address"),
    ] {
        let told = written(template, None, &["ops@example.org"]);
        assert_eq!(told.len(), 1, "{template}");
        let (to, message) = &told[0];
        assert_eq!(*to, mail("ops@example.org"), "{template}");
        assert!(message.is_makeshift && message.text.starts_with("mine\n\nThe template of `to`"));
        assert!(message.text.contains("receiver team is broken"), "{}", message.text);
        assert!(message.text.contains(why), "{}", message.text);
        // Nobody else is there: the channel refuses it, and that is a dead letter.
        assert_eq!(written(template, None, &[])[0].0, mail(template));
    }
    let (to, message) = written("nobody, a@example.org{{ \"\" }}", None, &[]).remove(0);
    assert!(to == mail("a@example.org") && message.is_makeshift);
    assert!(message.text.contains("part of what it gives is no mail address"));
}

#[test]
fn a_broken_sender_costs_nobody_the_message() {
    for from in ["{{ template \"gone\" . }}", "{{ .Status }}"] {
        let (_, message) = written("a@example.org{{ \"\" }}", Some(from), &[]).remove(0);
        assert!(message.from.is_empty() && message.is_makeshift);
        assert!(message.text.contains("The template of `from`"), "{}", message.text);
    }
}

#[test]
fn who_heard_hears_the_end_though_the_template_says_another_now() {
    let at = mail("{{ .CommonLabels.alertname }}@example.org");
    let Address::Email(template) = &at else { panic!() };
    let mut way = email(None, Some("mine"), None);
    if let Way::Email { to, .. } = &mut way {
        *to = Some(template.clone());
    }
    let renderer = renderer(&at, Voice { send_resolved: false, way }, &[]);
    let say = |to: &str, why| renderer.for_address(&notice(why), &owner("team", &at), &mail(to));
    assert_eq!(own(say("X@example.org", Why::First)).text, "mine");
    assert_eq!(own(say("other@example.org", Why::First)).text, "mine");
    assert_eq!(say("other@example.org", Why::AllResolved), Wording::Nothing, "no ends by default");
}
