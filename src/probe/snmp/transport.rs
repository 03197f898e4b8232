use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::value::{Binding, Oid};
use crate::ports::Doing;
use crate::probe::SnmpAuth;

/// Asks agents. The one door between our rules for devices and a library that speaks the protocol.
pub trait SnmpTransport: Send + Sync {
    /// One question, repeated after silence, and the bindings of its answer in their order. An
    /// answer counts when it carries the identifier of the question and comes from the address asked.
    fn ask<'a>(
        &'a self,
        peer: &'a Peer,
        question: Question<'a>,
    ) -> Doing<'a, Result<Vec<Binding>, SnmpError>>;
}

/// An agent, and how to speak to it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which version, and who we are.
    pub auth: SnmpAuth,
    /// How long to wait for each answer.
    pub wait: Duration,
    /// How often a question is repeated when no answer comes.
    pub retries: u32,
}

/// One request PDU. There is no SET.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is wanted of each name.
    pub operation: Operation,
    /// The names.
    pub oids: &'a [Oid],
}

/// The kinds of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The value of each.
    Get,
    /// The instance after each.
    GetNext,
    /// The next so many instances after each (not in SNMP v1).
    GetBulk(u32),
}

/// Why there is no answer to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnmpError {
    /// Nothing came, or nothing came in time.
    #[error("no answer")]
    Silence,
    /// The agent says why it does not answer (RFC 3416 §3, error-status).
    #[error("the agent answers {}", status_name(*status))]
    Status {
        /// 1 tooBig, 2 noSuchName, 5 genErr, 16 authorizationError, …
        status: i32,
        /// Which name it is about, counted from 1; 0 when it does not say.
        index: u32,
    },
    /// The answer cannot be used.
    #[error("the agent answers nonsense: {0}")]
    Malformed(Arc<str>),
    /// The way to the agent is cut where it lives (host unreachable).
    #[error("{0}")]
    Unreachable(Arc<str>),
    /// It is our own fault.
    #[error("{0}")]
    Ours(Arc<str>),
}

impl SnmpError {
    pub(super) const TOO_BIG: i32 = 1;
    pub(super) const NO_SUCH_NAME: i32 = 2;
    pub(super) const GEN_ERR: i32 = 5;
}

fn status_name(status: i32) -> String {
    let name = match status {
        1 => "tooBig",
        2 => "noSuchName",
        5 => "genErr",
        6 => "noAccess",
        13 => "resourceUnavailable",
        16 => "authorizationError (is the community right?)",
        _ => return format!("with error {status}"),
    };
    name.to_owned()
}
