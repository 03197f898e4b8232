//! A mail server: greets, answers EHLO, offers and speaks STARTTLS. No mail is sent.

use std::time::Duration;

use tokio::net::TcpStream;

use super::connect::{Bell, Connected, Destination, Steps, Watch, connect};
use super::dialog::Dialog;
use super::failure::{Failure, human};
use super::prober::{Doors, ProberError};
use super::tls::{Handshake, Purpose, TlsClient, push_readings, shake_hands};
use super::{Observation, Outcome, Prober, Reading, Requirement, SmtpTarget, seconds};
use crate::model::{MetricMeta, MetricType};
use crate::ports::{Doing, Tick};

/// What a look at a mail server says, beside its certificates.
pub static METRICS: &[MetricMeta] = &[
    MetricMeta {
        name: "probe_smtp_duration_seconds",
        kind: MetricType::Gauge,
        unit: "seconds",
        help: "How long each phase took; phases that were not reached are absent.",
    },
    MetricMeta {
        name: "probe_smtp_starttls_offered",
        kind: MetricType::Gauge,
        unit: "",
        help: "Whether the mail server offers STARTTLS (1) or not (0).",
    },
];

/// Looks at a mail server.
pub struct SmtpProber {
    target: SmtpTarget,
    doors: Doors,
    tls: TlsClient,
}

/// All that is known at the end of a look.
#[derive(Default)]
struct Findings {
    steps: Steps,
    hello: Option<Duration>,
    tls: Option<Duration>,
    offered: Option<bool>,
    shaken: Option<Handshake>,
}

impl SmtpProber {
    /// For one target.
    ///
    /// # Errors
    /// The file with trust anchors cannot be read.
    pub fn new(target: &SmtpTarget, doors: &Doors) -> Result<Self, ProberError> {
        let tls = doors.tls.client(&target.tls, &target.host, Purpose::AfterStartTls)?;
        Ok(Self { target: target.clone(), doors: doors.clone(), tls })
    }

    async fn look(&self, deadline: Tick) -> Outcome {
        let bell = Bell::default();
        let watch = Watch::start(&*self.doors.clock, deadline, &bell);
        let mut findings = Findings::default();
        let verdict = self.converse(watch, &mut findings).await;
        let readings = readings(&findings);
        match verdict {
            Ok(()) => Observation::up(human(watch.elapsed()), readings).into(),
            Err(Failure::Theirs(cause)) => Observation::down(cause, readings).into(),
            Err(Failure::Ours(obstacle)) => obstacle.into(),
        }
    }

    async fn converse(&self, watch: Watch<'_>, findings: &mut Findings) -> Result<(), Failure> {
        let SmtpTarget { host, port, family, hello, .. } = &self.target;
        let to = Destination { host, port: *port, family: *family, address: None };
        let Connected { stream, .. } =
            connect(to, &self.doors.resolver, watch, &mut findings.steps).await?;
        let begin = watch.now();
        let mut dialog = Dialog::new(stream, watch);
        let greeted = dialog.smtp_hello(hello).await;
        findings.hello = Some(watch.now().since(begin));
        let offered = greeted?.offers("STARTTLS");
        findings.offered = Some(offered);
        match self.target.starttls {
            Requirement::Required if !offered => {
                Err(Failure::theirs("the mail server does not offer STARTTLS"))
            }
            Requirement::Required | Requirement::Optional if offered => {
                self.encrypt(dialog, watch, findings).await
            }
            _ => {
                dialog.quit("QUIT").await;
                Ok(())
            }
        }
    }

    async fn encrypt(
        &self,
        mut dialog: Dialog<'_, TcpStream>,
        watch: Watch<'_>,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        dialog.smtp_start_tls().await?;
        let begin = watch.now();
        let mut shaken = shake_hands(&self.tls, dialog.into_stream()?, watch).await;
        findings.tls = Some(watch.now().since(begin));
        let distrust = shaken.distrust(&self.tls);
        let stream = shaken.take_stream();
        findings.shaken = Some(shaken);
        // Between mail servers encryption is opportunistic: who does not require it is served
        // by an untrusted certificate as well (RFC 3207 §4.1); the metric tells.
        if let (Some(distrust), Requirement::Required) = (distrust, self.target.starttls) {
            return Err(distrust);
        }
        let mut dialog = Dialog::new(stream?, watch);
        dialog.ehlo(&self.target.hello).await?;
        dialog.quit("QUIT").await;
        Ok(())
    }
}

impl Prober for SmtpProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look(deadline))
    }
}

fn readings(findings: &Findings) -> Vec<Reading> {
    let mut all = Vec::with_capacity(16);
    let phases = [
        ("resolve", findings.steps.resolve),
        ("connect", findings.steps.connect),
        ("hello", findings.hello),
        ("tls", findings.tls),
    ];
    for (phase, took) in phases {
        let Some(took) = took else { continue };
        let reading = Reading::new("probe_smtp_duration_seconds", seconds(took));
        all.push(reading.with("phase", phase));
    }
    if let Some(offered) = findings.offered {
        let offered = f64::from(u8::from(offered));
        all.push(Reading::new("probe_smtp_starttls_offered", offered));
    }
    if let Some(shaken) = &findings.shaken {
        push_readings(shaken, &mut all);
    }
    all
}
