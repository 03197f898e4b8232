use std::sync::Arc;

use super::*;
use crate::model::{Alert, Labels, Phase};
use crate::ports::{Delivery, DeliveryError, Message, Receipt, Urgency};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn directory() -> Directory {
    let owner = |name: &str, addresses: Vec<Address>| Owner {
        name: name.into(),
        addresses: NonEmpty::from_vec(addresses).unwrap(),
        language: "en".into(),
        timezone: "UTC".into(),
    };
    let mail = |to: &str| Address::Email(to.into());
    Directory {
        owners: vec![
            owner("web", vec![mail("web@example.org"), Address::Matrix("#web:x".into())]),
            owner("office", vec![mail("office@example.org")]),
            owner("dispatcher", vec![Address::Matrix("#all:x".into())]),
        ],
        services: Vec::new(),
        fallback: Some("dispatcher".into()),
        ..Directory::default()
    }
}

fn plain(notice: &Notice, owner: &Owner) -> Message {
    Message {
        subject: format!("{:?} for {}", notice.why, owner.name),
        text: "text".to_owned(),
        language: owner.language.to_string(),
        urgency: Urgency::Normal,
        resolved: notice.is_resolved(),
        incident: notice.incident.clone(),
        ..Message::default()
    }
}

fn decision(to: &str, number: u32, why: Why, alerts: &[(&str, bool)]) -> Decision {
    let alert = |(name, firing): &(&str, bool)| Alert {
        labels: Labels::from_pairs([("alertname", *name)]).unwrap(),
        annotations: Labels::empty(),
        phase: if *firing {
            Phase::Firing { since: at(0), fired: at(0) }
        } else {
            Phase::Resolved { fired: at(0), resolved: at(1) }
        },
        value: None,
        ends: None,
        generator: "".into(),
    };
    let notice = Notice {
        receiver: to.into(),
        route: "{}".into(),
        group: Labels::empty(),
        alerts: alerts.iter().map(alert).collect(),
        why,
        incident: "abc".to_owned(),
        at: at(0),
        also_told: Vec::new(),
        flapping: false,
        left_out: 0,
        acknowledged: None,
        react_by: None,
    };
    Decision { notice, number, seen_at: None }
}

struct Bench {
    outbox: Outbox,
    directory: Directory,
    now: Timestamp,
}

impl Bench {
    fn new() -> Self {
        let remembered = Remembered { installation: "inst".to_owned(), ..Remembered::default() };
        let outbox = Outbox::restore(Patience::default(), remembered, at(0));
        Self { outbox, directory: directory(), now: at(0) }
    }

    fn tell(&mut self, decision: &Decision) {
        self.outbox.tell(decision, &self.directory, &plain, self.now);
        if decision.notice.why == Why::AllResolved {
            self.outbox.incident_is_over("abc");
        }
    }

    /// Saves, and gives what is sent: address and subject by key.
    fn turn(&mut self) -> BTreeMap<String, Delivery> {
        self.outbox.look_at_deadlines(&self.directory, &plain, self.now);
        self.outbox.take_change();
        self.outbox.saved(self.now);
        let sent = self.outbox.send(self.now);
        sent.into_iter().map(|delivery| (format!("{:?}", delivery.to), delivery)).collect()
    }

    fn answer(&mut self, delivery: &Delivery, answer: Result<Receipt, DeliveryError>) {
        self.outbox.answered(&delivery.key, answer, &self.directory, &plain, self.now);
    }
}

fn yes() -> Result<Receipt, DeliveryError> {
    Ok(Receipt("ok".to_owned()))
}

fn later() -> Result<Receipt, DeliveryError> {
    Err(DeliveryError::Retry { reason: "busy".to_owned(), after: None })
}

fn no() -> Result<Receipt, DeliveryError> {
    Err(DeliveryError::Rejected { reason: "no such user".to_owned() })
}

const MAIL: &str = r#"Email("web@example.org")"#;
const ROOM: &str = r##"Matrix("#web:x")"##;

#[test]
fn nothing_is_sent_before_its_intent_is_durable() {
    let mut bench = Bench::new();
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    assert_eq!(bench.outbox.send(at(0)), [], "not saved yet");
    assert_eq!(bench.outbox.take_change().tickets.len(), 2, "one for each address");
    bench.outbox.saved(at(0));
    let sent = bench.outbox.send(at(0));
    assert_eq!(sent.len(), 2);
    assert!(sent.iter().all(|d| d.key.starts_with("inst-abc-1-")), "{sent:?}");
    assert_ne!(sent[0].key, sent[1].key);
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(sent.iter().all(|d| d.key.chars().all(legal)));
}

