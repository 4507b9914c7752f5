//! One end of a session in the hands of a test.

use super::world::{Program, World};
use crate::identity::SecretKey;
use crate::session::Stop;
use crate::ticket::{Ticket, TicketTerms};
use crate::wire::code::Code;
use crate::wire::control::{
    decode, encode, Abort, Close, ErrorAnswer, Finish, Hello, Message, Open, Publish, TicketAsk,
    Welcome,
};
use crate::wire::frame::{data_header, Decoder, Piece};

/// One frame that the other end sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Control { kind: u8, id: u32, body: Vec<u8> },
    Data { port: u32, bytes: Vec<u8> },
}

impl Heard {
    /// As a struct of this type.
    pub fn is<M: Message>(&self) -> Option<(u32, M)> {
        match self {
            Heard::Control { kind, id, body } if *kind == M::KIND => {
                Some((*id, decode(body).unwrap()))
            }
            _ => None,
        }
    }
}

/// The test's end of a session.
pub struct Raw {
    pub line: usize,
    key: SecretKey,
    /// The test is the device.
    is_device: bool,
    decoder: Decoder,
    heard: Vec<Heard>,
}

impl Raw {
    /// A device after TLS.
    pub fn device(world: &mut World, n: u8, alpn: bool) -> Raw {
        let key = SecretKey::from_bytes(&[n; 32]).unwrap();
        let line = world.node_only(key.address(), alpn);
        Raw::new(line, key, true)
    }

    /// A device that has said Hello; without tickets it is admitted.
    pub fn greeted(world: &mut World, n: u8) -> Raw {
        let mut raw = Raw::device(world, n, true);
        raw.say(world, 1, &hello());
        raw.expect::<Welcome>(world);
        raw
    }

    /// A node after TLS, as `program` sees it.
    pub fn node(world: &mut World, program: &Program) -> Raw {
        let line = world.device_only(program);
        Raw::new(line, super::world::node_key(), false)
    }

    /// A node that has admitted `program` without a ticket.
    pub fn welcoming(world: &mut World, program: &Program) -> Raw {
        let mut raw = Raw::node(world, program);
        let (id, _) = raw.expect::<Hello>(world);
        raw.say(world, id, &welcome(false));
        raw
    }

    fn new(line: usize, key: SecretKey, is_device: bool) -> Raw {
        Raw {
            line,
            key,
            is_device,
            decoder: Decoder::new(),
            heard: Vec::new(),
        }
    }

    /// Sends bytes as they are.
    pub fn bytes(&mut self, world: &mut World, bytes: &[u8]) {
        let now = world.now();
        let line = &mut world.lines[self.line];
        let pipe = if self.is_device {
            &mut line.up
        } else {
            &mut line.down
        };
        pipe.put(bytes.to_vec(), now);
        world.settle();
    }

    pub fn say<M: Message>(&mut self, world: &mut World, id: u32, message: &M) {
        let mut frame = Vec::new();
        encode(id, message, &mut frame);
        self.bytes(world, &frame);
    }

    pub fn data(&mut self, world: &mut World, port: u32, bytes: &[u8]) {
        self.bytes(
            world,
            &[&data_header(port, bytes.len())[..], bytes].concat(),
        );
    }

    pub fn open(&mut self, world: &mut World, port: u32, peer: &Program, name: &str) {
        let open = Open {
            port,
            peer: peer.address(),
            name: name.to_owned(),
            credit: 65_536,
        };
        self.say(world, port, &open);
    }

    pub fn publish(&mut self, world: &mut World, id: u32, name: &str) {
        let publish = Publish {
            name: name.to_owned(),
            allow: None,
        };
        self.say(world, id, &publish);
    }

    pub fn abort(&mut self, world: &mut World, port: u32) {
        let abort = Abort {
            port,
            code: Code::ABORTED,
            text: "enough".into(),
        };
        self.say(world, 0, &abort);
    }

    pub fn finish(&mut self, world: &mut World, port: u32) {
        self.say(world, 0, &Finish { port });
    }

