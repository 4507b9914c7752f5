//! One question to one name server: by UDP, and by TCP where the answer does not fit
//! or may be forged. All of it blocks.

use super::message::{Letters, Query, Reply, Wrong};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Largest answer by UDP: we offer no more (RFC 1035, 4.2.1), and a server that
/// sends more is cut and read as garbled.
const DATAGRAM: usize = 512;
/// Packets that may come besides the answer before a server counts as silent: a
/// flood of forged ones must not keep the thread busy.
const FOREIGN_MAX: usize = 64;

/// A question that is under way by UDP.
#[derive(Debug)]
pub struct Asked {
    socket: UdpSocket,
    server: SocketAddr,
    query: Query,
}

impl Asked {
    /// Sends it, from a port of its own that the system picks.
    ///
    /// # Errors
    /// What the system says: there is no way to the server.
    pub fn send(server: SocketAddr, query: Query) -> io::Result<Asked> {
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)?;
        // Then the system drops what comes from elsewhere, and tells of a closed port.
        socket.connect(server)?;
        socket.send(&query.bytes)?;
        Ok(Asked {
            socket,
            server,
            query,
        })
    }

    /// Waits for its answer until `end`, by TCP where that is needed.
    ///
    /// # Errors
    /// In words: what the server did instead of answering.
    pub fn answer(self, end: Instant) -> Result<Reply, String> {
        let mut packet = [0; DATAGRAM];
        for _ in 0..FOREIGN_MAX {
            let received = left(end).and_then(|time| {
                self.socket.set_read_timeout(Some(time))?;
                self.socket.recv(&mut packet)
            });
            let length = match received {
                Ok(length) => length,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(words(&e)),
            };
            let answer = packet.get(..length).unwrap_or_default();
            match self.query.read(answer, Letters::Exact) {
                Ok(Reply::Truncated) | Err(Wrong::Case) => return self.by_tcp(end),
                Ok(reply) => return Ok(reply),
                Err(Wrong::Garbled) => return Err("its answer cannot be read".to_owned()),
                Err(Wrong::Foreign) => (),
            }
        }
        Err("too much that is no answer".to_owned())
    }

    fn by_tcp(&self, end: Instant) -> Result<Reply, String> {
        let answer = self
            .exchange(end)
            .map_err(|e| format!("by TCP, {}", words(&e)))?;
        // On a connection nobody forges: letters that differ are the server's way.
        match self.query.read(&answer, Letters::Any) {
            Ok(Reply::Truncated) | Err(_) => Err("its answer cannot be read".to_owned()),
            Ok(reply) => Ok(reply),
        }
    }

    /// Question and answer, each behind its length.
    fn exchange(&self, end: Instant) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.server, left(end)?)?;
        let length = u16::try_from(self.query.bytes.len()).map_err(io::Error::other)?;
        let mut packet = length.to_be_bytes().to_vec();
        packet.extend(&self.query.bytes);
        stream.set_write_timeout(Some(left(end)?))?;
        stream.write_all(&packet)?;
        let mut length = [0; 2];
        fill(&mut stream, &mut length, end)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        fill(&mut stream, &mut answer, end)?;
        Ok(answer)
    }
}

/// Reads all of `bytes` before `end`, however slowly they trickle.
fn fill(stream: &mut TcpStream, bytes: &mut [u8], end: Instant) -> io::Result<()> {
    let mut at = 0;
    while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(rest) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => at += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => (),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let time = end.saturating_duration_since(Instant::now());
    if time.is_zero() {
        Err(ErrorKind::TimedOut.into())
    } else {
        Ok(time)
    }
}

pub(super) fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer".to_owned(),
        ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        ErrorKind::UnexpectedEof => "it hung up".to_owned(),
        _ => error.to_string(),
    }
}
