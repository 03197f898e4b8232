//! The certificates of a TLS server: dates of each, and whether they are trusted.

use super::connect::{Bell, Connected, Destination, Steps, Watch, connect};
use super::dialog::Dialog;
use super::failure::Failure;
use super::prober::{Doors, ProberError};
use super::tls::{Handshake, Purpose, TlsClient, push_readings, shake_hands};
use super::{CertificateTarget, Observation, Outcome, Prober};
use crate::model::Timestamp;
use crate::ports::{Doing, Tick};

/// Looks at certificates.
pub struct CertificateProber {
    target: CertificateTarget,
    doors: Doors,
    tls: TlsClient,
}

impl CertificateProber {
    /// For one target.
    ///
    /// # Errors
    /// The file with trust anchors cannot be read.
    pub fn new(target: &CertificateTarget, doors: &Doors) -> Result<Self, ProberError> {
        let clear = target.starttls.is_some();
        let purpose = if clear { Purpose::AfterStartTls } else { Purpose::Look };
        let tls = doors.tls.client(&target.tls, &target.host, purpose)?;
        Ok(Self { target: target.clone(), doors: doors.clone(), tls })
    }

    async fn look(&self, deadline: Tick) -> Outcome {
        let bell = Bell::default();
        let watch = Watch::start(&*self.doors.clock, deadline, &bell);
        match self.shake(watch).await {
            Ok(shaken) => self.tell(shaken, watch.wall()),
            Err(Failure::Theirs(cause)) => Observation::down(cause, Vec::new()).into(),
            Err(Failure::Ours(obstacle)) => obstacle.into(),
        }
    }

    async fn shake(&self, watch: Watch<'_>) -> Result<Handshake, Failure> {
        let CertificateTarget { host, port, family, .. } = &self.target;
        let to = Destination { host, port: *port, family: *family, address: None };
        let Connected { mut stream, .. } =
            connect(to, &self.doors.resolver, watch, &mut Steps::default()).await?;
        if let Some(protocol) = self.target.starttls {
            let mut dialog = Dialog::new(stream, watch);
            dialog.start_tls(protocol).await?;
            stream = dialog.into_stream()?;
        }
        Ok(shake_hands(&self.tls, stream, watch).await)
    }

    fn tell(&self, mut shaken: Handshake, now: Timestamp) -> Outcome {
        let mut readings = Vec::with_capacity(12);
        push_readings(&shaken, &mut readings);
        let verdict = match shaken.distrust(&self.tls) {
            Some(distrust) => Err(distrust),
            None if shaken.is_too_old() && !self.target.tls.skip_verify => {
                shaken.take_stream().map(drop)
            }
            // A server that wants a certificate of ours ends the handshake after it has shown
            // its own: what we came for.
            None if shaken.judgement.is_some() => Ok(()),
            None => shaken.take_stream().map(drop),
        };
        match verdict {
            Ok(()) => {
                let ends = shaken.judgement.as_ref().and_then(|judged| judged.leaf_ends());
                Observation::up(ends.map_or_else(String::new, |end| left(end, now)), readings)
                    .into()
            }
            Err(Failure::Theirs(cause)) => Observation::down(cause, readings).into(),
            Err(Failure::Ours(obstacle)) => obstacle.into(),
        }
    }
}

impl Prober for CertificateProber {
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(self.look(deadline))
    }
}

/// The time that is left, for a person: "9 days", "5 hours".
fn left(end: Timestamp, now: Timestamp) -> String {
    let Some(left) = end.since(now) else { return "expired".to_owned() };
    match left.as_secs() / 3600 {
        0 => "less than an hour".to_owned(),
        1 => "1 hour".to_owned(),
        hours @ 2..48 => format!("{hours} hours"),
        hours => format!("{} days", hours / 24),
    }
}
