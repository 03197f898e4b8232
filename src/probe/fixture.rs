//! What the tests of this room share: doors to the real machine, servers that play a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::snmp::UdpSnmp;
use super::{
    Confirm, Doors, Family, HttpExpect, HttpTarget, Kind, Observation, Outcome, Prober, Resolver,
    Target, TlsSettings, TlsStock,
};
use crate::model::Labels;
use crate::ports::SystemClock;

pub(super) fn doors() -> Doors {
    let clock = Arc::new(SystemClock::start());
    let resolver = Arc::new(Resolver::from_system(clock.clone()));
    Doors { clock, resolver, tls: Arc::new(TlsStock::new()), snmp: Arc::new(UdpSnmp::new()) }
}

pub(super) fn page(url: &str) -> HttpTarget {
    HttpTarget {
        url: url.parse().unwrap(),
        method: http::Method::GET,
        headers: Vec::new(),
        basic_auth: None,
        bearer: None,
        body: Vec::new(),
        expect: HttpExpect::default(),
        redirects: 10,
        body_limit: 1 << 20,
        family: Family::Any,
        tls: TlsSettings::default(),
        address: None,
    }
}

pub(super) fn target(name: &str, kind: Kind) -> Target {
    Target {
        service: "homepage".into(),
        owner: "web-team".into(),
        name: name.into(),
        labels: Labels::empty(),
        interval: Duration::from_secs(15),
        timeout: Duration::from_secs(10),
        confirm: Confirm::default(),
        kind,
    }
}

/// One look with so much time.
pub(super) async fn look(prober: &dyn Prober, doors: &Doors, limit: Duration) -> Outcome {
    prober.probe(doors.clock.mono().after(limit)).await
}

pub(super) fn measured(outcome: Outcome) -> Observation {
    match outcome {
        Outcome::Measured(observation) => observation,
        Outcome::NotMeasured(obstacle) => panic!("not measured: {obstacle}"),
    }
}

/// The value of a reading; `labels` as `phase=tls`.
pub(super) fn value(observation: &Observation, metric: &str, labels: &str) -> Option<f64> {
    let told = |labels: &super::ReadingLabels| {
        let pairs: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={}", v.as_str())).collect();
        pairs.join(",")
    };
    let mut all = observation.readings.iter();
    all.find(|r| r.metric == metric && told(&r.labels) == labels).map(|r| r.value)
}

/// A server on loopback that ends with the test.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Plays `script` with each connection.
    pub(super) async fn start<F, W>(script: F) -> Self
    where
        F: Fn(TcpStream) -> W + Send + 'static,
        W: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(script(stream));
            }
        });
        Self { address, _tasks: tasks }
    }

    /// Reads a request and answers always the same bytes.
    pub(super) async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes: Arc<[u8]> = bytes.into().into();
        Self::start(move |mut stream| {
            let bytes = bytes.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(&bytes).await;
            }
        })
        .await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// A request's head, as text.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}
