use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::outbox::{Counts, DeadLetter, OpenTicket, Patience};
use super::render::Render;
use super::teller::Teller;
use crate::alerting::{Desk, Directory, GroupStatus, Plan};
use crate::model::{AckKind, Alert, Timestamp};
use crate::ports::{
    Act, ActError, Actor, Change, Channel, Clock, Delivery, DeliveryError, Doing, Notifier,
    Receipt, Settlement, SilenceOrder, State, StateError, Tick,
};
use crate::telemetry::Telemetry;

/// The ways that are configured.
pub type Notifiers = HashMap<Channel, Arc<dyn Notifier>>;

/// How decisions are made and messages delivered.
#[derive(Clone, Debug)]
pub struct DispatchSettings {
    /// Who is told what, and when.
    pub plan: Arc<Plan>,
    /// How patiently it is delivered.
    pub patience: Patience,
    /// At most for so long after the start, or until [`DispatcherHandle::ready`], nothing is told:
    /// what inhibits must be known first.
    pub hold: Duration,
}

/// Turns alerts into messages that arrive: the [`Teller`] with a clock, a disk and channels.
///
/// Each address an owner lists is told. When none of them could be reached for
/// [`Patience::escalate_after`], or all refuse, the fallback owner is told, with the reason.
pub struct Dispatcher {
    teller: Teller,
    clock: Arc<dyn Clock>,
    state: Arc<dyn State>,
    notifiers: Notifiers,
    telemetry: Arc<Telemetry>,
    alerts: mpsc::Receiver<Vec<Alert>>,
    orders: mpsc::Receiver<Order>,
    /// What the disk has refused so far.
    unsaved: Change,
    retry_save: Option<Tick>,
    /// When what can wait a little is saved at the latest.
    save_by: Option<Tick>,
    /// Why the disk refused last.
    refused: Option<StateError>,
    /// Who ordered something waits until it is on disk.
    waiting: Vec<Answer>,
    last: (Timestamp, Tick),
}

/// Told when what was ordered is on disk, or not.
type Answer = Box<dyn FnOnce(Result<(), StateError>) + Send>;

/// Why telling cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// What was told before could not be read: somebody might be told twice, or never of an end.
    #[error("cannot read who was told of what: {0}")]
    State(#[from] StateError),
}

/// Speaks to a running [`Dispatcher`].
#[derive(Clone, Debug)]
pub struct DispatcherHandle {
    orders: mpsc::Sender<Order>,
}

enum Order {
    Replace(Arc<Plan>, Arc<Directory>, Notifiers),
    Status(oneshot::Sender<Status>),
    Ready,
    Offer(Vec<Alert>, oneshot::Sender<usize>),
    Look(LookOrder),
    Act(ActOrder),
}

type LookOrder = Box<dyn FnOnce(&Desk, Timestamp) + Send>;
type ActOrder = Box<dyn FnOnce(&mut Teller, Timestamp) -> Option<Answer> + Send>;

/// What is told, on its way, and lost.
#[derive(Clone, Debug)]
pub struct Status {
    /// Groups of alerts, who is told of them, and when.
    pub groups: Vec<GroupStatus>,
    /// Messages on their way, oldest first.
    pub tickets: Vec<OpenTicket>,
    /// The last messages that did not arrive and will not.
    pub dead_letters: Vec<DeadLetter>,
    /// What happened since the start.
    pub counts: Counts,
    /// Whether what was told is safe on disk.
    pub durable: bool,
}

