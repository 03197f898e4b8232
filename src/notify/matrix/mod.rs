//! Matrix: one event for each delivery, in the clear, into rooms by id or alias.
//!
//! A delivery's key is the transaction id, so that a repeat after a crash or a lost answer is the
//! same event (Matrix client-server API, "Transaction identifiers"). Messages of one incident form a
//! thread, and its first message is edited to show how things stand now. Which event began a thread is
//! known until this process ends; afterwards a message of an old incident stands on its own.

mod content;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use self::content::{edited, message, threaded};
use super::MatrixSettings;
use super::http::{Answer, Ask, AskError, Endpoint, ask};
use super::wire::{ChannelError, Dialer, scrubbed, within};
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt, Tick};

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A room that was not encrypted is looked at again after this time.
const LOOK_AGAIN: Duration = Duration::from_secs(600);

/// So many threads are remembered.
const MOST_THREADS: usize = 2_000;

/// Delivers to rooms on one homeserver.
pub struct MatrixNotifier {
    settings: MatrixSettings,
    endpoint: Endpoint,
    /// Path of the homeserver's URL without a slash at its end.
    base: String,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    rooms: HashMap<Arc<str>, Room>,
    threads: HashMap<(String, String), Root>,
    oldest: VecDeque<(String, String)>,
}

/// A room that we are in.
#[derive(Clone)]
struct Room {
    id: String,
    /// When it was seen to be unencrypted.
    clear: Option<Tick>,
}

/// The event that began a thread.
#[derive(Clone)]
struct Root {
    key: String,
    event: String,
}

impl MatrixNotifier {
    /// Reads the trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// The homeserver's URL is none, or the trust anchors cannot be used.
    pub fn new(settings: &MatrixSettings, clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let endpoint = Endpoint::new(&settings.homeserver, "the homeserver")?;
        let dialer = Dialer::new(settings.ca_file.as_deref())?;
        let base = settings.homeserver.path().trim_end_matches('/').to_owned();
        let memory = Mutex::new(Memory::default());
        Ok(Self { settings: settings.clone(), endpoint, base, dialer, clock, memory })
    }

