//! Webhooks: Alertmanager's payload, version 4, by POST, so that everything else can be connected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::http::{Answer, Ask, AskError, Content, Endpoint, Kept, LARGEST_ANSWER};
use super::wire::{ChannelError, Dialer, within};
use super::{WebhookSettings, wire::scrubbed};
use crate::model::Secret;
use crate::ports::{Address, Clock, Delivery, DeliveryError, Doing, Notifier, Receipt};

/// Delivers to all configured webhooks.
pub struct WebhookNotifier {
    hooks: BTreeMap<Arc<str>, Hook>,
    dialer: Dialer,
    clock: Arc<dyn Clock>,
}

struct Hook {
    endpoint: Endpoint,
    /// Path and query; may hold a secret.
    path: Secret,
    bearer: Option<Secret>,
    headers: Vec<(Arc<str>, Secret)>,
    /// For one with its own trust anchors or certificate.
    dialer: Option<Dialer>,
    timeout: Duration,
    kept: Kept,
}

impl WebhookNotifier {
    /// Reads the system's trust anchors from the disk; does not connect.
    ///
    /// # Errors
    /// A URL that is none, or trust anchors that cannot be used.
    pub fn new(settings: &[WebhookSettings], clock: Arc<dyn Clock>) -> Result<Self, ChannelError> {
        let mut hooks = BTreeMap::new();
        for hook in settings {
            let bad = || ChannelError::Url(format!("the webhook {}", hook.name));
            let url: url::Url = hook.url.reveal().parse().map_err(|_| bad())?;
            let endpoint = Endpoint::new(&url, &format!("the webhook {}", hook.name))?;
            let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
            let path = Secret::new(&format!("{}{query}", url.path()));
            let (bearer, timeout) = (hook.bearer.clone(), hook.timeout);
            let own = hook.ca_file.is_some() || hook.certificate.is_some();
            let dialer = own
                .then(|| Dialer::showing(hook.ca_file.as_deref(), hook.certificate.as_ref()))
                .transpose()?;
            let headers = hook.headers.clone();
            let kept = Kept::default();
            let found = Hook { endpoint, path, bearer, headers, dialer, timeout, kept };
            hooks.insert(hook.name.clone(), found);
        }
        Ok(Self { hooks, dialer: Dialer::new(None)?, clock })
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
        let question = Ask {
            method: http::Method::POST,
            path: hook.path.reveal(),
            bearer: hook.bearer.as_ref(),
            headers: &hook.headers,
            content: Content::Json(delivery.message.payload.clone()),
            most: LARGEST_ANSWER,
        };
        let dialer = hook.dialer.as_ref().unwrap_or(&self.dialer);
        let asked = hook.kept.ask(&*self.clock, dialer, &hook.endpoint, question);
        match within(&*self.clock, hook.timeout, asked).await {
            Some(Ok(answer)) => judge(&answer),
            Some(Err(error)) => Err(unanswered(&error)),
            None => {
                Err(DeliveryError::Unsure { reason: "the webhook: no answer in time".to_owned() })
            }
        }
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::notify::ClientCertificate;
    use crate::ports::{Message, SystemClock};

    /// Answers one request with `answer` and gives back what it heard.
    async fn posted(answer: &'static str) -> (Result<Receipt, DeliveryError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut heard, mut chunk) = (Vec::new(), [0; 4096]);
            while !heard.ends_with(b"{\"version\":\"4\"}") {
                let count = stream.read(&mut chunk).await.unwrap();
                assert!(count > 0, "the request is cut off");
                heard.extend_from_slice(&chunk[..count]);
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(heard).unwrap()
        });
        let settings = WebhookSettings {
            name: "chat".into(),
            url: Secret::new(&format!("http://{address}/hook?key=geheim")),
            bearer: Some(Secret::new("hunter2")),
            ca_file: None,
            certificate: None,
            headers: vec![("X-Tenant".into(), Secret::new("seven"))],
            timeout: Duration::from_secs(5),
        };
        let clock = Arc::new(SystemClock::start());
        let notifier = WebhookNotifier::new(&[settings], clock).unwrap();
        let delivery = Delivery {
            key: "k".into(),
            to: Address::Webhook("chat".into()),
            message: Message { payload: "{\"version\":\"4\"}".into(), ..Message::default() },
        };
        let result = notifier.deliver(&delivery).await;
        (result, tasks.join_next().await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn it_posts_the_payload() {
        let (result, heard) = posted("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(result, Ok(Receipt("200".into())));
        let lower = heard.to_lowercase();
        assert!(heard.starts_with("POST /hook?key=geheim HTTP/1.1\r\n"), "{heard}");
        assert!(lower.contains("authorization: bearer hunter2\r\n"), "{heard}");
        assert!(lower.contains("content-type: application/json\r\n"), "{heard}");
        assert!(lower.contains("x-tenant: seven\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn a_connection_carries_the_next_payload_unless_the_server_has_closed_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        // Two requests on the first connection, then it closes; one on the second.
        tasks.spawn(async move {
            let mut heard = Vec::new();
            for requests in [2, 1] {
                let (mut stream, _) = listener.accept().await.unwrap();
                for _ in 0..requests {
                    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
                    while !request.ends_with(b"}") {
                        let count = stream.read(&mut chunk).await.unwrap();
                        assert!(count > 0, "the request is cut off");
                        request.extend_from_slice(&chunk[..count]);
                    }
                    heard.push(String::from_utf8(request).unwrap());
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                }
            }
            heard
        });
        let settings = WebhookSettings {
            certificate: None,
            headers: Vec::new(),
            name: "chat".into(),
            url: Secret::new(&format!("http://{address}/hook")),
            bearer: None,
            ca_file: None,
            timeout: Duration::from_secs(5),
        };
        let notifier = WebhookNotifier::new(&[settings], Arc::new(SystemClock::start())).unwrap();
        for number in 0..3 {
            let payload = format!("{{\"number\":{number}}}");
            let delivery = Delivery {
                key: "k".into(),
                to: Address::Webhook("chat".into()),
                message: Message { payload, ..Message::default() },
            };
            assert_eq!(notifier.deliver(&delivery).await, Ok(Receipt("200".into())));
            if number == 1 {
                // The end of the connection arrives at some time; until then it is not used.
                let hook = notifier.hooks.values().next().unwrap();
                while hook.kept.open_after_a_look().await > 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        let heard = tasks.join_next().await.unwrap().unwrap();
        assert!(heard.len() == 3 && heard[2].ends_with("{\"number\":2}"), "{heard:?}");
    }

    #[tokio::test]
    async fn answers_have_their_classes() {
        let (busy, _) =
            posted("HTTP/1.1 503 Busy\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nwait").await;
        let after = Some(Duration::from_secs(7));
        assert_eq!(
            busy,
            Err(DeliveryError::Retry { reason: "the webhook answers 503: wait".into(), after })
        );
        let (bad, _) = posted("HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(bad, Err(DeliveryError::Rejected { reason: "the webhook answers 400".into() }));
        let (lost, _) = posted("").await;
        assert!(matches!(lost, Err(DeliveryError::Unsure { .. })), "{lost:?}");
        let (endless, _) = posted("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz").await;
        assert_eq!(endless, Ok(Receipt("200".into())));
    }

    /// A server for localhost that asks callers who they are, and what they need to be let in.
    async fn strict(folder: &std::path::Path, tasks: &mut JoinSet<()>) -> u16 {
        use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new([name.to_owned()]).unwrap();
            (leaf.signed_by(&key, &authority).unwrap(), key)
        };
        let (us, our_key) = issue("augenmass");
        std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(folder.join("us.pem"), us.pem()).unwrap();
        std::fs::write(folder.join("us.key"), our_key.serialize_pem()).unwrap();
        let (server, key) = issue("localhost");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut chunk = [0; 4096];
                let _ = stream.read(&mut chunk).await;
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }

    #[tokio::test]
    async fn a_server_that_asks_who_we_are_is_shown_a_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let mut tasks = JoinSet::new();
        let port = strict(folder.path(), &mut tasks).await;
        let file = |name: &str| folder.path().join(name);
        let with = |certificate| WebhookSettings {
            name: "strict".into(),
            url: Secret::new(&format!("https://localhost:{port}/")),
            bearer: None,
            ca_file: Some(file("ca.pem")),
            certificate,
            headers: Vec::new(),
            timeout: Duration::from_secs(5),
        };
        let delivery = Delivery {
            key: "k".into(),
            to: Address::Webhook("strict".into()),
            message: Message { payload: "{}".into(), ..Message::default() },
        };
        let post = async |settings: WebhookSettings| {
            let clock = Arc::new(SystemClock::start());
            WebhookNotifier::new(&[settings], clock).unwrap().deliver(&delivery).await
        };
        let ours = ClientCertificate { cert_file: file("us.pem"), key_file: file("us.key") };
        assert_eq!(post(with(Some(ours))).await, Ok(Receipt("200".into())));
        let nobody = post(with(None)).await;
        assert!(nobody.is_err(), "{nobody:?}");
        let gone = ClientCertificate { cert_file: file("gone.pem"), key_file: file("us.key") };
        let error = WebhookNotifier::new(&[with(Some(gone))], Arc::new(SystemClock::start()));
        let error = error.err().unwrap().to_string();
        assert!(error.contains("gone.pem as our own certificate"), "{error}");
    }
}
