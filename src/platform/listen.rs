//! Listeners: one port on several addresses, of both families.

use super::udp::Datagrams;
use nix::sys::socket::{
    bind, listen as start_listening, setsockopt, socket, sockopt, AddressFamily, Backlog, SockFlag,
    SockType, SockaddrStorage,
};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd};

/// Connections that the kernel completes while the program does not accept:
/// enough for one burst of reconnecting devices; the kernel has its own, often
/// lower, maximum.
const BACKLOG: i32 = 1024;

/// Attempts to find a port that is free on every address, when any will do.
/// Each fails only if the kernel's choice for one is taken on another.
const ANY_PORT_ATTEMPTS: usize = 16;

/// What kept a listener from standing, with a remedy.
#[derive(Debug)]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address)?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => f.write_str(
                "the port is in use; stop the program that has it, or choose another port (0 for any free one)",
            ),
            io::ErrorKind::PermissionDenied => f.write_str(
                "this user may not; choose a port of 1024 or above, or grant CAP_NET_BIND_SERVICE",
            ),
            io::ErrorKind::AddrNotAvailable => f.write_str(
                "this machine does not have the address; choose one that it has",
            ),
            _ => write!(f, "{}", self.source),
        }
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Listens on the same port of all addresses; port 0 is any one that is free on
/// all of them. An unspecified address (`0.0.0.0`, `::`) of a family that the
/// machine does not have is left out, as long as another address is served.
///
/// # Errors
/// The first address that cannot be had.
pub fn listen_all(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, ListenError> {
    let mut attempts = 1;
    loop {
        match listen_once(addresses, port) {
            Err(error)
                if port == 0
                    && error.source.kind() == io::ErrorKind::AddrInUse
                    && attempts < ANY_PORT_ATTEMPTS =>
            {
                attempts += 1;
            }
            done => return done,
        }
    }
}

/// Listens for connections and for datagrams on the same port of all addresses;
/// port 0 is any one that is free for both on all of them. Families that the
/// machine does not have are left out as by [`listen_all`].
///
/// # Errors
/// The first address that cannot be had.
pub fn listen_both(
    addresses: &[IpAddr],
    port: u16,
) -> Result<Vec<(TcpListener, Datagrams)>, ListenError> {
    let mut attempts = 1;
    loop {
        let listeners = listen_all(addresses, port)?;
        let pairs: Result<Vec<_>, ListenError> = listeners.into_iter().map(beside).collect();
        match pairs {
            Err(error)
                if port == 0
                    && error.source.kind() == io::ErrorKind::AddrInUse
                    && attempts < ANY_PORT_ATTEMPTS =>
            {
                attempts += 1;
            }
            done => return done,
        }
    }
}

fn beside(listener: TcpListener) -> Result<(TcpListener, Datagrams), ListenError> {
    let unspecified = SocketAddr::from(([0; 4], 0));
    let address = listener.local_addr().unwrap_or(unspecified);
    match Datagrams::bind(address) {
        Ok(datagrams) => Ok((listener, datagrams)),
        Err(source) => Err(ListenError { address, source }),
    }
}

fn listen_once(addresses: &[IpAddr], wanted: u16) -> Result<Vec<TcpListener>, ListenError> {
    let mut port = wanted;
    let mut listeners = Vec::with_capacity(addresses.len());
    let mut left_out = None;
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let fail = |source| ListenError { address, source };
        match listen(address) {
            Ok(listener) => {
                // The kernel chose for the first; the others follow it.
                port = listener.local_addr().map_err(fail)?.port();
                listeners.push(listener);
            }
            Err(source) if ip.is_unspecified() && family_is_missing(&source) => {
                left_out = Some(fail(source));
            }
            Err(source) => return Err(fail(source)),
        }
    }
    match left_out {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// Whether the machine has IPv6 (or IPv4) switched off.
fn family_is_missing(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EAFNOSUPPORT};
    matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL))
}

