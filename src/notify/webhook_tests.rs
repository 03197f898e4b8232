use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::notify::{Access, ClientCertificate, Grant, OAuth2, Pem, Proxies, TlsVersions};
use crate::ports::{Message, SystemClock};

fn hook(url: &str, access: Access) -> WebhookSettings {
    let (url, timeout) = (Secret::new(url), Duration::from_secs(5));
    let (templates, body) = (Some(Arc::new(TemplateFiles::default())), None);
    WebhookSettings { name: "chat".into(), url, templates, body, access, timeout }
}

fn delivery(payload: &str) -> Delivery {
    Delivery {
        key: "k".into(),
        to: Address::Webhook("chat".into()),
        message: Message { payload: payload.into(), ..Message::default() },
    }
}

async fn post(settings: WebhookSettings) -> Result<Receipt, DeliveryError> {
    let notifier = WebhookNotifier::new(&[settings], Arc::new(SystemClock::start()));
    notifier.unwrap().deliver(&delivery("{\"version\":\"4\"}")).await
}

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
    let access = Access {
        bearer: Some(Secret::new("hunter2")),
        headers: vec![("X-Tenant".into(), Secret::new("seven"))],
        ..Access::default()
    };
    let result = post(hook(&format!("http://{address}/hook?key=geheim"), access)).await;
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
    let settings = hook(&format!("http://{address}/hook"), Access::default());
    let notifier = WebhookNotifier::new(&[settings], Arc::new(SystemClock::start())).unwrap();
    for number in 0..3 {
        let delivery = delivery(&format!("{{\"number\":{number}}}"));
        assert_eq!(notifier.deliver(&delivery).await, Ok(Receipt("200".into())));
        if number == 1 {
            // The end of the connection arrives at some time; until then it is not used.
            let hook = notifier.hooks.values().next().unwrap();
            let Place::Fixed { kept, .. } = &hook.place else { panic!("not fixed") };
            while kept.open_after_a_look().await > 0 {
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
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
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
    let file = |name: &str| Pem::File(folder.path().join(name));
    let text = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        Pem::Text(Secret::new(&text))
    };
    let with = |host: &str, handshake| {
        let access = Access { handshake, ..Access::default() };
        post(hook(&format!("https://{host}:{port}/"), access))
    };
    let ours = |certificate, key| Some(ClientCertificate { certificate, key });
    let trusting = Handshake { ca: Some(file("ca.pem")), ..Handshake::default() };
    let shown = Handshake { certificate: ours(file("us.pem"), file("us.key")), ..trusting.clone() };
    let fine = Ok(Receipt("200".into()));
    assert_eq!(with("localhost", shown.clone()).await, fine);
    let written = Handshake {
        ca: Some(text("ca.pem")),
        certificate: ours(text("us.pem"), text("us.key")),
        ..Handshake::default()
    };
    assert_eq!(with("localhost", written).await, fine);
    for versions in [TlsVersions::Only12, TlsVersions::Only13] {
        assert_eq!(with("localhost", Handshake { versions, ..shown.clone() }).await, fine);
    }
    let nobody = with("localhost", trusting).await;
    assert!(nobody.is_err(), "{nobody:?}");
    // The certificate is for another name than the one that is called.
    let other = with("127.0.0.1", shown.clone()).await.unwrap_err();
    assert!(other.to_string().contains("no secure connection"), "{other}");
    let named = Handshake { server_name: Some("localhost".into()), ..shown.clone() };
    assert_eq!(with("127.0.0.1", named).await, fine);
    let anybody = Handshake { ca: None, trusts_anybody: true, ..shown.clone() };
    assert_eq!(with("127.0.0.1", anybody).await, fine);
    assert!(with("localhost", Handshake { ca: None, ..shown.clone() }).await.is_err());
    let gone = Handshake { certificate: ours(file("gone.pem"), file("us.key")), ..shown };
    let access = Access { handshake: gone, ..Access::default() };
    let hooks = [hook("https://localhost/", access)];
    let error = WebhookNotifier::new(&hooks, Arc::new(SystemClock::start()));
    let error = error.err().unwrap().to_string();
    assert!(error.contains("gone.pem as our own certificate"), "{error}");
}

/// Serves requests with what `answer` gives for head and body, and says what it hears.
fn serve(
    tasks: &mut JoinSet<()>,
    listener: TcpListener,
    answer: impl Fn(&str) -> String + Send + 'static,
) -> tokio::sync::mpsc::UnboundedReceiver<String> {
    let (say, heard) = tokio::sync::mpsc::unbounded_channel();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(request) = request(&mut stream).await else { continue };
            let answered = answer(&request);
            let _ = say.send(request);
            // Header fields may follow the status, or a body.
            let body = answered.split_once('\n').filter(|(status, _)| !status.ends_with('\r'));
            let (status, body) = body.unwrap_or((&answered, ""));
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            let _ = stream.write_all(text.as_bytes()).await;
        }
    });
    heard
}

