use std::sync::Mutex;

use super::*;
use crate::alerting::{Notice, Owner, Timing};
use crate::model::{Labels, NonEmpty, Phase};
use crate::ports::{Address, Doing, Message, Remembered};

/// Follows tokio's paused time.
struct PausedClock(tokio::time::Instant);

#[allow(clippy::disallowed_methods)]
impl PausedClock {
    fn start() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for PausedClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000) + self.0.elapsed()
    }
    fn mono(&self) -> Tick {
        Tick(self.0.elapsed())
    }
    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()> {
        Box::pin(tokio::time::sleep_until(self.0 + tick.0))
    }
}

/// A disk that can be told to refuse.
#[derive(Default)]
struct Disk {
    refuses: Mutex<bool>,
    saved: Mutex<Vec<Change>>,
}

impl State for Disk {
    fn load(&self) -> Doing<'_, Result<Remembered, StateError>> {
        let remembered = Remembered { installation: "inst".to_owned(), ..Remembered::default() };
        Box::pin(async { Ok(remembered) })
    }
    fn save(&self, change: Change) -> Doing<'_, Result<(), StateError>> {
        Box::pin(async {
            if *self.refuses.lock().unwrap() {
                return Err(StateError::NotDurable("full".into()));
            }
            self.saved.lock().unwrap().push(change);
            Ok(())
        })
    }
}

/// Says what arrives, and answers as told.
struct Mailbox {
    arrived: mpsc::UnboundedSender<(Duration, Delivery)>,
    clock: Arc<PausedClock>,
    answers: Mutex<Vec<Result<Receipt, DeliveryError>>>,
    panics: Mutex<u32>,
}

impl Notifier for Mailbox {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(async move {
            let at = self.clock.mono().0;
            self.arrived.send((at, delivery.clone())).unwrap();
            let mut panics = self.panics.lock().unwrap();
            if *panics > 0 {
                *panics -= 1;
                drop(panics);
                panic!("a bug in a channel");
            }
            let answer = self.answers.lock().unwrap().pop();
            answer.unwrap_or_else(|| Ok(Receipt("ok".to_owned())))
        })
    }
}

struct World {
    clock: Arc<PausedClock>,
    disk: Arc<Disk>,
    mailbox: Arc<Mailbox>,
    arrivals: mpsc::UnboundedReceiver<(Duration, Delivery)>,
    alerts: mpsc::Sender<Vec<Alert>>,
    handle: DispatcherHandle,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
    running: JoinSet<()>,
}

fn plain(notice: &Notice, owner: &Owner) -> Message {
    let subject = format!("{:?} for {}", notice.why, owner.name);
    Message { subject, language: "de".to_owned(), ..Message::default() }
}

fn directory() -> Directory {
    let owner = |name: &str, to: Address| Owner {
        name: name.into(),
        addresses: NonEmpty::of(to),
        language: "de".into(),
        timezone: "UTC".into(),
    };
    Directory {
        owners: vec![
            owner("web", Address::Email("web@example.org".into())),
            owner("hook", Address::Webhook("hook".into())),
        ],
        services: Vec::new(),
        fallback: Some("web".into()),
    }
}

fn plan(directory: &Directory) -> Arc<Plan> {
    Arc::new(Plan::of_owners(directory, Timing::default()).unwrap())
}

impl World {
    async fn start() -> Self {
        let clock = PausedClock::start();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mailbox = Arc::new(Mailbox {
            arrived,
            clock: clock.clone(),
            answers: Mutex::default(),
            panics: Mutex::default(),
        });
        let disk = Arc::new(Disk::default());
        let telemetry = Telemetry::new();
        let (alerts, inbox) = mpsc::channel(16);
        let notifiers: Notifiers =
            HashMap::from([(Channel::Email, mailbox.clone() as Arc<dyn Notifier>)]);
        let (dispatcher, handle) = Dispatcher::new(
            DispatchSettings {
                plan: plan(&directory()),
                patience: Patience::default(),
                hold: Duration::ZERO,
            },
            Arc::new(directory()),
            clock.clone(),
            disk.clone(),
            Arc::new(plain),
            notifiers,
            telemetry.clone(),
            inbox,
        )
        .await
        .unwrap();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(dispatcher.run(stop.clone()));
        Self { clock, disk, mailbox, arrivals, alerts, handle, telemetry, stop, running }
    }

