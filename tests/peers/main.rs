//! The product against real peers: nginx, Postfix, snmpsim, Prometheus, Synapse. `tests/run` installs
//! them; without one, its tests print `SKIPPED: why`, and fail when AUGENMASS_REQUIRE_PEERS is set.

mod amtool;
mod board;
mod dashboard;
mod harness;
mod http;
mod mail;
mod mail_server;
mod nginx;
mod postfix;
mod prometheus;
mod promql;
mod promtool;
mod query;
mod remote_write;
mod smtp;
mod snmpsim;
mod synapse;