/// The longest a channel may take for one try, whatever its own deadline says.
const DELIVERY_LIMIT: Duration = Duration::from_secs(300);
/// The longest the disk may take before telling goes on without it.
const SAVE_LIMIT: Duration = Duration::from_secs(5);
/// Answers of channels are written together, at most so much later: in a storm of messages each of
/// them would cost a flush of the disk. What is told twice after a crash is as much more.
const LINGER: Duration = Duration::from_millis(20);
/// Wait before the disk is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(10);
/// How long answers are awaited after the order to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
/// The longest sleep, so that a wall clock that was set is noticed.
const NAP: Duration = Duration::from_secs(30);
/// How long a message that was lost counts as news.
const DEAD_LETTER_AGE: Duration = Duration::from_secs(24 * 3600);
/// A deviation between the clocks that counts as setting the wall clock.
const JUMP_MILLIS: i64 = 1_000;

/// Key, channel, how long it took, and what came of it.
type Answered = (String, Channel, Duration, Result<Receipt, DeliveryError>);
type Flying = JoinSet<Answered>;

impl Dispatcher {
    /// Reads what was told before. Alerts come in through `alerts`.
    ///
    /// # Errors
    /// The state cannot be read.
    #[allow(clippy::too_many_arguments)] // each is a door that `app` holds
    pub async fn new(
        settings: DispatchSettings,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        state: Arc<dyn State>,
        render: Arc<dyn Render>,
        notifiers: Notifiers,
        telemetry: Arc<Telemetry>,
        alerts: mpsc::Receiver<Vec<Alert>>,
    ) -> Result<(Self, DispatcherHandle), DispatchError> {
        let DispatchSettings { plan, patience, hold } = settings;
        let remembered = state.load().await?;
        let last = (clock.wall(), clock.mono());
        let mut teller = Teller::restore(patience, plan, directory, render, remembered, last.0);
        if !hold.is_zero() {
            teller.hold(last.0 + hold, last.0);
        }
        let (send_order, orders) = mpsc::channel(16);
        let dispatcher = Self {
            teller,
            clock,
            state,
            notifiers,
            telemetry,
            alerts,
            orders,
            unsaved: Change::default(),
            retry_save: None,
            save_by: None,
            refused: None,
            waiting: Vec::new(),
            last,
        };
        let handle = DispatcherHandle { orders: send_order };
        Ok((dispatcher, handle))
    }