#[test]
fn the_end_goes_to_those_who_heard_the_beginning() {
    let mut bench = Bench::new();
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    let sent = bench.turn();
    bench.answer(&sent[MAIL], yes());
    bench.answer(&sent[ROOM], no());
    bench.tell(&decision("web", 2, Why::AllResolved, &[("A", false)]));
    let sent = bench.turn();
    assert_eq!(sent.keys().collect::<Vec<_>>(), [MAIL]);
    bench.answer(&sent[MAIL], yes());
    assert_eq!(bench.outbox.open_count(), 0);
    assert!(bench.outbox.incidents.is_empty() && bench.outbox.stories.is_empty());
    assert_eq!(bench.outbox.dead_letters().count(), 1);
}

#[test]
fn the_end_reaches_them_also_after_they_left_the_configuration() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true)]));
    let sent = bench.turn();
    bench.answer(sent.values().next().unwrap(), yes());
    bench.directory.owners.retain(|owner| &*owner.name != "office");
    bench.tell(&decision("office", 2, Why::AllResolved, &[("A", false)]));
    let sent = bench.turn();
    let sent = sent.values().next().unwrap();
    assert_eq!(sent.to, Address::Email("office@example.org".into()));
    assert_eq!(sent.message.subject, "AllResolved for office");
}

#[test]
fn a_lost_answer_repeats_with_the_same_key() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true)]));
    let first = bench.turn().into_values().next().unwrap();
    bench.answer(&first, Err(DeliveryError::Unsure { reason: "hung up".to_owned() }));
    assert_eq!(bench.turn(), BTreeMap::new(), "not at once");
    bench.now = at(3);
    assert_eq!(bench.turn().into_values().next().unwrap(), first);
}

#[test]
fn what_was_surely_not_delivered_is_merged_into_what_came_after() {
    let mut bench = Bench::new();
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    let sent = bench.turn();
    bench.answer(&sent[MAIL], later());
    bench.answer(&sent[ROOM], Err(DeliveryError::Unsure { reason: String::new() }));
    bench.tell(&decision("web", 2, Why::AllResolved, &[("A", false)]));
    let merged = bench.turn();
    assert_eq!(merged.keys().collect::<Vec<_>>(), [MAIL], "the room first gets the beginning");
    assert_eq!(merged[MAIL].message.subject, "AllResolved for web");
    bench.now = at(10);
    let again = bench.turn();
    assert_eq!(again[ROOM].key, sent[ROOM].key);
    bench.answer(&again[ROOM], yes());
    assert_eq!(bench.turn()[ROOM].message.subject, "AllResolved for web");
}

#[test]
fn a_message_is_not_merged_into_one_that_says_less() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true), ("B", true)]));
    let sent = bench.turn().into_values().next().unwrap();
    bench.answer(&sent, later());
    bench.tell(&decision("office", 2, Why::NewResolved, &[("A", false)]));
    bench.now = at(5);
    assert_eq!(bench.turn().into_values().next().unwrap().key, sent.key);
}

#[test]
fn a_refused_owner_is_told_through_the_fallback_owner() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true)]));
    let sent = bench.turn().into_values().next().unwrap();
    bench.answer(&sent, no());
    let sent = bench.turn().into_values().next().unwrap();
    assert_eq!(sent.to, Address::Matrix("#all:x".into()));
    assert!(sent.message.text.contains("office could not be reached"), "{}", sent.message.text);
    assert!(sent.message.text.contains("no such user"), "{}", sent.message.text);
    assert_eq!(sent.message.subject, "First for dispatcher", "in their words, not in the office's");
    bench.answer(&sent, yes());
    bench.tell(&decision("office", 2, Why::AllResolved, &[("A", false)]));
    let ends = bench.turn();
    assert_eq!(ends.len(), 1, "the fallback owner heard, the owner did not");
    assert_eq!(ends.into_values().next().unwrap().to, Address::Matrix("#all:x".into()));
}

#[test]
fn a_channel_that_is_down_for_too_long_is_told_around() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true)]));
    let mut reached = Vec::new();
    for second in 0..300 {
        bench.now = at(second);
        for delivery in bench.turn().into_values() {
            match delivery.to {
                Address::Email(_) => bench.answer(&delivery, later()),
                _ => {
                    reached.push(second);
                    bench.answer(&delivery, yes());
                }
            }
        }
    }
    assert_eq!(reached, [120]);
    assert_eq!(bench.outbox.open_count(), 1, "the mail is still tried");
    assert_eq!(bench.outbox.counts().escalated, 1);
}

