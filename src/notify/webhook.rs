//! Webhooks: Alertmanager's payload, version 4, by POST, so that everything else can be connected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::http::{Answer, Ask, AskError, Content, Endpoint, Kept, LARGEST_ANSWER, ask, path_of};
use super::oauth2::Tokens;
use super::wire::{ChannelError, Dialer, scrubbed, within};
use super::{Handshake, WebhookSettings};
use crate::model::Secret;
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt};
use crate::render::TemplateFiles;

/// Delivers to all configured webhooks.
pub struct WebhookNotifier {
    hooks: BTreeMap<Arc<str>, Hook>,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
}

struct Hook {
    place: Place,
    bearer: Option<Secret>,
    login: Option<Secret>,
    tokens: Option<Tokens>,
    headers: Vec<(Arc<str>, Secret)>,
    /// For one with a way of its own.
    dialer: Option<Dialer>,
    timeout: Duration,
}

/// Where a hook is.
enum Place {
    Fixed {
        endpoint: Endpoint,
        path: Secret,
        kept: Kept,
    },
    /// Where the template says, for each message anew.
    Written {
        url: Secret,
        words: Arc<TemplateFiles>,
    },
}

impl WebhookNotifier {
    /// Reads the system's trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// A URL that is none, or trust anchors that cannot be used.
    pub fn new(settings: &[WebhookSettings], clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let mut hooks = BTreeMap::new();
        for hook in settings {
            hooks.insert(hook.name.clone(), Hook::new(hook)?);
        }
        Ok(Self { hooks, dialer: Dialer::new(&Handshake::default())?, clock })
    }

    async fn post(&self, delivery: &Delivery) -> Result<Receipt, DeliveryError> {
        let Address::Webhook(name) = &delivery.to else {
            return Err(rejected("this is no webhook"));
        };
        let Some(hook) = self.hooks.get(name) else {
            return Err(rejected("no webhook of this name is configured"));
        };
        if delivery.message.payload.is_empty() {
            return Err(rejected("the message has no payload for programs"));
        }
        let asked = async {
            let answer = self.ask(hook, &delivery.message.payload).await?;
            if answer.status == http::StatusCode::UNAUTHORIZED && hook.tokens.is_some() {
                // The token that was kept is not good any more: once with a new one.
                return self.ask(hook, &delivery.message.payload).await;
            }
            Ok(answer)
        };
        match within(&*self.clock, hook.timeout, asked).await {
            Some(Ok(answer)) => judge(&answer),
            Some(Err(error)) => Err(unanswered(&error)),
            None => {
                Err(DeliveryError::Unsure { reason: "the webhook: no answer in time".to_owned() })
            }
        }
    }

    async fn ask(&self, hook: &Hook, payload: &str) -> Result<Answer, AskError> {
        let dialer = hook.dialer.as_ref().unwrap_or(&self.dialer);
        let token = match &hook.tokens {
            Some(tokens) => Some(tokens.token(&*self.clock).await?),
            None => None,
        };
        let question = |path| Ask {
            method: http::Method::POST,
            path,
            bearer: token.as_ref().or(hook.bearer.as_ref()),
            login: hook.login.as_ref(),
            headers: &hook.headers,
            content: Content::Json(payload.to_owned()),
            most: LARGEST_ANSWER,
        };
        let answer = match &hook.place {
            Place::Fixed { endpoint, path, kept } => {
                kept.ask(&*self.clock, dialer, endpoint, question(path.reveal())).await?
            }
            Place::Written { url, words } => {
                let written = words.over_payload(url.reveal(), payload, self.clock.wall());
                let written = written.map_err(|error| {
                    let what = scrubbed(&error.message);
                    AskError::Request(format!("the template of its URL is broken: {what}"))
                })?;
                let nowhere =
                    || AskError::Request("the template of its URL gives no web address".to_owned());
                let url: url::Url = written.trim().parse().map_err(|_| nowhere())?;
                let endpoint = Endpoint::new(&url, "the webhook").map_err(|_| nowhere())?;
                ask(dialer, &endpoint, question(path_of(&url).reveal())).await?
            }
        };
        if let (Some(tokens), Some(token)) = (&hook.tokens, &token)
            && answer.status == http::StatusCode::UNAUTHORIZED
        {
            tokens.forget(token).await;
        }
        Ok(answer)
    }
}

impl Hook {
    fn new(settings: &WebhookSettings) -> Result<Self, ChannelError> {
        let name = format!("the webhook {}", settings.name);
        let access = &settings.access;
        let place = match &settings.template {
            Some(words) => Place::Written { url: settings.url.clone(), words: words.clone() },
            None => {
                let url = settings.url.reveal().parse::<url::Url>();
                let url = url.map_err(|_| ChannelError::Url(name.clone()))?;
                let (endpoint, path) = (Endpoint::new(&url, &name)?, path_of(&url));
                Place::Fixed { endpoint, path, kept: Kept::default() }
            }
        };
        let own = access.handshake != Handshake::default() || access.proxies.is_some();
        let dialer = || Dialer::new(&access.handshake)?.by(access.proxies.as_ref());
        let tokens = access.oauth2.as_ref().map(|oauth2| Tokens::new(oauth2, &name));
        Ok(Self {
            place,
            bearer: access.bearer.clone(),
            login: access.login.clone(),
            tokens: tokens.transpose()?,
            headers: access.headers.clone(),
            dialer: own.then(dialer).transpose()?,
            timeout: settings.timeout,
        })
    }
}

impl Notifier for WebhookNotifier {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Doing<'a, Result<Receipt, DeliveryError>> {
        Box::pin(self.post(delivery))
    }
}

fn rejected(reason: &str) -> DeliveryError {
    DeliveryError::Rejected { reason: reason.to_owned() }
}

/// As Alertmanager: 5xx and 429 are tried again, other errors are final.
fn judge(answer: &Answer) -> Result<Receipt, DeliveryError> {
    let status = answer.status;
    if status.is_success() {
        return Ok(Receipt(status.as_u16().to_string()));
    }
    let said: String = String::from_utf8_lossy(&answer.body).chars().take(400).collect();
    let reason = format!("the webhook answers {}: {}", status.as_u16(), scrubbed(&said));
    let reason = reason.trim_end_matches([':', ' ']).to_owned();
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(DeliveryError::Retry { reason, after: answer.retry_after() });
    }
    Err(DeliveryError::Rejected { reason })
}

fn unanswered(error: &AskError) -> DeliveryError {
    let reason = format!("the webhook: {error}");
    match error {
        AskError::Dial(_) => DeliveryError::Retry { reason, after: None },
        AskError::Request(_) => DeliveryError::Rejected { reason },
        AskError::Lost(_) => DeliveryError::Unsure { reason },
    }
}

#[cfg(test)]
#[path = "webhook_tests.rs"]
mod tests;