/// Listens on one address, without blocking. Unlike `std`'s, an IPv6 listener
/// takes IPv6 alone, so that `0.0.0.0` and `::` share a port on every system,
/// and a restarted node gets its port back while old connections linger
/// (SO_REUSEADDR).
///
/// # Errors
/// What socket(2), bind(2) and listen(2) say: the port is taken or privileged,
/// the address is not this machine's, the family is switched off.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Stream, cloexec(), None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind_early(&fd, address)?;
    start_listening(&fd, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))?;
    let listener = TcpListener::from(fd);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Binds to an address, also to one that the machine is yet to get: a node starts
/// before its network, and serves there as soon as the address comes.
pub(super) fn bind_early(fd: &impl AsFd, address: SocketAddr) -> io::Result<()> {
    let place = SockaddrStorage::from(address);
    let raw = fd.as_fd().as_raw_fd();
    let bound = bind(raw, &place);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if bound == Err(nix::errno::Errno::EADDRNOTAVAIL) && !address.ip().is_unspecified() {
        setsockopt(fd, sockopt::IpFreebind, &true)?;
        bind(raw, &place)?;
        log::warn!(
            "this machine does not have {}: nobody is served there until it has",
            address.ip()
        );
        return Ok(());
    }
    Ok(bound?)
}

pub(super) fn cloexec() -> SockFlag {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        SockFlag::SOCK_CLOEXEC
    }
    // Elsewhere the flag does not exist; this program starts no others.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        SockFlag::empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};
    use std::time::Duration;

    fn any_v4() -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 0).into()
    }

    const EVERYWHERE: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];

    #[test]
    fn any_port_is_the_same_port_on_both_families() {
        let listeners = listen_all(&EVERYWHERE, 0).unwrap();
        let port = |l: &TcpListener| l.local_addr().unwrap().port();
        assert!(!listeners.is_empty() && port(&listeners[0]) != 0);
        assert!(listeners.iter().all(|l| port(l) == port(&listeners[0])));
    }

    #[test]
    fn datagrams_and_connections_share_a_port_or_the_error_names_it() {
        let pairs = listen_both(&EVERYWHERE, 0).unwrap();
        for (listener, datagrams) in &pairs {
            assert_eq!(listener.local_addr().unwrap(), datagrams.place());
        }
        assert_eq!(
            pairs[0].1.place().port(),
            pairs.last().unwrap().1.place().port()
        );
        // Taken for datagrams alone.
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = taken.local_addr().unwrap();
        let error = listen_both(&[place.ip()], place.port()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&place.to_string()) && text.contains("in use"),
            "{text}"
        );
    }

    #[test]
    fn a_machine_without_ipv6_still_listens_on_ipv4() {
        assert!(family_is_missing(&io::Error::from_raw_os_error(
            nix::libc::EAFNOSUPPORT
        )));
        assert!(!family_is_missing(&io::Error::from_raw_os_error(
            nix::libc::EADDRINUSE
        )));
        // 203.0.113.1 (documentation) is no machine's: it may come yet.
        let strange = [IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1))];
        let early = listen_both(&strange, 0);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        assert!(early.is_ok_and(|pairs| pairs[0].1.place().ip() == strange[0]));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        assert!(early.unwrap_err().to_string().contains("does not have"));
    }

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let first = listen(any_v4()).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen_all(&[Ipv4Addr::LOCALHOST.into()], port).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("127.0.0.1:{port}")) && text.contains("in use"),
            "{text}"
        );
    }

    #[test]
    fn a_taken_port_is_an_error_and_not_a_second_listener() {
        let first = listen(any_v4()).unwrap();
        let error = listen(first.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_restart_gets_its_port_back_at_once() {
        let listener = listen(any_v4()).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (served, _) = loop {
            match listener.accept() {
                Ok(pair) => break pair,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        };
        // The side that closes first keeps the port in TIME_WAIT.
        drop(served);
        drop(listener);
        drop(client);
        // A process that another test is just starting may hold a copy of the
        // listener for an instant; TIME_WAIT would last a minute.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while let Err(error) = listen(address) {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
    }
}