    /// Tells, until `stop`; then waits a few seconds for answers. What is unfinished goes on at
    /// the next start.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut flying = Flying::new();
        let mut keys = HashMap::new();
        let mut reported = true;
        loop {
            self.turn(&mut flying, &mut keys).await;
            let wake = self.wake();
            tokio::select! {
                () = stop.cancelled() => break,
                alerts = self.alerts.recv(), if reported => match alerts {
                    Some(alerts) => self.take_in(alerts),
                    None => reported = false,
                },
                Some(order) = self.orders.recv() => self.obey(order),
                Some(done) = flying.join_next_with_id() => {
                    self.hear(done, &mut keys);
                    while let Some(done) = flying.try_join_next_with_id() {
                        self.hear(done, &mut keys);
                    }
                }
                () = self.clock.sleep_until(wake) => {}
            }
        }
        self.drain(&mut flying, &mut keys).await;
    }

    async fn drain(&mut self, flying: &mut Flying, keys: &mut HashMap<Id, String>) {
        while let Ok(alerts) = self.alerts.try_recv() {
            self.take_in(alerts);
        }
        self.turn(flying, keys).await;
        let clock = self.clock.clone();
        let deadline = clock.mono().after(DRAIN_LIMIT);
        while !flying.is_empty() {
            tokio::select! {
                Some(done) = flying.join_next_with_id() => self.hear(done, keys),
                () = clock.sleep_until(deadline) => break,
            }
        }
        let change = self.teller.decide(self.clock.wall());
        self.save_by = Some(self.clock.mono());
        self.save(change).await;
        let left = self.teller.outbox().open_count();
        if left > 0 {
            tracing::info!(left, "messages go on at the next start");
        }
        flying.shutdown().await;
    }

    fn take_in(&mut self, alerts: Vec<Alert>) {
        let now = self.now();
        self.teller.offer(now, alerts);
        while let Ok(alerts) = self.alerts.try_recv() {
            self.teller.offer(now, alerts);
        }
    }

    fn obey(&mut self, order: Order) {
        let now = self.now();
        match order {
            Order::Replace(plan, directory, notifiers) => {
                self.notifiers = notifiers;
                self.teller.replace(plan, directory, now);
            }
            Order::Status(answer) => {
                // Whoever asked may have gone.
                let _ = answer.send(self.status(now));
            }
            Order::Ready => {
                while let Ok(alerts) = self.alerts.try_recv() {
                    self.teller.offer(now, alerts);
                }
                self.teller.ready(now);
            }
            Order::Offer(alerts, answer) => {
                let _ = answer.send(self.teller.offer_foreign(now, alerts));
            }
            Order::Look(look) => look(self.teller.desk(), now),
            Order::Act(act) => self.waiting.extend(act(&mut self.teller, now)),
        }
    }

    /// Decide, save, send.
    async fn turn(&mut self, flying: &mut Flying, keys: &mut HashMap<Id, String>) {
        let now = self.now();
        let change = self.teller.decide(now);
        self.save(change).await;
        let kept = match self.unsaved.is_empty() {
            true => Ok(()),
            false => Err(self.refused.clone().unwrap_or(StateError::Closed)),
        };
        for answer in self.waiting.drain(..) {
            answer(kept.clone());
        }
        let now = self.now();
        self.teller.saved(now);
        for delivery in self.teller.send(now) {
            self.send(delivery, flying, keys);
        }
        self.report();
    }

    /// Writes what changed, and what the disk refused before. A disk that refuses stops nobody
    /// from being told.
    async fn save(&mut self, change: Change) {
        let now = self.clock.mono();
        let again = self.retry_save.is_none_or(|at| at <= now);
        let can_wait = self.retry_save.is_none() && self.waiting.is_empty();
        let can_wait = can_wait && change.says_only_what_arrived();
        self.unsaved.merge(change);
        if self.unsaved.is_empty() || !again {
            return;
        }
        if can_wait && now < *self.save_by.get_or_insert(now.after(LINGER)) {
            return;
        }
        self.save_by = None;
        let deadline = self.clock.mono().after(SAVE_LIMIT);
        let saved = tokio::select! {
            saved = self.state.save(self.unsaved.clone()) => saved,
            () = self.clock.sleep_until(deadline) => {
                Err(StateError::NotDurable("the disk does not answer".into()))
            }
        };
        let was_fine = self.retry_save.is_none();
        self.telemetry.notify.state(saved.is_ok());
        match saved {
            Ok(()) => {
                self.unsaved = Change::default();
                self.retry_save = None;
                if !was_fine {
                    tracing::info!("what was told is safe on disk again");
                }
            }
            Err(error) => {
                self.retry_save = Some(self.clock.mono().after(SAVE_AGAIN));
                self.refused = Some(error.clone());
                if was_fine {
                    tracing::error!(%error, "telling goes on from memory; a crash now may repeat \
                        or lose messages");
                }
            }
        }
    }

    fn send(&self, delivery: Delivery, flying: &mut Flying, keys: &mut HashMap<Id, String>) {
        let channel = delivery.to.channel();
        let key = delivery.key.clone();
        let notifier = self.notifiers.get(&channel).cloned();
        let clock = self.clock.clone();
        let task = flying.spawn(async move {
            let start = clock.mono();
            let answer = match notifier {
                Some(notifier) => tokio::select! {
                    answer = notifier.deliver(&delivery) => answer,
                    () = clock.sleep_until(start.after(DELIVERY_LIMIT)) => {
                        Err(DeliveryError::Unsure { reason: "no answer in time".to_owned() })
                    }
                },
                None => Err(DeliveryError::Rejected {
                    reason: format!("{} is not configured", name_of(channel)),
                }),
            };
            (delivery.key, channel, clock.mono().since(start), answer)
        });
        keys.insert(task.id(), key);
    }

    fn hear(
        &mut self,
        done: Result<(Id, Answered), tokio::task::JoinError>,
        keys: &mut HashMap<Id, String>,
    ) {
        let now = self.now();
        match done {
            Ok((id, (key, channel, took, answer))) => {
                keys.remove(&id);
                self.telemetry.notify.tried(name_of(channel), took.as_secs_f64());
                match &answer {
                    Ok(_) => tracing::info!(key, channel = name_of(channel), "delivered"),
                    Err(error) => {
                        tracing::warn!(key, channel = name_of(channel), %error, "not delivered");
                    }
                }
                self.teller.answered(&key, answer, now);
            }
            Err(failed) => {
                let Some(key) = keys.remove(&failed.id()) else { return };
                tracing::error!(key, "a channel failed while it delivered");
                let reason = "the channel failed".to_owned();
                self.teller.answered(&key, Err(DeliveryError::Unsure { reason }), now);
            }
        }
    }

    /// The wall clock, after telling the teller when somebody has set it.
    fn now(&mut self) -> Timestamp {
        let (wall, mono) = (self.clock.wall(), self.clock.mono());
        let expected = self.last.0 + mono.since(self.last.1);
        let moved = wall.millis().saturating_sub(expected.millis());
        if JUMP_MILLIS <= moved.saturating_abs() {
            tracing::warn!(seconds = moved / 1000, "the wall clock was set");
            self.telemetry.notify.clock_jumped();
            self.teller.clock_moved(moved);
        }
        self.last = (wall, mono);
        wall
    }

    fn wake(&self) -> Tick {
        let (wall, mono) = self.last;
        let due = self.teller.next_due().map(|due| due.since(wall).unwrap_or_default());
        let save = self.retry_save.or(self.save_by).filter(|_| !self.unsaved.is_empty());
        let save = save.map(|at| at.since(mono));
        mono.after(due.into_iter().chain(save).min().unwrap_or(NAP).min(NAP))
    }

    fn report(&self) {
        let telemetry = &self.telemetry.notify;
        let outbox = self.teller.outbox();
        let age = outbox.oldest().and_then(|oldest| self.last.0.since(oldest)).unwrap_or_default();
        let incidents = self.teller.desk().open_incidents();
        telemetry.lost(outbox.lost_since(self.last.0 - DEAD_LETTER_AGE));
        telemetry.on_their_way(outbox.open_count(), age.as_secs_f64(), incidents);
        let desk = self.teller.desk();
        telemetry.reactions(desk.overdue_incidents(), desk.missed_deadlines());
        let Counts { settled, retries, escalated, nobody, makeshift } = outbox.counts();
        for ((channel, how), total) in settled {
            let how = match how {
                Settlement::Delivered => "delivered",
                Settlement::Rejected => "rejected",
                Settlement::GivenUp => "given_up",
                Settlement::Superseded => "superseded",
            };
            telemetry.settled(name_of(*channel), how, *total);
        }
        for (channel, total) in retries {
            telemetry.retried(name_of(*channel), *total);
        }
        telemetry.went_elsewhere(*escalated, *nobody);
        telemetry.makeshift(*makeshift);
    }

    fn status(&self, now: Timestamp) -> Status {
        let outbox = self.teller.outbox();
        Status {
            groups: self.teller.desk().status(now),
            tickets: outbox.open_tickets().collect(),
            dead_letters: outbox.dead_letters().cloned().collect(),
            counts: outbox.counts().clone(),
            durable: self.retry_save.is_none(),
        }
    }
}

