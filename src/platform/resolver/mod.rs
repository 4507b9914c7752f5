//! Host names become addresses, also where the C library cannot do it.
//!
//! Three sources are asked, one after the other, until one has an address:
//!
//! 1. **The platform**, by getaddrinfo, where it knows whom to ask: Android's own
//!    builds, systems other than Linux, and Linux whose `/etc/resolv.conf` names a
//!    server (or whose `nsswitch.conf` has another source). Elsewhere a C library
//!    asks 127.0.0.1 and waits: a static binary in Termux or in an image from
//!    scratch would find nothing.
//! 2. **Termux's own file**, `$PREFIX/etc/resolv.conf`, whose servers are asked by
//!    ourselves ([`ask`]).
//! 3. **The servers of `network.dns`**, likewise. None is asked that neither the
//!    system nor the operator has named.
//!
//! For the last two the `hosts` files are looked at first, and `localhost` is what
//! it is everywhere. Nothing is kept: who dials often keeps addresses himself.
//!
//! [`lookup`] blocks, for [`MOST`] by our own doing at worst: it belongs on a thread
//! of the pool.

mod ask;
mod files;
#[doc(hidden)]
pub mod message;

pub use files::server;

use ask::Asked;
use message::{Kind, Query, Reply};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to answer, the first time and the second: a radio that
/// sleeps needs one, two seconds to wake up, and packets get lost.
const PATIENCE: [Duration; 2] = [Duration::from_secs(3), Duration::from_secs(5)];
/// How long one name may take in all, while servers are silent.
const MOST: Duration = Duration::from_secs(20);
/// What IPv6 addresses are waited for when there are others: some routers' servers
/// swallow the question.
const SECOND_KIND: Duration = Duration::from_millis(500);
/// Names that stand for others, followed from one answer to the next.
const ALIASES_MAX: usize = 4;
/// Where Termux lives when its environment is not there.
const TERMUX: &str = "/data/data/com.termux/files/usr";
/// What to do where no server is known.
const ADVICE: &str = "this system names no name server: set network.dns (devices: the variable CHR_NETWORK__DNS) to the address of one, in Termux `pkg install resolv-conf`, or use an IP address instead of the name";

/// The servers of `network.dns`.
static CONFIGURED: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

/// From now on these are asked where the system does not know better.
pub fn configure(servers: Vec<SocketAddr>) {
    *CONFIGURED.lock().unwrap_or_else(PoisonError::into_inner) = servers;
}

/// The addresses of `host`, a name or an IP address; at least one. Blocks.
///
/// # Errors
/// In words: what each source said, and what to do.
pub fn lookup(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(ip) = host.parse() {
        return Ok(vec![ip]);
    }
    sources().lookup(host)
}

/// Whom a lookup would ask: each source with its servers, in words.
#[must_use]
pub fn known() -> Vec<String> {
    sources().known()
}

/// Those of this machine.
fn sources() -> Sources<'static> {
    let configured = CONFIGURED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let prefix = std::env::var_os("PREFIX").map(PathBuf::from);
    Sources {
        root: Path::new("/"),
        prefix: prefix
            .filter(|p| p.is_absolute())
            .unwrap_or_else(|| TERMUX.into()),
        configured,
    }
}

/// Where names may be looked up.
#[derive(Debug)]
struct Sources<'a> {
    /// `/`; another folder in tests, where the platform is not asked.
    root: &'a Path,
    prefix: PathBuf,
    configured: Vec<SocketAddr>,
}

impl Sources<'_> {
    fn lookup(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let mut said = Vec::new();
        if self.platform_knows() {
            match by_platform(host) {
                Ok(found) => return Ok(found),
                Err(why) => said.push(why),
            }
        }
        let found = self.listed(host);
        if !found.is_empty() {
            return Ok(found);
        }
        let servers = self.servers();
        if servers.is_empty() && said.is_empty() {
            return Err(format!("the name is not found: {ADVICE}"));
        }
        if !servers.is_empty() {
            match by_servers(host, &servers, Instant::now() + MOST) {
                Ok(found) => return Ok(found),
                Err(why) => said.extend(why),
            }
        }
        Err(format!("the name is not found ({})", said.join("; ")))
    }

    fn known(&self) -> Vec<String> {
        let mut known = Vec::new();
        if self.platform_knows() {
            let servers = files::servers(&self.root.join("etc/resolv.conf"));
            match servers.is_empty() {
                true => known.push("the system's".to_owned()),
                false => known.extend(servers.iter().map(|server| server.ip().to_string())),
            }
        }
        known.extend(self.servers().iter().map(ToString::to_string));
        known
    }

    /// Whether getaddrinfo is any use.
    fn platform_knows(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return true;
        }
        let etc = self.root.join("etc");
        // musl reads no nsswitch.conf.
        let switch =
            cfg!(target_env = "gnu") && files::has_other_sources(&etc.join("nsswitch.conf"));
        switch || !files::servers(&etc.join("resolv.conf")).is_empty()
    }

    fn listed(&self, host: &str) -> Vec<IpAddr> {
        let own = host.to_ascii_lowercase();
        let own = own.strip_suffix('.').unwrap_or(&own);
        // RFC 6761, 6.3: never asked of anyone.
        if own == "localhost" || own.ends_with(".localhost") {
            return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        }
        let folders = [self.root.join("etc"), self.prefix.join("etc")];
        let found = folders
            .iter()
            .map(|etc| files::listed_hosts(&etc.join("hosts"), own));
        found
            .into_iter()
            .find(|list| !list.is_empty())
            .unwrap_or_default()
    }

    /// Termux's and then the configured ones, each once.
    fn servers(&self) -> Vec<SocketAddr> {
        let mut servers = files::servers(&self.prefix.join("etc/resolv.conf"));
        for server in &self.configured {
            // A handful: a set of them would be code for nothing.
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        servers
    }
}

