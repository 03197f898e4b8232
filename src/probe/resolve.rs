use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use tokio::time::timeout;

use super::{Family, Obstacle};
use crate::ports::{Clock, Tick};

/// How long an answer proves that our resolver works, when another name fails.
const ALIVE: Duration = Duration::from_secs(60);

/// How long addresses are used further when our resolver has died.
const LAST_GOOD: Duration = Duration::from_secs(3600);

/// Turns names into addresses: `/etc/hosts`, then the servers of `/etc/resolv.conf`, answers
/// kept as long as they say (TTL). One for all targets.
pub struct Resolver {
    dns: Option<TokioResolver>,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The last time a name server answered anything.
    answered: Option<Tick>,
    /// The last good addresses of each name.
    good: HashMap<Box<str>, Good>,
}

struct Good {
    addresses: Arc<[IpAddr]>,
    at: Tick,
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Their fault: the name does not exist, or has no address of the family that was asked for.
    #[error("{0}")]
    Theirs(Arc<str>),
    /// Our fault: nobody who could be asked answers.
    #[error("{0}")]
    Ours(Obstacle),
}

impl Resolver {
    /// With the configuration of this machine. Without a readable one only addresses and the names of
    /// `/etc/hosts` can be resolved.
    pub fn from_system(clock: Arc<dyn Clock>) -> Self {
        let builder = TokioResolver::builder_tokio().unwrap_or_else(|_| {
            let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            TokioResolver::builder_with_config(nobody, TokioRuntimeProvider::default())
        });
        Self::with(builder, clock)
    }

    fn with(
        mut builder: hickory_resolver::ResolverBuilder<TokioRuntimeProvider>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        Self { dns: builder.build().ok(), clock, known: Mutex::default() }
    }

    /// The addresses of a host, IPv6 first, at least one. A literal address (with or without
    /// brackets) is itself.
    ///
    /// # Errors
    /// See [`ResolveError`]; it ends by `deadline`.
    pub async fn addresses(
        &self,
        host: &str,
        family: Family,
        deadline: Tick,
    ) -> Result<Arc<[IpAddr]>, ResolveError> {
        if let Some(address) = literal(host) {
            return of_family(&[address], family, host);
        }
        let host = host.trim_end_matches('.');
        if host.eq_ignore_ascii_case("localhost") || is_below_localhost(host) {
            // RFC 6761 §6.3: never asked of a name server.
            let both = [Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()];
            return of_family(&both, family, host);
        }
        match self.ask(host, deadline).await {
            Ok(all) => of_family(&all, family, host),
            Err(theirs @ ResolveError::Theirs(_)) => Err(theirs),
            Err(ours) => match self.last_good(host) {
                Some(all) => of_family(&all, family, host),
                None => Err(ours),
            },
        }
    }

    async fn ask(&self, host: &str, deadline: Tick) -> Result<Arc<[IpAddr]>, ResolveError> {
        let Some(dns) = &self.dns else { return Err(no_resolver("cannot be set up")) };
        let left = deadline.since(self.clock.mono());
        // The trailing dot: no search list, a probe must mean the same on every machine.
        let Ok(answer) = timeout(left, dns.lookup_ip(format!("{host}."))).await else {
            return Err(no_resolver("does not answer in time"));
        };
        match answer {
            Ok(found) => {
                let mut all: Vec<IpAddr> = found.iter().collect();
                all.sort_by_key(IpAddr::is_ipv4);
                all.dedup();
                Ok(self.remember(host, all.into()))
            }
            Err(error) => Err(self.judge(host, &error)),
        }
    }

    fn remember(&self, host: &str, addresses: Arc<[IpAddr]>) -> Arc<[IpAddr]> {
        let at = self.clock.mono();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.answered = Some(at);
        match known.good.get_mut(host) {
            Some(good) => {
                good.at = at;
                if good.addresses != addresses {
                    good.addresses = addresses;
                }
                good.addresses.clone()
            }
            None => {
                known.good.insert(host.into(), Good { addresses: addresses.clone(), at });
                addresses
            }
        }
    }

    fn last_good(&self, host: &str) -> Option<Arc<[IpAddr]>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let good = known.good.get(host)?;
        (self.clock.mono().since(good.at) <= LAST_GOOD).then(|| good.addresses.clone())
    }

    /// NXDOMAIN and "no such record" are answers. SERVFAIL is one as well when the same servers
    /// answered another question a moment ago; else our resolver has lost its own network.
    fn judge(&self, host: &str, error: &NetError) -> ResolveError {
        let now = self.clock.mono();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let code = match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
            NetError::Dns(DnsError::ResponseCode(code)) => *code,
            NetError::Timeout => return no_resolver("does not answer in time"),
            NetError::NoConnections => return no_resolver("cannot be reached"),
            NetError::Io(_) => return no_resolver("cannot be reached"),
            NetError::Proto(_) | NetError::Msg(_) | NetError::Message(_) => {
                return ResolveError::Theirs(format!("{host} is not a name that DNS knows").into());
            }
            _ => return no_resolver("does not give a usable answer"),
        };
        match code {
            ResponseCode::NXDomain => {
                known.answered = Some(now);
                ResolveError::Theirs(format!("the name {host} does not exist").into())
            }
            ResponseCode::NoError => {
                known.answered = Some(now);
                ResolveError::Theirs(format!("the name {host} has no address").into())
            }
            code if known.answered.is_some_and(|at| now.since(at) <= ALIVE) => {
                ResolveError::Theirs(format!("the name servers of {host} fail ({code})").into())
            }
            code => no_resolver(&format!("answers {code}")),
        }
    }
}

fn no_resolver(what: &str) -> ResolveError {
    ResolveError::Ours(
        Obstacle::new(format!("the name server of this machine {what}"))
            .with_remedy("check /etc/resolv.conf and the network of this machine"),
    )
}

/// An IP address, with or without the brackets of a URL.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn is_below_localhost(host: &str) -> bool {
    let bytes = host.as_bytes();
    bytes.len() > 10 && bytes[bytes.len() - 10..].eq_ignore_ascii_case(b".localhost")
}

fn of_family(all: &[IpAddr], family: Family, host: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
    let wanted = |address: &&IpAddr| match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let found: Arc<[IpAddr]> = all.iter().filter(wanted).copied().collect();
    if found.is_empty() {
        let kind = if family == Family::V4 { "IPv4" } else { "IPv6" };
        return Err(ResolveError::Theirs(format!("{host} has no {kind} address").into()));
    }
    Ok(found)
}
