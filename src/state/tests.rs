use std::sync::Arc;

use super::*;
use crate::model::{Alert, Fingerprint, Labels, Phase, Timestamp};
use crate::ports::{
    Address, Attachment, Heard, Incident, Message, Notes, Plot, Settled, Settlement, Ticket,
    Urgency,
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

fn incident(id: &str) -> Incident {
    let alert = |name: &str, value| Alert {
        labels: labels(&[("alertname", name), ("service", "home")]),
        annotations: labels(&[("summary", "Die Seite „home“ ist weg")]),
        phase: Phase::Firing { since: at(5), fired: at(7) },
        value,
        ends: None,
        generator: "http://localhost/graph".into(),
    };
    Incident {
        id: id.to_owned(),
        route: r#"{}/{owner="web"}"#.into(),
        group: labels(&[("service", "home")]),
        receiver: "web".into(),
        opened: at(10),
        told: at(20),
        messages: 2,
        alerts: vec![alert("Down", Some(0.1)), alert("Slow", None)],
        acknowledged: None,
        reacted: None,
        digest: false,
    }
}

fn ticket(key: &str, serial: u64, to: Address) -> Ticket {
    let picture = Attachment {
        name: "plot.png".into(),
        mime: "image/png".into(),
        alt: "a plot".into(),
        bytes: Arc::from(&[0u8, 255, 1][..]),
    };
    let message = Message {
        subject: "home: down".to_owned(),
        text: "text\0 with everything ✅".to_owned(),
        html: "<b>html</b>".to_owned(),
        language: "de".to_owned(),
        urgency: Urgency::High,
        resolved: true,
        incident: "a1".to_owned(),
        payload: "{}".to_owned(),
        attachments: vec![picture],
        plot: Some(Plot {
            expression: "up == 0".to_owned(),
            labels: labels(&[("alertname", "Down"), ("service", "ä\"b")]),
            since: at(1),
            until: at(2),
            firing: true,
            zone: "Europe/Berlin".to_owned(),
            alt: "a curve".to_owned(),
        }),
        headers: vec![("X-Team".to_owned(), "web".to_owned())],
        account: "team/email[0]".to_owned(),
        from: "web@example.org".to_owned(),
        is_makeshift: false,
    };
    Ticket {
        key: key.to_owned(),
        serial,
        incident: "a1".to_owned(),
        number: 1,
        owner: "web".into(),
        to,
        message: message.into(),
        covers: vec![(Fingerprint(u64::MAX), true), (Fingerprint(1), false)],
        created: at(30),
        escalated: true,
    }
}

fn settled(key: &str, how: Settlement, heard: bool) -> Settled {
    Settled { key: key.to_owned(), at: at(40), how, heard, evidence: "250 ok".to_owned() }
}

fn block<T>(doing: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(doing)
}

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let mail = Address::Email("a@example.org".into());
    let rooms = [Address::Matrix("#r:example.org".into()), Address::Webhook("hook".into())];
    let state = SqliteState::open(&path).unwrap();
    let fresh = block(state.load()).unwrap();
    assert_eq!(fresh.installation.len(), 12, "{}", fresh.installation);
    let change = Change {
        incidents: vec![incident("a1"), incident("b2")],
        tickets: vec![
            ticket("k1", 7, mail.clone()),
            ticket("k2", 8, rooms[0].clone()),
            ticket("k3", 9, rooms[1].clone()),
        ],
        ..Change::default()
    };
    block(state.save(change.clone())).unwrap();
    block(state.save(change)).unwrap();
    let told = Change {
        ended: vec![("b2".to_owned(), at(50))],
        settled: vec![
            settled("k1", Settlement::Delivered, true),
            settled("k2", Settlement::Rejected, false),
        ],
        ..Change::default()
    };
    block(state.save(told.clone())).unwrap();
    drop(state);

    let state = SqliteState::open(&path).unwrap();
    let found = block(state.load()).unwrap();
    assert_eq!(found.installation, fresh.installation);
    assert_eq!(found.incidents, [incident("a1")]);
    assert_eq!(found.tickets, [ticket("k3", 9, rooms[1].clone())]);
    let heard = Heard { incident: "a1".to_owned(), owner: "web".into(), to: mail };
    assert_eq!(found.heard, [heard]);
    // The same change once more, after its end, changes nothing.
    let again = Change { incidents: vec![incident("b2")], ..told };
    block(state.save(again)).unwrap();
    assert_eq!(block(state.load()).unwrap(), found);
}

#[test]
fn a_newer_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    drop(SqliteState::open(&path).unwrap());
    let newer = schema::SCHEMA + 1;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", newer).unwrap();
    let refused = SqliteState::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { .. }), "{refused}");
    assert!(refused.to_string().contains("written by a newer augenmass"), "{refused}");
    let kept = schema::version(&Connection::open(&path).unwrap()).unwrap();
    assert_eq!(kept, newer);
}

#[test]
fn two_processes_cannot_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let _first = SqliteState::open(&path).unwrap();
    let refused = SqliteState::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
}

#[test]
fn what_is_no_state_file_is_refused_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    std::fs::write(&path, "not a database, but long enough to have a header".repeat(40)).unwrap();
    let refused = SqliteState::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}");
    let refused = SqliteState::open(&folder.path().join("no/folder/state.db")).unwrap_err();
    assert!(matches!(refused, OpenError::NotWritable { .. }), "{refused}");
}

