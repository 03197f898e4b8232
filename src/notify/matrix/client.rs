//! Requests to the homeserver: the token (renewed where it expires), pauses the server asks for,
//! and what its refusals mean.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::model::Secret;
use crate::notify::http::{Answer, Ask, AskError, Content, Endpoint, ask};
use crate::notify::wire::{ChannelError, Dialer, scrubbed, within};
use crate::notify::{Handshake, MatrixSettings};
use crate::ports::{Clock, DeliveryError, Notes, Tick};

/// What may stand in a path segment as it is (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Answers are short, but those of `/sync` and of a room's state.
const LARGEST: usize = 4 * 1024 * 1024;
/// The longest pause that is believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Topic of the notes about renewed tokens.
const TOKENS: &str = "matrix-token";

/// A conversation with one homeserver.
pub(super) struct Client {
    endpoint: Endpoint,
    /// Path of the homeserver's URL without a slash at its end.
    base: String,
    dialer: Dialer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
    tokens: Mutex<Tokens>,
    renewal: tokio::sync::Mutex<()>,
    /// The server asked us to be quiet until then.
    pause: Mutex<Option<Tick>>,
    pub(super) notes: OnceLock<Arc<dyn Notes>>,
}

struct Tokens {
    access: Secret,
    refresh: Option<Secret>,
    /// Whether a renewed pair of an earlier process was looked for.
    recalled: bool,
    /// Names the configured pair: renewed ones of another pair are of no use.
    origin: String,
}

/// One request.
pub(super) struct Question<'a> {
    pub(super) method: http::Method,
    pub(super) path: &'a str,
    pub(super) content: Content,
    /// In addition to the ordinary deadline: the server was asked to wait for news.
    pub(super) patience: Duration,
}

