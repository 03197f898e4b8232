//! `/metrics`, the HTTP API and the pages.
//!
//! One [`Server`] owns the listening socket and all connections. It knows the rest of the program
//! only through [`Doors`], and changes nothing there except by asking for a reload. Every peer is
//! held to [`Limits`]: how many connections, how long a head may take, how large a body may be,
//! how long an answer may stand unread.

mod access;
mod answer;
mod api;
mod api_v2;
mod connection;
mod metrics;
mod own;
mod pages;
mod people;
mod process;
mod push;
mod router;
mod server;
mod settings;
mod tls;

pub use access::Guard;
pub use api::result_json;
pub use people::{Look, People};
pub use server::{Doors, Server, StartError};
pub use settings::{
    Credentials, Exposure, Limits, QueryLimits, Rights, Settings, TlsSettings, Token, User,
};
pub use tls::TlsError;
