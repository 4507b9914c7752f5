//! One connection to the chain: a socket, TLS above it or not.

use super::http::{Reader, Reply};
use super::place::Place;
use super::trust::Trust;
use crate::platform::socket::Tuning;
use crate::session::dial::{addresses, connect};
use crate::tls::Channel;
use async_io::Async;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use std::net::TcpStream;
use std::time::Duration;

/// Bytes that are read at a time; the buffer lives as long as an exchange.
const CHUNK: usize = 16 * 1024;

/// How long one address may take: a name with two, of which one leads nowhere (IPv6
/// on half of all networks), must still be reached within a question's time.
const CONNECT_TIME: Duration = Duration::from_secs(3);

/// See the module's text.
pub(super) struct Connection {
    socket: Async<TcpStream>,
    tls: Option<Channel>,
}

/// Why an exchange failed.
pub(super) struct Broken {
    pub why: String,
    /// The other side closed before it said anything: a connection that was kept
    /// too long. The question may be asked again on another.
    pub unanswered: bool,
}

fn broken(why: impl Into<String>) -> Broken {
    Broken {
        why: why.into(),
        unanswered: false,
    }
}

/// Connects to the first address that answers.
async fn dial(place: &Place) -> Result<Async<TcpStream>, String> {
    let mut last = String::new();
    for address in addresses(&place.host, place.port).await? {
        match connect(address, CONNECT_TIME, Tuning::LOCAL).await {
            Ok(socket) => return Ok(socket),
            Err(why) => last = why,
        }
    }
    Err(last)
}

impl Connection {
    /// Connects, and shakes hands where it is TLS.
    pub async fn open(place: &Place, trust: Option<Trust>) -> Result<Connection, String> {
        let mut socket = dial(place).await?;
        let tls = match trust {
            Some(trust) => Some(trust.shake(&mut socket, &place.host).await?),
            None => None,
        };
        Ok(Connection { socket, tls })
    }

    /// Sends a request and reads its answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Reply, Broken> {
        let mut reader = Reader::default();
        let sent = match &mut self.tls {
            None => self.socket.write_all(request).await,
            Some(tls) => {
                let mut out = Vec::new();
                tls.send(request, &mut out)
                    .map_err(|e| broken(e.to_string()))?;
                self.socket.write_all(&out).await
            }
        };
        if let Err(e) = sent {
            return Err(Broken {
                why: e.to_string(),
                unanswered: true,
            });
        }
        let mut buffer = vec![0; CHUNK];
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        loop {
            let length = match self.socket.read(&mut buffer).await {
                Ok(0) => {
                    let unanswered = reader.is_untouched();
                    return reader.end().map_err(|why| Broken { why, unanswered });
                }
                Ok(length) => length,
                Err(e) => {
                    return Err(Broken {
                        why: e.to_string(),
                        unanswered: reader.is_untouched(),
                    })
                }
            };
            let input = buffer.get_mut(..length).unwrap_or_default();
            let (done, closed) = match &mut self.tls {
                None => (reader.feed(input), false),
                Some(tls) => {
                    let mut sink = |part: &[u8]| plain.extend_from_slice(part);
                    let received = tls.receive(input, &mut out, &mut sink);
                    let progress = received.map_err(|e| broken(e.to_string()))?;
                    if !out.is_empty() {
                        // Key updates; a failure shows with the next read.
                        let _ = self.socket.write_all(&out).await;
                        out.clear();
                    }
                    let done = reader.feed(&plain);
                    plain.clear();
                    (done, progress.closed)
                }
            };
            match done.map_err(broken)? {
                Some(reply) => return Ok(reply),
                None if closed => {
                    let unanswered = reader.is_untouched();
                    return reader.end().map_err(|why| Broken { why, unanswered });
                }
                None => {}
            }
        }
    }
}
