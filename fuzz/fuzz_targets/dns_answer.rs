//! Answers of name servers: the head is made right, what follows is anybody's.
#![no_main]

use chr_node::platform::resolver::message::{Kind, Letters, Query, Reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (Some(query), Some((first, rest))) = (
        Query::new("www.node.example", Kind::A, 7),
        data.split_first(),
    ) else {
        return;
    };
    let _ = query.read(data, Letters::Any);
    let mut packet = query.bytes.clone();
    packet[2] |= 0x80;
    packet[7] = *first;
    packet.extend(rest);
    match query.read(&packet, Letters::Exact) {
        Ok(Reply::Addresses(found)) => assert!(!found.is_empty() && found.len() <= 16),
        // What is told is a name that can be asked for.
        Ok(Reply::Alias(name)) => assert!(Query::new(&name, Kind::A, 0).is_some()),
        _ => (),
    }
});
