//! Matrix: one event for each delivery, in the clear, into rooms by id or alias.
//!
//! A delivery's key is the transaction id, so that a repeat after a crash or a lost answer is the
//! same event (Matrix client-server API, "Transaction identifiers"). Messages of one incident form a
//! thread, and its first message is edited to show how things stand now. Which event began a thread is
//! noted durably before the delivery counts as done. What people answer in a thread is read by
//! [`MatrixNotifier::listen`].

mod client;
mod content;
mod listen;
#[cfg(test)]
mod tests;
mod wish;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use self::client::{Client, Refused, rejected, segment};
use self::content::{edited, message, picture, threaded};
use super::MatrixSettings;
use super::wire::ChannelError;
use crate::ports::{
    Address, Attachment, Clock, Delivery, DeliveryError, Doing, Notes, Notifier, Receipt, Tick,
};

/// A room that was not encrypted is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// So many threads are remembered.
const MOST_THREADS: usize = 2_000;
/// Topic of the notes about the events that began threads.
const THREADS: &str = "matrix-thread";
/// Topic of the notes about edits that the server did not take at once, by the event they change.
const LATE_EDITS: &str = "matrix-late-edit";
/// The longest that a finished delivery waits for its edit or its picture.
const PATIENCE: Duration = Duration::from_secs(10);

/// Delivers to rooms on one homeserver, and hears what people answer there.
pub struct MatrixNotifier {
    settings: MatrixSettings,
    client: Client,
    memory: Mutex<Memory>,
    recalled: tokio::sync::OnceCell<()>,
}

#[derive(Default)]
struct Memory {
    rooms: HashMap<Arc<str>, Room>,
    threads: HashMap<Thread, Root>,
    oldest: VecDeque<Thread>,
    /// Edits that the server did not take at once, by the event they change.
    late: BTreeMap<String, Late>,
}

/// Room and incident.
type Thread = (String, String);

/// A room that we are in.
#[derive(Clone)]
struct Room {
    id: String,
    /// When it was seen to be unencrypted.
    clear: Option<Tick>,
}

/// The event that began a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    key: String,
    event: String,
    /// Language of its readers.
    language: String,
}

/// An edit that has to be tried again.
#[derive(Clone)]
struct Late {
    room: String,
    key: String,
    content: Value,
}

impl MatrixNotifier {
    /// Reads the trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// The homeserver's URL is none, or the trust anchors cannot be used.
    pub fn new(settings: &MatrixSettings, clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let client = Client::new(settings, clock)?;
        let memory = Mutex::new(Memory::default());
        let recalled = tokio::sync::OnceCell::new();
        Ok(Self { settings: settings.clone(), client, memory, recalled })
    }

    /// Threads, renewed tokens and what was read outlive the process there. To be called before
    /// the first delivery; later calls change nothing.
    pub fn remember_in(&self, notes: Arc<dyn Notes>) {
        let _ = self.client.notes.set(notes);
    }

    fn remembered<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        // A panic elsewhere leaves at worst an old room id behind.
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The threads that earlier processes began.
    async fn recall(&self) {
        let recall = async {
            for (key, value) in self.client.recall(THREADS).await {
                let parts = (key.split_once('\n'), serde_json::from_str::<Value>(&value));
                let (Some((room, incident)), Ok(value)) = parts else { continue };
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                let root =
                    Root { key: text("key"), event: text("event"), language: text("language") };
                self.enter((room.to_owned(), incident.to_owned()), root);
            }
            for (event, value) in self.client.recall(LATE_EDITS).await {
                let Ok(value) = serde_json::from_str::<Value>(&value) else { continue };
                let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                let (room, key) = (text("room"), text("key"));
                let late = Late { room, key, content: value["content"].clone() };
                self.remembered(|memory| memory.late.insert(event, late));
            }
        };
        self.recalled.get_or_init(|| recall).await;
    }

    /// Gives the threads that are forgotten for it.
    fn enter(&self, thread: Thread, root: Root) -> Option<Thread> {
        self.remembered(|memory| {
            if memory.threads.insert(thread.clone(), root).is_none() {
                memory.oldest.push_back(thread);
            }
            if memory.oldest.len() <= MOST_THREADS {
                return None;
            }
            let oldest = memory.oldest.pop_front()?;
            memory.threads.remove(&oldest);
            Some(oldest)
        })
    }

