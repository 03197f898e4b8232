//! Access tokens by client credentials (RFC 6749 §4.4): fetched when they are needed, kept until
//! shortly before they end.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;

use super::OAuth2;
use super::http::{Answer, Ask, AskError, Content, Endpoint, LARGEST_ANSWER, ask};
use super::wire::{ChannelError, DialError, Dialer, scrubbed};
use crate::model::Secret;
use crate::ports::{Clock, Tick};

/// A token is not used in its last seconds: it could end on the way.
const EARLY: Duration = Duration::from_secs(10);
/// What stays as it is in a form (RFC 6749 appendix B).
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*');

/// A token endpoint, and the token it gave last.
pub(super) struct Tokens {
    endpoint: Endpoint,
    /// Path and query; may hold a secret.
    path: Secret,
    dialer: Dialer,
    id: String,
    secret: Secret,
    /// The request without our name and password.
    form: Secret,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    token: Option<(Secret, Option<Tick>)>,
    /// The endpoint wants name and password in the form, as some do.
    in_form: bool,
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace("%20", "+")
}

impl Tokens {
    /// Reads trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// A URL that is none, or files that cannot be used.
    pub(super) fn new(settings: &OAuth2, name: &str) -> Result<Self, ChannelError> {
        let name = format!("the token endpoint of {name}");
        let bad = |_| ChannelError::Url(name.clone());
        let url: url::Url = settings.token_url.reveal().parse().map_err(bad)?;
        let dialer = Dialer::new(&settings.handshake)?.by(settings.proxies.as_ref())?;
        let mut form = "grant_type=client_credentials".to_owned();
        if !settings.scopes.is_empty() {
            form.push_str(&format!("&scope={}", encoded(&settings.scopes.join(" "))));
        }
        for (name, value) in &settings.parameters {
            form.push_str(&format!("&{}={}", encoded(name), encoded(value.reveal())));
        }
        Ok(Self {
            endpoint: Endpoint::new(&url, &name)?,
            path: super::http::path_of(&url),
            dialer,
            id: encoded(&settings.client_id),
            secret: Secret::new(&encoded(settings.client_secret.reveal())),
            form: Secret::new(&form),
            last: Mutex::default(),
        })
    }

    /// A token that is good now. Whoever comes while one is fetched waits for that one.
    ///
    /// # Errors
    /// There was no token; the text holds no secret.
    pub(super) async fn token(&self, clock: &dyn Clock) -> Result<Secret, AskError> {
        let mut last = self.last.lock().await;
        if let Some((token, until)) = &last.token
            && until.is_none_or(|until| clock.mono() < until)
        {
            return Ok(token.clone());
        }
        last.token = None;
        let asked = clock.mono();
        let mut answer = self.ask(last.in_form).await?;
        if !answer.status.is_success() {
            // RFC 6749 §2.3.1 wants every endpoint to take the header; some take the form alone.
            let other = self.ask(!last.in_form).await?;
            if other.status.is_success() {
                (answer, last.in_form) = (other, !last.in_form);
            }
        }
        let json = answer.json();
        let token = json["access_token"].as_str().filter(|token| !token.is_empty());
        let Some(token) = token.filter(|_| answer.status.is_success()) else {
            let said = scrubbed(json["error"].as_str().unwrap_or("no token"));
            let status = answer.status.as_u16();
            return Err(no_token(&format!("it answers {status}: {said}")));
        };
        let seconds = &json["expires_in"];
        let seconds = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok());
        // Above a year it may as well be forever.
        let until = seconds
            .filter(|seconds| (1..=31_536_000).contains(seconds))
            .map(|seconds| asked.after(Duration::from_secs(seconds).saturating_sub(EARLY)));
        let token = Secret::new(token);
        last.token = Some((token.clone(), until));
        Ok(token)
    }

    /// The token was refused: the next one is fetched anew.
    pub(super) async fn forget(&self, refused: &Secret) {
        let mut last = self.last.lock().await;
        if last.token.as_ref().is_some_and(|(token, _)| token == refused) {
            last.token = None;
        }
    }

    async fn ask(&self, in_form: bool) -> Result<Answer, AskError> {
        let (id, secret) = (&self.id, self.secret.reveal());
        let mut form = self.form.reveal().to_owned();
        if in_form {
            form.push_str(&format!("&client_id={id}&client_secret={secret}"));
        }
        let login = (!in_form).then(|| Secret::new(&format!("{id}:{secret}")));
        let question = Ask {
            method: http::Method::POST,
            path: self.path.reveal(),
            bearer: None,
            login: login.as_ref(),
            headers: &[],
            content: Content::Form(form),
            most: LARGEST_ANSWER,
        };
        // Whatever happens here, the message itself was surely not seen.
        let answer = ask(&self.dialer, &self.endpoint, question).await;
        answer.map_err(|error| no_token(&error.to_string()))
    }
}

fn no_token(why: &str) -> AskError {
    AskError::Dial(DialError::Token(why.to_owned()))
}