    /// Signs a ticket for the node of `world`.
    pub fn ticket(&self, world: &World, epoch: u64, total_bytes: u64) -> Ticket {
        let terms = TicketTerms {
            chain_id: 1284,
            epoch,
            fleet: crate::identity::Address::ZERO,
            total_connections: 0,
            total_bytes,
            local_address: Vec::new(),
        };
        Ticket::sign(&self.key, &world.services.terms.get().node, terms)
    }

    /// Takes in what the other end has sent.
    fn listen(&mut self, world: &mut World) {
        world.settle();
        let now = world.now();
        let line = &mut world.lines[self.line];
        let pipe = if self.is_device {
            &mut line.down
        } else {
            &mut line.up
        };
        let mut bytes = Vec::new();
        while pipe.len() > 0 {
            let part = pipe.take(now, &mut world.random);
            if part.is_empty() {
                break;
            }
            bytes.extend(part);
        }
        let mut input = &bytes[..];
        while let Some(piece) = self.decoder.next(&mut input).unwrap() {
            match piece {
                Piece::Control { kind, id, body } => {
                    let body = body.to_vec();
                    self.heard.push(Heard::Control { kind, id, body });
                }
                Piece::Data {
                    port, bytes, first, ..
                } => match self.heard.last_mut() {
                    Some(Heard::Data { bytes: all, .. }) if !first => all.extend(bytes),
                    _ => self.heard.push(Heard::Data {
                        port,
                        bytes: bytes.to_vec(),
                    }),
                },
            }
        }
        // The pipe has room again.
        world.settle();
    }

    /// All frames that came since the last time.
    pub fn heard(&mut self, world: &mut World) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            self.listen(world);
            if self.heard.is_empty() {
                return all;
            }
            all.append(&mut self.heard);
        }
    }

    /// All structs of one type that came since the last time; others are lost.
    pub fn all<M: Message>(&mut self, world: &mut World) -> Vec<(u32, M)> {
        self.heard(world).iter().filter_map(Heard::is).collect()
    }

    /// The next struct of this type; what came before it is skipped.
    pub fn expect<M: Message>(&mut self, world: &mut World) -> (u32, M) {
        self.listen(world);
        while !self.heard.is_empty() {
            if let Some(found) = self.heard.remove(0).is() {
                return found;
            }
        }
        let end = if self.is_device {
            world.node_stop(self.line)
        } else {
            world.device_stop(self.line)
        };
        panic!("no {} came; the other end: {end:?}", M::NAME);
    }

    /// The other end has ended the session with this code.
    pub fn expect_end(&mut self, world: &mut World, code: Code) -> Close {
        let (_, close) = self.expect::<Close>(world);
        assert_eq!(close.code, code, "{}", close.text);
        let stop = if self.is_device {
            world.node_stop(self.line)
        } else {
            world.device_stop(self.line)
        };
        assert!(matches!(stop, Some(Stop::Say(_))), "{stop:?}");
        close
    }

    /// The other end goes on.
    pub fn assert_alive(&self, world: &World) {
        let stop = if self.is_device {
            world.node_stop(self.line)
        } else {
            world.device_stop(self.line)
        };
        assert_eq!(stop, None);
    }

    /// The next refusal.
    pub fn refused(&mut self, world: &mut World, id: u32) -> ErrorAnswer {
        let (answered, error) = self.expect::<ErrorAnswer>(world);
        assert_eq!(answered, id);
        error
    }

    /// The next ask for a ticket.
    pub fn asked(&mut self, world: &mut World) -> TicketAsk {
        self.expect::<TicketAsk>(world).1
    }
}

pub fn hello() -> Hello {
    Hello {
        capabilities: 0,
        agent: "raw".into(),
    }
}

pub fn welcome(tickets_required: bool) -> Welcome {
    Welcome {
        capabilities: 0,
        agent: "raw".into(),
        chain_id: 1284,
        epoch: super::world::EPOCH,
        unix_time: 0,
        fleet: crate::identity::Address::ZERO,
        tickets_required,
        grace_bytes: 0,
        idle_timeout: 300,
        max_ports: 16,
    }
}
