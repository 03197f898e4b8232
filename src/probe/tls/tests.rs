use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::chain::{Parsed, best_path_ends, parse};
use crate::probe::certificate::CertificateProber;
use crate::probe::fixture::{Server, doors, look, measured, page, value};
use crate::probe::http::HttpProber;
use crate::probe::{CertificateTarget, Family, HttpTarget, Observation, StartTls, TlsSettings};

type Authority = CertifiedIssuer<'static, KeyPair>;

/// A root, an intermediate, and what they sign.
struct Authorities {
    root: Authority,
    middle: Authority,
    folder: tempfile::TempDir,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, "leaf");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2090, 1, 1);
    params
}

/// A chain and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authorities {
    fn new() -> Self {
        Self::of("root")
    }

    fn of(name: &str) -> Self {
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority_params(name), key()).unwrap();
        let mut middle = authority_params("middle");
        middle.not_after = date_time_ymd(2060, 1, 1);
        let middle = CertifiedIssuer::signed_by(middle, key(), &root).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { root, middle, folder }
    }

    fn trust(&self) -> TlsSettings {
        let ca_file = Some(self.folder.path().join("root.pem"));
        TlsSettings { ca_file, ..TlsSettings::default() }
    }

    fn identity(&self, params: CertificateParams, with_middle: bool) -> Identity {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.middle).unwrap();
        let mut chain = vec![leaf.der().clone()];
        chain.extend(with_middle.then(|| self.middle.der().clone()));
        (chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

async fn serve((chain, key): Identity, answer: &'static str) -> Server {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    })
    .await
}

fn target(server: &Server, tls: TlsSettings) -> CertificateTarget {
    CertificateTarget {
        host: "127.0.0.1".into(),
        port: server.address.port(),
        tls,
        family: Family::Any,
        starttls: None,
    }
}

async fn seen(target: &CertificateTarget) -> Observation {
    let doors = doors();
    let prober = CertificateProber::new(target, &doors).unwrap();
    measured(look(&prober, &doors, Duration::from_secs(20)).await)
}

fn reasons(seen: &Observation) -> Vec<&str> {
    let info = seen.readings.iter().filter(|r| r.metric == "tls_certificate_verify_failure_info");
    info.map(|reading| reading.labels[0].1.as_str()).collect()
}

const AFTER: &str = "tls_certificate_not_after_timestamp_seconds";
/// 2090-01-01 and 2060-01-01 as Unix time.
const LEAF_ENDS: f64 = 3_786_912_000.0;
const MIDDLE_ENDS: f64 = 2_840_140_800.0;

#[tokio::test]
async fn a_good_chain_is_verified_and_dated() {
    let authorities = Authorities::new();
    let server = serve(authorities.identity(leaf_params(&["127.0.0.1"]), true), "").await;
    let seen = seen(&target(&server, authorities.trust())).await;
    assert!(seen.up, "{seen:?}");
    assert_eq!(value(&seen, AFTER, "position=0"), Some(LEAF_ENDS));
    assert_eq!(value(&seen, AFTER, "position=1"), Some(MIDDLE_ENDS));
    assert_eq!(value(&seen, "probe_ssl_earliest_cert_expiry", ""), Some(MIDDLE_ENDS));
    let last = "probe_ssl_last_chain_expiry_timestamp_seconds";
    assert_eq!(value(&seen, last, ""), Some(MIDDLE_ENDS));
    assert_eq!(value(&seen, "tls_certificate_verified", ""), Some(1.0));
    assert_eq!(value(&seen, "probe_tls_version_info", "version=TLS 1.3"), Some(1.0));
    assert!(reasons(&seen).is_empty());
    assert!(seen.headline.ends_with("days"), "{}", seen.headline);
}

#[tokio::test]
async fn an_expired_certificate_for_another_name_gives_dates_and_both_reasons() {
    let authorities = Authorities::new();
    let mut params = leaf_params(&["other.example"]);
    params.not_after = date_time_ymd(2021, 1, 1);
    let server = serve(authorities.identity(params, true), "").await;
    let seen = seen(&target(&server, authorities.trust())).await;
    assert!(!seen.up);
    assert_eq!(reasons(&seen), ["expired", "wrong_name"]);
    assert_eq!(value(&seen, AFTER, "position=0"), Some(1_609_459_200.0));
    assert_eq!(value(&seen, "tls_certificate_verified", ""), Some(0.0));
    let last = "probe_ssl_last_chain_expiry_timestamp_seconds";
    assert_eq!(value(&seen, last, ""), None, "no path is no date");
    let told = "the certificate has expired; the certificate is for another name";
    assert_eq!(seen.cause.as_deref(), Some(told));
}

#[tokio::test]
async fn expiry_does_not_hide_an_unknown_issuer() {
    let (authorities, strangers) = (Authorities::new(), Authorities::of("strangers"));
    let mut params = leaf_params(&["127.0.0.1"]);
    params.not_after = date_time_ymd(2021, 1, 1);
    let server = serve(authorities.identity(params, true), "").await;
    let seen = seen(&target(&server, strangers.trust())).await;
    assert_eq!(reasons(&seen), ["expired", "unknown_issuer"]);
}

#[tokio::test]
async fn a_future_certificate_is_not_valid_yet() {
    let authorities = Authorities::new();
    let mut params = leaf_params(&["127.0.0.1"]);
    params.not_before = date_time_ymd(2089, 1, 1);
    let server = serve(authorities.identity(params, true), "").await;
    assert_eq!(reasons(&seen(&target(&server, authorities.trust())).await), ["not_yet_valid"]);
}

#[tokio::test]
async fn a_missing_intermediate_is_named() {
    let authorities = Authorities::new();
    let server = serve(authorities.identity(leaf_params(&["127.0.0.1"]), false), "").await;
    let seen = seen(&target(&server, authorities.trust())).await;
    assert_eq!(reasons(&seen), ["incomplete_chain"]);
    assert_eq!(value(&seen, AFTER, "position=0"), Some(LEAF_ENDS));
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_only_when_it_is_an_anchor() {
    let authorities = Authorities::new();
    let key = KeyPair::generate().unwrap();
    // As `openssl req -x509` makes it: calls itself an authority.
    let mut params = leaf_params(&["127.0.0.1"]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let file = authorities.folder.path().join("own.pem");
    std::fs::write(&file, own.pem()).unwrap();
    let identity = (vec![own.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()));
    let server = serve(identity, "").await;
    let stranger = seen(&target(&server, authorities.trust())).await;
    assert_eq!(reasons(&stranger), ["self_signed"]);
    assert_eq!(value(&stranger, AFTER, "position=0"), Some(LEAF_ENDS));
    let trusting = TlsSettings { ca_file: Some(file), ..TlsSettings::default() };
    let known = seen(&target(&server, trusting.clone())).await;
    assert!(known.up, "{known:?}");
    let elsewhere = TlsSettings { server_name: Some("other.example".into()), ..trusting };
    assert_eq!(reasons(&seen(&target(&server, elsewhere)).await), ["wrong_name"]);
    let careless = TlsSettings { skip_verify: true, ..authorities.trust() };
    let careless = seen(&target(&server, careless)).await;
    assert!(careless.up && reasons(&careless) == ["self_signed"], "{careless:?}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_that_is_not_trusted() {
    let (authorities, strangers) = (Authorities::new(), Authorities::new());
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = serve(authorities.identity(leaf_params(&["127.0.0.1"]), true), answer).await;
    let doors = doors();
    let url = format!("https://{}/", server.address);
    let with = |tls: TlsSettings| HttpTarget { tls, ..page(&url) };
    let limit = Duration::from_secs(20);
    let prober = HttpProber::new(&with(strangers.trust()), &doors).unwrap();
    let down = measured(look(&prober, &doors, limit).await);
    assert_eq!(value(&down, "probe_http_status_code", ""), Some(0.0));
    assert_eq!(value(&down, "probe_http_duration_seconds", "phase=processing"), None);
    assert_eq!(value(&down, AFTER, "position=0"), Some(LEAF_ENDS));
    let prober = HttpProber::new(&with(authorities.trust()), &doors).unwrap();
    for _ in 0..2 {
        // The second time the judgement is the remembered one.
        let up = measured(look(&prober, &doors, limit).await);
        assert!(up.up, "{up:?}");
        assert_eq!(value(&up, "probe_http_ssl", ""), Some(1.0));
        assert_eq!(value(&up, "tls_certificate_verified", ""), Some(1.0));
    }
}

#[tokio::test]
async fn starttls_comes_before_tls() {
    let authorities = Authorities::new();
    let (chain, key) = authorities.identity(leaf_params(&["127.0.0.1"]), true);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (protocol, script) in [
        (StartTls::Imap, [("* OK ready\r\n", "a1 STARTTLS"), ("* x\r\na1 OK go\r\n", "")]),
        (StartTls::Pop3, [("+OK ready\r\n", "STLS"), ("+OK go\r\n", "")]),
    ] {
        let acceptor = acceptor.clone();
        let server = Server::start(move |mut stream| {
            let acceptor = acceptor.clone();
            async move {
                use tokio::io::AsyncReadExt;
                for (say, expect) in script {
                    stream.write_all(say.as_bytes()).await.unwrap();
                    let mut heard = vec![0; expect.len() + 2];
                    if !expect.is_empty() {
                        stream.read_exact(&mut heard).await.unwrap();
                        assert!(heard.starts_with(expect.as_bytes()));
                    }
                }
                let _ = acceptor.accept(stream).await;
            }
        })
        .await;
        let target =
            CertificateTarget { starttls: Some(protocol), ..target(&server, authorities.trust()) };
        let seen = seen(&target).await;
        assert!(seen.up, "{protocol:?} {seen:?}");
        assert_eq!(value(&seen, AFTER, "position=0"), Some(LEAF_ENDS));
    }
}

#[test]
fn of_several_paths_the_best_counts() {
    let authorities = Authorities::new();
    // A superfluous old cross-sign in the chain does not shorten it.
    let old_root =
        CertifiedIssuer::self_signed(authority_params("old root"), KeyPair::generate().unwrap());
    let old_root = old_root.unwrap();
    let mut crossed = authority_params("middle");
    crossed.not_after = date_time_ymd(2021, 1, 1);
    let crossed = crossed.signed_by(&KeyPair::generate().unwrap(), &old_root).unwrap();
    let (mut chain, _) = authorities.identity(leaf_params(&["a.example"]), true);
    chain.insert(1, crossed.der().clone());
    let parsed = parse(&chain);
    let root = parse(std::slice::from_ref(authorities.root.der()));
    let root = root[0].as_ref().unwrap().subject;
    let ends = best_path_ends(&parsed, |subject| subject == root).unwrap();
    assert!((ends.seconds() - MIDDLE_ENDS).abs() < f64::EPSILON);
    assert_eq!(best_path_ends(&parsed, |_| false), None);
}

#[test]
fn ten_certificates_that_all_name_each_other_cost_a_bounded_walk() {
    let authorities = Authorities::new();
    let chain = vec![authorities.root.der().clone(); 50];
    let parsed: Vec<Option<Parsed<'_>>> = parse(&chain);
    assert_eq!(parsed.len(), 10);
    assert_eq!(best_path_ends(&parsed, |_| false), None);
}

proptest! {
    #[test]
    fn foreign_certificates_never_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0usize..400,
        flip in any::<u8>(),
    ) {
        let authorities = Authorities::new();
        let mut damaged = authorities.root.der().to_vec();
        let at = at % damaged.len();
        damaged[at] ^= flip;
        let chain = [CertificateDer::from(noise), CertificateDer::from(damaged)];
        let parsed = parse(&chain);
        let _ = best_path_ends(&parsed, |_| true);
    }
}