fn by_platform(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|e| e.to_string())?;
    let found: Vec<IpAddr> = found.map(|a| a.ip()).take(message::ADDRESSES_MAX).collect();
    if found.is_empty() {
        return Err("the name has no address".to_owned());
    }
    Ok(found)
}

/// Asks each server, and those that were silent once more, until one has an
/// address. An error is what each of them said last.
fn by_servers(
    host: &str,
    servers: &[SocketAddr],
    end: Instant,
) -> Result<Vec<IpAddr>, Vec<String>> {
    let mut said: Vec<Option<Said>> = servers.iter().map(|_| None).collect();
    for patience in PATIENCE {
        for (server, said) in servers.iter().zip(&mut said) {
            if matches!(said, Some(Said::No(_))) || Instant::now() >= end {
                continue;
            }
            match by_server(host, *server, patience, end) {
                Ok(found) => return Ok(found),
                Err(what) => *said = Some(what),
            }
        }
    }
    let told = servers.iter().zip(said).map(|(server, said)| match said {
        Some(Said::No(why) | Said::Silent(why)) => format!("{server}: {why}"),
        None => format!("{server}: not asked, the others took too long"),
    });
    Err(told.collect())
}

/// What a server said instead of an address.
#[derive(Debug)]
enum Said {
    /// An answer; it would be the same again.
    No(String),
    /// Nothing that could be read.
    Silent(String),
}

/// Asks one server for both kinds of addresses at once.
fn by_server(
    host: &str,
    server: SocketAddr,
    patience: Duration,
    end: Instant,
) -> Result<Vec<IpAddr>, Said> {
    let mut name = host.to_owned();
    for _ in 0..=ALIASES_MAX {
        let end = end.min(Instant::now() + patience);
        let sent = [Kind::A, Kind::Aaaa].map(|kind| send(&name, kind, server));
        let mut found = Vec::new();
        let mut alias = None;
        let mut said = None;
        for asked in sent {
            let end = match found.is_empty() {
                true => end,
                false => end.min(Instant::now() + SECOND_KIND),
            };
            let answer = asked.and_then(|a| a.answer(end).map_err(Said::Silent));
            let no = match answer {
                Ok(Reply::Addresses(addresses)) => {
                    found.extend(addresses);
                    continue;
                }
                Ok(Reply::Alias(other)) => {
                    alias = Some(other);
                    continue;
                }
                // Of either kind.
                Ok(Reply::NoName) => return Err(Said::No("there is no such name".to_owned())),
                Ok(Reply::Refused(code)) => Said::No(refusal(code)),
                Ok(Reply::Nothing | Reply::Truncated) => {
                    Said::No("the name has no address".to_owned())
                }
                Err(what) => what,
            };
            // Silence may be made up for by asking again, an answer not.
            if !matches!(said, Some(Said::Silent(_))) {
                said = Some(no);
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match (alias, said) {
            (Some(other), _) => name = other,
            (None, Some(said)) => return Err(said),
            (None, None) => break,
        }
    }
    Err(Said::No(
        "a name that stands for another without end".to_owned(),
    ))
}

fn send(name: &str, kind: Kind, server: SocketAddr) -> Result<Asked, Said> {
    let random = getrandom::u64().map_err(|e| Said::Silent(format!("no randomness: {e}")))?;
    let query = Query::new(name, kind, random).ok_or_else(|| {
        Said::No(
            "a host name has letters, digits, - and _ (others are written as xn--…)".to_owned(),
        )
    })?;
    Asked::send(server, query).map_err(|e| Said::Silent(ask::words(&e)))
}

fn refusal(code: u8) -> String {
    match code {
        2 => "it cannot say now (SERVFAIL)".to_owned(),
        5 => "it refuses to say".to_owned(),
        code => format!("it answers with error {code}"),
    }
}

#[cfg(test)]
mod tests;
