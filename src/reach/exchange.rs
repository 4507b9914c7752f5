//! Questions and answers over sockets: the shell below [`super::client`].
//!
//! Each question has an end in time, each answer in bytes, and what comes from
//! anybody but the gateway does not come at all: the kernel drops what does not
//! belong to a connected socket.

use super::http::{Answer, Place, Reply};
use super::ssdp;
use super::Failure;
use async_io::{Async, Timer};
use smol::future;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// How long each of a question's datagrams is waited for. RFC 6886 begins with 250 ms
/// and doubles for a minute; a gateway in the same house that is silent for 2 s does
/// not know the protocol.
const WAITS: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];
/// Datagrams that are read for one question: more is a flood.
const READS_MAX: usize = 32;
/// Largest datagram of PCP (RFC 6887, section 7); answers of SSDP have some 400 bytes.
const DATAGRAM_MAX: usize = 1500;
/// How long answers to a search are waited for: a second that it gives them, and some.
const SEARCH_WAIT: Duration = Duration::from_millis(1500);
/// How long an answer by HTTP may take: boxes with slow processors.
const HTTP_WAIT: Duration = Duration::from_secs(5);

/// What is done in a given time, or not.
pub(super) async fn within<T>(
    time: Duration,
    work: impl std::future::Future<Output = Option<T>>,
) -> Option<T> {
    let late = async {
        Timer::after(time).await;
        None
    };
    future::or(work, late).await
}

/// A socket for datagrams to and from the gateway alone.
///
/// # Errors
/// There is no way to it.
pub(super) fn towards(own: Ipv4Addr, to: SocketAddr) -> io::Result<Async<UdpSocket>> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(to)?;
    Async::new(socket)
}

/// The address from which datagrams to `to` leave; nothing is sent.
#[must_use]
pub fn source(bound: Option<Ipv4Addr>, to: Ipv4Addr) -> Option<Ipv4Addr> {
    let own = bound.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let socket = UdpSocket::bind((own, 0)).ok()?;
    socket.connect((to, super::pcp::PORT)).ok()?;
    match socket.local_addr().ok()?.ip() {
        std::net::IpAddr::V4(ip) => Some(ip),
        std::net::IpAddr::V6(_) => None,
    }
}

/// Sends `question` until `hear` says that a datagram was the answer.
///
/// # Errors
/// Nothing came.
pub(super) async fn ask(
    socket: &Async<UdpSocket>,
    question: &[u8],
    hear: &mut (dyn FnMut(&[u8]) -> bool + Send),
) -> Result<(), Failure> {
    for wait in WAITS {
        if socket.send(question).await.is_err() {
            // Refused by the one before it: nobody listens there.
            return Err(Failure::Silent);
        }
        let heard = within(wait, async {
            let mut buffer = [0; DATAGRAM_MAX];
            for _ in 0..READS_MAX {
                match socket.recv(&mut buffer).await {
                    Ok(length) if hear(buffer.get(..length).unwrap_or_default()) => {
                        return Some(true)
                    }
                    Ok(_) => {}
                    Err(_) => return Some(false),
                }
            }
            Some(false)
        });
        match heard.await {
            Some(true) => return Ok(()),
            Some(false) => return Err(Failure::Silent),
            None => {}
        }
    }
    Err(Failure::Silent)
}

/// Where the gateway describes itself.
pub(super) async fn discover(own: Ipv4Addr, gateway: Ipv4Addr) -> Option<Place> {
    let socket = UdpSocket::bind((own, 0)).ok()?;
    // It is in this house (UPnP Device Architecture 1.1: 2).
    socket.set_multicast_ttl_v4(2).ok()?;
    let socket = Async::new(socket).ok()?;
    for _ in 0..2 {
        for target in ssdp::TARGETS {
            // To all, as the standard has it, and to the one that counts: Wi-Fi loses
            // what goes to all.
            for to in [ssdp::GROUP, std::net::SocketAddrV4::new(gateway, 1900)] {
                let sent = socket.send_to(ssdp::search(target).as_bytes(), to).await;
                if let Err(e) = sent {
                    log::debug!("searching for UPnP at {to}: {e}");
                }
            }
        }
        let found = within(SEARCH_WAIT, async {
            let mut buffer = [0; DATAGRAM_MAX];
            for _ in 0..READS_MAX {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    continue;
                };
                let bytes = buffer.get(..length).unwrap_or_default();
                if from.ip() == gateway {
                    if let Some(place) = ssdp::location(bytes, gateway) {
                        return Some(place);
                    }
                }
            }
            None
        });
        if let Some(place) = found.await {
            return Some(place);
        }
    }
    None
}

/// The answer to one request by HTTP.
///
/// # Errors
/// None came, or none that can be read.
pub(super) async fn fetch(place: &Place, request: &str) -> Result<Answer, Failure> {
    let work = async {
        let to = SocketAddr::V4(place.socket());
        let Ok(mut stream) = Async::<TcpStream>::connect(to).await else {
            return Some(Err(Failure::Silent));
        };
        if stream.write_all(request.as_bytes()).await.is_err() {
            return Some(Err(Failure::Silent));
        }
        let mut reply = Reply::default();
        let mut buffer = vec![0; 4096];
        loop {
            let (length, broken) = match stream.read(&mut buffer).await {
                Ok(length) => (length, false),
                // Some boxes reset what they have answered.
                Err(_) => (0, true),
            };
            let fed = reply.feed(buffer.get(..length).unwrap_or_default(), length == 0);
            match fed {
                Ok(Some(answer)) => return Some(Ok(answer)),
                Ok(None) => {}
                Err(_) if broken => return Some(Err(Failure::Silent)),
                Err(what) => return Some(Err(Failure::Garbled(what))),
            }
        }
    };
    within(HTTP_WAIT, work)
        .await
        .unwrap_or(Err(Failure::Silent))
}
