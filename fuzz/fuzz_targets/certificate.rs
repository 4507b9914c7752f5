//! The walk to the key in a stranger's certificate: any bytes, and a good
//! certificate with some bytes changed, cut or added.
#![no_main]

use chr_node::identity::{peer_key, self_signed, Address};
use chr_node_fuzz::{key, Input};
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;

static GOOD: OnceLock<(Vec<u8>, Address)> = OnceLock::new();

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        let _ = peer_key(input.0);
        return;
    }
    let (good, address) = GOOD.get_or_init(|| (self_signed(&key(1)), key(1).address()));
    let mut bytes = good.clone();
    while !input.is_empty() {
        let at = (usize::from(input.byte()) << 8 | usize::from(input.byte())) % (bytes.len() + 1);
        match input.byte() % 4 {
            0 => bytes.truncate(at.max(1)),
            1 => bytes.insert(at, input.byte()),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = input.byte();
                }
            }
        }
    }
    let found = peer_key(&bytes).map(|key| key.address());
    if bytes == *good {
        assert_eq!(found, Ok(*address));
    }
});
