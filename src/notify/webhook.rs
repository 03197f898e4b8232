//! Webhooks: Alertmanager's payload, version 4, by POST, so that everything else can be connected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::http::{Answer, Ask, AskError, Content, Endpoint, Kept, LARGEST_ANSWER, ask, path_of};
use super::oauth2::Tokens;
use super::redirect;
use super::wire::{ChannelError, Dialer, scrubbed, within};
use super::{Handshake, WebhookSettings};
use crate::model::{Secret, Timestamp};
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt};
use crate::render::{Facts, TemplateError, TemplateFiles};
use crate::yaml::{self, Reading};

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
    templates: Arc<TemplateFiles>,
    body: Option<Value>,
    stays: bool,
}

/// Where a hook is.
enum Place {
    Fixed {
        url: url::Url,
        endpoint: Endpoint,
        path: Secret,
        kept: Kept,
    },
    /// Where the template says, for each message anew.
    Written(Secret),
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
        let pen = Pen { templates: &hook.templates, payload, now: self.clock.wall() };
        let content = match &hook.body {
            Some(body) => pen.body(body)?,
            None => payload.to_owned(),
        };
        let call = Call { hook, bearer: token.as_ref().or(hook.bearer.as_ref()), content };
        let (url, mut answer) = match &hook.place {
            Place::Fixed { url, endpoint, path, kept } => {
                let ask = call.to(path, true);
                (url.clone(), kept.ask(&*self.clock, dialer, endpoint, ask).await?)
            }
            Place::Written(template) => {
                let url = pen.url(template.reveal())?;
                let endpoint = Endpoint::new(&url, "the webhook").map_err(|_| nowhere())?;
                let answer = ask(dialer, &endpoint, call.to(&path_of(&url), true)).await?;
                (url, answer)
            }
        };
        let (mut at, mut left) = (url.clone(), redirect::MOST);
        while !hook.stays
            && let Some(next) = redirect::next(&at, &answer)?
        {
            left = left.checked_sub(1).ok_or_else(in_circles)?;
            let endpoint = Endpoint::new(&next, "the webhook").map_err(|_| nowhere())?;
            let is_known = redirect::is_same_server(&url, &next);
            answer = ask(dialer, &endpoint, call.to(&path_of(&next), is_known)).await?;
            at = next;
        }
        if let (Some(tokens), Some(token)) = (&hook.tokens, &token)
            && answer.status == http::StatusCode::UNAUTHORIZED
        {
            tokens.forget(token).await;
        }
        Ok(answer)
    }
}

/// One message on its way to a hook.
struct Call<'a> {
    hook: &'a Hook,
    bearer: Option<&'a Secret>,
    content: String,
}

impl Call<'_> {
    /// Shows who we are to servers that are known.
    fn to<'b>(&'b self, path: &'b Secret, is_known: bool) -> Ask<'b> {
        Ask {
            method: http::Method::POST,
            path: path.reveal(),
            bearer: self.bearer.filter(|_| is_known),
            login: self.hook.login.as_ref().filter(|_| is_known),
            headers: if is_known { &self.hook.headers } else { &[] },
            content: Content::Json(self.content.clone()),
            most: LARGEST_ANSWER,
        }
    }
}

impl Hook {
    fn new(settings: &WebhookSettings) -> Result<Self, ChannelError> {
        let name = format!("the webhook {}", settings.name);
        let access = &settings.access;
        let place = match &settings.templates {
            Some(_) if settings.url.reveal().contains("{{") => Place::Written(settings.url.clone()),
            _ => {
                let url = settings.url.reveal().parse::<url::Url>();
                let url = url.map_err(|_| ChannelError::Url(name.clone()))?;
                let (endpoint, path) = (Endpoint::new(&url, &name)?, path_of(&url));
                Place::Fixed { url, endpoint, path, kept: Kept::default() }
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
            templates: settings.templates.clone().unwrap_or_default(),
            body: settings.body.clone(),
            stays: access.stays,
        })
    }
}

/// Writes what is a template in a call.
struct Pen<'a> {
    templates: &'a TemplateFiles,
    payload: &'a str,
    now: Timestamp,
}

/// Rendered texts of a body are read as YAML, so that they can be lists and numbers.
const INLINE: Reading = Reading { most_nodes: 100_000, deepest: 64, as_go: true };

fn nowhere() -> AskError {
    AskError::Request("the template of its URL gives no web address".to_owned())
}

fn in_circles() -> AskError {
    let most = redirect::MOST;
    AskError::Request(format!("it is sent elsewhere more than {most} times"))
}

fn broken(what: &str, error: &TemplateError) -> AskError {
    let why = scrubbed(&error.message);
    AskError::Request(format!("the template of its {what} is broken: {why}"))
}

impl Pen<'_> {
    fn url(&self, template: &str) -> Result<url::Url, AskError> {
        let facts = TemplateFiles::facts(self.payload).map_err(|error| broken("URL", &error))?;
        let written = self.templates.write(template, &facts, self.now);
        let written = written.map_err(|error| broken("URL", &error))?;
        written.trim().parse().map_err(|_| nowhere())
    }

    fn body(&self, template: &Value) -> Result<String, AskError> {
        let facts = TemplateFiles::facts(self.payload);
        let written = facts.and_then(|facts| self.value(template, &facts));
        Ok(written.map_err(|error| broken("payload", &error))?.to_string())
    }

    /// As Alertmanager does it: a text that reads as a list, a mapping, a number, a truth or
    /// nothing becomes that. What comes out of a template is not run again.
    fn value(&self, template: &Value, facts: &Facts) -> Result<Value, TemplateError> {
        let write = |text: &str| self.templates.write(text, facts, self.now);
        Ok(match template {
            Value::String(text) => {
                let text = write(text)?;
                match yaml::read(&text, INLINE) {
                    (None, flaws) if flaws.is_empty() => Value::Null,
                    (Some(root), flaws) if flaws.is_empty() => match root.json() {
                        Value::String(_) => Value::String(text),
                        other => other,
                    },
                    _ => Value::String(text),
                }
            }
            Value::Array(items) => {
                let items = items.iter().map(|item| self.value(item, facts));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(entries) => {
                let entries = entries.iter();
                let entries =
                    entries.map(|(key, value)| Ok((write(key)?, self.value(value, facts)?)));
                Value::Object(entries.collect::<Result<_, TemplateError>>()?)
            }
            other => other.clone(),
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
    if status.is_redirection() {
        let status = status.as_u16();
        let reason =
            format!("the webhook answers {status}: it has moved, configure its new address");
        return Err(DeliveryError::Rejected { reason });
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
