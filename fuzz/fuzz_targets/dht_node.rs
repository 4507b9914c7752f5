//! A live engine in a stranger's hands: packets of all types with valid cookies and
//! signatures, answers to what it asks, raw bytes, time and orders in any order.
#![no_main]

use chr_node::dht::{Action, Config, Engine, Seal, Serve, Verify, Wall};
use chr_node::identity::{Address, Signature};
use chr_node::time::Moment;
use chr_node::wire::dht::{encode, peek, Body, Contact, Header, Packet, Prefix, Type};
use chr_node_fuzz::Input;
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;

/// A signature that anybody could make: the signer and the digest.
#[derive(Clone, Copy)]
struct Toy(Address);

impl Verify for Toy {
    fn recover65(&self, _: &[u8; 32], signature: &Signature) -> Option<Address> {
        let of = signature.0.get(1..21)?.try_into().ok()?;
        (signature.0[0] == 0).then_some(Address(of))
    }

    fn recover(&self, digest: &[u8; 32], signature: &[u8; 64]) -> Option<Address> {
        let of = signature.get(..20)?.try_into().ok()?;
        (signature[20..52] == digest[..]).then_some(Address(of))
    }
}

impl Seal for Toy {
    fn address(&self) -> Address {
        self.0
    }

    fn sign65(&self, _: &[u8; 32]) -> Signature {
        let mut bytes = [0; 65];
        bytes[1..21].copy_from_slice(&self.0 .0);
        Signature(bytes)
    }

    fn sign(&self, digest: &[u8; 32]) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[..20].copy_from_slice(&self.0 .0);
        bytes[20..52].copy_from_slice(digest);
        bytes
    }
}

fn id(n: u8) -> Address {
    let mut id = Address([n; 20]);
    id.0[0] = n.wrapping_mul(37);
    id
}

fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([20 + n % 8, n, 1, 1], 5))
}

fn contact(input: &mut Input) -> Contact {
    let n = input.byte();
    Contact { id: id(n), at: at(n) }
}

fn body(input: &mut Input) -> Body {
    let serving = input.byte() & 3 != 0;
    let target = id(input.byte());
    let contacts = |input: &mut Input| {
        let count = input.byte() % 21;
        (0..count).map(|_| contact(input)).collect::<Vec<_>>()
    };
    let records = |input: &mut Input| {
        let count = input.byte() % 4;
        let one = |_| {
            let length = usize::from(input.byte());
            input.take(length.max(1)).to_vec()
        };
        (0..count).map(one).filter(|r: &Vec<u8>| !r.is_empty()).collect::<Vec<_>>()
    };
    match input.byte() % 10 {
        0 => Body::Ping { serving, check: None },
        1 => Body::Ping { serving, check: Some(at(input.byte())) },
        2 => Body::Pong { serving, unix: input.u64(), seen: at(input.byte()) },
        3 => Body::FindNode { serving, target },
        4 => Body::Nodes { contacts: contacts(input) },
        5 => Body::FindValue { serving, key: target },
        6 => Body::Value { records: records(input), contacts: contacts(input) },
        7 => Body::Store { serving, records: records(input) },
        8 => Body::Stored { codes: input.take(3).to_vec() },
        _ => Body::Sync { serving, prefix: Prefix::of(&target, input.byte()), hashes: [input.u64(); 16] },
    }
}

/// What the engine has asked and nobody has answered yet.
struct World {
    engine: Engine,
    now: Moment,
    wall: Wall,
    asked: Vec<(SocketAddr, Header)>,
    /// Cookies that it gave away.
    cookies: Vec<(SocketAddr, u64)>,
}

impl World {
    fn drain(&mut self) {
        let mut count = 0;
        while let Some(action) = self.engine.next_action() {
            count += 1;
            assert!(count < 5_000, "actions without end");
            let Action::Send { to, bytes } = action else { continue };
            assert!(bytes.len() <= 1200);
            let Ok(header) = peek(&bytes) else { panic!("it sends what is no packet") };
            if header.kind.is_request() {
                self.asked.push((to, header));
                if self.asked.len() > 64 {
                    self.asked.remove(0);
                }
            } else {
                self.cookies.retain(|(at, _)| *at != to);
                self.cookies.push((to, header.cookie));
                if self.cookies.len() > 64 {
                    self.cookies.remove(0);
                }
            }
        }
    }

    fn put(&mut self, from: SocketAddr, n: Address, to: Address, txid: u64, cookie: u64, body: Body) {
        let seal = Toy(n);
        let packet = Packet { txid, cookie, from: n, to, body };
        if let Ok(bytes) = encode(&packet, &|digest| seal.sign(digest)) {
            self.engine.receive(self.now, self.wall, from, &bytes);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let config = Config {
        serve: input.pick(&[Serve::Auto, Serve::Yes, Serve::No]),
        interfaces: vec![at(1).ip()],
        ..Config::default()
    };
    let now = Moment(1_000_000_000);
    let own = id(1);
    let mut world = World {
        engine: Engine::new(config, Box::new(Toy(own)), 7, now),
        now,
        wall: Wall { unix: 1_753_920_000, trusted: input.byte() & 1 == 0 },
        asked: Vec::new(),
        cookies: Vec::new(),
    };
    world.engine.add_seed(now, at(2), None);
    for _ in 0..400 {
        if input.is_empty() {
            break;
        }
        match input.byte() % 8 {
            0 => {
                world.now.0 += input.pick(&[1_000_000, 300_000_000, 5_000_000_000, 3_700_000_000_000]);
                world.engine.tick(world.now, world.wall);
            }
            1 | 2 => {
                // A request, with the cookie that this place was given.
                let n = input.byte();
                let cookie = world.cookies.iter().find(|(place, _)| *place == at(n));
                let cookie = cookie.map_or(0, |(_, cookie)| *cookie);
                let body = body(&mut input);
                world.put(at(n), id(n), own, 1, cookie, body);
            }
            3..=5 => {
                // An answer to something that it has asked.
                let place = usize::from(input.byte());
                if world.asked.is_empty() {
                    continue;
                }
                let (to, header) = world.asked.remove(place % world.asked.len());
                let from = if header.to == Address::ZERO { id(2) } else { header.to };
                if input.byte() % 4 == 0 {
                    let bare = chr_node::wire::dht::challenge(&header, from, input.u64());
                    world.engine.receive(world.now, world.wall, to, &bare);
                } else {
                    let mut answer = body(&mut input);
                    if header.kind == Type::Ping {
                        answer = Body::Pong { serving: true, unix: 1_753_920_000, seen: at(1) };
                    }
                    world.put(to, from, own, header.txid, input.u64(), answer);
                }
            }
            6 => {
                let target = id(input.byte());
                match input.byte() % 3 {
                    0 => world.engine.find_value(world.now, target),
                    1 => world.engine.find_newest(world.now, target),
                    _ => world.engine.find_node(world.now, target),
                };
            }
            _ => {
                let length = usize::from(input.byte());
                let bytes = input.take(length).to_vec();
                world.engine.receive(world.now, world.wall, at(3), &bytes);
            }
        }
        world.drain();
        assert!(world.engine.stats().nodes <= 160 * 20);
    }
});
