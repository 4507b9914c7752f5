//! A device made by hand: it sends the frames that a test wants, right or
//! wrong, over real TLS, and blocks while it waits for answers.

use super::{Node, SOON};
use chr_node::edge::ALPN;
use chr_node::identity::{Address, SecretKey};
use chr_node::ticket::{Ticket, TicketTerms};
use chr_node::tls::{client_config, Channel, Version, Versions};
use chr_node::wire::control::{
    decode, encode, Close, Hello, Message, Ping, Pong, TicketAccepted, TicketAsk, Welcome,
};
use chr_node::wire::frame::{data_header, Decoder, Piece};
use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The type number of data frames in [`Frame`].
pub const DATA: u8 = 0x10;

/// A frame as it arrived.
pub struct Frame {
    pub kind: u8,
    /// The request's id, or a data frame's port.
    pub id: u32,
    pub body: Vec<u8>,
}

/// Without the bytes of a whole data frame.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, id, len) = (self.kind, self.id, self.body.len());
        let head = &self.body[..len.min(32)];
        write!(f, "type 0x{kind:02x}, id {id}, {len} bytes: {head:02x?}")
    }
}

impl Frame {
    /// What a control frame carries.
    #[track_caller]
    pub fn read<M: Message>(&self) -> M {
        assert_eq!(self.kind, M::KIND, "not {}: {self:?}", M::NAME);
        decode(&self.body).unwrap()
    }
}

/// See the module's text.
pub struct Raw {
    pub socket: TcpStream,
    channel: Channel,
    decoder: Decoder,
    arrived: VecDeque<Frame>,
    /// Plaintext as it came, before Hello.
    pub plain: Vec<u8>,
    framed: bool,
    ended: bool,
    pub key: Arc<SecretKey>,
    pub node: Address,
    pub terms: Option<Welcome>,
    next_id: u32,
}

impl Raw {
    /// TLS stands, nothing is said yet.
    pub fn connect(node: &Node, key: &Arc<SecretKey>) -> Raw {
        Raw::try_connect(node.edge(), key, &[ALPN], Versions::Both).expect("TLS")
    }

    /// As [`Raw::connect`], with other protocols and versions of TLS.
    pub fn try_connect(
        place: SocketAddr,
        key: &Arc<SecretKey>,
        alpn: &[&[u8]],
        versions: Versions,
    ) -> Result<Raw, String> {
        let config = client_config(key, alpn, versions).map_err(|e| e.to_string())?;
        let socket = TcpStream::connect(place).map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.set_nodelay(true).unwrap();
        let mut raw = Raw {
            socket,
            channel: Channel::client(&config).map_err(|e| e.to_string())?,
            decoder: Decoder::new(),
            arrived: VecDeque::new(),
            plain: Vec::new(),
            framed: false,
            ended: false,
            key: key.clone(),
            node: Address::ZERO,
            terms: None,
            next_id: 1,
        };
        let mut out = Vec::new();
        raw.channel.start(&mut out).map_err(|e| e.to_string())?;
        raw.socket.write_all(&out).map_err(|e| e.to_string())?;
        let end = Instant::now() + SOON;
        while raw.channel.is_handshaking() {
            raw.read_some()?;
            if raw.ended || Instant::now() > end {
                return Err("closed during the handshake".into());
            }
        }
        raw.node = raw.channel.peer_address().ok_or("no certificate")?;
        Ok(raw)
    }

    /// Hello is answered.
    pub fn greeted(node: &Node, key: &Arc<SecretKey>) -> Raw {
        let mut raw = Raw::connect(node, key);
        raw.hello();
        raw
    }

    /// A ticket for so many bytes is accepted.
    pub fn admitted(node: &Node, key: &Arc<SecretKey>, total_bytes: u64) -> Raw {
        let mut raw = Raw::greeted(node, key);
        let ask: TicketAsk = raw.expect();
        let ticket = raw.sign(ask.epoch, total_bytes);
        raw.request(&ticket);
        raw.expect::<TicketAccepted>();
        raw
    }

    /// What arrives from here on are frames; [`Raw::hello`] calls it.
    pub fn hello_is_expected(&mut self) {
        self.framed = true;
    }