    fn remembered<T>(&self, look: impl FnOnce(&mut Memory) -> T) -> T {
        // A panic elsewhere leaves at worst an old room id behind.
        look(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn send(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let Address::Matrix(name) = &delivery.to else {
            return Err(rejected("this is no Matrix room".to_owned()));
        };
        let room = self.room(name).await.map_err(Refused::into_error)?;
        let (room, sent) = match self.post(&room, delivery).await {
            // The room may have been replaced by a newer one, or we may have been thrown out.
            Err(refused) if refused.code == "M_FORBIDDEN" => {
                self.remembered(|memory| memory.rooms.remove(name));
                let again = self.room(name).await.map_err(Refused::into_error)?;
                let sent = self.post(&again, delivery).await;
                (again, sent)
            }
            other => (room, other),
        };
        let event = sent.map_err(Refused::into_error)?;
        self.follow_up(&room, delivery, &event).await;
        Ok(Receipt(event))
    }

    /// The room, joined, and in the clear unless encryption does not matter.
    async fn room(&self, name: &Arc<str>) -> Result<Room, Refused> {
        let known = self.remembered(|memory| memory.rooms.get(name).cloned());
        let mut room = match known {
            Some(room) => room,
            None => Room { id: self.join(name).await?, clear: None },
        };
        let now = self.clock.mono();
        let fresh = room.clear.is_some_and(|seen| now.since(seen) < LOOK_AGAIN);
        if !fresh && !self.settings.clear_text_in_encrypted_rooms {
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
        let answer = self.ask(http::Method::POST, &path, Some(json!({}))).await?;
        answer["room_id"].as_str().map(str::to_owned).ok_or_else(|| Refused::odd("no room id"))
    }

    async fn must_be_clear(&self, room: &str) -> Result<(), Refused> {
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.encryption/", segment(room));
        match self.ask(http::Method::GET, &path, None).await {
            Err(refused) if refused.code == "M_NOT_FOUND" => Ok(()),
            Err(refused) => Err(refused),
            Ok(_) => Err(Refused {
                code: String::new(),
                error: rejected(
                    "the room is encrypted and we write in clear text; use a room without \
                     encryption, or allow clear text"
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
        let answer = self.ask(http::Method::PUT, &path, Some(content)).await?;
        answer["event_id"].as_str().map(str::to_owned).ok_or_else(|| Refused::odd("no event id"))
    }

    fn root(&self, room: &Room, delivery: &Delivery) -> Option<Root> {
        let thread = (room.id.clone(), delivery.message.incident.clone());
        self.remembered(|memory| memory.threads.get(&thread).cloned())
    }

    /// Remembers a new thread, or shows at the beginning of an old one how things stand now.
    async fn follow_up(&self, room: &Room, delivery: &Delivery, event: &str) {
        if delivery.message.incident.is_empty() {
            return;
        }
        match self.root(room, delivery) {
            Some(root) if root.key == delivery.key => {}
            Some(root) => {
                // Without it the thread still tells everything, so a failure changes nothing.
                let content = edited(&delivery.message, &root.event);
                let _ = self.put(&room.id, &format!("{}-edit", delivery.key), content).await;
            }
            None => {
                let thread = (room.id.clone(), delivery.message.incident.clone());
                let root = Root { key: delivery.key.clone(), event: event.to_owned() };
                self.remembered(|memory| {
                    memory.oldest.push_back(thread.clone());
                    memory.threads.insert(thread, root);
                    if memory.oldest.len() > MOST_THREADS
                        && let Some(oldest) = memory.oldest.pop_front()
                    {
                        memory.threads.remove(&oldest);
                    }
                });
            }
        }
    }

    async fn ask(
        &self,
        method: http::Method,
        path: &str,
        content: Option<Value>,
    ) -> Result<Value, Refused> {
        let path = format!("{}{path}", self.base);
        let question = Ask {
            method,
            path: &path,
            bearer: Some(&self.settings.token),
            json: content.map(|content| content.to_string()),
        };
        let asked = ask(&self.dialer, &self.endpoint, question);
        match within(&*self.clock, self.settings.timeout, asked).await {
            Some(Ok(answer)) if answer.status.is_success() => Ok(answer.json()),
            Some(Ok(answer)) => Err(refusal(&answer)),
            Some(Err(error)) => Err(unanswered(&error)),
            None => Err(Refused {
                code: String::new(),
                error: DeliveryError::Unsure {
                    reason: "the homeserver: no answer in time".to_owned(),
                },
            }),
        }
    }
}

impl Notifier for MatrixNotifier {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(self.send(delivery))
    }
}

/// A request that did not succeed.
struct Refused {
    /// Matrix' name for the reason; empty when there was no answer.
    code: String,
    error: DeliveryError,
}

impl Refused {
    fn odd(what: &str) -> Self {
        let reason = format!("the homeserver answers without sense: {what}");
        Self { code: String::new(), error: DeliveryError::Retry { reason, after: None } }
    }

    fn into_error(self) -> DeliveryError {
        self.error
    }
}

fn rejected(reason: String) -> DeliveryError {
    DeliveryError::Rejected { reason }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn refusal(answer: &Answer) -> Refused {
    let said = answer.json();
    let code: String = said["errcode"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '_')
        .take(60)
        .collect();
    let status = answer.status.as_u16();
    let words = without_ids(said["error"].as_str().unwrap_or_default());
    let reason = format!("the homeserver answers {status} {code}: {words}");
    let reason = reason.trim_end_matches([':', ' ']).to_owned();
    let error = match (status, code.as_str()) {
        (429, _) => {
            let millis = said["retry_after_ms"].as_u64().map(Duration::from_millis);
            DeliveryError::Retry { reason, after: answer.retry_after().or(millis) }
        }
        (401, _) => rejected(format!("the homeserver does not accept our access token ({code})")),
        // A proxy lost patience; the homeserver behind it may have taken the event.
        (504, _) => DeliveryError::Unsure { reason },
        (408, _) | (500.., _) => DeliveryError::Retry { reason, after: answer.retry_after() },
        (_, "M_NOT_FOUND") => rejected("there is no such room, or its alias is gone".to_owned()),
        (_, "M_FORBIDDEN") => {
            rejected(format!("we may not write into the room: are we invited? ({words})"))
        }
        _ => rejected(reason),
    };
    Refused { code, error }
}

/// A foreign sentence without names of users, rooms and events.
fn without_ids(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let bare = word.trim_start_matches(['\'', '"', '(', '<']);
        if bare.starts_with(['@', '#', '!', '$']) { "…" } else { word }
    });
    scrubbed(&words.collect::<Vec<_>>().join(" "))
}

fn unanswered(error: &AskError) -> Refused {
    let reason = format!("the homeserver: {error}");
    let error = match error {
        AskError::Dial(_) => DeliveryError::Retry { reason, after: None },
        AskError::Request(_) => rejected(reason),
        AskError::Lost(_) => DeliveryError::Unsure { reason },
    };
    Refused { code: String::new(), error }
}