impl Client {
    pub(super) fn new(
        settings: &MatrixSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ChannelError> {
        let refresh = settings.refresh_token.clone();
        let both = format!(
            "{}\n{}",
            settings.token.reveal(),
            refresh.as_ref().map_or("", |token| token.reveal())
        );
        let origin = format!("{:016x}", xxh3_64(both.as_bytes()));
        let tokens = Tokens { access: settings.token.clone(), refresh, recalled: false, origin };
        Ok(Self {
            endpoint: Endpoint::new(&settings.homeserver, "the homeserver")?,
            base: settings.homeserver.path().trim_end_matches('/').to_owned(),
            dialer: Dialer::new(&Handshake::trusting(settings.ca_file.clone()))?,
            clock,
            timeout: settings.timeout,
            tokens: Mutex::new(tokens),
            renewal: tokio::sync::Mutex::new(()),
            pause: Mutex::new(None),
            notes: OnceLock::new(),
        })
    }

    fn tokens<T>(&self, look: impl FnOnce(&mut Tokens) -> T) -> T {
        look(&mut self.tokens.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes of a topic; none when nothing is remembered, or cannot be read.
    pub(super) async fn recall(&self, topic: &str) -> Vec<(String, String)> {
        let Some(notes) = self.notes.get() else { return Vec::new() };
        notes.read(topic).await.unwrap_or_else(|error| {
            tracing::error!(%error, topic, "cannot read what was remembered of Matrix");
            Vec::new()
        })
    }

    /// Remembers durably; without a disk it goes on from memory.
    pub(super) async fn note(&self, topic: &str, notes: Vec<(String, Option<String>)>) {
        let Some(disk) = self.notes.get() else { return };
        if let Err(error) = disk.write(topic, notes).await {
            tracing::error!(%error, topic, "cannot remember what a restart needs");
        }
    }

    /// A request with JSON, or without content.
    pub(super) async fn ask(
        &self,
        method: http::Method,
        path: &str,
        content: Option<Value>,
    ) -> Result<Value, Refused> {
        let content = content.map_or(Content::None, |json| Content::Json(json.to_string()));
        self.question(Question { method, path, content, patience: Duration::ZERO }).await
    }

    /// Stores a file on the homeserver and gives its `mxc` address.
    pub(super) async fn upload(
        &self,
        name: &str,
        mime: &str,
        file: &[u8],
    ) -> Result<String, Refused> {
        let path = format!("/_matrix/media/v3/upload?filename={}", segment(name));
        let content = Content::File(mime.to_owned(), Bytes::copy_from_slice(file));
        let method = http::Method::POST;
        let question = Question { method, path: &path, content, patience: Duration::ZERO };
        let answer = self.question(question).await?;
        answer["content_uri"].as_str().map(str::to_owned).ok_or_else(|| Refused::odd("no address"))
    }

    /// Any request, with a renewed token where that helps.
    pub(super) async fn question(&self, question: Question<'_>) -> Result<Value, Refused> {
        self.recall_tokens().await;
        if let Some(after) = self.paused() {
            let reason = "the homeserver asked us to wait".to_owned();
            return Err(Refused {
                code: "M_LIMIT_EXCEEDED".to_owned(),
                error: DeliveryError::Retry { reason, after: Some(after) },
            });
        }
        let token = self.tokens(|tokens| tokens.access.clone());
        let first = self.once(&question, Some(&token)).await;
        match first {
            Err(refused) if refused.code == "M_UNKNOWN_TOKEN" => {
                if !self.renewed(&token).await {
                    return Err(refused);
                }
                let token = self.tokens(|tokens| tokens.access.clone());
                self.once(&question, Some(&token)).await
            }
            other => other,
        }
    }

    fn paused(&self) -> Option<Duration> {
        let pause = *self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        let left = pause?.since(self.clock.mono());
        (left > Duration::ZERO).then_some(left)
    }

    async fn once(
        &self,
        question: &Question<'_>,
        token: Option<&Secret>,
    ) -> Result<Value, Refused> {
        let path = format!("{}{}", self.base, question.path);
        let asked = Ask {
            method: question.method.clone(),
            path: &path,
            bearer: token,
            login: None,
            headers: &[],
            content: question.content.clone(),
            most: LARGEST,
        };
        let asked = ask(&self.dialer, &self.endpoint, asked);
        let limit = self.timeout + question.patience;
        match within(&*self.clock, limit, asked).await {
            Some(Ok(answer)) if answer.status.is_success() => Ok(answer.json()),
            Some(Ok(answer)) => {
                let refused = refusal(&answer);
                if let DeliveryError::Retry { after: Some(after), .. } = &refused.error
                    && answer.status.as_u16() == 429
                {
                    let until = self.clock.mono().after((*after).min(LONGEST_PAUSE));
                    *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
                }
                Err(refused)
            }
            Some(Err(error)) => Err(unanswered(&error)),
            None => Err(Refused {
                code: String::new(),
                error: DeliveryError::Unsure {
                    reason: "the homeserver: no answer in time".to_owned(),
                },
            }),
        }
    }

    /// A pair that an earlier process got in the place of the configured one.
    async fn recall_tokens(&self) {
        let wanted = self.tokens(|tokens| !tokens.recalled && tokens.refresh.is_some());
        if !wanted || self.notes.get().is_none() {
            return;
        }
        let _one = self.renewal.lock().await;
        if self.tokens(|tokens| tokens.recalled) {
            return;
        }
        let notes = self.recall(TOKENS).await;
        self.tokens(|tokens| {
            tokens.recalled = true;
            let of = |key: &str| notes.iter().find(|(name, _)| name == key).map(|(_, v)| v);
            if of("origin") != Some(&tokens.origin) {
                return;
            }
            if let (Some(access), Some(refresh)) = (of("access"), of("refresh")) {
                tokens.access = Secret::new(access);
                tokens.refresh = Some(Secret::new(refresh));
            }
        });
    }

    /// Whether there is a newer token than `old` now. The new pair is durable before it is used:
    /// its first use makes the old one worthless.
    async fn renewed(&self, old: &Secret) -> bool {
        let _one = self.renewal.lock().await;
        if self.tokens(|tokens| tokens.access.reveal() != old.reveal()) {
            return true;
        }
        let Some(refresh) = self.tokens(|tokens| tokens.refresh.clone()) else { return false };
        let content = Content::Json(json!({"refresh_token": refresh.reveal()}).to_string());
        let path = "/_matrix/client/v3/refresh";
        let method = http::Method::POST;
        let question = Question { method, path, content, patience: Duration::ZERO };
        let answer = match self.once(&question, None).await {
            Ok(answer) => answer,
            Err(refused) => {
                tracing::warn!(error = %refused.error, "the Matrix token could not be renewed");
                return false;
            }
        };
        let Some(access) = answer["access_token"].as_str() else { return false };
        let next = answer["refresh_token"].as_str().unwrap_or(refresh.reveal());
        let origin = self.tokens(|tokens| tokens.origin.clone());
        let note = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        let notes = vec![note("origin", &origin), note("access", access), note("refresh", next)];
        self.note(TOKENS, notes).await;
        self.tokens(|tokens| {
            tokens.access = Secret::new(access);
            tokens.refresh = Some(Secret::new(next));
        });
        tracing::info!("the Matrix token was renewed");
        true
    }
}

/// A request that did not succeed.
#[derive(Debug)]
pub(super) struct Refused {
    /// Matrix' name for the reason; empty when there was no answer.
    pub(super) code: String,
    pub(super) error: DeliveryError,
}

impl Refused {
    pub(super) fn odd(what: &str) -> Self {
        let reason = format!("the homeserver answers without sense: {what}");
        Self { code: String::new(), error: DeliveryError::Retry { reason, after: None } }
    }

    pub(super) fn into_error(self) -> DeliveryError {
        self.error
    }

    /// How long to wait before the same is tried again; `None` when that is useless.
    pub(super) fn wait(&self) -> Option<Duration> {
        match &self.error {
            DeliveryError::Retry { after, .. } | DeliveryError::Down { after, .. } => {
                Some(after.unwrap_or(Duration::from_secs(2)))
            }
            DeliveryError::Unsure { .. } => Some(Duration::from_secs(2)),
            DeliveryError::Rejected { .. } => None,
        }
    }
}

pub(super) fn rejected(reason: String) -> DeliveryError {
    DeliveryError::Rejected { reason }
}

pub(super) fn segment(text: &str) -> String {
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
        AskError::Dial(_) => DeliveryError::Down { reason, after: None },
        AskError::Request(_) => rejected(reason),
        AskError::Lost(_) => DeliveryError::Unsure { reason },
    };
    Refused { code: String::new(), error }
}
