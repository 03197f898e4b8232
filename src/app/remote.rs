use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::{BuildError, Options};
use crate::config::Config;
use crate::exposition::{Limits, Syntax, parse};
use crate::ports::{Append, Board, Clock, PushedMeta};
use crate::probe::Schedule;
use crate::remote::{Receiver, ReceiverSettings, Sender};
use crate::telemetry::Telemetry;
use crate::web::StartError;

/// What series of a family may be called behind its name.
const SUFFIXES: [&str; 5] = ["_bucket", "_sum", "_count", "_total", "_created"];

/// The sender, and whom it asks what metrics mean.
pub struct Push {
    sender: Option<Sender>,
    people: Arc<OnceLock<(Arc<Schedule>, Arc<Receiver>)>>,
}

impl Push {
    /// Opens the queue if samples are to be pushed anywhere.
    ///
    /// # Errors
    /// There is no place for the queue, or a destination's settings cannot work.
    pub fn open(
        config: &Config,
        options: &Options,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, BuildError> {
        let people = Arc::new(OnceLock::new());
        if config.remote_write.is_empty() {
            return Ok(Self { sender: None, people });
        }
        let data = options.data.as_ref().ok_or(BuildError::NoQueue)?;
        let asked = people.clone();
        let own = own(telemetry);
        let sender = Sender::open(
            &data.join("remote-write"),
            config.remote_write.clone(),
            clock.clone(),
            telemetry.clone(),
            Arc::new(move |series| meaning(series, &own, asked.get())),
        )?;
        Ok(Self { sender: Some(sender), people })
    }

    /// What is appended to the store passes the queue.
    pub fn before(&self, store: Arc<dyn Append>) -> Arc<dyn Append> {
        match &self.sender {
            Some(sender) => sender.tee(store),
            None => store,
        }
    }

    /// What takes pushes of others; it and the schedule are asked what metrics mean.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn receiver(
        &self,
        append: &Arc<dyn Append>,
        clock: &Arc<dyn Clock>,
        telemetry: &Arc<Telemetry>,
        schedule: &Arc<Schedule>,
    ) -> Result<Arc<Receiver>, BuildError> {
        let settings = ReceiverSettings::default();
        let receiver = Receiver::new(settings, append.clone(), clock.clone(), telemetry.clone());
        let receiver = Arc::new(receiver.map_err(StartError::Random)?);
        // It is called once.
        let _ = self.people.set((schedule.clone(), receiver.clone()));
        Ok(receiver)
    }

    /// For running it.
    pub fn into_sender(self) -> Option<Sender> {
        self.sender
    }
}

/// What our own metrics mean.
fn own(telemetry: &Telemetry) -> HashMap<String, PushedMeta> {
    let page = parse(telemetry.encode().as_bytes(), Syntax::OpenMetrics, Limits::default());
    let families = page.map(crate::exposition::Page::into_families).unwrap_or_default();
    families
        .into_iter()
        .map(|family| {
            let meta = PushedMeta {
                name: family.name.as_str().into(),
                kind: family.kind,
                help: family.help.into(),
                unit: family.unit.into(),
            };
            (family.name, meta)
        })
        .collect()
}

fn meaning(
    series: &str,
    own: &HashMap<String, PushedMeta>,
    people: Option<&(Arc<Schedule>, Arc<Receiver>)>,
) -> Option<PushedMeta> {
    let short = SUFFIXES.iter().find_map(|suffix| series.strip_suffix(suffix));
    let names = || std::iter::once(series).chain(short);
    if let Some(meta) = names().find_map(|name| own.get(name)) {
        return Some(meta.clone());
    }
    let (schedule, receiver) = people?;
    let mut probes = schedule.catalogue().iter().flat_map(|room| room.iter());
    let found = probes.find(|meta| names().any(|name| meta.name == name)).map(|meta| PushedMeta {
        name: meta.name.into(),
        kind: meta.kind,
        help: meta.help.into(),
        unit: meta.unit.into(),
    });
    found.or_else(|| names().find_map(|name| receiver.meaning(name)))
}