    async fn report(&self, owner: &str, firing: bool) {
        let labels = [("alertname", "Down"), ("owner", owner), ("service", "home")];
        let now = self.clock.wall();
        let alert = Alert {
            labels: Labels::from_pairs(labels).unwrap(),
            annotations: Labels::empty(),
            phase: if firing {
                Phase::Firing { since: now, fired: now }
            } else {
                Phase::Resolved { fired: now, resolved: now }
            },
            value: None,
            ends: None,
            generator: "".into(),
        };
        self.alerts.send(vec![alert]).await.unwrap();
    }

    async fn arrival(&mut self) -> (Duration, Delivery) {
        tokio::time::timeout(Duration::from_secs(1000), self.arrivals.recv())
            .await
            .expect("a message arrives")
            .unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_failure_is_told_within_a_second() {
    let mut world = World::start().await;
    world.report("web", true).await;
    let (at, first) = world.arrival().await;
    assert!(at < Duration::from_secs(1), "{at:?}");
    assert_eq!(first.message.subject, "First for web");
    world.report("web", false).await;
    let (_, end) = world.arrival().await;
    assert_eq!(end.message.subject, "AllResolved for web");
    let status = world.handle.status().await.unwrap();
    assert!(status.durable && status.tickets.len() <= 1, "{status:?}");
    world.stop.cancel();
    world.running.join_next().await.unwrap().unwrap();
    let saved = world.disk.saved.lock().unwrap();
    let tickets: usize = saved.iter().map(|change| change.tickets.len()).sum();
    let settled: usize = saved.iter().map(|change| change.settled.len()).sum();
    assert_eq!((tickets, settled), (2, 2));
    let text = world.telemetry.encode();
    let line = r#"tickets_settled_total{channel="email",how="delivered"} 2"#;
    assert!(text.contains(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_refuses_silences_nobody() {
    let mut world = World::start().await;
    *world.disk.refuses.lock().unwrap() = true;
    world.report("web", true).await;
    let (_, first) = world.arrival().await;
    assert!(!world.handle.status().await.unwrap().durable);
    assert!(world.telemetry.encode().contains("augenmass_notify_state_durable 0"));
    *world.disk.refuses.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(world.handle.status().await.unwrap().durable);
    let saved = world.disk.saved.lock().unwrap();
    assert_eq!(saved[0].tickets[0].key, first.key, "what was refused is written later");
    assert_eq!(saved[0].settled.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_channel_is_not_configured_is_told_through_the_fallback() {
    let mut world = World::start().await;
    world.report("hook", true).await;
    let (_, told) = world.arrival().await;
    assert_eq!(told.to, Address::Email("web@example.org".into()));
    assert!(told.message.text.contains("hook ist nicht erreichbar"), "{}", told.message.text);
    assert!(told.message.text.contains("webhook is not configured"), "{}", told.message.text);
    assert_eq!(world.handle.status().await.unwrap().dead_letters.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_panics_is_tried_again_with_the_same_key() {
    let mut world = World::start().await;
    *world.mailbox.panics.lock().unwrap() = 1;
    world.report("web", true).await;
    let (_, first) = world.arrival().await;
    let (_, second) = world.arrival().await;
    assert_eq!(first, second);
}

#[tokio::test(start_paused = true)]
async fn other_owners_take_over_while_it_runs() {
    let mut world = World::start().await;
    world.report("web", true).await;
    world.arrival().await;
    let mut other = directory();
    other.owners[0].name = "new".into();
    other.owners[0].addresses = NonEmpty::of(Address::Email("new@example.org".into()));
    other.fallback = Some("new".into());
    let notifiers: Notifiers =
        HashMap::from([(Channel::Email, world.mailbox.clone() as Arc<dyn Notifier>)]);
    world.handle.replace(plan(&other), Arc::new(other), notifiers).await;
    let (_, first) = world.arrival().await;
    assert_eq!(first.message.subject, "First for new");
    world.report("web", false).await;
    let ends = [world.arrival().await.1, world.arrival().await.1];
    let mut who: Vec<_> = ends.iter().map(|end| format!("{:?}", end.to)).collect();
    who.sort();
    assert_eq!(who, [r#"Email("new@example.org")"#, r#"Email("web@example.org")"#]);
}