impl DispatcherHandle {
    /// Goes on with other routes, owners, services, timers and channels. Who heard that something
    /// began hears its end.
    pub async fn replace(&self, plan: Arc<Plan>, directory: Arc<Directory>, notifiers: Notifiers) {
        // A dispatcher that has ended needs no plan.
        let _ = self.orders.send(Order::Replace(plan, directory, notifiers)).await;
    }

    /// Everything was looked at once: from here on people are told.
    pub async fn ready(&self) {
        // A dispatcher that has ended tells nobody.
        let _ = self.orders.send(Order::Ready).await;
    }

    /// Reports what others, such as a foreign Prometheus, report. Gives how many alerts there was
    /// no room for; `None` when the dispatcher has ended.
    pub async fn offer(&self, alerts: Vec<Alert>) -> Option<usize> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Offer(alerts, answer)).await.ok()?;
        answered.await.ok()
    }

    /// Looks at the desk as it is now; `None` when the dispatcher has ended.
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Desk, Timestamp) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let look = Box::new(move |desk: &Desk, now| {
            let _ = answer.send(look(desk, now));
        });
        self.orders.send(Order::Look(look)).await.ok()?;
        answered.await.ok()
    }

    /// Changes something, and waits until that is on disk.
    async fn act<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Teller, Timestamp) -> Result<T, ActError> + Send + 'static,
    ) -> Result<T, ActError> {
        let (answer, answered) = oneshot::channel();
        let act = Box::new(move |teller: &mut Teller, now| -> Option<Answer> {
            match act(teller, now) {
                Ok(done) => Some(Box::new(move |kept: Result<(), StateError>| {
                    let _ = answer.send(kept.map(|()| done).map_err(ActError::from));
                })),
                Err(refused) => {
                    let _ = answer.send(Err(refused));
                    None
                }
            }
        });
        self.orders.send(Order::Act(act)).await.map_err(|_| ActError::Stopping)?;
        answered.await.unwrap_or(Err(ActError::Stopping))
    }

    fn knows<'a>(
        &'a self,
        incident: &'a str,
        kind: AckKind,
        by: Actor,
    ) -> Doing<'a, Result<(), ActError>> {
        let incident = incident.to_owned();
        Box::pin(self.act(move |teller, now| teller.acknowledge(&incident, kind, &by, now)))
    }

    /// What is told, on its way, and lost; `None` when the dispatcher has ended.
    pub async fn status(&self) -> Option<Status> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order::Status(answer)).await.ok()?;
        answered.await.ok()
    }
}

