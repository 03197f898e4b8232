//! Access tokens by client credentials (RFC 6749 §4.4) or by an assertion (RFC 7523): fetched when
//! they are needed, kept until shortly before they end.

use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::Mutex;

use super::assertion::Signer;
use super::http::{Answer, Ask, AskError, Content, Endpoint, LARGEST_ANSWER, ask};
use super::wire::{ChannelError, DialError, Dialer, scrubbed};
use super::{Grant, OAuth2};
use crate::model::{Secret, Timestamp};
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
    proof: Proof,
    /// What is asked for, without what proves who we are.
    form: Secret,
    last: Mutex<Last>,
}

/// What proves who we are.
enum Proof {
    /// Name and password, as a form has them.
    Password {
        id: String,
        secret: Secret,
    },
    Assertion(Arc<Signer>),
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
        let scopes = settings.scopes.join(" ");
        let (grant, proof) = match &settings.grant {
            Grant::ClientCredentials(secret) => {
                let id = encoded(&settings.client_id);
                let secret = Secret::new(&encoded(secret.reveal()));
                ("client_credentials", Proof::Password { id, secret })
            }
            Grant::Assertion(assertion) => {
                let signer = Signer {
                    assertion: assertion.clone(),
                    client_id: settings.client_id.clone(),
                    endpoint: without_login(&url),
                    scopes: scopes.clone(),
                };
                ("urn:ietf:params:oauth:grant-type:jwt-bearer", Proof::Assertion(signer.into()))
            }
        };
        let mut form = format!("grant_type={}", encoded(grant));
        if !scopes.is_empty() {
            form.push_str(&format!("&scope={}", encoded(&scopes)));
        }
        for (name, value) in &settings.parameters {
            form.push_str(&format!("&{}={}", encoded(name), encoded(value.reveal())));
        }
        Ok(Self {
            endpoint: Endpoint::new(&url, &name)?,
            path: super::http::path_of(&url),
            dialer,
            proof,
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
        let now = clock.wall();
        let mut answer = self.ask(last.in_form, now).await?;
        if !answer.status.is_success() && matches!(self.proof, Proof::Password { .. }) {
            // RFC 6749 §2.3.1 wants every endpoint to take the header; some take the form alone.
            let other = self.ask(!last.in_form, now).await?;
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

    async fn ask(&self, in_form: bool, now: Timestamp) -> Result<Answer, AskError> {
        let mut form = self.form.reveal().to_owned();
        let login = match &self.proof {
            Proof::Password { id, secret } if in_form => {
                form.push_str(&format!("&client_id={id}&client_secret={}", secret.reveal()));
                None
            }
            Proof::Password { id, secret } => {
                Some(Secret::new(&format!("{id}:{}", secret.reveal())))
            }
            Proof::Assertion(signer) => {
                let signer = signer.clone();
                // Reads a file and computes: beside the runtime.
                let signed = tokio::task::spawn_blocking(move || signer.signed(now)).await;
                let signed = signed.unwrap_or_else(|_| Err("signing was broken off".to_owned()));
                let signed = signed.map_err(|why| no_token(&format!("our key: {why}")))?;
                form.push_str(&format!("&assertion={}", signed.reveal()));
                None
            }
        };
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

/// The endpoint as others may see it.
fn without_login(url: &url::Url) -> String {
    let mut url = url.clone();
    // They fail where there can be no login.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

fn no_token(why: &str) -> AskError {
    AskError::Dial(DialError::Token(why.to_owned()))
}