#[test]
fn one_address_that_was_reached_is_enough() {
    let mut bench = Bench::new();
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    let sent = bench.turn();
    bench.answer(&sent[MAIL], no());
    bench.answer(&sent[ROOM], yes());
    bench.now = at(1000);
    assert_eq!(bench.turn(), BTreeMap::new());
    assert_eq!(bench.outbox.next_due(), None);
}

#[test]
fn it_gives_up_after_days_and_says_so() {
    let mut bench = Bench::new();
    bench.tell(&decision("dispatcher", 1, Why::First, &[("A", true)]));
    let mut tries = 0;
    while bench.outbox.open_count() > 0 {
        bench.now = bench.outbox.next_due().unwrap_or(bench.now).max(bench.now);
        for delivery in bench.turn().into_values() {
            tries += 1;
            bench.answer(&delivery, later());
        }
        assert!(tries < 5_000);
    }
    let hours = bench.now.since(at(0)).unwrap().as_secs() / 3600;
    assert!((72..73).contains(&hours), "{hours} h, {tries} tries");
    assert!((700..1_100).contains(&tries), "{tries}");
    assert_eq!(bench.outbox.dead_letters().next().unwrap().reason, "busy");
}

#[test]
fn tickets_without_an_end_are_delivered_again_with_their_key() {
    let mut bench = Bench::new();
    bench.tell(&decision("office", 1, Why::First, &[("A", true)]));
    let tickets = bench.outbox.take_change().tickets;
    let remembered = Remembered {
        installation: "inst".to_owned(),
        tickets: tickets.clone(),
        ..Remembered::default()
    };
    bench.outbox = Outbox::restore(Patience::default(), remembered, at(9));
    bench.now = at(9);
    bench.tell(&decision("office", 2, Why::AllResolved, &[("A", false)]));
    let again = bench.turn().into_values().next().unwrap();
    assert_eq!(again.key, tickets[0].key, "it may have arrived, so it is not merged");
    bench.answer(&again, yes());
    assert_eq!(
        bench.turn().into_values().next().unwrap().message.subject,
        "AllResolved for office"
    );
}

#[test]
fn a_channel_carries_so_many_at_a_time() {
    let mut bench = Bench::new();
    for incident in 0..20 {
        let mut decision = decision("office", 1, Why::First, &[(&format!("A{incident}"), true)]);
        decision.notice.incident = format!("i{incident}");
        bench.outbox.tell(&decision, &bench.directory, &plain, at(0));
    }
    let first = bench.turn();
    assert_eq!(bench.outbox.in_flight[&Channel::Email], 4);
    assert_eq!(bench.turn(), BTreeMap::new());
    bench.answer(first.values().next().unwrap(), yes());
    assert_eq!(bench.turn().len(), 1);
}

#[test]
fn asking_early_is_no_busy_loop() {
    let mut bench = Bench::new();
    bench.tell(&decision("dispatcher", 1, Why::First, &[("A", true)]));
    let sent = bench.turn().into_values().next().unwrap();
    bench.answer(&sent, later());
    let mut turns = 0;
    while bench.outbox.next_due().is_some_and(|due| due <= at(119)) {
        bench.now = bench.outbox.next_due().unwrap();
        for delivery in bench.turn().into_values() {
            bench.answer(&delivery, later());
        }
        turns += 1;
        assert!(turns < 20, "{:?}", bench.outbox.next_due());
    }
    let arc: Arc<dyn Render> = Arc::new(plain);
    drop(arc);
}

fn down() -> Result<Receipt, DeliveryError> {
    Err(DeliveryError::Down { reason: "cannot connect".to_owned(), after: None })
}

#[test]
fn a_channel_that_is_down_is_tried_by_one_message_at_a_time() {
    let mut bench = Bench::new();
    for (number, name) in ["office", "office"].iter().enumerate() {
        let mut told = decision(name, 1, Why::First, &[(&format!("A{number}"), true)]);
        told.notice.incident = format!("i{number}");
        bench.tell(&told);
    }
    let sent: Vec<Delivery> = {
        bench.outbox.take_change();
        bench.outbox.saved(bench.now);
        bench.outbox.send(bench.now)
    };
    assert_eq!(sent.len(), 2);
    for delivery in &sent {
        bench.answer(delivery, down());
    }
    let mut tries = 0;
    for second in 1..60 {
        bench.now = at(second);
        for delivery in bench.outbox.send(bench.now) {
            tries += 1;
            bench.answer(&delivery, down());
        }
    }
    // 2, 4, 8, 16, 32 seconds apart, and not that often for each message.
    assert!((3..=6).contains(&tries), "{tries}");
    let due = bench.outbox.next_due().unwrap();
    assert!(bench.now < due, "{due}");
    // The first that gets through opens the way for all.
    bench.now = at(300);
    let probe = bench.outbox.send(bench.now);
    assert_eq!(probe.len(), 1);
    bench.answer(&probe[0], yes());
    assert_eq!(bench.outbox.send(bench.now).len(), 1);
}