impl Act for DispatcherHandle {
    fn acknowledge<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.knows(incident, AckKind::Acknowledged, by)
    }

    fn claim<'a>(&'a self, incident: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        self.knows(incident, AckKind::Claimed, by)
    }

    fn silence(&self, order: SilenceOrder, by: Actor) -> Doing<'_, Result<Arc<str>, ActError>> {
        Box::pin(async move {
            let fresh = fresh_id()?;
            self.act(move |teller, now| teller.order_silence(order, &by, fresh, now)).await
        })
    }

    fn expire<'a>(&'a self, silence: &'a str, by: Actor) -> Doing<'a, Result<(), ActError>> {
        let silence = silence.to_owned();
        Box::pin(self.act(move |teller, now| teller.expire_silence(&silence, &by, now)))
    }
}

/// A random UUID (RFC 9562, version 4), as Alertmanager names silences.
fn fresh_id() -> Result<Arc<str>, ActError> {
    let mut bytes = [0_u8; 16];
    let failed = |_| ActError::Refused("the system gives no random bytes".to_owned());
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(0x3 << 62) | 2 << 62;
    let hex = format!("{number:032x}");
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-").into())
}

fn name_of(channel: Channel) -> &'static str {
    match channel {
        Channel::Email => "email",
        Channel::Matrix => "matrix",
        Channel::Webhook => "webhook",
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Order::Replace(..) => "Replace",
            Order::Status(_) => "Status",
            Order::Ready => "Ready",
            Order::Offer(..) => "Offer",
            Order::Look(_) => "Look",
            Order::Act(_) => "Act",
        })
    }
}

#[cfg(test)]
#[path = "dispatcher_tests.rs"]
mod tests;