    async fn send(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let Address::Matrix(name) = &delivery.to else {
            return Err(rejected("this is no Matrix room".to_owned()));
        };
        self.recall().await;
        let room = self.room(name).await.map_err(Refused::into_error)?;
        let (room, sent) = match self.post(&room, delivery).await {
            // The room may have been replaced by a newer one, or we may have been thrown out.
            Err(refused) if refused.code == "M_FORBIDDEN" => {
                self.remembered(|memory| memory.rooms.remove(name));
                let mut again = self.room(name).await.map_err(Refused::into_error)?;
                let mut sent = self.post(&again, delivery).await;
                // An id goes on to mean the old room.
                if sent.as_ref().is_err_and(|refused| refused.code == "M_FORBIDDEN")
                    && let Some(next) = self.successor(name, &again.id).await?
                {
                    sent = self.post(&next, delivery).await;
                    again = next;
                }
                (again, sent)
            }
            other => (room, other),
        };
        let event = sent.map_err(Refused::into_error)?;
        self.follow_up(&room, delivery, &event).await;
        Ok(Receipt(event))
    }

    /// The room that a room was replaced by, joined.
    async fn successor(&self, name: &Arc<str>, old: &str) -> Result<Option<Room>, DeliveryError> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.tombstone/", segment(old));
        let tombstone = match self.client.ask(http::Method::GET, &path, None).await {
            Ok(tombstone) => tombstone,
            Err(refused) if refused.wait().is_some() => return Err(refused.into_error()),
            Err(_) => return Ok(None),
        };
        let Some(next) = tombstone["replacement_room"].as_str().filter(|id| id.starts_with('!'))
        else {
            return Ok(None);
        };
        tracing::warn!("a Matrix room was replaced by a newer one; name that one, or an alias");
        let mut path = format!("/_matrix/client/v3/join/{}", segment(next));
        if let Some((_, server)) = next.split_once(':').or_else(|| old.split_once(':')) {
            path.push_str(&format!("?via={}", segment(server)));
        }
        let joined = self.client.ask(http::Method::POST, &path, Some(json!({}))).await;
        if let Err(refused) = joined {
            return Err(match refused.wait() {
                Some(_) => refused.into_error(),
                None => rejected(
                    "the room was replaced by a newer one, to which we are not invited".to_owned(),
                ),
            });
        }
        let mut room = Room { id: next.to_owned(), clear: None };
        if !self.settings.allow_unencrypted {
            self.must_be_clear(next).await.map_err(Refused::into_error)?;
            room.clear = Some(self.client.clock.mono());
        }
        self.remembered(|memory| memory.rooms.insert(name.clone(), room.clone()));
        Ok(Some(room))
    }

    /// The room, joined, and in the clear unless encryption does not matter.
    async fn room(&self, name: &Arc<str>) -> Result<Room, Refused> {
        let known = self.remembered(|memory| memory.rooms.get(name).cloned());
        let mut room = match known {
            Some(room) => room,
            None => Room { id: self.join(name).await?, clear: None },
        };
        let now = self.client.clock.mono();
        let fresh = room.clear.is_some_and(|seen| now.since(seen) < LOOK_AGAIN);
        if !fresh && !self.settings.allow_unencrypted {
            self.must_be_clear(&room.id).await?;
            room.clear = Some(now);
        }
        self.remembered(|memory| memory.rooms.insert(name.clone(), room.clone()));
        Ok(room)
    }

    /// Joins by id or alias; also accepts an invitation. Joining twice is joining once.
    async fn join(&self, name: &str) -> Result<String, Refused> {
        let mut path = format!("/_matrix/client/v3/join/{}", segment(name));
        if let Some((_, server)) = name.split_once(':').filter(|_| name.starts_with('!')) {
            path.push_str(&format!("?via={}", segment(server)));
        }
        let answer = self.client.ask(http::Method::POST, &path, Some(json!({}))).await?;
        answer["room_id"].as_str().map(str::to_owned).ok_or_else(|| Refused::odd("no room id"))
    }

    async fn must_be_clear(&self, room: &str) -> Result<(), Refused> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.encryption/", segment(room));
        match self.client.ask(http::Method::GET, &path, None).await {
            Err(refused) if refused.code == "M_NOT_FOUND" => Ok(()),
            Err(refused) => Err(refused),
            Ok(_) => Err(Refused {
                code: String::new(),
                error: rejected(
                    "the room is encrypted and we write in clear text; use a room without \
                     encryption, or set allow_unencrypted"
                        .to_owned(),
                ),
            }),
        }
    }

    async fn post(&self, room: &Room, delivery: &Delivery) -> Result<String, Refused> {
        let mut content = message(&delivery.message);
        if let Some(root) = self.root(room, delivery).filter(|root| root.key != delivery.key) {
            threaded(&mut content, &root.event);
        }
        self.put(&room.id, &delivery.key, content).await
    }

    async fn put(&self, room: &str, key: &str, content: Value) -> Result<String, Refused> {
        let (room, key) = (segment(room), segment(key));
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{key}");
        let answer = self.client.ask(http::Method::PUT, &path, Some(content)).await?;
        answer["event_id"].as_str().map(str::to_owned).ok_or_else(|| Refused::odd("no event id"))
    }

    fn root(&self, room: &Room, delivery: &Delivery) -> Option<Root> {
        let thread = (room.id.clone(), delivery.message.incident.clone());
        self.remembered(|memory| memory.threads.get(&thread).cloned())
    }

    /// Remembers a new thread, or shows at the beginning of an old one how things stand now; then
    /// the picture. The news itself has arrived: nothing that fails here changes that.
    async fn follow_up(&self, room: &Room, delivery: &Delivery, event: &str) {
        let root = match self.root(room, delivery) {
            Some(root) => root,
            None => {
                let language = delivery.message.language.clone();
                Root { key: delivery.key.clone(), event: event.to_owned(), language }
            }
        };
        if !delivery.message.incident.is_empty() {
            if root.key == delivery.key {
                self.begin_thread(room, delivery, root.clone()).await;
            } else {
                let content = edited(&delivery.message, &root.event);
                let late =
                    Late { room: room.id.clone(), key: format!("{}-edit", delivery.key), content };
                self.edit(root.event.clone(), late).await;
            }
        }
        for (number, file) in (1..).zip(&delivery.message.attachments) {
            let key = format!("{}-picture{number}", delivery.key);
            if let Err(refused) = self.show(&room.id, &key, file, &root.event).await {
                tracing::warn!(error = %refused.error, "a picture did not reach its room");
            }
        }
    }

    async fn begin_thread(&self, room: &Room, delivery: &Delivery, root: Root) {
        let thread = (room.id.clone(), delivery.message.incident.clone());
        let key = |(room, incident): &Thread| format!("{room}\n{incident}");
        let value =
            json!({"key": root.key, "event": root.event, "language": root.language}).to_string();
        let mut notes = vec![(key(&thread), Some(value))];
        notes.extend(self.enter(thread, root).map(|oldest| (key(&oldest), None)));
        self.client.note(THREADS, notes).await;
    }

    /// Edits now, or, when the server is busy, with the next chance, also after a restart: the
    /// delivery counts as done, so that nothing else would make it good.
    async fn edit(&self, event: String, late: Late) {
        let was_late = self.remembered(|memory| memory.late.remove(&event)).is_some();
        let again = self.patiently(|| self.put(&late.room, &late.key, late.content.clone())).await;
        if let Err(refused) = again
            && refused.wait().is_some()
        {
            let Late { room, key, content } = &late;
            let value = json!({"room": room, "key": key, "content": content}).to_string();
            let mut notes = vec![(event.clone(), Some(value))];
            self.remembered(|memory| {
                memory.late.insert(event, late);
                while memory.late.len() > MOST_THREADS {
                    notes.extend(memory.late.pop_first().map(|(event, _)| (event, None)));
                }
            });
            self.client.note(LATE_EDITS, notes).await;
        } else if was_late {
            self.client.note(LATE_EDITS, vec![(event, None)]).await;
        }
    }

    /// Edits that the server did not take in time.
    async fn late_edits(&self) {
        self.recall().await;
        let events: Vec<String> = self.remembered(|memory| memory.late.keys().cloned().collect());
        for event in events {
            let late = self.remembered(|memory| memory.late.get(&event).cloned());
            let Some(late) = late else { continue };
            self.edit(event, late).await;
        }
    }

    /// Tries again once when the server asks for a short pause.
    async fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, Refused>>,
    {
        let refused = match ask().await {
            Ok(done) => return Ok(done),
            Err(refused) => refused,
        };
        let Some(wait) = refused.wait().filter(|wait| *wait <= PATIENCE) else {
            return Err(refused);
        };
        let clock = &self.client.clock;
        clock.sleep_until(clock.mono().after(wait)).await;
        ask().await
    }

    /// A picture into the thread of an event.
    async fn show(
        &self,
        room: &str,
        key: &str,
        file: &Attachment,
        root: &str,
    ) -> Result<(), Refused> {
        let address =
            self.patiently(|| self.client.upload(&file.name, &file.mime, &file.bytes)).await?;
        let mut content = picture(file, &address);
        threaded(&mut content, root);
        self.patiently(|| self.put(room, key, content.clone())).await.map(|_| ())
    }
}

impl Notifier for MatrixNotifier {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(self.send(delivery))
    }
}
