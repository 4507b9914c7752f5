//! Packets and records of the DHT as they arrive, and the store that they go
//! into. What can be read has one spelling.
#![no_main]

use chr_node::dht::record::{Choice, Content, ContentValue};
use chr_node::dht::storage::{Source, Storage, SyncStep};
use chr_node::dht::{Record, Seal, ValidRecord, Verify, Wall};
use chr_node::identity::{Address, Signature};
use chr_node::time::Moment;
use chr_node::wire::dht::{
    decode, encode, peek, Body, Prefix, Type, CHALLENGE_LEN, ENTRIES_MAX, PACKET_MAX,
};
use chr_node_fuzz::{Input, UNIX};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

/// Signs with what it is given, and takes every signature for one by `who`.
struct Pretend {
    who: Address,
    signature: Signature,
}

impl Verify for Pretend {
    fn recover65(&self, _: &[u8; 32], _: &Signature) -> Option<Address> {
        Some(self.who)
    }
}

impl Seal for Pretend {
    fn address(&self) -> Address {
        self.who
    }
    fn sign65(&self, _: &[u8; 32]) -> Signature {
        self.signature
    }
}

/// Bytes as a packet; its signature is taken for right.
fn packet(data: &[u8]) {
    let Ok(header) = peek(data) else {
        return;
    };
    assert!(data.len() <= PACKET_MAX);
    if header.kind == Type::Challenge {
        assert_eq!(data.len(), CHALLENGE_LEN);
    } else {
        assert!(data.len() > CHALLENGE_LEN);
    }
    let Ok(packet) = decode(data, &|_, _| Some(header.from)) else {
        return;
    };
    let signature = *data.last_chunk().unwrap();
    let again = encode(&packet, &|_| signature).unwrap();
    assert_eq!(again, data);
    match packet.body {
        Body::Store { records, .. } | Body::Value { records, .. } => {
            for bytes in records {
                record(&bytes);
            }
        }
        Body::Sync { prefix, .. } => {
            for branch in 0..16 {
                if let Some(below) = prefix.below(branch) {
                    assert!(prefix.holds(&below.lowest()));
                    assert_eq!(prefix.branch(&below.lowest()), branch);
                }
            }
        }
        _ => {}
    }
}

const WALL: Wall = Wall {
    unix: UNIX,
    trusted: true,
};

/// Bytes as a record.
fn record(data: &[u8]) {
    let Ok(record) = Record::parse(data) else {
        return;
    };
    assert_eq!(record.bytes(), data);
    let pretend = Pretend {
        who: record.publisher().unwrap_or_default(),
        signature: Signature(data.last_chunk().copied().unwrap_or([0; 65])),
    };
    // Written anew from its fields it is the same bytes.
    let again = match record.content().unwrap() {
        Content::Node(node) => ValidRecord::node(&node, &pretend).unwrap().bytes().to_vec(),
        Content::Presence(presence) => [&[2], &presence.encode()[..]].concat(),
        Content::Content(value) => ValidRecord::content_value(&value).unwrap().bytes().to_vec(),
        Content::Mutable(value) => {
            let pretend = Pretend {
                who: value.owner,
                ..pretend
            };
            ValidRecord::mutable(&value, &pretend)
                .unwrap()
                .bytes()
                .to_vec()
        }
    };
    assert_eq!(again, data);
    for trusted in [false, true] {
        let wall = Wall { trusted, ..WALL };
        if let Ok(valid) = record.clone().check(wall, &pretend) {
            assert!(valid.until() > UNIX);
        }
    }
    let mut choice = Choice::new(record.key());
    let taken = choice.offer(data, WALL, &pretend);
    assert_eq!(taken.is_ok(), !choice.is_empty());
    if taken.is_ok() {
        assert_eq!(choice.offer(data, WALL, &pretend), Ok(false));
    }
}

const LIMIT: usize = 6000;

/// Bytes as what others want a store to do.
fn store(input: &mut Input) {
    let mut storage = Storage::new(Address([0x55; 20]), LIMIT);
    let mut now = Moment(1);
    let mut wall = WALL;
    while !input.is_empty() {
        match input.byte() % 4 {
            0 => {
                let pass = Duration::from_secs(u64::from(input.byte()) * 60);
                now = now + pass;
                wall.unix += pass.as_secs();
                storage.expire(now, wall);
            }
            1 => {
                let value = ContentValue {
                    until: wall.unix + u64::from(input.byte()) * 60,
                    value: vec![input.byte(); usize::from(input.byte())],
                };
                let record = ValidRecord::content_value(&value).unwrap();
                if input.byte() & 1 == 0 {
                    storage.cache(now, wall, record, u32::from(input.byte() % 8));
                } else {
                    let source = Some(Source(u64::from(input.byte() % 4)));
                    let _ = storage.put(now, wall, record, source);
                }
            }
            2 => {
                let length = usize::from(input.byte());
                let bytes = input.take(length);
                let pretend = Pretend {
                    who: Address([input.byte(); 20]),
                    signature: Signature([0; 65]),
                };
                let source = Source(u64::from(input.byte() % 4));
                let _ = storage.take(now, wall, &pretend.who, source, bytes, &pretend);
            }
            _ => {
                let prefix = Prefix::of(&Address([input.byte(); 20]), input.byte());
                let theirs = [u64::from(input.byte()); 16];
                let Body::Synced {
                    hashes,
                    listed,
                    entries,
                } = storage.answer_sync(now, wall, &prefix, &theirs)
                else {
                    unreachable!()
                };
                assert!(entries.len() <= ENTRIES_MAX);
                let step = SyncStep { prefix, hashes };
                let same = storage.compare(now, wall, &step, &hashes, listed, &entries);
                assert!(same.pull.is_empty() && same.push.is_empty() && same.next.is_empty());
                let listed = u16::from(input.byte()) << 8 | u16::from(input.byte());
                let other = storage.compare(now, wall, &step, &theirs, listed, &entries);
                assert!(other.pull.is_empty() && other.next.len() <= 16);
            }
        }
        let bytes: usize = storage.records().map(|record| record.bytes().len()).sum();
        assert!(bytes <= storage.bytes() && storage.bytes() <= LIMIT);
        for record in storage.records() {
            let found = storage.get(now, wall, &record.key());
            assert!(found.len() <= 3);
            assert!(found.iter().all(|found| found.until() > wall.unix));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    match input.byte() % 4 {
        0 | 1 => packet(input.0),
        2 => record(input.0),
        _ => store(&mut input),
    }
});
