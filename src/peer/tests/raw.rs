//! One end of a link in the hands of a test.

use super::net::Net;
use crate::edge::tests::raw::Heard;
use crate::edge::tests::world::World;
use crate::identity::Address;
use crate::session::Stop;
use crate::wire::code::Code;
use crate::wire::control::{encode, Close, Message, Ping, Pong};
use crate::wire::frame::{data_header, Decoder, Piece};
use crate::wire::peer::{PeerHello, PeerOpen, PeerWelcome};

pub struct RawPeer {
    net: Net,
    pub line: usize,
    /// The test has dialled.
    dialled: bool,
    decoder: Decoder,
    heard: Vec<Heard>,
}

pub fn hello() -> PeerHello {
    PeerHello {
        agent: "raw".into(),
        capabilities: u64::MAX,
        unix_time: 0,
        peer_port: 51_055,
        serving: true,
    }
}

impl RawPeer {
    /// A node that has dialled node `to`, after TLS.
    pub fn dialling(net: &Net, to: usize, address: Address, ip: u8) -> RawPeer {
        RawPeer::dialling_from(net, to, address, [10, 0, 0, ip])
    }

    /// The same from anywhere.
    pub fn dialling_from(net: &Net, to: usize, address: Address, ip: [u8; 4]) -> RawPeer {
        let line = net.lock().dialled_by_test(to, address, (ip, 1).into());
        RawPeer::new(net, line, true)
    }

    /// The same after the greeting.
    pub fn standing(world: &mut World, net: &Net, to: usize, address: Address) -> RawPeer {
        let mut raw = RawPeer::dialling(net, to, address, 1);
        raw.say(world, 1, &hello());
        let all = raw.heard(world);
        assert!(all.iter().any(|h| h.is::<PeerWelcome>().is_some()));
        raw.answer(world, all);
        raw
    }

    /// A node that node `from` has dialled, after TLS.
    pub fn dialled(net: &Net, from: usize, address: Address) -> RawPeer {
        let line = net.lock().taken_by_test(from, address);
        RawPeer::new(net, line, false)
    }

    fn new(net: &Net, line: usize, dialled: bool) -> RawPeer {
        RawPeer {
            net: net.clone(),
            line,
            dialled,
            decoder: Decoder::new(),
            heard: Vec::new(),
        }
    }

    pub fn bytes(&mut self, world: &mut World, bytes: &[u8]) {
        {
            let mut nodes = self.net.lock();
            let line = &mut nodes.lines[self.line];
            let pipe = if self.dialled {
                &mut line.up
            } else {
                &mut line.down
            };
            pipe.put(bytes.to_vec(), world.now());
        }
        world.settle();
    }

    pub fn say<M: Message>(&mut self, world: &mut World, id: u32, message: &M) {
        let mut frame = Vec::new();
        encode(id, message, &mut frame);
        self.bytes(world, &frame);
    }

    pub fn data(&mut self, world: &mut World, port: u32, bytes: &[u8]) {
        let frame = [&data_header(port, bytes.len())[..], bytes].concat();
        self.bytes(world, &frame);
    }

    pub fn open(&mut self, world: &mut World, port: u32, opener: Address, device: Address) {
        let open = PeerOpen {
            port,
            opener,
            device,
            name: "tcp:80".into(),
            credit: 65_536,
        };
        self.say(world, port, &open);
    }

    /// All frames that came since the last time.
    pub fn heard(&mut self, world: &mut World) -> Vec<Heard> {
        world.settle();
        let mut bytes = Vec::new();
        {
            let now = world.now();
            let mut nodes = self.net.lock();
            let line = &mut nodes.lines[self.line];
            let pipe = if self.dialled {
                &mut line.down
            } else {
                &mut line.up
            };
            while pipe.len() > 0 {
                let part = pipe.take(now, &mut world.random);
                if part.is_empty() {
                    break;
                }
                bytes.extend(part);
            }
        }
        let mut input = &bytes[..];
        while let Some(piece) = self.decoder.next(&mut input).unwrap() {
            self.heard.push(match piece {
                Piece::Control { kind, id, body } => Heard::Control {
                    kind,
                    id,
                    body: body.to_vec(),
                },
                Piece::Data { port, bytes, .. } => Heard::Data {
                    port,
                    bytes: bytes.to_vec(),
                },
            });
        }
        std::mem::take(&mut self.heard)
    }

    /// The next struct of this type; what came with it is lost.
    pub fn expect<M: Message>(&mut self, world: &mut World) -> (u32, M) {
        let all = self.heard(world);
        let found = all.iter().find_map(Heard::is);
        found.unwrap_or_else(|| panic!("no {} came; the other end: {:?}", M::NAME, self.stop()))
    }

    /// Shows that it is there.
    pub fn answer_pings(&mut self, world: &mut World) {
        let all = self.heard(world);
        self.answer(world, all);
    }

    fn answer(&mut self, world: &mut World, all: Vec<Heard>) {
        for heard in all {
            if let Some((id, Ping {})) = heard.is() {
                self.say(world, id, &Pong {});
            }
        }
    }

    /// Why the node has ended the link.
    pub fn stop(&self) -> Option<Stop> {
        self.net.lock().lines[self.line]
            .stop(!self.dialled)
            .cloned()
    }

    /// The node has ended the link with this code.
    pub fn expect_end(&mut self, world: &mut World, code: Code) -> Close {
        let (_, close) = self.expect::<Close>(world);
        assert_eq!(close.code, code, "{}", close.text);
        assert!(matches!(self.stop(), Some(Stop::Say(_))));
        close
    }
}
