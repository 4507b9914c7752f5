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
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
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
pub(super) fn towards(own: IpAddr, to: SocketAddr) -> io::Result<Async<UdpSocket>> {
    let socket = UdpSocket::bind((own, 0))?;
    socket.connect(to)?;
    Async::new(socket)
}

/// The address from which datagrams to `to` leave; nothing is sent.
#[must_use]
pub fn source(bound: Option<IpAddr>, to: IpAddr) -> Option<IpAddr> {
    let own = bound.unwrap_or(match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    });
    let socket = UdpSocket::bind((own, 0)).ok()?;
    socket.connect((to, super::pcp::PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;

    #[test]
    fn what_comes_from_another_one_than_the_gateway_is_no_answer() {
        let gateway = UdpSocket::bind((HOME, 0)).unwrap();
        let liar = UdpSocket::bind((HOME, 0)).unwrap();
        let socket = towards(HOME.into(), gateway.local_addr().unwrap()).unwrap();
        let own = socket.get_ref().local_addr().unwrap();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 64];
            gateway.recv_from(&mut buffer).unwrap();
            liar.send_to(b"a lie", own).unwrap();
            // Something else, then what was asked for, to the first repetition.
            gateway.send_to(b"noise", own).unwrap();
            gateway.recv_from(&mut buffer).unwrap();
            gateway.send_to(b"truth", own).unwrap();
        });
        let mut heard = Vec::new();
        let mut hear = |bytes: &[u8]| {
            heard.push(bytes.to_vec());
            bytes == b"truth"
        };
        let asked = ask(&socket, b"question", &mut hear);
        assert_eq!(smol::block_on(asked), Ok(()));
        answering.join().unwrap();
        assert_eq!(heard, [b"noise".to_vec(), b"truth".to_vec()]);
    }

    #[test]
    fn a_gateway_that_nobody_is_at_does_not_hold_us_up() {
        let free = UdpSocket::bind((HOME, 0)).unwrap().local_addr().unwrap();
        let socket = towards(HOME.into(), free).unwrap();
        let mut hear = |_: &[u8]| true;
        let asked = ask(&socket, b"question", &mut hear);
        assert_eq!(smol::block_on(asked), Err(Failure::Silent));
    }

    /// What is made of an answer by HTTP that has these bytes, again and again.
    fn told(piece: &'static [u8], times: usize) -> Result<Answer, Failure> {
        let listener = TcpListener::bind((HOME, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            let length = stream.read(&mut buffer).unwrap();
            assert!(buffer[..length].starts_with(b"GET /x HTTP/1.1\r\n"));
            // It hangs up when it has had enough.
            let _ = (0..times).try_for_each(|_| stream.write_all(piece));
        });
        let place = Place::parse(&format!("http://127.0.0.1:{port}/x"), HOME).unwrap();
        let answer = smol::block_on(fetch(&place, &place.get()));
        serving.join().unwrap();
        answer
    }

    #[test]
    fn a_gateway_that_talks_without_end_or_in_tongues_is_given_up() {
        let good = told(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 1);
        assert_eq!(good.unwrap().body, "ok");
        let endless = told(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", 1_000_000);
        assert_eq!(endless, Err(Failure::Garbled("more than 64 KB")));
        let tongues = told(b"\x00\xff\r\n\r\n", 3);
        assert!(matches!(tongues, Err(Failure::Garbled(_))), "{tongues:?}");
        // Elsewhere is not gone to.
        let moved = told(
            b"HTTP/1.1 302 Go\r\nLocation: http://203.0.113.9/\r\nContent-Length: 0\r\n\r\n",
            1,
        );
        assert_eq!(moved.unwrap().status, 302);
    }
}