#[test]
fn a_full_disk_is_an_error_and_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = SqliteState::open_limited(&path, Some(40)).unwrap();
    let mail = Address::Email("a@example.org".into());
    let mut large = ticket("large", 1, mail.clone());
    Arc::make_mut(&mut large.message).text = "x".repeat(1 << 20);
    let change = Change { tickets: vec![large], ..Change::default() };
    let refused = block(state.save(change)).unwrap_err();
    assert!(matches!(&refused, StateError::NotDurable(why) if why.contains("full")), "{refused}");
    let small =
        Change { settled: vec![settled("x", Settlement::Delivered, true)], ..Change::default() };
    block(state.save(small)).unwrap();
    assert_eq!(block(state.load()).unwrap().tickets, [], "all of a change or nothing");
}

fn silence(id: &str) -> crate::model::Silence {
    crate::model::Silence {
        id: id.into(),
        matchers: crate::alerting::parse_matchers(r#"{a="b", "ü x"!="", c=~"d.*", e!~"f|g"}"#)
            .unwrap(),
        starts: at(1),
        ends: at(i64::MAX),
        created_by: "me@example.org".into(),
        comment: "a \"comment\"".into(),
        updated: at(2),
        until_resolved: true,
        incident: Some("a1".into()),
    }
}

fn entry(millis: i64, incident: Option<&str>) -> crate::ports::Entry {
    crate::ports::Entry {
        at: at(millis),
        event: crate::ports::Event::Held,
        reason: "silenced".into(),
        detail: "s1".to_owned(),
        incident: incident.map(str::to_owned),
        receiver: "web".into(),
        group: labels(&[("service", "home")]),
        alerts: vec![(labels(&[("alertname", "Down")]), at(3)), (labels(&[("ü", "")]), at(4))],
        who: "".into(),
        channel: None,
    }
}

fn lookup(incident: Option<&str>, most: usize) -> crate::ports::Lookup {
    let incident = incident.map(str::to_owned);
    crate::ports::Lookup { incident, from: at(0), through: at(100), most }
}

#[test]
fn silences_acknowledgements_and_the_log_outlive_the_process() {
    use crate::model::{AckKind, Acknowledgement, Way};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.db");
    let state = SqliteState::open(&path).unwrap();
    let mut known = incident("a1");
    known.digest = true;
    known.reacted = Some(at(8));
    known.acknowledged = Some(Acknowledgement {
        by: "anna".into(),
        kind: AckKind::Claimed,
        at: at(9),
        way: Way::Matrix,
    });
    let mail = Address::Email("a@example.org".into());
    let change = Change {
        incidents: vec![known.clone()],
        tickets: vec![ticket("k1", 7, mail)],
        settled: vec![settled("k1", Settlement::Rejected, false)],
        silences: vec![silence("s1")],
        journal: vec![entry(10, None), entry(11, Some("a1")), entry(11, Some("a1"))],
        ..Change::default()
    };
    block(state.save(change.clone())).unwrap();
    block(state.save(change)).unwrap();
    drop(state);
    let state = SqliteState::open(&path).unwrap();
    let found = block(state.load()).unwrap();
    assert_eq!(found.incidents, [known]);
    let text = |silence: &crate::model::Silence| format!("{silence:?}");
    assert_eq!(found.silences.iter().map(text).collect::<Vec<_>>(), [text(&silence("s1"))]);
    assert_eq!(found.link_key.as_ref().unwrap().reveal().len(), 64);
    let log = block(state.journal(lookup(None, 10))).unwrap();
    assert_eq!(log.len(), 3, "writing a line twice is the same as once: {log:?}");
    assert_eq!(log[0], entry(10, None));
    assert_eq!((log[2].event.name(), log[2].channel.is_some()), ("not-delivered", true));
    assert!(!format!("{log:?}").contains("a@example.org"), "no address in the log");
    assert_eq!(block(state.journal(lookup(Some("a1"), 1))).unwrap(), log[2..]);
    drop(state);
    let raw = Connection::open(&path).unwrap();
    let refused = raw.execute("UPDATE journal SET detail = ''", []).unwrap_err();
    assert!(refused.to_string().contains("append-only"), "{refused}");
}

#[test]
fn a_file_of_the_first_version_is_read_and_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    std::fs::write(&path, include_bytes!("../../tests/fixtures/state-1/state.sqlite")).unwrap();
    let state = SqliteState::open(&path).unwrap();
    let found = block(state.load()).unwrap();
    assert_eq!(found.incidents, [incident("a1")]);
    assert_eq!(found.tickets.len(), 1);
    assert_eq!((found.heard.len(), found.silences.len()), (1, 0));
    let key = found.link_key.unwrap();
    drop(state);
    let again = block(SqliteState::open(&path).unwrap().load()).unwrap();
    assert_eq!(again.link_key, Some(key), "the key stays");
}

#[tokio::test]
async fn notes_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sqlite");
    let note = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    {
        let state = SqliteState::open(&path).unwrap();
        state.write("matrix", vec![note("a", "1"), note("b", "2")]).await.unwrap();
        state.write("matrix", vec![note("a", "3"), ("b".to_owned(), None)]).await.unwrap();
        state.write("other", vec![note("a", "4")]).await.unwrap();
    }
    let state = SqliteState::open(&path).unwrap();
    assert_eq!(state.read("matrix").await.unwrap(), [("a".to_owned(), "3".to_owned())]);
    let many = (0..10_005).map(|number| note(&number.to_string(), "x")).collect();
    state.write("matrix", many).await.unwrap();
    let kept = state.read("matrix").await.unwrap();
    assert_eq!((kept.len(), kept[0].0.as_str()), (10_000, "5"));
}