/// Head and body of a request.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<String> {
    let (mut heard, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut chunk).await.ok().filter(|count| *count > 0)?;
        heard.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.and_then(|length| length.parse().ok()).unwrap_or(0) <= body.len() {
            return Some(text);
        }
    }
}

async fn listening() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Connects whoever asks by `CONNECT` with the right password to `port`, whatever host they name.
async fn tunnels(
    tasks: &mut JoinSet<()>,
    to: u16,
) -> (u16, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (listener, port) = listening().await;
    let (say, heard) = tokio::sync::mpsc::unbounded_channel();
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(asked) = request(&mut stream).await else { continue };
            let right =
                asked.to_lowercase().contains("proxy-authorization: basic bwu6z2vozwlt\r\n");
            let _ = say.send(asked);
            if !right {
                let refused = b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(refused).await;
                continue;
            }
            stream.write_all(b"HTTP/1.1 200 go\r\n\r\n").await.unwrap();
            let mut other = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut other).await;
        }
    });
    (port, heard)
}

fn through(proxy: &str) -> Proxies {
    let url = Some(Secret::new(proxy));
    Proxies { http: url.clone(), https: url, ..Proxies::default() }
}

#[tokio::test]
async fn https_goes_through_a_tunnel_and_the_proxy_reads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut tasks = JoinSet::new();
    let port = strict(folder.path(), &mut tasks).await;
    let (proxy, mut asked) = tunnels(&mut tasks, port).await;
    let file = |name: &str| Pem::File(folder.path().join(name));
    let handshake = Handshake {
        ca: Some(file("ca.pem")),
        certificate: Some(ClientCertificate { certificate: file("us.pem"), key: file("us.key") }),
        server_name: Some("localhost".into()),
        ..Handshake::default()
    };
    let by = |login: &str| {
        let proxies = Proxies {
            connect_headers: vec![("X-Team".into(), Secret::new("seven"))],
            ..through(&format!("http://{login}127.0.0.1:{proxy}"))
        };
        let access = Access {
            bearer: Some(Secret::new("hunter2")),
            handshake: handshake.clone(),
            proxies: Some(proxies),
            ..Access::default()
        };
        post(hook("https://chat.example.org/geheim", access))
    };
    assert_eq!(by("me:geheim@").await, Ok(Receipt("200".into())));
    let head = asked.recv().await.unwrap();
    assert!(head.starts_with("CONNECT chat.example.org:443 HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("x-team: seven\r\n"), "{head}");
    assert!(!head.contains("geheim") && !head.contains("hunter2"), "{head}");
    let refused = by("").await.unwrap_err();
    assert!(matches!(&refused, DeliveryError::Retry { .. }), "{refused:?}");
    let reason = refused.to_string();
    assert!(reason.contains("the proxy does not let us through: it answers 407"), "{reason}");
}

#[tokio::test]
async fn http_is_handed_to_the_proxy_and_exceptions_go_directly() {
    let mut tasks = JoinSet::new();
    let (listener, proxy) = listening().await;
    let mut handed = serve(&mut tasks, listener, |_| "200 by the proxy".to_owned());
    let (listener, port) = listening().await;
    let mut direct = serve(&mut tasks, listener, |_| "202 directly".to_owned());
    let by = |exceptions: Option<&str>| {
        let proxies = Proxies {
            exceptions: exceptions.map(Into::into),
            ..through(&format!("http://me:geheim@127.0.0.1:{proxy}"))
        };
        let access = Access { proxies: Some(proxies), ..Access::default() };
        post(hook(&format!("http://127.0.0.1:{port}/a?b=c"), access))
    };
    assert_eq!(by(None).await, Ok(Receipt("200".into())));
    let head = handed.recv().await.unwrap();
    assert!(
        head.starts_with(&format!("POST http://127.0.0.1:{port}/a?b=c HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6z2vozwlt\r\n"), "{head}");
    assert_eq!(by(Some("example.org")).await, Ok(Receipt("202".into())));
    let head = direct.recv().await.unwrap();
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{head}");
    assert!(!head.to_lowercase().contains("proxy-authorization"), "{head}");
}

#[tokio::test]
async fn a_socks_proxy_is_told_the_name() {
    let mut tasks = JoinSet::new();
    let (listener, proxy) = listening().await;
    tasks.spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 3];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(hello, [5, 1, 2]);
            stream.write_all(&[5, 2]).await.unwrap();
            let mut login = [0; 11];
            stream.read_exact(&mut login).await.unwrap();
            assert_eq!(&login, b"\x01\x02me\x06geheim");
            stream.write_all(&[1, 0]).await.unwrap();
            let mut to = [0; 18];
            stream.read_exact(&mut to).await.unwrap();
            assert_eq!(&to, b"\x05\x01\x00\x03\x0bexample.org\x00\x50");
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            let head = request(&mut stream).await.unwrap();
            assert!(head.starts_with("POST /x HTTP/1.1\r\n"), "{head}");
            let answer = b"HTTP/1.1 204 fine\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    });
    let proxies = Some(through(&format!("socks5://me:geheim@127.0.0.1:{proxy}")));
    let access = Access { proxies, ..Access::default() };
    assert_eq!(post(hook("http://example.org/x", access)).await, Ok(Receipt("204".into())));
}

fn client(port: u16) -> Option<Box<OAuth2>> {
    Some(Box::new(OAuth2 {
        client_id: "au gen".into(),
        grant: Grant::ClientCredentials(Secret::new("ge:heim")),
        token_url: Secret::new(&format!("http://127.0.0.1:{port}/token?x=y")),
        scopes: vec!["alerts".into(), "write".into()],
        parameters: vec![("audience".into(), Secret::new("chat&more"))],
        handshake: Handshake::default(),
        proxies: None,
    }))
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_is_refused() {
    use base64::Engine as _;
    let mut tasks = JoinSet::new();
    let (listener, endpoint) = listening().await;
    let given = std::sync::atomic::AtomicU32::new(0);
    let mut asked = serve(&mut tasks, listener, move |_| {
        let number = 1 + given.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        format!("200 here\n{{\"access_token\":\"t{number}\",\"expires_in\":3600}}")
    });
    let (listener, port) = listening().await;
    let calls = std::sync::atomic::AtomicU32::new(0);
    // The first token is good for two calls.
    let mut heard = serve(&mut tasks, listener, move |head| {
        let late = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) >= 2;
        let old = head.to_lowercase().contains("authorization: bearer t1\r\n");
        if late && old { "401 stale" } else { "200 fine" }.to_owned()
    });
    let access = Access { oauth2: client(endpoint), ..Access::default() };
    let hooks = [hook(&format!("http://127.0.0.1:{port}/"), access)];
    let notifier = WebhookNotifier::new(&hooks, Arc::new(SystemClock::start())).unwrap();
    for _ in 0..3 {
        assert_eq!(notifier.deliver(&delivery("{}")).await, Ok(Receipt("200".into())));
    }
    let first = asked.recv().await.unwrap();
    assert!(first.starts_with("POST /token?x=y HTTP/1.1\r\n"), "{first}");
    let form = "grant_type=client_credentials&scope=alerts+write&audience=chat%26more";
    assert!(first.ends_with(&format!("\r\n\r\n{form}")), "{first}");
    let login = base64::engine::general_purpose::STANDARD.encode("au+gen:ge%3Aheim");
    assert!(first.contains(&format!("Basic {login}\r\n")), "{first}");
    assert!(asked.recv().await.is_some() && asked.try_recv().is_err(), "two tokens, no more");
    let mut tokens = Vec::new();
    while let Ok(head) = heard.try_recv() {
        let at = head.find("Bearer t").unwrap();
        tokens.push(head[at + 7..at + 9].to_owned());
    }
    assert_eq!(tokens, ["t1", "t1", "t1", "t2"]);
}

#[tokio::test]
async fn an_endpoint_may_want_the_password_in_the_form_or_refuse_it() {
    let mut tasks = JoinSet::new();
    let (listener, endpoint) = listening().await;
    let mut asked = serve(&mut tasks, listener, |head| {
        match head.contains("&client_id=au+gen&client_secret=ge%3Aheim") {
            true => "200 here\n{\"access_token\":\"t\"}".to_owned(),
            false => "401 no\n{\"error\":\"invalid_client\"}".to_owned(),
        }
    });
    let (listener, port) = listening().await;
    let _heard = serve(&mut tasks, listener, |_| "200 fine".to_owned());
    let url = format!("http://127.0.0.1:{port}/");
    let access = Access { oauth2: client(endpoint), ..Access::default() };
    assert_eq!(post(hook(&url, access)).await, Ok(Receipt("200".into())));
    assert!(asked.recv().await.is_some() && asked.recv().await.is_some());

    let (listener, endpoint) = listening().await;
    let _refuses =
        serve(&mut tasks, listener, |_| "401 no\n{\"error\":\"invalid_client\"}".to_owned());
    let access = Access { oauth2: client(endpoint), ..Access::default() };
    let refused = post(hook(&url, access)).await.unwrap_err();
    assert!(matches!(&refused, DeliveryError::Retry { .. }), "{refused:?}");
    let reason = refused.to_string();
    assert!(reason.contains("no token: it answers 401: invalid_client"), "{reason}");
    assert!(!reason.contains("heim") && !reason.contains("gen"), "{reason}");
}

#[tokio::test]
async fn a_url_is_written_for_each_message() {
    let mut tasks = JoinSet::new();
    let (listener, port) = listening().await;
    let mut heard = serve(&mut tasks, listener, |_| "200 fine".to_owned());
    let payload = r#"{"status":"firing","commonLabels":{"team":"web"},"alerts":[]}"#;
    let deliver = async |url: &str| {
        let login = Some(Secret::new("me:geheim"));
        let settings = hook(url, Access { login, ..Access::default() });
        let notifier = WebhookNotifier::new(&[settings], Arc::new(SystemClock::start()));
        notifier.unwrap().deliver(&delivery(payload)).await
    };
    let url = format!("http://127.0.0.1:{port}/{{{{ .CommonLabels.team }}}}?s={{{{ .Status }}}}");
    assert_eq!(deliver(&url).await, Ok(Receipt("200".into())));
    let head = heard.recv().await.unwrap();
    assert!(head.starts_with("POST /web?s=firing HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("authorization: basic bwu6z2vozwlt\r\n"), "{head}");
    for (url, why) in [
        ("http://x/geheim{{ template \"gone\" . }}", "the template of its URL is broken"),
        ("{{ .CommonLabels.gone }}/geheim", "the template of its URL gives no web address"),
    ] {
        let refused = deliver(url).await.unwrap_err();
        assert!(matches!(&refused, DeliveryError::Rejected { .. }), "{refused:?}");
        let reason = refused.to_string();
        assert!(reason.contains(why) && !reason.contains("geheim"), "{reason}");
    }
}

/// Configuration and body are those of an Alertmanager 0.33.1.
#[tokio::test]
async fn a_body_of_its_own_is_written_as_alertmanager_writes_it() {
    let mut tasks = JoinSet::new();
    let (listener, port) = listening().await;
    let mut heard = serve(&mut tasks, listener, |_| "200 fine".to_owned());
    let written = r#"
text: '{{ .CommonLabels.alertname }} "x"'
number: '{{ len .Alerts }}'
plain: 7
flag: true
nothing: null
list: '{{ range .Alerts }}- {{ .Labels.mail }}

  {{ end }}'
map: '{a: {{ .Status }}, b: 2}'
'{{ .Status }}': key
nested: [{x: '{{ .Status | toUpper }}'}, 'y: z', '[1, "{{ .Status }}"]']
json: '{{ .CommonLabels | toJson }}'
"#;
    let body = yaml::read(written, INLINE).0.unwrap().json();
    let payload = r#"{"status":"firing","commonLabels":{"alertname":"X","mail":"b"},
        "alerts":[{"labels":{"alertname":"X","mail":"b"}}]}"#;
    let deliver = async |body: Value| {
        let settings = hook(&format!("http://127.0.0.1:{port}/"), Access::default());
        let settings = WebhookSettings { body: Some(body), ..settings };
        let notifier = WebhookNotifier::new(&[settings], Arc::new(SystemClock::start()));
        notifier.unwrap().deliver(&delivery(payload)).await
    };
    assert_eq!(deliver(body).await, Ok(Receipt("200".into())));
    let request = heard.recv().await.unwrap();
    let (_, sent) = request.split_once("\r\n\r\n").unwrap();
    let expected = r#"{"firing":"key","flag":true,"json":{"alertname":"X","mail":"b"},"list":["b"],"map":{"a":"firing","b":2},"nested":[{"x":"FIRING"},{},[1,"firing"]],"nothing":null,"number":1,"plain":7,"text":"X \"x\""}"#;
    assert_eq!(sent, expected);
    let refused = deliver("{{ template \"gone\" . }}".into()).await.unwrap_err();
    assert!(refused.to_string().contains("the template of its payload is broken"), "{refused}");
}

#[tokio::test]
async fn a_hook_that_moved_is_followed_with_the_message() {
    let mut tasks = JoinSet::new();
    let (listener, elsewhere) = listening().await;
    let mut strangers = serve(&mut tasks, listener, |_| "200 fine".to_owned());
    let (listener, port) = listening().await;
    let stranger = format!("308 gone\r\nlocation: http://127.0.0.1:{elsewhere}/there");
    let mut heard = serve(&mut tasks, listener, move |head| {
        match head.split(' ').nth(1) {
            Some("/moved") => "307 moved\r\nlocation: new",
            Some("/new") => "200 fine",
            Some("/gone") => &stranger,
            Some("/old") => "301 moved\r\nlocation: /geheim",
            _ => "307 round\r\nlocation: /round",
        }
        .to_owned()
    });
    let to = |path: &str, stays| {
        let login = Some(Secret::new("me:geheim"));
        let headers = vec![("x-key".into(), Secret::new("k"))];
        let access = Access { login, headers, stays, ..Access::default() };
        hook(&format!("http://127.0.0.1:{port}{path}"), access)
    };
    assert_eq!(post(to("/moved", false)).await, Ok(Receipt("200".into())));
    for path in ["/moved", "/new"] {
        let asked = heard.recv().await.unwrap();
        assert!(asked.starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{asked}");
        assert!(asked.contains("authorization: Basic") && asked.contains("x-key: k"), "{asked}");
        assert!(asked.ends_with("{\"version\":\"4\"}"), "{asked}");
    }
    assert_eq!(post(to("/gone", false)).await, Ok(Receipt("200".into())));
    let there = strangers.recv().await.unwrap();
    assert!(there.starts_with("POST /there ") && there.ends_with("{\"version\":\"4\"}"), "{there}");
    assert!(!there.contains("authorization") && !there.contains("x-key"), "{there}");
    for (path, stays, why) in [
        ("/moved", true, "answers 307: it has moved"),
        ("/old", false, "answers 301: it has moved"),
        ("/round", false, "sent elsewhere more than 10 times"),
    ] {
        let refused = post(to(path, stays)).await.unwrap_err();
        assert!(matches!(&refused, DeliveryError::Rejected { .. }), "{refused:?}");
        assert!(refused.to_string().contains(why), "{refused}");
        assert!(!refused.to_string().contains("geheim"), "{refused}");
    }
}