#[test]
fn an_owner_who_wants_one_way_gets_the_next_one_with_the_reason() {
    let mut bench = Bench::new();
    bench.directory.first_that_works.insert("web".into());
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    let sent = bench.turn();
    assert_eq!(sent.keys().collect::<Vec<_>>(), ["Email(\"web@example.org\")"]);
    let mail = sent.into_values().next().unwrap();
    bench.answer(&mail, Err(DeliveryError::Rejected { reason: "no such user".to_owned() }));
    let sent = bench.turn();
    assert_eq!(sent.keys().collect::<Vec<_>>(), [ROOM]);
    let text = &sent[ROOM].message.text;
    let says = "email did not arrive (no such user). That is why this message comes this way.";
    assert!(text.contains(says) && !text.starts_with(says), "{text}");
    // The last way fails too: the fallback owner.
    bench.answer(&sent[ROOM], Err(DeliveryError::Rejected { reason: "encrypted".to_owned() }));
    let sent = bench.turn();
    assert!(sent.values().next().unwrap().message.text.contains("web could not be reached"));
    assert_eq!(bench.outbox.dead_letters().count(), 2);
    assert_eq!(bench.outbox.lost_since(at(-1)), 2);
    assert_eq!(bench.outbox.lost_since(bench.now), 0);
}

#[test]
fn a_way_that_is_down_for_long_is_passed_by_and_does_not_tell_twice() {
    let mut bench = Bench::new();
    bench.directory.first_that_works.insert("web".into());
    bench.tell(&decision("web", 1, Why::First, &[("A", true)]));
    let mail = bench.turn().into_values().next().unwrap();
    bench.answer(&mail, down());
    bench.now = at(121);
    let sent = bench.turn();
    assert!(sent.contains_key(ROOM), "{sent:?}");
    if let Some(mail) = sent.get("Email(\"web@example.org\")") {
        bench.answer(mail, down());
    }
    bench.answer(&sent[ROOM], yes());
    assert_eq!(bench.outbox.open_count(), 0, "the mail is not needed any more");
}

#[test]
fn dead_letters_outlive_the_process() {
    let letter = DeadLetter {
        owner: "web".into(),
        channel: Channel::Email,
        subject: "down".to_owned(),
        reason: "no such user".to_owned(),
        at: at(5),
    };
    let remembered = Remembered { dead: vec![letter], ..Remembered::default() };
    let outbox = Outbox::restore(Patience::default(), remembered, at(10));
    assert_eq!((outbox.lost_since(at(0)), outbox.lost_since(at(5))), (1, 0));
}

/// Another incident of what `decision` tells.
fn of_incident(incident: &str, mut decision: Decision) -> Decision {
    decision.notice.incident = incident.to_owned();
    decision
}

#[test]
fn a_late_end_arrives_before_the_next_beginning_of_the_same_alert() {
    let mut bench = Bench::new();
    bench.tell(&of_incident("i1", decision("office", 1, Why::First, &[("A", true)])));
    let first = bench.turn().into_values().next().unwrap();
    bench.answer(&first, yes());
    bench.tell(&of_incident("i1", decision("office", 2, Why::AllResolved, &[("A", false)])));
    bench.outbox.incident_is_over("i1");
    let end = bench.turn().into_values().next().unwrap();
    for _ in 0..7 {
        bench.answer(&end, later());
        while bench.turn().is_empty() {
            bench.now = bench.outbox.next_due().unwrap().max(bench.now);
        }
    }
    bench.answer(&end, later());
    // It has begun again: its end is tried at once and not minutes later, and it comes first.
    let minute = std::time::Duration::from_secs(60);
    assert!(bench.now + minute < bench.outbox.next_due().unwrap());
    bench.tell(&of_incident("i2", decision("office", 1, Why::First, &[("A", true)])));
    bench.tell(&of_incident("i3", decision("office", 1, Why::First, &[("B", true)])));
    bench.outbox.take_change();
    bench.outbox.saved(bench.now);
    let sent = bench.outbox.send(bench.now);
    let keys: Vec<&str> = sent.iter().map(|delivery| &delivery.key[5..9]).collect();
    assert_eq!(keys, ["i1-2", "i3-1"], "what is about something else does not wait");
    bench.answer(&end, yes());
    let sent = bench.turn().into_values().next().unwrap();
    assert!(sent.key.starts_with("inst-i2-1"), "{sent:?}");
    bench.answer(&sent, yes());
    assert!(!bench.outbox.order.is_empty(), "B is under way");
}

