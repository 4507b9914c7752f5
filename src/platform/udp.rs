//! UDP sockets: one port on several addresses, beside TCP's, and answers that
//! leave from the address that was asked.
//!
//! A machine may have many addresses. A socket bound to all of them lets the
//! kernel choose which one a datagram leaves from, and an answer from another
//! address than the one that was asked is no answer. So such a socket is told
//! for each datagram where it arrived (IP_PKTINFO), and answers from there.

use crate::sorted;
use nix::sys::socket::{setsockopt, socket, sockopt, AddressFamily, SockType, SockaddrStorage};
#[cfg(any(target_os = "linux", target_os = "android"))]
use nix::{
    libc,
    sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned, MsgFlags},
};
use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A socket that does not block.
#[derive(Debug)]
pub struct Datagrams {
    socket: UdpSocket,
    place: SocketAddr,
    /// Bound to all addresses of the machine.
    everywhere: bool,
}

/// Where a datagram came from and which of our addresses it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its length; one that did not fit the buffer fills it.
    pub len: usize,
    /// Who sent it.
    pub from: SocketAddr,
    /// Our address; `None` where the socket has one alone or the system does
    /// not tell.
    pub at: Option<IpAddr>,
}

impl Datagrams {
    /// Binds to an address; an IPv6 one takes IPv6 alone.
    ///
    /// # Errors
    /// What socket(2) and bind(2) say.
    pub fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::Inet,
            SocketAddr::V6(_) => AddressFamily::Inet6,
        };
        let fd = socket(family, SockType::Datagram, super::listen::cloexec(), None)?;
        if address.is_ipv6() {
            setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        super::listen::bind_early(&fd, address)?;
        let socket = UdpSocket::from(fd);
        socket.set_nonblocking(true)?;
        let everywhere = address.ip().is_unspecified();
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if everywhere {
            match address {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            }
        }
        Ok(Datagrams {
            place: socket.local_addr()?,
            socket,
            everywhere,
        })
    }

    /// Where it is bound.
    #[must_use]
    pub fn place(&self) -> SocketAddr {
        self.place
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn try_clone(&self) -> io::Result<Datagrams> {
        Ok(Datagrams {
            socket: self.socket.try_clone()?,
            ..*self
        })
    }

    /// Takes the next datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; others are the system's.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.everywhere {
            return self.receive_anywhere(buffer);
        }
        let (len, from) = self.socket.recv_from(buffer)?;
        let at = None;
        Ok(Arrival { len, from, at })
    }

    /// Sends a datagram, from the address `at` if the socket has several.
    ///
    /// # Errors
    /// `WouldBlock` when the kernel's buffer is full; others are the system's.
    pub fn send(&self, bytes: &[u8], to: SocketAddr, at: Option<IpAddr>) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let (true, Some(at)) = (self.everywhere, at) {
            return self.send_from(bytes, to, at);
        }
        let _ = at;
        self.socket.send_to(bytes, to).map(drop)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn receive_anywhere(&self, buffer: &mut [u8]) -> io::Result<Arrival> {
        let mut control = nix::cmsg_space!(libc::in_pktinfo, libc::in6_pktinfo);
        let mut parts = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        let got =
            recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let from = got.address.as_ref().and_then(address_of);
        let from = from.ok_or(io::ErrorKind::InvalidData)?;
        let mut told = got.cmsgs().map_err(io::Error::from)?;
        let at = told.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            _ => None,
        });
        let len = got.bytes;
        Ok(Arrival { len, from, at })
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn send_from(&self, bytes: &[u8], to: SocketAddr, at: IpAddr) -> io::Result<()> {
        let parts = [IoSlice::new(bytes)];
        let fd = self.socket.as_raw_fd();
        let (flags, to) = (MsgFlags::empty(), SockaddrStorage::from(to));
        let sent = match at {
            IpAddr::V4(ip) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: libc::in_addr {
                        s_addr: u32::from_ne_bytes(ip.octets()),
                    },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &parts, &control, flags, Some(&to))
            }
            IpAddr::V6(ip) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &parts, &control, flags, Some(&to))
            }
        };
        Ok(sent.map(drop)?)
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn address_of(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

/// A socket on a port that other programs of this machine listen on as well, for
/// what is sent to everybody.
///
/// # Errors
/// One of them keeps it for itself.
pub fn shared(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    };
    let fd = socket(family, SockType::Datagram, super::listen::cloexec(), None)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    nix::sys::socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    let socket = UdpSocket::from(fd);
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Addresses of this machine's interfaces; empty where the system does not tell.
#[must_use]
pub fn interfaces() -> Vec<IpAddr> {
    let Ok(found) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let mut addresses: Vec<IpAddr> = found
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .collect();
    sorted::sort_and_dedup(&mut addresses);
    addresses
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    fn receive(socket: &Datagrams, buffer: &mut [u8]) -> Arrival {
        loop {
            match socket.receive(buffer) {
                Ok(arrival) => return arrival,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(e) => panic!("{e}"),
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_answer_leaves_from_the_address_that_was_asked() {
        let node = Datagrams::bind((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        let asked = SocketAddr::from(([127, 0, 0, 9], node.place().port()));
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        client.send_to(b"question", asked).unwrap();
        let mut buffer = [0; 64];
        let arrival = receive(&node, &mut buffer);
        assert_eq!(arrival.from, client.local_addr().unwrap());
        assert_eq!(arrival.at, Some(asked.ip()));
        node.send(b"answer", arrival.from, arrival.at).unwrap();
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"answer"[..], asked));
        // Without it the kernel chooses.
        node.send(b"other", arrival.from, None).unwrap();
        let (_, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(from.ip(), IpAddr::from([127, 0, 0, 1]));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_same_over_ipv6() {
        let Ok(node) = Datagrams::bind((Ipv6Addr::UNSPECIFIED, 0).into()) else {
            println!("skipped: no IPv6 here");
            return;
        };
        let Ok(client) = UdpSocket::bind("[::1]:0") else {
            println!("skipped: no IPv6 loopback here");
            return;
        };
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let asked = SocketAddr::from((Ipv6Addr::LOCALHOST, node.place().port()));
        client.send_to(b"question", asked).unwrap();
        let mut buffer = [0; 64];
        let arrival = receive(&node, &mut buffer);
        assert_eq!(arrival.at, Some(Ipv6Addr::LOCALHOST.into()));
        node.send(b"answer", arrival.from, arrival.at).unwrap();
        let (_, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(from, asked);
    }

    #[test]
    fn a_datagram_that_is_too_long_fills_the_buffer() {
        for ip in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let node = Datagrams::bind((ip, 0).into()).unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, node.place().port()));
            client.send_to(&[7; 100], to).unwrap();
            assert_eq!(receive(&node, &mut [0; 64]).len, 64);
        }
    }

    #[test]
    fn loopback_is_among_the_interfaces() {
        let found = interfaces();
        assert!(found.contains(&Ipv4Addr::LOCALHOST.into()), "{found:?}");
    }
}
