use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// A name that does not exist is asked for again after this time at the latest: it may be the very
/// fault that somebody is mending.
const NEGATIVE: Duration = Duration::from_secs(30);

/// Where addresses of before are at hand, a resolver gets so much time at most: a dead one must
/// not cost the look at the target.
const PATIENCE: Duration = Duration::from_secs(2);

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
    /// Another one than before: a name server has answered, not our own memory.
    valid_until: Instant,
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
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.negative_max_ttl = Some(NEGATIVE);
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
        let left = deadline.since(self.clock.mono());
        let last_good = self.last_good(host);
        let patience = if last_good.is_some() { PATIENCE.min(left / 2) } else { left };
        match (self.ask(host, patience).await, last_good) {
            (Ok(all), _) => of_family(&all, family, host),
            (Err(ResolveError::Ours(_)), Some(all)) => of_family(&all, family, host),
            (Err(error), _) => Err(error),
        }
    }

    async fn ask(&self, host: &str, left: Duration) -> Result<Arc<[IpAddr]>, ResolveError> {
        let Some(dns) = &self.dns else { return Err(no_resolver("cannot be set up")) };
        // The trailing dot: no search list, a probe must mean the same on every machine.
        let Ok(answer) = timeout(left, dns.lookup_ip(format!("{host}."))).await else {
            return Err(no_resolver("does not answer in time"));
        };
        match answer {
            Ok(found) => {
                let mut all: Vec<IpAddr> = found.iter().collect();
                all.sort_by_key(IpAddr::is_ipv4);
                all.dedup();
                Ok(self.remember(host, all.into(), found.valid_until()))
            }
            Err(error) => Err(self.judge(host, &error)),
        }
    }

    fn remember(
        &self,
        host: &str,
        addresses: Arc<[IpAddr]>,
        valid_until: Instant,
    ) -> Arc<[IpAddr]> {
        let at = self.clock.mono();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(good) = known.good.get_mut(host) else {
            known.answered = Some(at);
            let good = Good { addresses: addresses.clone(), at, valid_until };
            known.good.insert(host.into(), good);
            return addresses;
        };
        good.at = at;
        if good.addresses != addresses {
            good.addresses = addresses;
        }
        let kept = good.addresses.clone();
        let fresh = std::mem::replace(&mut good.valid_until, valid_until) != valid_until;
        if fresh {
            known.answered = Some(at);
        }
        kept
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts};
    use tokio::net::UdpSocket;
    use tokio::task::JoinSet;

    use super::*;
    use crate::ports::SystemClock;

    const SILENT: u8 = 255;

    /// A name server that answers 192.0.2.1 to every question for an IPv4 address with the code that
    /// is set, or stays silent.
    async fn name_server(code: Arc<AtomicU8>) -> (Resolver, JoinSet<()>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let code = code.load(Ordering::SeqCst);
                if code == SILENT {
                    continue;
                }
                let name = buffer[12..length].iter().position(|byte| *byte == 0).unwrap() + 13;
                let is_a = buffer[name..name + 2] == [0, 1];
                let mut answer = buffer[..name + 4].to_vec();
                let count = u8::from(is_a && code == 0);
                answer[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
                if count == 1 {
                    // The question's name, A, IN, a second to live, four octets.
                    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
                }
                let _ = socket.send_to(&answer, from).await;
            }
        });
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder.options_mut().timeout = Duration::from_millis(100);
        builder.options_mut().attempts = 1;
        (Resolver::with(builder, Arc::new(SystemClock::start())), tasks)
    }

    async fn ask(resolver: &Resolver, host: &str) -> Result<Arc<[IpAddr]>, ResolveError> {
        let deadline = resolver.clock.mono().after(Duration::from_secs(10));
        resolver.addresses(host, Family::Any, deadline).await
    }

    #[tokio::test]
    async fn who_does_not_exist_is_told_from_a_dead_resolver() {
        let code = Arc::new(AtomicU8::new(SILENT));
        let (resolver, _tasks) = name_server(code.clone()).await;
        let dead = ask(&resolver, "a.example").await;
        assert!(matches!(dead, Err(ResolveError::Ours(_))), "{dead:?}");
        code.store(2, Ordering::SeqCst);
        let alone = ask(&resolver, "b.example").await;
        assert!(matches!(alone, Err(ResolveError::Ours(_))), "nobody was resolved: {alone:?}");
        code.store(3, Ordering::SeqCst);
        let none = ask(&resolver, "c.example").await;
        let told = "the name c.example does not exist";
        assert_eq!(none, Err(ResolveError::Theirs(told.into())));
        code.store(2, Ordering::SeqCst);
        let theirs = ask(&resolver, "d.example").await;
        assert!(matches!(theirs, Err(ResolveError::Theirs(_))), "others were answered: {theirs:?}");
    }

    #[tokio::test]
    async fn the_last_good_addresses_outlive_the_resolver() {
        let code = Arc::new(AtomicU8::new(0));
        let (resolver, _tasks) = name_server(code.clone()).await;
        let good = ask(&resolver, "a.example").await.unwrap();
        assert_eq!(*good, [IpAddr::from([192, 0, 2, 1])]);
        code.store(SILENT, Ordering::SeqCst);
        assert_eq!(ask(&resolver, "a.example").await, Ok(good));
        let six = resolver.addresses("a.example", Family::V6, resolver.clock.mono()).await;
        let told = "a.example has no IPv6 address";
        assert_eq!(six, Err(ResolveError::Theirs(told.into())));
    }

    #[tokio::test]
    async fn literals_and_localhost_ask_nobody() {
        let (resolver, _tasks) = name_server(Arc::new(AtomicU8::new(SILENT))).await;
        for (host, count) in [("192.0.2.7", 1), ("[::1]", 1), ("localhost", 2), ("a.LocalHost.", 2)]
        {
            assert_eq!(ask(&resolver, host).await.unwrap().len(), count, "{host}");
        }
    }
}
