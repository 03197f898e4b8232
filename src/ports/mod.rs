//! The doors of the house: everything that reaches outside the process, or from one shell to
//! another, passes through one of these traits. `app` plugs in the real thing, `sim` a seeded fake.

mod act;
mod board;
mod clock;
mod deliver;
mod journal;
mod notes;
mod push;
mod samples;
mod state;
mod system_clock;

use std::future::Future;
use std::pin::Pin;

pub use act::{Act, ActError, Actor, Scope, SilenceOrder, Until};
pub use board::{Board, TargetStatus, Verdict};
pub use clock::{Clock, Tick};
pub use deliver::{
    Address, Attachment, Channel, Delivery, DeliveryError, Draw, Message, Notifier, Plot, Receipt,
    Urgency,
};
pub use journal::{Entry, Event, Lookup};
pub use notes::Notes;
pub use push::{Push, PushAnswer, PushedExemplar, PushedMeta, Receive};
pub use samples::{
    Append, AppendError, Appended, Found, Queryable, Select, SelectError, SeriesId, Snapshot,
    TakeSeries,
};
pub use state::{
    Change, DeadLetter, Heard, Incident, Remembered, Settled, Settlement, State, StateError, Ticket,
};
pub use system_clock::SystemClock;

/// A future behind a trait object. Its cost is nothing beside a disk or a network.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