    pub fn hello(&mut self) {
        self.hello_is_expected();
        self.request(&Hello {
            capabilities: 0,
            agent: "raw".into(),
        });
        self.terms = Some(self.expect());
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// Which TLS was agreed on.
    pub fn version(&self) -> Option<Version> {
        self.channel.version()
    }

    /// A ticket of this device for this node.
    pub fn sign(&self, epoch: u64, total_bytes: u64) -> Ticket {
        let terms = self.terms.as_ref().expect("greeted");
        Ticket::sign(
            &self.key,
            &self.node,
            TicketTerms {
                chain_id: terms.chain_id,
                epoch,
                fleet: terms.fleet,
                total_connections: 0,
                total_bytes,
                local_address: Vec::new(),
            },
        )
    }

    /// Sends plaintext as it is.
    pub fn write(&mut self, plain: &[u8]) -> std::io::Result<()> {
        let mut sealed = Vec::new();
        self.channel.send(plain, &mut sealed).expect("TLS stands");
        self.socket.write_all(&sealed)
    }

    pub fn send<M: Message>(&mut self, id: u32, message: &M) {
        let mut out = Vec::new();
        encode(id, message, &mut out);
        // A node that has closed already still says why.
        let _ = self.write(&out);
    }

    /// Sends a request and returns its id.
    pub fn request<M: Message>(&mut self, message: &M) -> u32 {
        let id = self.next_number();
        self.send(id, message);
        id
    }

    /// The next of this side's numbers, for a port.
    pub fn next_number(&mut self) -> u32 {
        self.next_id += 2;
        self.next_id - 2
    }

    pub fn send_data(&mut self, port: u32, bytes: &[u8]) {
        let mut out = data_header(port, bytes.len()).to_vec();
        out.extend_from_slice(bytes);
        let _ = self.write(&out);
    }

    /// The next frame; pings are answered on the way. `None`: the node hung up.
    pub fn next(&mut self) -> Option<Frame> {
        let frame = self.next_within(SOON);
        assert!(frame.is_some() || self.ended, "no frame within {SOON:?}");
        frame
    }

    /// As [`Raw::next`]; `None` also when nothing came in this time.
    pub fn next_within(&mut self, most: Duration) -> Option<Frame> {
        let end = Instant::now() + most;
        loop {
            while let Some(frame) = self.arrived.pop_front() {
                if frame.kind == Ping::KIND {
                    self.send(frame.id, &Pong {});
                } else {
                    return Some(frame);
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.ended || left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            let _ = self.read_some();
        }
    }

    /// The next frame must be of this type.
    #[track_caller]
    pub fn expect<M: Message>(&mut self) -> M {
        let frame = self.next();
        let Some(frame) = frame else {
            panic!("the node hung up instead of {}", M::NAME)
        };
        if frame.kind == Close::KIND && M::KIND != Close::KIND {
            panic!("{:?} instead of {}", frame.read::<Close>(), M::NAME);
        }
        frame.read()
    }

    /// Reads until the node hangs up; the reason that it gave.
    pub fn close_reason(&mut self) -> Option<Close> {
        let mut reason = None;
        while let Some(frame) = self.next() {
            if frame.kind == Close::KIND {
                reason = Some(frame.read());
            }
        }
        reason
    }

    /// Everything up to the node's end of the connection, without framing.
    pub fn read_plain_to_end(&mut self) -> Vec<u8> {
        let end = Instant::now() + SOON;
        while !self.ended && self.read_some().is_ok() {
            assert!(Instant::now() < end, "no end within {SOON:?}");
        }
        std::mem::take(&mut self.plain)
    }

    fn read_some(&mut self) -> Result<(), String> {
        let mut buffer = [0; 32 * 1024];
        let n = match self.socket.read(&mut buffer) {
            Ok(0) => {
                self.ended = true;
                return Ok(());
            }
            Ok(n) => n,
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) =>
            {
                return Ok(())
            }
            Err(e) => {
                self.ended = true;
                return Err(e.to_string());
            }
        };
        let (mut out, mut plain) = (Vec::new(), Vec::new());
        let progress = self
            .channel
            .receive(&mut buffer[..n], &mut out, &mut |p| plain.extend(p));
        if !out.is_empty() {
            let _ = self.socket.write_all(&out);
        }
        match progress {
            Ok(progress) => self.ended |= progress.closed,
            Err(e) => {
                self.ended = true;
                return Err(e.to_string());
            }
        }
        if !self.framed {
            self.plain.extend(plain);
            return Ok(());
        }
        let mut input = &plain[..];
        while let Some(piece) = self.decoder.next(&mut input).unwrap() {
            match piece {
                Piece::Control { kind, id, body } => self.arrived.push_back(Frame {
                    kind,
                    id,
                    body: body.to_vec(),
                }),
                Piece::Data {
                    port, bytes, first, ..
                } => match self.arrived.back_mut() {
                    Some(frame) if !first && frame.kind == DATA => frame.body.extend(bytes),
                    _ => self.arrived.push_back(Frame {
                        kind: DATA,
                        id: port,
                        body: bytes.to_vec(),
                    }),
                },
            }
        }
        Ok(())
    }
}

/// A new identity.
pub fn key() -> Arc<SecretKey> {
    Arc::new(SecretKey::generate())
}
