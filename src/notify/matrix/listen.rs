//! Hears reactions and answers through `/sync`: bounded by a filter, from where the last process
//! stopped reading, one request at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use super::client::{Question, Refused, segment};
use super::content::threaded;
use super::wish::{self, What};
use super::{MatrixNotifier, Root};
use crate::model::Way;
use crate::notify::http::Content;
use crate::ports::{Act, ActError, Actor, Address, Scope, SilenceOrder, Until};

/// Topic of the note about what has been read.
const READ: &str = "matrix-sync";
/// Topic of the notes about wishes that were fulfilled: what is read again after a crash is not
/// done again.
const DONE: &str = "matrix-wishes";
/// So many of them are remembered.
const MOST_DONE: usize = 10_000;
/// How long the server may wait for news.
const PATIENCE: Duration = Duration::from_secs(30);
/// Waits after failures: the first, doubled up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// Wishes of one answer that are fulfilled; more is mischief.
const MOST_WISHES: usize = 100;

impl MatrixNotifier {
    /// Hears until told to stop. What cannot be heard now is heard later: the server keeps it.
    pub async fn listen(&self, act: Arc<dyn Act>, stop: CancellationToken) {
        self.recall().await;
        let mut since =
            self.client.recall(READ).await.into_iter().find(|(key, _)| key == "since").map(|n| n.1);
        let done = self.client.recall(DONE).await;
        let mut done: BTreeSet<String> = done.into_iter().map(|(key, _)| key).collect();
        let mut me: Option<String> = None;
        let mut wait = FIRST_WAIT;
        loop {
            let turn = self.turn(&*act, &mut me, &mut since, &mut done);
            let turned = tokio::select! {
                () = stop.cancelled() => return,
                turned = turn => turned,
            };
            let pause = match turned {
                Ok(()) => {
                    wait = FIRST_WAIT;
                    continue;
                }
                Err(refused) => {
                    tracing::debug!(error = %refused.error, "Matrix cannot be heard now");
                    if refused.code == "M_UNKNOWN_POS" {
                        since = None;
                    }
                    let pause = wait.max(refused.wait().unwrap_or_default()).min(LONGEST_WAIT);
                    wait = (wait * 2).min(LONGEST_WAIT);
                    pause
                }
            };
            let clock = &self.client.clock;
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(clock.mono().after(pause)) => {}
            }
        }
    }

    /// Asks for news once, and does what is wished.
    async fn turn(
        &self,
        act: &dyn Act,
        me: &mut Option<String>,
        since: &mut Option<String>,
        done: &mut BTreeSet<String>,
    ) -> Result<(), Refused> {
        let me = match me {
            Some(me) => me,
            None => {
                let path = "/_matrix/client/v3/account/whoami";
                let answer = self.client.ask(http::Method::GET, path, None).await?;
                let id = answer["user_id"].as_str().ok_or_else(|| Refused::odd("no user id"))?;
                // Which rooms the owners' names stand for decides who may answer in them.
                self.accept_invitations().await;
                me.insert(id.to_owned())
            }
        };
        self.late_edits().await;
        let news = self.sync(since.as_deref()).await?;
        let next = news["next_batch"].as_str().ok_or_else(|| Refused::odd("no next batch"))?;
        if !news["rooms"]["invite"].as_object().is_none_or(serde_json::Map::is_empty) {
            self.accept_invitations().await;
        }
        // What was said before we first listened is old news.
        if since.is_some() {
            let mut left = MOST_WISHES;
            for (room, joined) in news["rooms"]["join"].as_object().into_iter().flatten() {
                for event in joined["timeline"]["events"].as_array().into_iter().flatten() {
                    if event["sender"] != me.as_str() && left > 0 {
                        left -= usize::from(self.event(act, room, event, done).await?);
                    }
                }
            }
        }
        *since = Some(next.to_owned());
        self.client.note(READ, vec![("since".to_owned(), since.clone())]).await;
        Ok(())
    }

    async fn sync(&self, since: Option<&str>) -> Result<Value, Refused> {
        let nothing = json!({"types": []});
        let filter = json!({
            "presence": nothing, "account_data": nothing,
            "room": {
                "state": {"types": [], "lazy_load_members": true},
                "ephemeral": nothing, "account_data": nothing,
                "timeline": {"types": ["m.reaction", "m.room.message"],
                             "limit": if since.is_some() { 50 } else { 1 }},
            },
        });
        let filter = segment(&filter.to_string());
        let patience = if since.is_some() { PATIENCE } else { Duration::ZERO };
        let mut path =
            format!("/_matrix/client/v3/sync?filter={filter}&timeout={}", patience.as_millis());
        if let Some(since) = since {
            path.push_str(&format!("&since={}", segment(since)));
        }
        let (method, content) = (http::Method::GET, Content::None);
        self.client.question(Question { method, path: &path, content, patience }).await
    }

    /// Looks up and joins the rooms that owners name; nobody else can call us into theirs.
    async fn accept_invitations(&self) {
        for name in self.settings.rooms.keys() {
            let known = self.remembered(|memory| memory.rooms.contains_key(name));
            if !known && let Err(refused) = self.room(name).await {
                tracing::debug!(error = %refused.error, "an invitation could not be accepted");
            }
        }
    }

    /// Whether it was a wish.
    async fn event(
        &self,
        act: &dyn Act,
        room: &str,
        event: &Value,
        done: &mut BTreeSet<String>,
    ) -> Result<bool, Refused> {
        let Some((about, what)) = wish::read(event) else { return Ok(false) };
        let (Some(sender), Some(id)) = (event["sender"].as_str(), event["event_id"].as_str())
        else {
            return Ok(false);
        };
        let Some((incident, root)) = self.incident(room, about).await? else { return Ok(false) };
        let german = root.language.starts_with("de");
        let name = sender.trim_start_matches('@').split(':').next().unwrap_or_default();
        let key = format!("matrix-{:016x}", xxh3_64(id.as_bytes()));
        if done.contains(&key) {
            return Ok(true);
        }
        let said = if self.may(room, sender).await? {
            let who: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
            let fulfilled = self.fulfil(act, room, &incident, &who, what).await;
            if done.len() >= MOST_DONE {
                done.pop_first();
            }
            done.insert(key.clone());
            self.client.note(DONE, vec![(key.clone(), Some(String::new()))]).await;
            let reason = fulfilled.err().map(|error| error.to_string());
            wish::confirmation(&who, what, reason.as_deref(), german)
        } else {
            tracing::warn!("somebody without the right to do so answered in a Matrix room");
            wish::refusal(german).to_owned()
        };
        let mut content = json!({"msgtype": "m.notice", "body": said, "m.mentions": {}});
        threaded(&mut content, &root.event);
        // The same transaction after a crash is the same event. Without it the wish is fulfilled
        // all the same.
        let _ = self.patiently(|| self.put(room, &key, content.clone())).await;
        Ok(true)
    }

    async fn fulfil(
        &self,
        act: &dyn Act,
        room: &str,
        incident: &str,
        who: &str,
        what: What,
    ) -> Result<(), ActError> {
        // As owners name the room: there, everybody sees it.
        let name = self.remembered(|memory| {
            let mut rooms = memory.rooms.iter();
            rooms.find(|(_, known)| known.id == room).map(|(name, _)| name.clone())
        });
        let seen_at = Some(Address::Matrix(name.unwrap_or_else(|| room.into())));
        let by = Actor { name: who.into(), way: Way::Matrix, seen_at };
        let done = match what {
            What::Acknowledge => act.acknowledge(incident, by).await,
            What::Claim => act.claim(incident, by).await,
            What::Mute(length) => {
                let order = SilenceOrder {
                    id: None,
                    scope: Scope::Incident(incident.into()),
                    starts: None,
                    until: Until::For(length),
                    comment: "Matrix".into(),
                };
                act.silence(order, by).await.map(|_| ())
            }
            What::Unclear => return Ok(()),
        };
        let words = match what {
            What::Unclear => "not understood",
            What::Acknowledge => "acknowledged",
            What::Claim => "claimed",
            What::Mute(_) => "silenced",
        };
        match &done {
            Ok(()) => tracing::info!(incident, "{words} in a Matrix room"),
            Err(error) => tracing::warn!(incident, %error, "could not be {words} in a Matrix room"),
        }
        done
    }

    /// The incident whose thread an event belongs to.
    async fn incident(&self, room: &str, event: &str) -> Result<Option<(String, Root)>, Refused> {
        if let Some(found) = self.thread_of(room, event) {
            return Ok(Some(found));
        }
        // One of the later messages of a thread, perhaps: it names the first one.
        let path = format!("/_matrix/client/v3/rooms/{}/event/{}", segment(room), segment(event));
        let found = match self.client.ask(http::Method::GET, &path, None).await {
            Ok(found) => found,
            Err(refused) if refused.wait().is_some() => return Err(refused),
            Err(_) => return Ok(None),
        };
        let relation = &found["content"]["m.relates_to"];
        let threaded = relation["rel_type"] == "m.thread";
        let root = relation["event_id"].as_str().filter(|_| threaded);
        Ok(root.and_then(|root| self.thread_of(room, root)))
    }

    fn thread_of(&self, room: &str, event: &str) -> Option<(String, Root)> {
        self.remembered(|memory| {
            let mut threads = memory.threads.iter();
            let found = threads.find(|((at, _), root)| at == room && root.event == event);
            found.map(|((_, incident), root)| (incident.clone(), root.clone()))
        })
    }

    /// Whether somebody may: an owner who is told in this room names them, or the room does by
    /// their power level.
    async fn may(&self, room: &str, sender: &str) -> Result<bool, Refused> {
        let named = self.remembered(|memory| {
            self.settings.rooms.iter().any(|(name, users)| {
                let here =
                    **name == *room || memory.rooms.get(name).is_some_and(|known| known.id == room);
                here && users.iter().any(|user| **user == *sender)
            })
        });
        if named {
            return Ok(true);
        }
        let path = format!("/_matrix/client/v3/rooms/{}/state/m.room.power_levels/", segment(room));
        let levels = match self.client.ask(http::Method::GET, &path, None).await {
            Ok(levels) => levels,
            Err(refused) if refused.wait().is_some() => return Err(refused),
            Err(_) => return Ok(false),
        };
        let level = levels["users"][sender].as_i64();
        let level = level.or_else(|| levels["users_default"].as_i64()).unwrap_or(0);
        if level >= self.settings.act_power_level {
            return Ok(true);
        }
        self.created_by(room, sender).await
    }

    /// Creators of newer rooms stand above all power levels and are not listed among them.
    async fn created_by(&self, room: &str, sender: &str) -> Result<bool, Refused> {
        let path =
            format!("/_matrix/client/v3/rooms/{}/state/m.room.create/?format=event", segment(room));
        let event = match self.client.ask(http::Method::GET, &path, None).await {
            Ok(event) => event,
            Err(refused) if refused.wait().is_some() => return Err(refused),
            Err(_) => return Ok(false),
        };
        let content = &event["content"];
        let version = content["room_version"].as_str().and_then(|text| text.parse::<u32>().ok());
        let others = content["additional_creators"].as_array();
        let among = others.is_some_and(|others| others.iter().any(|other| other == sender));
        Ok(version.is_some_and(|version| version >= 12) && (event["sender"] == sender || among))
    }
}