#[test]
fn a_refused_end_holds_nobody_up_and_the_order_outlives_the_process() {
    let mut bench = Bench::new();
    bench.tell(&of_incident("i1", decision("office", 1, Why::First, &[("A", true)])));
    let first = bench.turn().into_values().next().unwrap();
    bench.answer(&first, yes());
    bench.tell(&of_incident("i1", decision("office", 2, Why::AllResolved, &[("A", false)])));
    let end = bench.turn().into_values().next().unwrap();
    bench.answer(&end, later());
    bench.tell(&of_incident("i2", decision("office", 1, Why::First, &[("A", true)])));
    let tickets: Vec<Ticket> = bench.outbox.open.values().map(|open| open.ticket.clone()).collect();
    let remembered =
        Remembered { installation: "inst".to_owned(), tickets, ..Remembered::default() };
    bench.outbox = Outbox::restore(Patience::default(), remembered, at(9));
    bench.now = at(9);
    let again = bench.turn().into_values().next().unwrap();
    assert_eq!(again.key, end.key);
    bench.answer(&again, no());
    let next = bench.turn().into_values().next().unwrap();
    assert!(next.key.starts_with("inst-i2-1"), "{next:?}");
    bench.answer(&next, yes());
    assert!(bench.outbox.order.is_empty());
}

/// An address that stands for two others, each told in makeshift words.
struct Written;

impl Render for Written {
    fn notice(&self, notice: &Notice, owner: &Owner) -> Message {
        plain(notice, owner)
    }

    fn places(&self, _: &Notice, _: &Owner, to: &Address) -> Vec<Address> {
        match to {
            Address::Email(_) => ["a@x", "b@x"].map(|to| Address::Email(to.into())).to_vec(),
            other => vec![other.clone()],
        }
    }

    fn for_address(&self, notice: &Notice, owner: &Owner, to: &Address) -> Wording {
        let is_makeshift = matches!(to, Address::Email(_));
        Wording::Own(Box::new(Message { is_makeshift, ..plain(notice, owner) }))
    }
}

#[test]
fn an_address_may_stand_for_others_who_hear_the_end_too() {
    let mut bench = Bench::new();
    let begins = decision("web", 1, Why::First, &[("A", true)]);
    bench.outbox.tell(&begins, &bench.directory, &Written, bench.now);
    let sent = bench.turn();
    let to: Vec<&str> = sent.keys().map(String::as_str).collect();
    assert_eq!(to, ["Email(\"a@x\")", "Email(\"b@x\")", "Matrix(\"#web:x\")"]);
    assert_eq!(bench.outbox.counts().makeshift, 2, "each is counted once");
    for delivery in sent.values() {
        bench.answer(delivery, yes());
    }
    let ends = decision("web", 2, Why::AllResolved, &[("A", false)]);
    bench.outbox.tell(&ends, &bench.directory, &Written, bench.now);
    assert_eq!(bench.turn().len(), 3, "whoever heard, whatever the address says now");
}

#[test]
fn who_is_told_in_somebodys_place_is_not_left_with_an_end_that_is_not_true_any_more() {
    let mut bench = Bench::new();
    bench.tell(&of_incident("j1", decision("office", 1, Why::First, &[("A", true), ("B", true)])));
    let mut told = Vec::new();
    for second in 0..400 {
        bench.now = at(second);
        match second {
            30 => bench.tell(&of_incident(
                "j1",
                decision("office", 2, Why::NewResolved, &[("A", true), ("B", false)]),
            )),
            // B is there again, and B only; C has nothing to do with it.
            65 => {
                let again = decision("office", 1, Why::First, &[("B", true)]);
                bench.tell(&of_incident("i2", again));
                bench.tell(&of_incident("i3", decision("office", 1, Why::First, &[("C", true)])));
            }
            _ => {}
        }
        loop {
            let sent = bench.turn();
            if sent.is_empty() {
                break;
            }
            for delivery in sent.into_values() {
                match delivery.to {
                    Address::Email(_) => bench.answer(&delivery, later()),
                    _ => {
                        told.push((second, delivery.key[5..9].to_owned()));
                        bench.answer(&delivery, yes());
                    }
                }
            }
        }
    }
    let expected = [(120, "j1-2"), (120, "i2-1"), (185, "i3-1")];
    assert_eq!(told, expected.map(|(second, key)| (second, key.to_owned())));
}
