//! RLP and what is read by it: hints in tickets. What can be read has one spelling.
#![no_main]

use chr_node::ticket::LocalAddress;
use chr_node::wire::rlp::{Encoder, Item};
use libfuzzer_sys::fuzz_target;

fn write(item: Item<'_>, to: &mut Encoder) {
    if item.is_list() {
        to.list(|to| item.items().unwrap().for_each(|item| write(item, to)));
    } else {
        let _ = (item.u64(), item.array::<20>(), item.tuple::<2>());
        to.bytes(item.bytes().unwrap());
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(item) = Item::parse(data) {
        let mut encoder = Encoder::new();
        write(item, &mut encoder);
        assert_eq!(encoder.finish(), data);
    }
    if let Ok(LocalAddress::Hints(hints)) = LocalAddress::parse(data) {
        if let Ok(bytes) = hints.to_bytes() {
            let again = LocalAddress::parse(&bytes);
            assert_eq!(again, Ok(LocalAddress::Hints(hints)));
        }
    }
});
